# SPDX-License-Identifier: MIT
"""Syncobjs by themselves, and with the jobs that signal them."""

import errno

import pytest
from support import Copier, Gate, raises_errno

from vnpu.hw.packets import Nop
from vnpu.uapi import abi

WAIT_FOR_SUBMIT = abi.DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT
WAIT_ALL = abi.DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL
WAIT_AVAILABLE = abi.DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE


@pytest.fixture
def copier(npu):
    return Copier(npu)


@pytest.fixture
def gate(npu, copier):
    return Gate(npu, copier.vm)


def wait_many(npu, syncobjs, timeout_ns=0, flags=0):
    """SYNCOBJ_WAIT on several; returns the first one that is signalled."""
    buffer = npu.proc.alloc(4 * len(syncobjs))
    buffer.write(b"".join(s.handle.to_bytes(4, "little") for s in syncobjs))
    return abi.syncobj_wait(
        npu.proc,
        npu.fd,
        handles=buffer.addr,
        count_handles=len(syncobjs),
        timeout_nsec=timeout_ns,
        flags=flags,
    ).first_signaled


def test_created_signalled(npu):
    npu.syncobj_create(signaled=True).wait(0)


def test_created_empty(npu):
    with raises_errno(errno.EINVAL):
        npu.syncobj_create().wait(0)


def test_wait_for_submit_waits_for_a_fence_to_come(npu):
    with raises_errno(errno.ETIME):
        npu.syncobj_create().wait(20, flags=WAIT_FOR_SUBMIT)


def test_signal_and_reset(npu):
    sync = npu.syncobj_create()
    sync.signal()
    sync.wait(0)
    sync.reset()
    with raises_errno(errno.EINVAL):
        sync.wait(0)


def test_timeout_is_kept(npu, copier, gate):
    """Not before the time, and not forever."""
    fence = copier.queue.submit(gate.packets())
    start = npu.query_timestamp().cpu_ns
    with raises_errno(errno.ETIME):
        fence.wait(timeout_ms=150)
    assert npu.query_timestamp().cpu_ns - start >= 150 * 10**6
    gate.open()
    fence.wait()


def test_deadline_in_the_past(npu, copier, gate):
    fence = copier.queue.submit(gate.packets())
    for deadline in (0, 1, -1, -(2**63)):
        with raises_errno(errno.ETIME):
            wait_many(npu, [fence.syncobj], timeout_ns=deadline)
    gate.open()
    fence.wait()


def test_signalled_needs_no_time(npu):
    sync = npu.syncobj_create(signaled=True)
    assert wait_many(npu, [sync], timeout_ns=0) == 0
    assert wait_many(npu, [sync], timeout_ns=2**63 - 1) == 0


def test_wait_for_any_tells_which(npu, copier, gate):
    blocked = copier.queue.submit(gate.packets()).syncobj
    ready = npu.syncobj_create(signaled=True)
    assert wait_many(npu, [blocked, ready]) == 1
    with raises_errno(errno.ETIME):
        wait_many(npu, [blocked, ready], flags=WAIT_ALL)
    gate.open()
    blocked.wait(5000)
    wait_many(npu, [blocked, ready], flags=WAIT_ALL)


def test_job_signals_when_it_is_over_not_before(npu, copier, gate):
    sync = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[sync])
    for _ in range(5):
        with raises_errno(errno.ETIME):
            sync.wait(0)
    gate.open()
    sync.wait(5000)


def test_cpu_signal_lets_a_job_run(npu, copier):
    """A timeline point that the CPU signals after the submit."""
    timeline = npu.syncobj_create()
    blocker = npu.syncobj_create()
    blocker.signal(1)
    timeline.signal(1)
    fence = copier.queue.submit([Nop()], waits=[(timeline, 1), (blocker, 1)])
    fence.wait()
    assert fence.error() == 0


def test_query_of_a_timeline(npu):
    timeline = npu.syncobj_create()
    assert timeline.query() == 0
    for point in (1, 5, 1000, 2**63):
        timeline.signal(point)
        assert timeline.query() == point


def test_wait_for_points_up_to_the_signalled_one(npu):
    timeline = npu.syncobj_create()
    timeline.signal(10)
    timeline.wait(0, point=10)
    timeline.wait(0, point=3)
    with raises_errno(errno.EINVAL):
        timeline.wait(0, point=11)


def test_available_is_not_signalled(npu, copier, gate):
    timeline = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[(timeline, 4)])
    timeline.wait(0, point=4, flags=WAIT_AVAILABLE)
    with raises_errno(errno.ETIME):
        timeline.wait(0, point=4)
    assert timeline.query() == 0
    assert timeline.query(abi.DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED) == 4
    gate.open()
    timeline.wait(5000, point=4)
    assert timeline.query() == 4


def test_points_signal_in_order(npu, copier, gate):
    """A later point that is done first waits for the earlier one."""
    timeline = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[(timeline, 1)])
    npu.queue_create(copier.vm).submit([Nop()], signals=[(timeline, 2)]).wait()
    assert timeline.query() == 0
    gate.open()
    timeline.wait(5000, point=2)
    assert timeline.query() == 2


