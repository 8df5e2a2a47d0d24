# SPDX-License-Identifier: MIT
"""Syncobjs in and out of submits, binary and timeline, and their errors."""

import errno

import pytest
from support import PAGE, Copier, Gate, raises_errno, submit

from vnpu.accel import COPY, TENSOR, JobFailed
from vnpu.hw.codes import SignalOp
from vnpu.hw.packets import Nop, Signal
from vnpu.uapi import abi

BINARY, TIMELINE = abi.SyncType.BINARY, abi.SyncType.TIMELINE
WAIT, SIGNAL = abi.SyncOp.WAIT, abi.SyncOp.SIGNAL


def binary_wait(handle, **changes):
    """The simplest sync, with some fields changed."""
    return abi.Sync(**({"type": BINARY, "op": WAIT, "handle": handle} | changes))


@pytest.fixture
def copier(npu):
    return Copier(npu)


@pytest.fixture
def gate(npu, copier):
    return Gate(npu, copier.vm)


def raw_submit(npu, queue, syncs, **changes):
    """A submit without commands, its sync array exactly as given."""
    proc = npu.proc
    size = abi.Sync._size_
    array = proc.alloc(max(size * len(syncs), size))
    array.write(b"".join(bytes(s) for s in syncs))
    fields = {"stride": size, "count": len(syncs), "array": array.addr} | changes
    submit(npu, abi.SubmitJob(queue_id=queue.id), syncs=abi.drm_vnpu_array(**fields))


def test_out_syncobj_signals(npu, copier, gate):
    out = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[out])
    with raises_errno(errno.ETIME):
        out.wait(timeout_ms=50)
    gate.open()
    out.wait(timeout_ms=5000)


def test_in_syncobj_orders_queues(npu, copier, gate):
    first = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[first])
    second = npu.queue_create(copier.vm, engine=TENSOR).submit([Nop()], waits=[first])
    assert not second.done()
    gate.open()
    second.wait()


def test_one_fence_for_many_waiters(npu, copier, gate):
    first = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[first])
    queues = [npu.queue_create(copier.vm, engine=COPY) for _ in range(5)]
    fences = [q.submit([Nop()], waits=[first]) for q in queues]
    assert not any(f.done() for f in fences)
    gate.open()
    for fence in fences:
        fence.wait()


def test_one_waiter_for_many_fences(npu, copier):
    syncs, gates = [], []
    for _ in range(4):
        gates.append(Gate(npu, copier.vm))
        syncs.append(npu.syncobj_create())
        npu.queue_create(copier.vm, engine=COPY).submit(gates[-1].packets(), signals=[syncs[-1]])
    fence = copier.queue.submit([Nop()], waits=syncs)
    for gate in gates:
        assert not fence.done()
        gate.open()
    fence.wait()


def test_timeline_points_in_and_out(npu, copier, gate):
    timeline = npu.syncobj_create()
    copier.queue.submit(gate.packets(1), signals=[(timeline, 10)])
    copier.queue.submit(gate.packets(2), signals=[(timeline, 20)])
    other = npu.queue_create(copier.vm, engine=COPY)
    after_10 = other.submit([Nop()], waits=[(timeline, 10)])
    after_20 = other.submit([Nop()], waits=[(timeline, 20)])
    assert timeline.query() == 0
    gate.open(1)
    after_10.wait()
    assert timeline.query() == 10
    assert not after_20.done()
    gate.open(2)
    after_20.wait()
    assert timeline.query() == 20


def test_timeline_wait_for_an_earlier_point(npu, copier, gate):
    timeline = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[(timeline, 100)])
    other = npu.queue_create(copier.vm, engine=COPY)
    fence = other.submit([Nop()], waits=[(timeline, 5)])
    assert not fence.done()
    gate.open()
    fence.wait()
    assert timeline.query() == 100


def test_wait_without_fence(npu, copier):
    empty = npu.syncobj_create()
    with raises_errno(errno.EINVAL):
        copier.queue.submit([Nop()], waits=[empty])


