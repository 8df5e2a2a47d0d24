# SPDX-License-Identifier: MIT
"""The device behind an IOMMU: DMA addresses are no physical ones, and no others get through."""

import pytest
from support import DRIVER, MIB, PAGE, PLACEMENTS, Copier, Windows, fill_bo, pci_address

from vnpu.accel import SYSTEM, VRAM

pytestmark = pytest.mark.machine(iommu=True)


def test_the_device_is_behind_it(guest):
    group = f"{DRIVER}/{pci_address(guest)}/iommu_group"
    assert guest.exists(group)
    kind = guest.read_file(f"{group}/type")
    assert kind.strip().startswith(b"DMA"), "an identity domain would prove nothing"


@pytest.mark.parametrize("source", PLACEMENTS)
@pytest.mark.parametrize("target", PLACEMENTS)
def test_copy(npu, source, target):
    copier = Copier(npu)
    size = 2 * MIB + 3 * PAGE
    bo, src = copier.buffer(size, source)
    data = fill_bo(bo, 11)
    other, dst = copier.buffer(size, target)
    copier.copy(src, dst, size).wait()
    assert other.read() == data


@pytest.mark.machine(iommu=True, vram=64 * MIB, aperture=64 * MIB)
def test_eviction(npu):
    """Moves by the copy engine, to pages that only the IOMMU's tables reach."""
    bos = [npu.bo_create(16 * MIB, placement=VRAM) for _ in range(6)]
    windows = Windows(npu.proc, 16 * MIB)
    for i, bo in enumerate(bos):
        windows.fill(bo, i)
    for i, bo in enumerate(bos):
        windows.check(bo, i)


def test_memory_that_came_back_is_reached_no_more(npu):
    """Unmapping flushes the IOMMU before the pages can be somebody else's; its log stays quiet."""
    copier = Copier(npu)
    for round_ in range(8):
        bo, src = copier.buffer(MIB, SYSTEM)
        data = fill_bo(bo, round_)
        other, dst = copier.buffer(MIB, SYSTEM)
        copier.copy(src, dst, MIB).wait()
        assert other.read() == data
        for old, va in ((bo, src), (other, dst)):
            copier.vm.unbind(va, MIB)
            old.close()
