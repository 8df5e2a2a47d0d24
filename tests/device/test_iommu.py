# SPDX-License-Identifier: MIT
"""Behind an emulated IOMMU: what it takes away is not touched any more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vnpu.hw import const
from vnpu.hw.codes import Access, EngineType, Fault
from vnpu.hw.packets import Copy, Fill, Gemm
from vnpu.hw.regs import EngineReg
from vnpu.qtest import Queue, VnpuQtest, pci
from vnpu.qtest.npu import PHYS_VRAM, device
from vnpu.qtest.viommu import READ, WRITE, Viommu
from vnpu.qtest.vtd import Vtd

MIB = 1 << 20
IOMMU_SLOT, PORT_SLOT, DOMAIN = 3, 5, 1
#: where the operand is for the device, and where it is in guest memory
AT, REAL, SIZE = 0x8000_0000, 40 * MIB, 16 * MIB
#: from here up to REAL too, nothing else is in guest memory
LOW = 32 * MIB
DIM = 2048
PRODUCT = Gemm(dtype="I8", a=PHYS_VRAM | 16 * MIB, b=PHYS_VRAM | 24 * MIB, c=AT,
               m=DIM, n=DIM, k=DIM, lda=DIM, ldb=DIM, ldc=DIM)  # fmt: skip


class OfVirtio:
    """virtio-iommu, and how it takes mappings away."""

    DEVICES = (f"virtio-iommu-pci,addr={IOMMU_SLOT}",)

    def __init__(self, npu: VnpuQtest) -> None:
        self._iommu = Viommu(npu.machine, IOMMU_SLOT, npu.ram.alloc(16 * const.PAGE_SIZE))
        self._iommu.attach(DOMAIN, npu.pci.requester)

    def map(self, virtual: int, size: int, physical: int) -> None:
        self._iommu.map(DOMAIN, virtual, size, physical, READ | WRITE)

    def unmap(self, virtual: int, size: int) -> None:
        self._iommu.unmap(DOMAIN, virtual, size)


class OfIntel:
    """intel-iommu, where mappings leave with a flush of the range."""

    DEVICES = ("intel-iommu",)

    def __init__(self, npu: VnpuQtest) -> None:
        self.vtd = Vtd(npu.machine, npu.ram.alloc(16 * const.PAGE_SIZE))
        self.map = self.vtd.map

    def unmap(self, virtual: int, size: int) -> None:
        self.vtd.clear(virtual, size)
        self.vtd.flush_range(virtual, size)


class OfIntelByDomain(OfIntel):
    """The same with a flush of the whole domain."""

    def unmap(self, virtual: int, size: int) -> None:
        self.vtd.clear(virtual, size)
        self.vtd.flush_domain()


def behind(launch: Any, kind: Any, **properties: Any) -> tuple[VnpuQtest, Any]:
    """All guest memory below the operand's is mapped where it is, and the operand.

    The device is told what the IOMMU refuses, unless said otherwise, so that it shows when.
    """
    properties = {"posted_errors": "on", **properties}
    npu = VnpuQtest(launch([*kind.DEVICES, device(**properties)]))
    iommu = kind(npu)
    iommu.map(0, REAL, 0)
    iommu.map(AT, SIZE, REAL)
    return npu, iommu


@pytest.fixture(params=[OfVirtio, OfIntel, OfIntelByDomain])
def taking(launch, request) -> tuple[VnpuQtest, Any]:
    return behind(launch, request.param)


@pytest.fixture
def intel(launch) -> tuple[VnpuQtest, Vtd]:
    npu, iommu = behind(launch, OfIntel)
    return npu, iommu.vtd


def running(npu: VnpuQtest, queue: Queue) -> None:
    npu.until(lambda: npu.engine(queue.engine, EngineReg.STATUS) & 1, "the packet")


def taken(npu: VnpuQtest) -> None:
    """The memory is somebody else's from now on."""
    npu.qtest.fill(REAL, SIZE, 0xAA)


