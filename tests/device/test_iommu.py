# SPDX-License-Identifier: MIT
"""Behind an emulated IOMMU: what it takes away is not touched any more."""

from __future__ import annotations

import pytest

from vnpu.hw import const
from vnpu.hw.codes import Access, EngineType, Fault
from vnpu.hw.packets import Copy, Fill, Gemm
from vnpu.hw.regs import EngineReg
from vnpu.qtest import VnpuQtest
from vnpu.qtest.npu import PHYS_VRAM, device
from vnpu.qtest.viommu import READ, WRITE, Viommu

MIB = 1 << 20
IOMMU_SLOT, DOMAIN = 3, 1
#: where the operand is for the device, and where it is in guest memory
AT, REAL, SIZE = 0x8000_0000, 40 * MIB, 16 * MIB
DIM = 2048
PRODUCT = Gemm(dtype="I8", a=PHYS_VRAM | 16 * MIB, b=PHYS_VRAM | 24 * MIB, c=AT,
               m=DIM, n=DIM, k=DIM, lda=DIM, ldb=DIM, ldc=DIM)  # fmt: skip


@pytest.fixture
def npu(launch) -> VnpuQtest:
    return VnpuQtest(launch([f"virtio-iommu-pci,addr={IOMMU_SLOT}", device()]))


@pytest.fixture
def viommu(npu) -> Viommu:
    """All guest memory below the operand's is mapped where it is, and the operand."""
    iommu = Viommu(npu.machine, IOMMU_SLOT, npu.ram.alloc(16 * const.PAGE_SIZE))
    iommu.attach(DOMAIN, npu.pci.requester)
    iommu.map(DOMAIN, 0, REAL, 0, READ | WRITE)
    iommu.map(DOMAIN, AT, SIZE, REAL, READ | WRITE)
    return iommu


def running(npu, queue):
    npu.until(lambda: npu.engine(queue.engine, EngineReg.STATUS) & 1, "the packet")


def test_nothing_is_written_after_an_unmap(npu, viommu):
    queue = npu.queue(2, kind=EngineType.TENSOR)
    npu.events.take()
    queue.submit(PRODUCT)
    running(npu, queue)
    viommu.unmap(DOMAIN, AT, SIZE)
    npu.qtest.fill(REAL, SIZE, 0xAA)
    event = queue.expect_fault()
    assert (event.code, event.access) == (Fault.DMA, Access.WRITE)
    assert AT <= event.addr < AT + SIZE
    assert npu.qtest.read(REAL, SIZE).count(0xAA) == SIZE


def test_unmap_of_one_page_of_it(npu, viommu):
    """The page is mapped by itself: a mapping cannot be cut."""
    viommu.unmap(DOMAIN, AT, SIZE)
    last = SIZE - const.PAGE_SIZE
    viommu.map(DOMAIN, AT, last, REAL, READ | WRITE)
    viommu.map(DOMAIN, AT + last, const.PAGE_SIZE, REAL + last, READ | WRITE)
    queue = npu.queue(2, kind=EngineType.TENSOR)
    npu.events.take()
    queue.submit(PRODUCT)
    running(npu, queue)
    viommu.unmap(DOMAIN, AT + last, const.PAGE_SIZE)
    assert queue.expect_fault().code == Fault.DMA


def test_unmap_of_something_else_does_no_harm(npu, viommu):
    viommu.map(DOMAIN, AT + SIZE, MIB, 2 * MIB, READ | WRITE)
    queue = npu.queue(2, kind=EngineType.TENSOR)
    queue.submit(PRODUCT)
    running(npu, queue)
    viommu.unmap(DOMAIN, AT + SIZE, MIB)
    queue.wait()
    assert queue.fault == Fault.NONE


def test_unmapped_memory_that_is_idle_faults_at_the_next_use(npu, viommu):
    queue = npu.queue(2)
    queue.run(Fill(pattern=1, dst=AT, size=4096))
    assert npu.load(False, REAL, 4) == b"\1\0\0\0"
    viommu.unmap(DOMAIN, AT, SIZE)
    event = queue.faults(Copy(src=AT, dst=PHYS_VRAM, size=4096))
    assert (event.code, event.access, event.addr) == (Fault.DMA, Access.READ, AT)
