# SPDX-License-Identifier: MIT
"""Address spaces: what VM_BIND maps, cuts, replaces, orders and refuses."""

import errno

import numpy as np
import pytest
from support import (
    MIB,
    PAGE,
    PLACEMENTS,
    Copier,
    Gate,
    fill_bo,
    map_op,
    pattern,
    raises_errno,
    unmap_op,
)

from vnpu.accel import COPY, SYSTEM, VRAM, Device
from vnpu.hw.codes import Fault
from vnpu.hw.packets import Copy, Fill, Nop
from vnpu.uapi import abi

MAP = abi.DRM_VNPU_VM_BIND_OP_MAP
UNMAP = abi.DRM_VNPU_VM_BIND_OP_UNMAP
BASE = 0x10_0000_0000


@pytest.fixture
def copier(npu):
    return Copier(npu)


def device_reads(copier, va, size):
    """What the device finds at a range, or None if reading it faults."""
    queue = copier.npu.queue_create(copier.vm, engine=COPY)
    out, va_out = copier.buffer(size)
    fence = queue.submit([Copy(src=va, dst=va_out, size=size)])
    fence.wait(check=False)
    faulted = fence.error() != 0
    data = None if faulted else out.read(size)
    if faulted:
        assert queue.query().fault_code == Fault.TRANSLATION
    queue.destroy()
    return data


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_map_read_unmap_fault(copier, placement):
    bo = copier.npu.bo_create(4 * PAGE, placement=placement)
    data = fill_bo(bo, 1)
    copier.vm.bind(bo, va=BASE)
    assert device_reads(copier, BASE, 4 * PAGE) == data
    copier.vm.unbind(BASE, 4 * PAGE)
    assert device_reads(copier, BASE, 4 * PAGE) is None


def test_bo_offset(copier):
    bo = copier.npu.bo_create(8 * PAGE, placement=SYSTEM)
    data = fill_bo(bo, 2)
    copier.vm.bind(bo, va=BASE, offset=3 * PAGE, size=2 * PAGE)
    assert device_reads(copier, BASE, 2 * PAGE) == data[3 * PAGE : 5 * PAGE]


def test_one_bo_at_two_addresses(copier):
    bo = copier.npu.bo_create(PAGE, placement=VRAM)
    copier.vm.bind(bo, va=BASE)
    copier.vm.bind(bo, va=BASE + MIB)
    copier.queue.submit([Fill(pattern=0x1234, dst=BASE, size=PAGE)]).wait()
    assert device_reads(copier, BASE + MIB, PAGE) == bo.read(PAGE)
    copier.vm.unbind(BASE, PAGE)
    assert device_reads(copier, BASE + MIB, PAGE) == bo.read(PAGE)


@pytest.mark.parametrize(
    "hole", [(0, 1), (3, 1), (7, 1), (2, 4), (0, 8)], ids=["head", "mid", "tail", "wide", "all"]
)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_partial_unmap(copier, placement, hole):
    first, count = hole
    bo = copier.npu.bo_create(8 * PAGE, placement=placement)
    data = fill_bo(bo, 3)
    copier.vm.bind(bo, va=BASE)
    copier.vm.unbind(BASE + first * PAGE, count * PAGE)
    for page in range(8):
        want = data[page * PAGE : (page + 1) * PAGE]
        if first <= page < first + count:
            want = None
        assert device_reads(copier, BASE + page * PAGE, PAGE) == want, f"page {page}"


@pytest.mark.parametrize("cut", [PAGE, MIB, 2 * MIB, 3 * MIB])
def test_partial_unmap_splits_large_pages(copier, cut):
    bo = copier.npu.bo_create(6 * MIB, placement=VRAM)
    data = fill_bo(bo, 4)
    base = 0x20_0000_0000
    copier.vm.bind(bo, va=base)
    assert device_reads(copier, base, 6 * MIB) == data
    copier.vm.unbind(base + cut, PAGE)
    assert device_reads(copier, base, cut) == data[:cut]
    assert device_reads(copier, base + cut, PAGE) is None
    rest = cut + PAGE
    assert device_reads(copier, base + rest, 6 * MIB - rest) == data[rest:]