def untouched(npu: VnpuQtest) -> bool:
    return npu.qtest.read(REAL, SIZE).count(0xAA) == SIZE


def test_nothing_is_written_after_an_unmap(taking):
    npu, iommu = taking
    queue = npu.queue(2, kind=EngineType.TENSOR)
    npu.events.take()
    queue.submit(PRODUCT)
    running(npu, queue)
    iommu.unmap(AT, SIZE)
    taken(npu)
    event = queue.expect_fault()
    assert (event.code, event.access) == (Fault.DMA, Access.WRITE)
    assert AT <= event.addr < AT + SIZE
    assert untouched(npu)


@pytest.mark.parametrize("kind", [OfVirtio, OfIntel, OfIntelByDomain])
def test_writes_after_an_unmap_are_lost_where_nobody_tells(launch, kind):
    npu, iommu = behind(launch, kind, posted_errors="off")
    queue = npu.queue(2, kind=EngineType.TENSOR)
    queue.submit(PRODUCT)
    running(npu, queue)
    iommu.unmap(AT, SIZE)
    taken(npu)
    queue.wait()
    assert queue.fault == Fault.NONE
    assert untouched(npu)


@pytest.mark.parametrize("sync", ["off", "on"])
def test_unmap_at_random_times(launch, sync):
    """Copies of a queue that is never empty: whatever it is doing, nothing is written later."""
    npu, iommu = behind(launch, OfVirtio, sync=sync)
    rng = np.random.default_rng(1)
    npu.events.take()
    for round_ in range(30):
        queue = npu.queue(2 + round_ % 4)
        queue.submit(*[Copy(src=PHYS_VRAM, dst=AT, size=SIZE)] * 64)
        npu.qtest.read(0, int(rng.integers(1, 4 * MIB)))
        iommu.unmap(AT, SIZE)
        taken(npu)
        assert queue.expect_fault().code == Fault.DMA
        assert untouched(npu)
        queue.reset()
        iommu.map(AT, SIZE, REAL)


def test_unmap_of_one_page_of_it(launch):
    """The page is mapped by itself: a mapping cannot be cut."""
    npu, iommu = behind(launch, OfVirtio)
    iommu.unmap(AT, SIZE)
    last = SIZE - const.PAGE_SIZE
    iommu.map(AT, last, REAL)
    iommu.map(AT + last, const.PAGE_SIZE, REAL + last)
    queue = npu.queue(2, kind=EngineType.TENSOR)
    npu.events.take()
    queue.submit(PRODUCT)
    running(npu, queue)
    iommu.unmap(AT + last, const.PAGE_SIZE)
    assert queue.expect_fault().code == Fault.DMA


def test_unmap_of_something_else_does_no_harm(taking):
    npu, iommu = taking
    iommu.map(AT + SIZE, 2 * MIB, 2 * MIB)
    queue = npu.queue(2, kind=EngineType.TENSOR)
    queue.submit(PRODUCT)
    running(npu, queue)
    iommu.unmap(AT + SIZE, 2 * MIB)
    queue.wait()
    assert queue.fault == Fault.NONE


def test_unmapped_memory_that_is_idle_faults_at_the_next_use(taking):
    npu, iommu = taking
    queue = npu.queue(2)
    queue.run(Fill(pattern=1, dst=AT, size=4096))
    assert npu.load(False, REAL, 4) == b"\1\0\0\0"
    iommu.unmap(AT, SIZE)
    event = queue.faults(Copy(src=AT, dst=PHYS_VRAM, size=4096))
    assert (event.code, event.access, event.addr) == (Fault.DMA, Access.READ, AT)