def test_transfer_from_timeline_to_binary(npu, copier):
    timeline, binary = npu.syncobj_create(), npu.syncobj_create()
    copier.queue.submit([Nop()], signals=[(timeline, 9)]).wait()
    abi.syncobj_transfer(
        npu.proc, npu.fd, src_handle=timeline.handle, src_point=9, dst_handle=binary.handle
    )
    binary.wait(0)
    copier.queue.submit([Nop()], waits=[binary]).wait()


def test_sync_file_carries_the_fence_elsewhere(npu, other, copier, gate):
    """Exported by one client; imported, it holds up the job of another."""
    fence = copier.queue.submit(gate.packets())
    fd = fence.syncobj.export_sync_file()
    child = npu.proc.fork()
    from vnpu.accel import Device

    second = Device.open(child)
    taken = second.syncobj_create()
    taken.import_sync_file(fd)
    late = Copier(second).queue.submit([Nop()], waits=[taken])
    assert not late.done()
    gate.open()
    late.wait()
    fence.wait()


def test_sync_file_says_how_the_job_ended(npu, copier, gate):
    fence = copier.queue.submit(gate.packets())
    fd = fence.syncobj.export_sync_file()
    info = abi.sync_ioc_file_info(npu.proc, fd)
    assert (info.status, info.num_fences) == (0, 1)
    gate.open()
    fence.wait()
    assert abi.sync_ioc_file_info(npu.proc, fd).status == 1


def test_fence_names_its_driver(npu, copier, gate):
    """While it is pending: newer kernels forget the name of a fence that has signalled."""
    fence = copier.queue.submit(gate.packets())
    fd = fence.syncobj.export_sync_file()
    buffer = npu.proc.alloc(abi.SyncFenceInfo._size_)
    abi.sync_ioc_file_info(npu.proc, fd, num_fences=1, sync_fence_info=buffer.addr)
    info = abi.SyncFenceInfo.from_bytes(buffer.read())
    assert info.driver_name.startswith((b"vnpu", b"drm_sched"))
    assert info.obj_name
    gate.open()
    fence.wait()


def test_merged_sync_files_wait_for_both(npu, copier, gate):
    one = copier.queue.submit(gate.packets()).syncobj.export_sync_file()
    two = npu.queue_create(copier.vm).submit([Nop()]).syncobj.export_sync_file()
    both = abi.sync_ioc_merge(npu.proc, one, name=b"both", fd2=two).fence
    assert not npu.proc.poll({both: 1}, timeout_ms=50)
    gate.open()
    assert npu.proc.poll({both: 1}, timeout_ms=5000)


def test_syncobj_of_a_destroyed_handle(npu):
    sync = npu.syncobj_create(signaled=True)
    sync.destroy()
    with raises_errno(errno.ENOENT):
        sync.wait(0)


def test_job_holds_the_syncobj_that_it_signals(npu, copier, gate):
    """Destroying the handle early is harmless, and the export still signals."""
    sync = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[sync])
    fd = sync.export_sync_file()
    sync.destroy()
    gate.open()
    assert npu.proc.poll({fd: 1}, timeout_ms=5000)


def test_same_syncobj_twice_in_one_submit(npu, copier):
    sync = npu.syncobj_create(signaled=True)
    copier.queue.submit([Nop()], waits=[sync, sync], signals=[sync, sync]).wait()
    sync.wait(5000)


def test_many_syncs_in_one_submit(npu, copier):
    waits = [npu.syncobj_create(signaled=True) for _ in range(200)]
    signals = [npu.syncobj_create() for _ in range(200)]
    copier.queue.submit([Nop()], waits=waits, signals=signals).wait()
    wait_many(npu, signals, flags=WAIT_ALL)


def test_waiting_process_is_woken_at_once(npu, copier, gate, guest):
    """By the interrupt: it has no deadline."""
    sync = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[sync])
    thread = npu.proc.thread()
    buffer = thread.alloc(4)
    buffer.write(sync.handle.to_bytes(4, "little"))
    arg = bytes(abi.SyncobjWait(handles=buffer.addr, count_handles=1, timeout_nsec=2**63 - 1))
    pending = thread.syscall_async("ioctl", npu.fd, abi.SYNCOBJ_WAIT.nr, arg)
    pending.wait_blocked()
    gate.open()
    assert pending.result(timeout_s=10) == 0


def test_eventfd_is_signalled(npu, copier, gate):
    sync = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[(sync, 1)])
    event = npu.proc.syscall("eventfd2", 0, 0)
    abi.syncobj_eventfd(npu.proc, npu.fd, handle=sync.handle, point=1, fd=event)
    assert not npu.proc.poll({event: 1}, timeout_ms=20)
    gate.open()
    assert npu.proc.poll({event: 1}, timeout_ms=5000)
