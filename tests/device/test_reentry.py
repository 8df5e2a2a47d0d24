# SPDX-License-Identifier: MIT
"""Accesses of the device that come back into it.

An emulated IOMMU reports a fault by writing to memory at an address of the guest's choice, from
inside of the access that it refuses. That can be configuration space: of the device, which is
reset, or of the port, which is switched off.
"""

from __future__ import annotations

import pytest

from vnpu.hw import regs
from vnpu.hw.codes import Access, EngineType, Fault
from vnpu.hw.packets import Copy, Fill, Gemm, Nop, RingFence, RingIndirect
from vnpu.hw.regs import EngineReg, Reg
from vnpu.qtest import Queue, VnpuQtest, pci
from vnpu.qtest.npu import PHYS_VRAM, device
from vnpu.qtest.viommu import READ, REPORT_ADDRESS, WRITE, Viommu

IOMMU_SLOT, PORT_SLOT = 3, 5
DOMAIN = 1
#: bus addresses: guest memory from zero, and a window where not everything is allowed. The bit
#: of a function's reset is set in this address.
WINDOW = 0x80008000
REAL = 40 << 20
IOMMU_MEMORY = 0x1F0000


def behind_iommu(npu: VnpuQtest) -> Viommu:
    """All guest memory for the device, and further mappings to come."""
    iommu = Viommu(npu.machine, IOMMU_SLOT, IOMMU_MEMORY)
    iommu.attach(DOMAIN, npu.pci.requester)
    iommu.map(DOMAIN, 0, npu.machine.memory, 0, READ | WRITE)
    return iommu


@pytest.fixture
def plugged(launch, properties) -> tuple[VnpuQtest, Viommu]:
    machine = launch([f"virtio-iommu-pci,addr={IOMMU_SLOT}", device(**properties)])
    npu = VnpuQtest(machine)
    return npu, behind_iommu(npu)


@pytest.fixture
def pluggable(launch) -> tuple[VnpuQtest, Viommu, pci.RootPort]:
    devices = [
        f"virtio-iommu-pci,addr={IOMMU_SLOT}",
        pci.RootPort.device(PORT_SLOT),
        device(bus="rp", addr="0"),
    ]
    machine = launch(devices, pci.RootPort.NATIVE)
    port = pci.RootPort(machine.qtest, PORT_SLOT)
    npu = VnpuQtest(machine, 0, bus=port.BUS)
    return npu, behind_iommu(npu), port


def submit(queue: Queue, *commands: object) -> None:
    at, size = queue.commands(*commands)
    queue.put(RingIndirect(addr=at, size=size), queue.next_fence())
    queue.doorbell()


def reset_at_fault(npu: VnpuQtest, iommu: Viommu) -> None:
    """The address of the next fault, which has bit 15 set, is written to DEVCTL: an FLR."""
    express = npu.pci.capability(pci.CAP_EXPRESS)
    iommu.report_to(npu.pci.mapped(express + pci.EXPRESS_DEVCTL) - REPORT_ADDRESS)


def gemm(c: int) -> Gemm:
    """Some milliseconds of work whose result goes to guest memory."""
    dim = 1024
    return Gemm(
        dtype="I8", a=PHYS_VRAM | 16 << 20, b=PHYS_VRAM | 20 << 20, c=c,
        m=dim, n=dim, k=dim, lda=dim, ldb=dim, ldc=dim,
    )  # fmt: skip


def assert_reset(npu: VnpuQtest) -> None:
    """Reset by the report, and as good as new."""
    npu.settle_function_reset()
    npu.assign()
    assert npu.read32(Reg.STATUS) == 1
    assert all(not npu.engine(i, EngineReg.STATUS) for i in range(npu.read32(Reg.ENGINES)))
    npu.enable_msix()
    npu.queue(4).run(Nop())


def test_reset_while_a_fence_is_written(plugged):
    """Another engine has guest memory mapped."""
    npu, iommu = plugged
    fence = RingFence(addr=WINDOW, value=1)
    queue, other = npu.queue(2), npu.queue(3, kind=EngineType.TENSOR)
    at, size = queue.commands(Fill(pattern=1, dst=REAL, size=4 << 20))
    reset_at_fault(npu, iommu)
    submit(other, gemm(REAL + (8 << 20)))
    queue.put(RingIndirect(addr=at, size=size), fence)
    queue.doorbell()
    npu.until(lambda: iommu.reports, "the fault report")
    assert_reset(npu)


def test_reset_while_a_fault_is_told(plugged):
    """The event ring cannot be written, and another engine has guest memory mapped."""
    npu, iommu = plugged
    queue, other = npu.queue(2), npu.queue(3, kind=EngineType.TENSOR)
    npu.write64(Reg.EVENT_BASE, WINDOW)
    npu.write32(Reg.EVENT_CONFIG, regs.pack("EVENT_CONFIG", LOG2=5, ENABLE=1))
    reset_at_fault(npu, iommu)
    submit(other, gemm(REAL + (8 << 20)))
    submit(queue, Fill(pattern=1, dst=PHYS_VRAM | 1, size=4))
    npu.until(lambda: iommu.reports, "the fault report")
    assert_reset(npu)


@pytest.mark.device(posted_errors="on")
def test_page_that_may_only_be_read_is_no_destination(plugged):
    """Found before the packet runs, not when all is computed."""
    npu, iommu = plugged
    iommu.map(DOMAIN, WINDOW, 8192, REAL, READ | WRITE)
    iommu.map(DOMAIN, WINDOW + 8192, 4096, REAL + 8192, READ)
    npu.store(False, REAL, b"\x55" * 12288)
    event = npu.queue(2).faults(Fill(pattern=0, dst=WINDOW, size=12288))
    assert (event.code, event.access, event.addr) == (Fault.DMA, Access.WRITE, WINDOW + 8192)
    assert npu.load(False, REAL, 12288) == b"\x55" * 12288


def test_reset_while_operands_are_mapped(plugged):
    npu, iommu = plugged
    size = (4 << 20) + (32 << 10)
    iommu.map(DOMAIN, WINDOW, size - 4096, REAL, READ | WRITE)
    iommu.map(DOMAIN, WINDOW + size - 4096, 4096, REAL + size - 4096, READ)
    assert (WINDOW + size - 4096) & pci.DEVCTL_FLR
    reset_at_fault(npu, iommu)
    submit(npu.queue(2), Copy(src=PHYS_VRAM, dst=WINDOW, size=size))
    npu.until(lambda: iommu.reports, "the fault report")
    assert_reset(npu)


def test_unplug_while_operands_are_mapped(pluggable):
    npu, iommu, port = pluggable
    # the address of the fault is what is written to SLTCTL
    fault = (WINDOW & ~0xFFFF) + 0x1000 + pci.SLTCTL_POWER_OFF
    iommu.report_to(port.slot_control - REPORT_ADDRESS)
    submit(npu.queue(2), Copy(src=npu.alloc(4096, vram=False), dst=fault, size=64))
    npu.until(lambda: iommu.reports, "the fault report")
    npu.until(lambda: npu.pci.read(0) == 0xFFFFFFFF, "the empty slot")
    assert npu.machine.alive()