def test_wait_for_a_point_nobody_submitted(npu, copier):
    timeline = npu.syncobj_create()
    copier.queue.submit([Nop()], signals=[(timeline, 1)])
    with raises_errno(errno.EINVAL):
        copier.queue.submit([Nop()], waits=[(timeline, 2)])


def test_closed_fences_give_their_handles_back(copier):
    handles = set()
    for _ in range(20):
        with copier.queue.submit([Nop()]) as fence:
            handles.add(fence.syncobj.handle)
            fence.wait()
    assert len(handles) == 1
    assert fence.done() and fence.error() == 0, "what was seen is still known"


def test_fence_closed_before_its_job_is_over(copier, gate):
    """Nobody can ask for the job any more; its command memory is not used for another."""
    copier.queue.submit(gate.packets()).close()
    with copier.queue.submit([Nop()]) as behind:
        with pytest.raises(OSError) as info:
            behind.wait(timeout_ms=20)
        assert info.value.errno == errno.ETIME and not isinstance(info.value, JobFailed)
        gate.open()
        behind.wait()


def test_signalled_syncobj_does_not_block(npu, copier):
    copier.queue.submit([Nop()], waits=[npu.syncobj_create(signaled=True)]).wait()


def test_out_sync_replaces_the_old_fence(npu, copier, gate):
    sync = npu.syncobj_create(signaled=True)
    copier.queue.submit(gate.packets(), signals=[sync])
    with raises_errno(errno.ETIME):
        sync.wait(timeout_ms=20)
    gate.open()
    sync.wait(timeout_ms=5000)


def test_wait_and_signal_of_the_same_syncobj(npu, copier, gate):
    sync = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[sync])
    copier.queue.submit([Nop()], waits=[sync], signals=[sync])
    with raises_errno(errno.ETIME):
        sync.wait(timeout_ms=0)
    gate.open()
    sync.wait(timeout_ms=5000)


def test_failed_submit_signals_nothing(npu, copier):
    out, empty = npu.syncobj_create(), npu.syncobj_create()
    with raises_errno(errno.EINVAL):
        copier.queue.submit([Nop()], waits=[empty], signals=[out])
    with raises_errno(errno.EINVAL):
        out.wait(timeout_ms=0)


BAD_SYNCS = {
    "no type": ({"type": 0}, errno.EINVAL),
    "no operation": ({"op": 0}, errno.EINVAL),
    "both operations": ({"op": WAIT | SIGNAL}, errno.EINVAL),
    "unknown flag": ({"flags": 1 << 4}, errno.EINVAL),
    "binary with a point": ({"timeline_value": 1}, errno.EINVAL),
    "binary signal with a point": ({"op": SIGNAL, "timeline_value": 1}, errno.EINVAL),
    "signal of point zero": ({"op": SIGNAL, "type": TIMELINE}, errno.EINVAL),
    "handle zero": ({"handle": 0}, errno.ENOENT),
    "unknown handle": ({"handle": 0x7FFFFFFF}, errno.ENOENT),
    "unknown handle to signal": ({"handle": 0x7FFFFFFF, "op": SIGNAL}, errno.ENOENT),
}


@pytest.mark.parametrize(("change", "error"), BAD_SYNCS.values(), ids=BAD_SYNCS)
def test_bad_sync(npu, copier, change, error):
    sync = npu.syncobj_create(signaled=True)
    with raises_errno(error):
        raw_submit(npu, copier.queue, [binary_wait(**({"handle": sync.handle} | change))])


def test_second_bad_sync_releases_the_first(npu, copier):
    """Repeated failure leaks no reference; the leak check after the test tells."""
    good = npu.syncobj_create(signaled=True)
    bad = [binary_wait(handle=good.handle), binary_wait(handle=0x7FFFFFFF)]
    for _ in range(50):
        with raises_errno(errno.ENOENT):
            raw_submit(npu, copier.queue, bad)