def test_map_replaces(copier):
    a, b = (copier.npu.bo_create(4 * PAGE, placement=SYSTEM) for _ in range(2))
    data_a, data_b = fill_bo(a, 5), fill_bo(b, 6)
    copier.vm.bind(a, va=BASE)
    copier.vm.bind(b, va=BASE + PAGE, size=2 * PAGE)
    got = device_reads(copier, BASE, 4 * PAGE)
    assert got == data_a[:PAGE] + data_b[: 2 * PAGE] + data_a[3 * PAGE :]


def test_map_over_several(copier):
    small = [copier.npu.bo_create(PAGE, placement=SYSTEM) for _ in range(5)]
    for i, bo in enumerate(small):
        fill_bo(bo, i)
        copier.vm.bind(bo, va=BASE + i * PAGE)
    large = copier.npu.bo_create(3 * PAGE, placement=VRAM)
    data = fill_bo(large, 10)
    copier.vm.bind(large, va=BASE + PAGE)
    want = small[0].read(PAGE) + data + small[4].read(PAGE)
    assert device_reads(copier, BASE, 5 * PAGE) == want


def test_unmap_of_nothing_is_fine(copier):
    copier.vm.unbind(BASE, 16 * PAGE)


def test_unmap_over_holes(copier):
    bos = [copier.npu.bo_create(PAGE, placement=SYSTEM) for _ in range(3)]
    for i, bo in enumerate(bos):
        copier.vm.bind(bo, va=BASE + 2 * i * PAGE)
    copier.vm.unbind(BASE, 6 * PAGE)
    for i in range(3):
        assert device_reads(copier, BASE + 2 * i * PAGE, PAGE) is None


def test_ops_of_one_call_apply_in_order(copier):
    a, b = (copier.npu.bo_create(PAGE, placement=SYSTEM) for _ in range(2))
    fill_bo(a, 7)
    data = fill_bo(b, 8)
    copier.vm.bind_ops([map_op(a, BASE), unmap_op(BASE, PAGE), map_op(b, BASE)])
    assert device_reads(copier, BASE, PAGE) == data


def test_many_ops_in_one_call(copier):
    bo = copier.npu.bo_create(512 * PAGE, placement=SYSTEM)
    data = fill_bo(bo, 9)
    order = np.random.default_rng(1).permutation(512)
    ops = [map_op(bo, BASE + i * PAGE, PAGE, int(j) * PAGE) for i, j in enumerate(order)]
    copier.vm.bind_ops(ops)
    want = b"".join(data[j * PAGE : (j + 1) * PAGE] for j in order)
    assert device_reads(copier, BASE, 512 * PAGE) == want


def test_bad_op_changes_nothing(copier):
    """All or none: the good operations before and after a bad one do not apply."""
    a, b = (copier.npu.bo_create(PAGE, placement=SYSTEM) for _ in range(2))
    data = fill_bo(a, 11)
    copier.vm.bind(a, va=BASE)
    with raises_errno(errno.EINVAL):
        copier.vm.bind_ops(
            [
                unmap_op(BASE, PAGE),
                map_op(b, BASE + MIB),
                map_op(b, BASE + 2 * MIB, size=2 * PAGE),
                map_op(b, BASE + 3 * MIB),
            ]
        )
    assert device_reads(copier, BASE, PAGE) == data
    assert device_reads(copier, BASE + MIB, PAGE) is None
    assert device_reads(copier, BASE + 3 * MIB, PAGE) is None


BAD_OPS = {
    "va misaligned": {"va": BASE + 8},
    "size misaligned": {"size": PAGE + 8},
    "size zero": {"size": 0},
    "offset misaligned": {"bo_offset": 8},
    "offset beyond": {"bo_offset": 4 * PAGE},
    "range beyond": {"bo_offset": PAGE, "size": 4 * PAGE},
    "va wraps": {"va": 2**64 - PAGE, "size": 2 * PAGE},
    "offset wraps": {"bo_offset": 2**64 - PAGE, "size": 2 * PAGE},
    "va beyond the space": {"va": 1 << 48},
    "end beyond the space": {"va": (1 << 48) - PAGE, "size": 2 * PAGE},
    "va zero": {"va": 0},
    "unknown flag": {"flags": 1 << 5},
    "unknown op": {"op": 77},
    "pad": {"pad": 1},
}