@pytest.mark.parametrize("what", ["flush_domain", "flush", "own-pages"])
def test_flush_leaves_packets_alone_whose_memory_stays(intel, what):
    """What Linux sends all the time, for memory of anybody: nothing is lost or done twice."""
    npu, vtd = intel
    data = np.random.default_rng(2).integers(0, 256, SIZE, np.uint8).tobytes()
    npu.store(True, 0, data)
    copies, products = npu.queue(2), npu.queue(3, kind=EngineType.TENSOR)
    copies.submit(*[Copy(src=PHYS_VRAM, dst=AT, size=SIZE)] * 40)
    flushes = 0
    while not copies.signaled(1):
        if what == "own-pages":
            vtd.flush_range(AT, SIZE)
        else:
            getattr(vtd, what)()
        flushes += 1
    assert flushes > 5
    copies.wait()
    assert npu.qtest.read(REAL, SIZE) == data
    # a product that adds to what is there: no step may be done twice
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-9, 9, (DIM, DIM)).astype(np.int8) for _ in range(2))
    npu.store(True, 16 * MIB, a.tobytes())
    npu.store(True, 24 * MIB, b.tobytes())
    npu.qtest.fill(REAL, SIZE, 0)
    added = PRODUCT.copy()
    added.flags = "ACCUMULATE"
    products.submit(added)
    while not products.signaled(1):
        vtd.flush_domain()
    products.wait()
    got = np.frombuffer(npu.qtest.read(REAL, SIZE), np.int32).reshape(DIM, DIM)
    assert (got == (a.astype(np.float32) @ b.astype(np.float32)).astype(np.int32)).all()


def test_translation_that_is_switched_off_and_on(intel):
    """The regions of the address space come and go; where the memory is changes with them."""
    npu, vtd = intel
    queue = npu.queue(2)
    queue.submit(*[Copy(src=PHYS_VRAM, dst=LOW, size=REAL - LOW)] * 40)
    switches = 0
    while not queue.signaled(1):
        vtd.translate(switches % 2 == 0)
        switches += 1
    vtd.translate(True)
    queue.wait()
    assert switches > 4 and queue.fault == Fault.NONE


def test_bus_mastering_that_is_switched_off_and_on(taking):
    npu, iommu = taking
    for _ in range(5):
        queue = npu.queue(2, kind=EngineType.TENSOR)
        npu.events.take()
        queue.submit(PRODUCT)
        running(npu, queue)
        npu.pci.command(master=False)
        taken(npu)
        npu.pci.command()
        npu.until(lambda queue=queue: queue.fault == Fault.DMA, "the fault")
        assert untouched(npu)
        queue.reset()
    queue = npu.queue(2)
    npu.events.take()
    queue.submit(*[Copy(src=PHYS_VRAM, dst=AT, size=SIZE)] * 64)
    iommu.unmap(AT, SIZE)
    taken(npu)
    assert queue.expect_fault().code == Fault.DMA
    assert untouched(npu)


@pytest.mark.parametrize("kind", [OfVirtio, OfIntel])
def test_unplugged_while_it_works(launch, kind):
    """The IOMMU has nobody to tell then, and tells nobody."""
    machine = launch(
        [*kind.DEVICES, pci.RootPort.device(PORT_SLOT), device(bus="rp", addr="0")],
        pci.RootPort.NATIVE,
    )
    port = pci.RootPort(machine.qtest, PORT_SLOT)
    npu = VnpuQtest(machine, 0, bus=port.BUS)
    if kind is OfVirtio:
        iommu = kind(npu)
        iommu.map(0, REAL, 0)
        iommu.map(AT, SIZE, REAL)
    queue = npu.queue(2)
    queue.submit(*[Copy(src=PHYS_VRAM, dst=LOW, size=REAL - LOW)] * 64)
    running(npu, queue)
    port.power_off()
    npu.until(lambda: npu.pci.read(0) == 0xFFFFFFFF, "the empty slot")
    if kind is OfVirtio:
        iommu.unmap(AT, SIZE)
    else:
        Vtd(machine, npu.ram.alloc(16 * const.PAGE_SIZE)).flush_domain()
    assert machine.alive()