def test_sync_array_count_limit(npu, copier):
    sync = npu.syncobj_create(signaled=True)
    with raises_errno(errno.E2BIG):
        raw_submit(npu, copier.queue, [binary_wait(handle=sync.handle)] * 1025)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"stride": 0}, errno.EINVAL),
        ({"stride": 8192}, errno.EINVAL),
        ({"count": 0xFFFFFFFF}, errno.E2BIG),
        ({"array": 0}, errno.EFAULT),
        ({"array": 0xFFFF_8000_0000_0000}, errno.EFAULT),
    ],
    ids=["stride zero", "stride huge", "count huge", "null", "kernel address"],
)
def test_bad_sync_array(npu, copier, change, error):
    sync = npu.syncobj_create(signaled=True)
    with raises_errno(error):
        raw_submit(npu, copier.queue, [binary_wait(handle=sync.handle)], **change)


def test_longer_sync_elements(npu, copier):
    """Elements of a future, longer kind are taken when their tail is zero."""
    sync = npu.syncobj_create(signaled=True)
    raw = bytes(binary_wait(handle=sync.handle))
    proc = npu.proc
    array = proc.alloc(128)
    array.write(raw + bytes(24) + raw + bytes(24))
    syncs = abi.drm_vnpu_array(stride=48, count=2, array=array.addr)
    submit(npu, abi.SubmitJob(queue_id=copier.queue.id), syncs=syncs)
    array.write(raw + bytes(23) + b"\1" + raw + bytes(24))
    with raises_errno(errno.E2BIG):
        submit(npu, abi.SubmitJob(queue_id=copier.queue.id), syncs=syncs)


def test_sync_file_of_a_job(npu, copier, gate):
    out = npu.syncobj_create()
    copier.queue.submit(gate.packets(), signals=[out])
    fd = out.export_sync_file()
    assert not npu.proc.poll({fd: 1}, timeout_ms=0)
    gate.open()
    assert npu.proc.poll({fd: 1}, timeout_ms=5000)


def test_chain_of_jobs_over_two_queues(npu, copier):
    """Each job adds its number; the sum shows that none was lost or reordered."""
    bo, va = copier.buffer(PAGE)
    queues = [copier.queue, npu.queue_create(copier.vm, engine=TENSOR)]
    timeline = npu.syncobj_create()
    for i in range(1, 41):
        waits = [(timeline, i - 1)] if i > 1 else []
        packet = Signal(op=SignalOp.SET, addr=va, value=i)
        queues[i % 2].submit([packet], waits=waits, signals=[(timeline, i)])
    timeline.wait(timeout_ms=10000, point=40)
    assert int.from_bytes(bo.read(8), "little") == 40


def test_fence_of_a_closed_client_still_signals(npu, guest):
    """A fence that left its process by a sync file survives the process."""
    from vnpu.accel import Device

    proc = guest.spawn()
    other = Device.open(proc)
    c = Copier(other)
    gate = Gate(other, c.vm)
    out = other.syncobj_create()
    c.queue.submit(gate.packets(), signals=[out])
    fd = out.export_sync_file()
    child = proc.fork()
    gate.open()
    proc.exit()
    assert child.poll({fd: 1}, timeout_ms=20000)


def test_end_of_a_client_cancels_its_exported_fences(npu, guest):
    """A job that runs and one behind it: both fences signal, with the errno of the header."""
    from vnpu.accel import Device

    proc = guest.spawn()
    other = Device.open(proc)
    c = Copier(other)
    gate = Gate(other, c.vm)
    fences = [c.queue.submit(gate.packets()), c.queue.submit([Nop()])]
    files = [fence.syncobj.export_sync_file() for fence in fences]
    holder = guest.spawn()  # not a child, which would keep the file by its mappings
    pidfd = holder.syscall("pidfd_open", proc.pid, 0)
    held = [holder.syscall("pidfd_getfd", pidfd, fd, 0) for fd in files]
    proc.exit()
    for fd in held:
        assert holder.poll({fd: 1}, timeout_ms=5000)
        assert abi.sync_ioc_file_info(holder, fd).status == -errno.ECANCELED


def test_waits_do_not_see_signals_of_the_same_submit(npu, copier):
    """The syncobj has no fence before, so there is nothing to wait for."""
    sync = npu.syncobj_create()
    both = [binary_wait(sync.handle, op=SIGNAL), binary_wait(sync.handle)]
    for order in (both, both[::-1]):
        with raises_errno(errno.EINVAL):
            raw_submit(npu, copier.queue, order)