@pytest.mark.parametrize("change", BAD_OPS.values(), ids=BAD_OPS)
def test_bad_map(copier, change):
    bo = copier.npu.bo_create(4 * PAGE, placement=SYSTEM)
    fields = {"op": MAP, "handle": bo.handle, "va": BASE, "size": 4 * PAGE} | change
    with raises_errno(errno.EINVAL):
        copier.vm.bind_ops([abi.drm_vnpu_vm_bind_op(**fields)])


@pytest.mark.parametrize(
    "change",
    [{"handle": 1}, {"bo_offset": PAGE}, {"flags": 1}, {"size": 0}, {"va": 8}, {"pad": 1}],
    ids=lambda c: next(iter(c)),
)
def test_bad_unmap(copier, change):
    fields = {"op": UNMAP, "va": BASE, "size": PAGE} | change
    with raises_errno(errno.EINVAL):
        copier.vm.bind_ops([abi.drm_vnpu_vm_bind_op(**fields)])


def test_bad_handle(copier):
    bo = copier.npu.bo_create(PAGE, placement=SYSTEM)
    bo.close()
    op = abi.drm_vnpu_vm_bind_op(op=MAP, handle=bo.handle, va=BASE, size=PAGE)
    with raises_errno(errno.ENOENT):
        copier.vm.bind_ops([op])


def test_no_ops(copier):
    with raises_errno(errno.EINVAL):
        copier.vm.bind_ops([])


def test_too_many_ops(copier):
    with raises_errno(errno.E2BIG):
        copier.vm.bind_ops([unmap_op(BASE + i * PAGE, PAGE) for i in range(4097)])


def test_syncs_need_async(copier):
    sync = copier.npu.syncobj_create(signaled=True)
    bo = copier.npu.bo_create(PAGE, placement=SYSTEM)
    with raises_errno(errno.EINVAL):
        copier.vm.bind_ops([map_op(bo, BASE)], waits=[sync])


def test_private_bo_of_another_vm(copier):
    other = copier.npu.vm_create()
    bo = copier.npu.bo_create(PAGE, placement=SYSTEM, vm=other)
    with raises_errno(errno.EINVAL):
        copier.vm.bind(bo, va=BASE)
    other.bind(bo, va=BASE)


