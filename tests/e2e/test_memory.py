# SPDX-License-Identifier: MIT
"""Device memory: filling it, going beyond it, a small aperture, clearing."""

import errno

import numpy as np
import pytest
from support import MIB, PAGE, Copier, Windows, check_words, fails, fill_bo, pattern, raises_errno

from vnpu.accel import COPY, SYSTEM, VRAM, Device
from vnpu.hw.packets import Copy, Fill
from vnpu.uapi import abi

VISIBLE = abi.DRM_VNPU_BO_CPU_VISIBLE

small_vram = pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)
small_aperture = pytest.mark.machine(vram=64 * MIB, aperture=16 * MIB)


def free_vram(npu):
    info = npu.query_memory()
    return info.vram_total - info.vram_used


@small_vram
def test_vram_oversubscribed_twice(npu):
    """Twice the VRAM in BOs written by the CPU: each byte survives eviction."""
    size = 4 * MIB
    count = 2 * npu.query_memory().vram_total // size
    bos = [npu.bo_create(size, placement=VRAM) for _ in range(count)]
    windows = Windows(npu.proc, size)
    for i, bo in enumerate(bos):
        windows.fill(bo, i)
    for i, bo in enumerate(bos):
        windows.check(bo, i)


@small_vram
def test_vram_oversubscribed_by_the_device(npu):
    """The device writes twice the VRAM from several address spaces in turn."""
    size = 8 * MIB
    total = npu.query_memory().vram_total
    clients = []
    for i in range(2 * total // size):
        c = Copier(npu)
        bo, va = c.buffer(size, VRAM)
        c.queue.submit([Fill(pattern=0x1000 + i, dst=va, size=size)])
        clients.append((c, bo, va))
    for i, (c, _, va) in enumerate(clients):
        out, va_out = c.buffer(size, SYSTEM)
        c.copy(va, va_out, size).wait(timeout_ms=30000)
        check_words(out, 0x1000 + i)
        out.close()


@small_vram
def test_evicted_bo_is_bound_again(npu):
    """A mapping made before eviction works after it without a new bind."""
    c = Copier(npu)
    bo, va = c.buffer(16 * MIB, VRAM)
    windows = Windows(npu.proc, bo.size)
    windows.fill(bo, 0)
    other = npu.vm_create()
    for i in range(8):
        windows.fill(npu.bo_create(8 * MIB, placement=VRAM, vm=other), 1 + i)
    out, va_out = c.buffer(16 * MIB, SYSTEM)
    c.copy(va, va_out, 16 * MIB).wait(timeout_ms=30000)
    windows.check(out, 0)


def evict_all(npu):
    """Push out whatever is in VRAM, as another address space would."""
    other = npu.vm_create()
    for _ in range(8):
        npu.bo_create(8 * MIB, placement=VRAM, vm=other).map()[:1] = b"x"


@small_vram
@pytest.mark.parametrize("cut", [False, True])
def test_evicted_bo_stays_read_only(npu, cut):
    """So does what is left of its mapping on both sides of a hole."""
    c = Copier(npu)
    bo = npu.bo_create(8 * MIB, placement=VRAM)
    bo.write(b"keep" * (PAGE // 4))
    va = c.vm.bind(bo, readonly=True)
    if cut:
        c.vm.unbind(va + 4 * MIB, PAGE)
    evict_all(npu)
    for at in (va, va + 8 * MIB - PAGE):
        fence = npu.queue_create(c.vm, engine=COPY).submit([Fill(pattern=1, dst=at, size=64)])
        fails(fence, errno.EIO)
    assert bo.read(4) == b"keep"
    assert bo.read(64, offset=8 * MIB - PAGE) == bytes(64)


@small_vram
def test_each_mapping_of_an_evicted_bo_is_bound_again(npu):
    """From the offset that it had."""
    c = Copier(npu)
    out, va_out = c.buffer(PAGE, SYSTEM)
    bo = npu.bo_create(8 * MIB, placement=VRAM)
    offsets = (3 * MIB, 0, 5 * MIB)
    mapped = [c.vm.bind(bo, offset=offset, size=MIB) for offset in offsets]
    for i, offset in enumerate(offsets):
        bo.write(b"part%d" % i, offset=offset)
    evict_all(npu)
    for i, va in enumerate(mapped):
        c.copy(va, va_out, PAGE).wait(timeout_ms=30000)
        assert out.read(5) == b"part%d" % i


@small_vram
def test_mapping_survives_eviction(npu):
    bo = npu.bo_create(8 * MIB, placement=VRAM)
    mapping = bo.map()
    windows = Windows(npu.proc, bo.size)
    windows.fill(bo, 0)
    for i in range(10):
        windows.fill(npu.bo_create(8 * MIB, placement=VRAM), 1 + i)
    windows.check(bo, 0)
    assert bo.map() is mapping
    mapping[:4] = b"late"
    assert bo.read(4) == b"late"


@small_vram
def test_vm_larger_than_vram(npu):
    """What one address space maps must fit into VRAM together."""
    c = Copier(npu)
    total = npu.query_memory().vram_total
    with raises_errno(errno.ENOSPC):
        for _ in range(total // (8 * MIB) + 1):
            _, va = c.buffer(8 * MIB, VRAM)
            c.queue.submit([Fill(pattern=1, dst=va, size=PAGE)]).wait(timeout_ms=20000)


@small_vram
def test_either_placement_falls_back_to_system(npu):
    """With both placements allowed a VM can be larger than VRAM."""
    c = Copier(npu)
    total = npu.query_memory().vram_total
    bos = [c.buffer(8 * MIB, VRAM | SYSTEM) for _ in range(total // (8 * MIB) + 2)]
    for i, (_, va) in enumerate(bos):
        c.queue.submit([Fill(pattern=i, dst=va, size=8 * MIB)])
    for i, (bo, _) in enumerate(bos):
        c.queue.submit([]).wait(timeout_ms=30000)
        check_words(bo, i)


@small_vram
def test_bo_larger_than_vram(npu):
    with raises_errno(errno.E2BIG, errno.ENOSPC):
        npu.bo_create(128 * MIB, placement=VRAM)


@small_vram
def test_until_full_and_again(npu):
    """Private BOs that are in use fill VRAM; freeing them gives all of it back."""
    before = free_vram(npu)
    for _ in range(3):
        vm = npu.vm_create()
        queue = npu.queue_create(vm, engine=COPY)
        bos = []
        with raises_errno(errno.ENOSPC):
            while True:
                bo = npu.bo_create(4 * MIB, placement=VRAM, vm=vm)
                bos.append(bo)
                vm.bind(bo)
                queue.submit([])
        assert len(bos) >= before // (4 * MIB) // 2
        queue.destroy()
        for bo in bos:
            bo.close()
        vm.destroy()
    assert before - free_vram(npu) < 4 * MIB


@small_vram
def test_mixed_sizes_until_full(npu):
    rng = np.random.default_rng(1)
    bos = []
    for _ in range(60):
        size = int(rng.integers(1, 3 * MIB // PAGE)) * PAGE
        bo = npu.bo_create(size, placement=VRAM)
        bo.write(pattern(PAGE, size), size - PAGE)
        bos.append((bo, size))
        if len(bos) % 3 == 0:
            bos.pop(int(rng.integers(len(bos))))[0].close()
    for bo, size in bos:
        assert bo.read(PAGE, size - PAGE) == pattern(PAGE, size)


@small_aperture
def test_small_aperture_is_reported(npu):
    info = npu.query_memory()
    assert info.vram_total == 64 * MIB
    assert info.visible_total == 16 * MIB


@small_aperture
def test_more_than_the_aperture_by_cpu(npu):
    """The CPU reaches all BOs although it can map a quarter of VRAM at a time."""
    bos = [npu.bo_create(4 * MIB, placement=VRAM) for _ in range(10)]
    windows = Windows(npu.proc, 4 * MIB)
    for i, bo in enumerate(bos):
        windows.fill(bo, i)
    for i, bo in enumerate(bos):
        windows.check(bo, i)


@small_aperture
def test_more_than_the_aperture_by_device(npu):
    c = Copier(npu)
    bos = [c.buffer(8 * MIB, VRAM) for _ in range(5)]
    for i, (_, va) in enumerate(bos):
        c.queue.submit([Fill(pattern=i + 1, dst=va, size=8 * MIB)])
    out, va_out = c.buffer(8 * MIB, SYSTEM)
    for i, (_, va) in enumerate(bos):
        c.copy(va, va_out, 8 * MIB).wait(timeout_ms=20000)
        check_words(out, i + 1)


@small_aperture
def test_cpu_visible_bo_is_in_the_aperture(npu):
    before = npu.query_memory().visible_used
    c = Copier(npu)
    bo, _ = c.buffer(4 * MIB, VRAM, flags=VISIBLE)
    assert npu.query_memory().visible_used - before >= 4 * MIB
    bo.write(pattern(4 * MIB))
    assert bo.read(4 * MIB) == pattern(4 * MIB)


@small_aperture
def test_bo_moves_when_the_cpu_touches_it(npu):
    """Data that the device wrote out of the CPU's reach is there when mapped."""
    c = Copier(npu)
    for i in range(3):
        bo, va = c.buffer(12 * MIB, VRAM)
        c.queue.submit([Fill(pattern=i + 7, dst=va, size=12 * MIB)]).wait(timeout_ms=20000)
        check_words(bo, i + 7)


@pytest.mark.parametrize("placement", [VRAM, SYSTEM], ids=["vram", "system"])
@pytest.mark.parametrize("size", [PAGE, 3 * PAGE, 2 * MIB, 5 * MIB])
def test_new_bo_is_zero(npu, placement, size):
    """Also where something else was before."""
    for seed in range(3):
        bo = npu.bo_create(size, placement=placement)
        assert not any(bo.read(size))
        bo.write(pattern(size, seed))
        bo.close()


def test_new_bo_is_zero_for_the_device(npu):
    """The device reads a new BO that no CPU ever touched."""
    size = 4 * MIB
    c = Copier(npu)
    old, va_old = c.buffer(size, VRAM)
    c.queue.submit([Fill(pattern=0x5EC2E7, dst=va_old, size=size)]).wait()
    c.vm.unbind(va_old, size)
    old.close()
    _, va = c.buffer(size, VRAM)
    out, va_out = c.buffer(size, SYSTEM)
    c.copy(va, va_out, size).wait()
    assert not any(out.read(size))


def test_memory_accounting_returns(npu):
    before = npu.query_memory()
    vm = npu.vm_create()
    bos = [npu.bo_create(MIB, placement=VRAM) for _ in range(8)]
    for bo in bos:
        vm.bind(bo)
        bo.write(b"x")
    assert npu.query_memory().vram_used - before.vram_used >= 8 * MIB
    for bo in bos:
        bo.close()
    vm.destroy()
    npu.queue_create(npu.vm_create(), engine=COPY).submit([]).wait()
    assert npu.query_memory().vram_used - before.vram_used <= MIB


def test_vram_of_a_dead_process_comes_back(npu, guest):
    before = free_vram(npu)
    proc = guest.spawn()
    other = Device.open(proc)
    vm = other.vm_create()
    for _ in range(8):
        bo = other.bo_create(4 * MIB, placement=VRAM)
        vm.bind(bo)
        bo.write(b"x")
    assert before - free_vram(npu) >= 32 * MIB
    proc.kill(9)
    proc.wait()
    assert before - free_vram(npu) <= MIB


def test_copy_bandwidth_is_real(npu):
    """A copy of 32 MiB moves each of its bytes."""
    c = Copier(npu)
    src, va_s = c.buffer(32 * MIB, VRAM)
    dst, va_d = c.buffer(32 * MIB, VRAM)
    words = np.arange(8 * MIB, dtype=np.uint32)
    src.put(words)
    c.copy(va_s, va_d, 32 * MIB).wait(timeout_ms=20000)
    np.testing.assert_array_equal(dst.array(np.uint32, (8 * MIB,)), words)


def test_scattered_copy(npu):
    """Pages mapped in random order are gathered by one copy."""
    c = Copier(npu)
    src = npu.bo_create(256 * PAGE, placement=VRAM)
    data = fill_bo(src, 3)
    order = np.random.default_rng(9).permutation(256)
    base = 0x30_0000_0000
    c.vm.bind_ops(
        [
            abi.drm_vnpu_vm_bind_op(
                handle=src.handle, bo_offset=int(j) * PAGE, va=base + i * PAGE, size=PAGE
            )
            for i, j in enumerate(order)
        ]
    )
    dst, va_d = c.buffer(256 * PAGE, SYSTEM)
    c.queue.submit([Copy(src=base, dst=va_d, size=256 * PAGE)]).wait()
    want = b"".join(data[j * PAGE : (j + 1) * PAGE] for j in order)
    assert dst.read(256 * PAGE) == want