def test_external_bo_in_two_vms(npu):
    one, two = Copier(npu), Copier(npu)
    bo = npu.bo_create(PAGE, placement=VRAM)
    one.vm.bind(bo, va=BASE)
    two.vm.bind(bo, va=BASE + MIB)
    one.queue.submit([Fill(pattern=0xABCD, dst=BASE, size=PAGE)]).wait()
    assert device_reads(two, BASE + MIB, PAGE) == b"\xcd\xab\0\0" * (PAGE // 4)


def test_readonly(copier):
    bo = copier.npu.bo_create(PAGE, placement=VRAM)
    data = fill_bo(bo, 12)
    copier.vm.bind(bo, va=BASE, readonly=True)
    assert device_reads(copier, BASE, PAGE) == data
    fence = copier.queue.submit([Fill(pattern=1, dst=BASE, size=PAGE)])
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    assert copier.queue.query().fault_code == Fault.PERMISSION
    assert bo.read(PAGE) == data


def test_readonly_and_writable_alias(copier):
    bo = copier.npu.bo_create(PAGE, placement=VRAM)
    copier.vm.bind(bo, va=BASE, readonly=True)
    copier.vm.bind(bo, va=BASE + MIB)
    copier.queue.submit([Fill(pattern=3, dst=BASE + MIB, size=PAGE)]).wait()
    assert device_reads(copier, BASE, PAGE) == b"\3\0\0\0" * (PAGE // 4)


@pytest.mark.parametrize("level", [12, 21, 30, 39], ids=["4K", "2M", "1G", "512G"])
def test_mapping_across_a_table_boundary(copier, level):
    bo = copier.npu.bo_create(4 * PAGE, placement=SYSTEM)
    data = fill_bo(bo, level)
    va = (3 << level) - 2 * PAGE if level > 12 else BASE
    copier.vm.bind(bo, va=va)
    assert device_reads(copier, va, 4 * PAGE) == data


def test_last_pages_of_the_space(copier):
    end = copier.npu.query_device().va_end
    bo = copier.npu.bo_create(2 * PAGE, placement=SYSTEM)
    data = fill_bo(bo, 13)
    copier.vm.bind(bo, va=end - 2 * PAGE)
    assert device_reads(copier, end - 2 * PAGE, 2 * PAGE) == data


def test_stale_translations_are_dropped(copier):
    """The device has used the old mapping; after a rebind it sees the new one."""
    a, b = (copier.npu.bo_create(PAGE, placement=VRAM) for _ in range(2))
    data_a, data_b = fill_bo(a, 14), fill_bo(b, 15)
    for _ in range(5):
        copier.vm.bind(a, va=BASE)
        assert device_reads(copier, BASE, PAGE) == data_a
        copier.vm.bind(b, va=BASE)
        assert device_reads(copier, BASE, PAGE) == data_b


def test_closed_bo_lives_while_bound(copier):
    bo = copier.npu.bo_create(PAGE, placement=VRAM)
    data = fill_bo(bo, 16)
    copier.vm.bind(bo, va=BASE)
    bo.close()
    assert device_reads(copier, BASE, PAGE) == data


def test_async_bind_waits_for_its_syncobj(copier):
    """A bind that waits for a job maps after it, and a submit that waits for it too."""
    npu, vm = copier.npu, copier.vm
    gate = Gate(npu, vm)
    # memory for command buffers is bound now: a synchronous bind would wait for the gate
    copier.queue.submit([Nop()]).wait()
    before, bound = npu.syncobj_create(), npu.syncobj_create()
    gate_queue = npu.queue_create(vm, engine=COPY)
    gate_queue.submit(gate.packets(), signals=[before])
    bo = npu.bo_create(PAGE, placement=SYSTEM)
    vm.bind_ops([map_op(bo, BASE)], asynchronous=True, waits=[before], signals=[bound])
    fence = copier.queue.submit([Fill(pattern=9, dst=BASE, size=PAGE)], waits=[bound])
    assert not fence.done()
    gate.open()
    fence.wait()
    assert fence.error() == 0
    bound.wait(timeout_ms=1000)
    assert bo.read(4) == b"\x09\0\0\0"


def test_submit_does_not_wait_for_async_binds(copier):
    """It finds the addresses as they were, and the memory to be unmapped as well."""
    npu, vm = copier.npu, copier.vm
    old, new = (npu.bo_create(PAGE, placement=VRAM) for _ in range(2))
    before, after = fill_bo(old, 1), fill_bo(new, 2)
    vm.bind(old, va=BASE)
    out, va_out = copier.buffer(PAGE)
    gate = Gate(npu, vm)
    copier.queue.submit([Nop()]).wait()
    opened, bound = npu.syncobj_create(), npu.syncobj_create()
    npu.queue_create(vm, engine=COPY).submit(gate.packets(), signals=[opened])
    vm.bind_ops([map_op(new, BASE)], asynchronous=True, waits=[opened], signals=[bound])
    old.close()
    copier.copy(BASE, va_out, PAGE).wait(timeout_ms=5000)
    assert out.read(PAGE) == before
    with raises_errno(errno.ETIME):
        bound.wait(timeout_ms=0)
    job = copier.copy(BASE, va_out, PAGE, waits=[bound])
    gate.open()
    job.wait()
    assert out.read(PAGE) == after


def test_submit_waits_for_a_sync_bind_behind_async_ones(copier):
    """The synchronous one has been carried out when its ioctl returns, with all before it."""
    npu, vm = copier.npu, copier.vm
    a, b = (npu.bo_create(PAGE, placement=SYSTEM) for _ in range(2))
    data = fill_bo(a, 1), fill_bo(b, 2)
    vm.bind_ops([map_op(a, BASE)], asynchronous=True)
    vm.bind_ops([map_op(b, BASE + PAGE)])
    assert device_reads(copier, BASE, 2 * PAGE) == b"".join(data)


def test_async_binds_keep_their_order(copier):
    npu, vm = copier.npu, copier.vm
    bos = [npu.bo_create(PAGE, placement=SYSTEM) for _ in range(20)]
    done = npu.syncobj_create()
    for i, bo in enumerate(bos):
        fill_bo(bo, i)
        vm.bind_ops([map_op(bo, BASE)], asynchronous=True, signals=[done] if i == 19 else [])
    done.wait(timeout_ms=5000)
    assert device_reads(copier, BASE, PAGE) == bos[-1].read(PAGE)


def test_sync_bind_follows_async_binds(copier):
    npu, vm = copier.npu, copier.vm
    a, b = (npu.bo_create(PAGE, placement=SYSTEM) for _ in range(2))
    fill_bo(a, 1)
    data = fill_bo(b, 2)
    vm.bind_ops([map_op(a, BASE)], asynchronous=True)
    vm.bind_ops([map_op(b, BASE)])
    assert device_reads(copier, BASE, PAGE) == data


def test_async_bind_reports_errors_at_once(copier):
    bo = copier.npu.bo_create(PAGE, placement=SYSTEM)
    out = copier.npu.syncobj_create()
    with raises_errno(errno.EINVAL):
        copier.vm.bind_ops([map_op(bo, BASE, size=2 * PAGE)], asynchronous=True, signals=[out])
    with raises_errno(errno.EINVAL):
        out.wait(timeout_ms=0)


def test_empty_async_bind_signals_after_earlier_ones(copier):
    npu, vm = copier.npu, copier.vm
    gate = Gate(npu, vm)
    before, after = npu.syncobj_create(), npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[before])
    bo = npu.bo_create(PAGE, placement=SYSTEM)
    vm.bind_ops([map_op(bo, BASE)], asynchronous=True, waits=[before])
    vm.bind_ops([], asynchronous=True, signals=[after])
    with raises_errno(errno.ETIME):
        after.wait(timeout_ms=50)
    gate.open()
    after.wait(timeout_ms=5000)


def test_vm_ids(npu):
    one, two = npu.vm_create(), npu.vm_create()
    assert one.id and two.id and one.id != two.id
    one.destroy()
    with raises_errno(errno.ENOENT):
        one.destroy()
    with raises_errno(errno.ENOENT):
        npu.queue_create(one, engine=COPY)
    npu.queue_create(two, engine=COPY).submit([Nop()]).wait()


def test_destroyed_vm_lives_for_its_queues(npu):
    c = Copier(npu)
    bo, va = c.buffer(PAGE)
    cmds, va_cmds = c.buffer(PAGE)
    raw = bytes(Fill(pattern=5, dst=va, size=PAGE))
    cmds.write(raw)
    c.vm.destroy()
    c.queue.submit([(va_cmds, len(raw))]).wait()
    assert bo.read(4) == b"\5\0\0\0"


def test_most_vms_of_a_client_then_one_more(npu):
    limit = npu.query_device().max_vms
    vms = [npu.vm_create() for _ in range(limit)]
    with raises_errno(errno.EDQUOT):
        npu.vm_create()
    vms.pop().destroy()
    npu.vm_create()
    with raises_errno(errno.EDQUOT):
        npu.vm_create()
    for vm in vms:
        vm.destroy()
    npu.queue_create(npu.vm_create(), engine=COPY).submit([Nop()]).wait()


def test_vm_that_has_to_wait_for_its_job_counts(npu):
    """Who destroys it cannot have another in its place before the job has ended."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    fence = c.queue.submit(gate.packets())
    others = [npu.vm_create() for _ in range(npu.query_device().max_vms - 1)]
    c.vm.destroy()
    c.queue.destroy()
    with raises_errno(errno.EDQUOT):
        npu.vm_create()
    gate.open()
    fence.wait()
    for other in others:
        other.destroy()
    npu.vm_create()


def test_all_contexts_then_one_more(npu, guest):
    """Two clients can have them all; a third gets one when one is given back."""
    limit = npu.query_device().max_vms
    second, third = (Device.open(guest.spawn()) for _ in range(2))
    vms = [npu.vm_create() for _ in range(limit)]
    with raises_errno(errno.EBUSY):
        vms += [second.vm_create() for _ in range(limit)]
    with raises_errno(errno.EBUSY):
        third.vm_create()
    vms.pop().destroy()
    third.queue_create(third.vm_create(), engine=COPY).submit([Nop()]).wait()


def test_recycled_context_maps_nothing_old(npu):
    """A new VM that gets the context of an old one sees none of its mappings."""
    limit = npu.query_device().max_vms
    old = Copier(npu)
    bo = npu.bo_create(PAGE, placement=VRAM)
    bo.write(pattern(PAGE))
    old.vm.bind(bo, va=BASE)
    assert device_reads(old, BASE, PAGE) == bo.read(PAGE)
    spare = [npu.vm_create() for _ in range(limit - 1)]
    old.queue.destroy()
    old.vm.destroy()
    new = Copier(npu)
    assert device_reads(new, BASE, PAGE) is None
    assert spare
