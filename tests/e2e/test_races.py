# SPDX-License-Identifier: MIT
"""Clients that do the same things at the same time, and signals in the middle."""

import errno
import signal

import pytest
from support import MIB, PAGE, Copier, Gate, map_op, pattern, raises_errno, start_bind

from vnpu.accel import COPY, SYSTEM, VRAM, Device
from vnpu.accel.queue import lasting_submit
from vnpu.hw.codes import SignalOp
from vnpu.hw.packets import Fill, Nop, Signal
from vnpu.uapi import abi

# races want two processors; the rest of the suite runs faster with one
pytestmark = pytest.mark.machine(smp=2)


@pytest.fixture
def pair(guest):
    return [Device.open(guest.spawn()) for _ in range(2)]


def ioctl_steps(proc, fd, calls):
    """Ioctls (number, argument); each argument is written anew before its call."""
    steps = []
    for number, raw in calls:
        buffer = proc.alloc(len(raw))
        steps += [("write", buffer.addr, raw), ("ioctl", fd, number, buffer.addr)]
    return steps


#: what a call answers that is wrong by itself, whoever else is at work
WRONG = {-errno.ENOTTY, -errno.EFAULT, -errno.EBADF, -errno.EINVAL, -errno.ENOSYS}


def run_together(processes, steps, repeat):
    """Each process repeats its steps in the guest, all at the same time.

    ``repeat`` may differ from one to the other. Gives the results of each
    process's calls in its last repetition.
    """
    repeats = repeat if isinstance(repeat, tuple) else (repeat,) * len(steps)
    pending, calls = [], []
    for proc, todo, times in zip(processes, steps, repeats, strict=True):
        batch = proc.batch()
        calls.append([])
        for name, *args in todo:
            if name == "write":
                batch.write(*args)
            else:
                calls[-1].append(batch.syscall(name, *args, check=False))
        pending.append(batch.start(times))
    for one, times in zip(pending, repeats, strict=True):
        assert one.result(timeout_s=60).repetitions == times
    results = [[call.value for call in some] for some in calls]
    assert not WRONG & {value for some in results for value in some}, results
    return results


def until_they_met(round_trip, made):
    """Until a round leaves fewer objects than it made: the other side destroyed some meanwhile."""
    left = [round_trip()]
    while left[-1] == made and len(left) < 10:
        left.append(round_trip())
    assert 0 <= left[-1] < made, f"nothing happened at the same time: {left}"


def destroy_all(destroy, npu, highest):
    """How many objects there were with IDs up to this one."""
    count = 0
    for i in range(1, highest + 1):
        try:
            destroy(npu.proc, npu.fd, id=i)
            count += 1
        except OSError as error:
            assert error.errno == errno.ENOENT
    return count


def test_two_clients_create_and_close(pair):
    create = bytes(abi.drm_vnpu_bo_create(size=4 * PAGE, placements=1))
    # handle 1 is free again after each close, so create gives it each time
    close = bytes(abi.GemClose(handle=1))
    calls = [(abi.DRM_IOCTL_VNPU_BO_CREATE, create), (abi.DRM_IOCTL_GEM_CLOSE, close)]
    steps = [ioctl_steps(dev.proc, dev.fd, calls) for dev in pair]
    run_together([d.proc for d in pair], steps, repeat=300)
    for dev in pair:
        assert dev.bo_create(PAGE, placement=VRAM).handle == 1


def test_two_clients_bind_and_submit(pair):
    steps, counters = [], []
    for dev in pair:
        c = Copier(dev)
        bo, va = c.buffer(PAGE)
        cmds, va_cmds = c.buffer(PAGE)
        raw = bytes(Signal(op=SignalOp.ADD, addr=va, value=1))
        cmds.write(raw)
        extra = dev.bo_create(PAGE, placement=SYSTEM)
        op = dev.proc.alloc(40)
        op.write(bytes(abi.drm_vnpu_vm_bind_op(handle=extra.handle, va=0x5000_0000, size=PAGE)))
        bind = abi.drm_vnpu_vm_bind(
            vm_id=c.vm.id, ops=abi.drm_vnpu_array(stride=40, count=1, array=op.addr)
        )
        submit = lasting_submit(dev.proc, c.queue.id, [abi.Cmd(va=va_cmds, size=len(raw))])
        steps.append(
            ioctl_steps(
                dev.proc,
                dev.fd,
                [
                    (abi.DRM_IOCTL_VNPU_VM_BIND, bytes(bind)),
                    (abi.DRM_IOCTL_VNPU_SUBMIT, bytes(submit)),
                ],
            )
        )
        counters.append((c, bo))
    run_together([d.proc for d in pair], steps, repeat=200)
    for c, bo in counters:
        c.queue.submit([Nop()]).wait()
        assert int.from_bytes(bo.read(8), "little") == 200


def test_threads_share_one_file(npu, proc):
    """Threads that submit to one queue lose and repeat nothing."""
    c = Copier(npu)
    bo, va = c.buffer(PAGE)
    cmds, va_cmds = c.buffer(PAGE)
    raw = bytes(Signal(op=SignalOp.ADD, addr=va, value=1))
    cmds.write(raw)
    threads = [proc.thread() for _ in range(3)]
    steps = []
    for thread in threads:
        submit = lasting_submit(thread, c.queue.id, [abi.Cmd(va=va_cmds, size=len(raw))])
        steps.append(ioctl_steps(thread, npu.fd, [(abi.DRM_IOCTL_VNPU_SUBMIT, bytes(submit))]))
    run_together(threads, steps, repeat=100)
    c.queue.submit([Nop()]).wait()
    assert int.from_bytes(bo.read(8), "little") == 300


def test_threads_create_and_destroy_vms(npu, proc):
    """IDs guessed by another thread are found or not, never half made."""
    threads = [proc.thread() for _ in range(2)]
    creator, destroyer = (
        ioctl_steps(
            threads[0], npu.fd, [(abi.DRM_IOCTL_VNPU_VM_CREATE, bytes(abi.drm_vnpu_vm_create()))]
        ),
        ioctl_steps(
            threads[1],
            npu.fd,
            [
                (abi.DRM_IOCTL_VNPU_VM_DESTROY, bytes(abi.drm_vnpu_vm_destroy(id=i)))
                for i in range(1, 5)
            ],
        ),
    )

    def round_trip():
        (created,), destroyed = run_together(threads, [creator, destroyer], repeat=(30, 600))
        assert created == 0
        assert set(destroyed) <= {0, -errno.ENOENT}
        return destroy_all(abi.vm_destroy, npu, 30)

    until_they_met(round_trip, 30)
    npu.queue_create(npu.vm_create(), engine=COPY).submit([Nop()]).wait()


def test_threads_create_and_destroy_queues(npu, proc):
    vm = npu.vm_create()
    threads = [proc.thread() for _ in range(2)]
    create = bytes(abi.drm_vnpu_queue_create(vm_id=vm.id, engine_class=0, priority=1))
    steps = [
        ioctl_steps(threads[0], npu.fd, [(abi.DRM_IOCTL_VNPU_QUEUE_CREATE, create)]),
        ioctl_steps(
            threads[1],
            npu.fd,
            [
                call
                for i in range(1, 5)
                for call in (
                    (abi.DRM_IOCTL_VNPU_SUBMIT, bytes(lasting_submit(proc, i))),
                    (
                        abi.DRM_IOCTL_VNPU_QUEUE_DESTROY,
                        bytes(abi.drm_vnpu_queue_destroy(id=i)),
                    ),
                )
            ],
        ),
    ]

    def round_trip():
        (created,), others = run_together(threads, steps, repeat=(20, 400))
        assert created == 0
        assert set(others) <= {0, -errno.ENOENT}
        return destroy_all(abi.queue_destroy, npu, 20)

    until_they_met(round_trip, 20)
    vm2 = npu.vm_create()
    npu.queue_create(vm2, engine=COPY).submit([Nop()]).wait()


def test_close_handle_while_bound_and_busy(npu):
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    bo, va = c.buffer(MIB, VRAM)
    fence = c.queue.submit([*gate.packets(), Fill(pattern=1, dst=va, size=MIB)])
    bo.close()
    c.vm.unbind(0x7777_0000_0000, PAGE)
    gate.open()
    fence.wait()
    assert fence.error() == 0


def test_unbind_waits_for_nobody_but_is_safe(npu):
    """Memory that is unbound, closed and recycled while a job uses it stays whole."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    bo, va = c.buffer(MIB, VRAM)
    data = pattern(MIB)
    bo.write(data)
    out, va_out = c.buffer(MIB, SYSTEM)
    from vnpu.hw.packets import Copy

    done = npu.syncobj_create()
    fence = c.queue.submit([*gate.packets(), Copy(src=va, dst=va_out, size=MIB)], signals=[done])
    unmap = abi.drm_vnpu_vm_bind_op(op=abi.DRM_VNPU_VM_BIND_OP_UNMAP, va=va, size=MIB)
    c.vm.bind_ops([unmap], asynchronous=True, waits=[done])
    bo.close()
    thief = npu.bo_create(MIB, placement=VRAM)
    thief.write(b"\xbb" * MIB)
    gate.open()
    fence.wait()
    assert fence.error() == 0
    assert out.read(MIB) == data


def test_process_killed_with_work_in_flight(guest, npu):
    proc = guest.spawn()
    dev = Device.open(proc)
    c = Copier(dev)
    _, va = c.buffer(8 * MIB, VRAM)
    for _ in range(30):
        c.queue.submit([Fill(pattern=1, dst=va, size=8 * MIB)])
    proc.kill(signal.SIGKILL)
    proc.wait()
    Copier(npu).queue.submit([Nop()]).wait()


def test_close_with_work_in_flight(guest):
    proc = guest.spawn()
    for _ in range(5):
        dev = Device.open(proc)
        c = Copier(dev)
        _, va = c.buffer(8 * MIB, VRAM)
        for _ in range(5):
            c.queue.submit([Fill(pattern=1, dst=va, size=8 * MIB)])
        dev.close()
    Copier(Device.open(proc)).queue.submit([Nop()]).wait()


def test_forked_client_shares_the_file(npu, proc):
    """A child has the parent's file: same handles; closing in it closes nothing."""
    bo = npu.bo_create(PAGE, placement=VRAM)
    bo.write(b"shared")
    child = proc.fork()
    offset = bo.mmap_offset()
    mapping = child.mmap(PAGE, 3, 1, npu.fd, offset)
    assert bytes(mapping[:6]) == b"shared"
    child.close(npu.fd)
    child.exit()
    child.wait()
    assert bo.read(6) == b"shared"


def test_signal_interrupts_a_syncobj_wait(guest):
    proc = guest.spawn()
    dev = Device.open(proc)
    c = Copier(dev)
    gate = Gate(dev, c.vm)
    fence_sync = dev.syncobj_create()
    c.queue.submit(gate.packets(), signals=[fence_sync])
    pending = fence_sync.wait_async(timeout_ms=20000)
    pending.wait_blocked()
    proc.kill(signal.SIGUSR1)
    with raises_errno(errno.EINTR):
        pending.result(timeout_s=5)
    gate.open()
    fence_sync.wait(timeout_ms=5000)


def test_signal_interrupts_a_bind_that_waits(guest):
    """A synchronous bind behind an unfinished one gives up unharmed."""
    proc = guest.spawn()
    dev = Device.open(proc)
    c = Copier(dev)
    gate = Gate(dev, c.vm)
    before = dev.syncobj_create()
    c.queue.submit(gate.packets(), signals=[before])
    bo, other = (dev.bo_create(PAGE, placement=SYSTEM) for _ in range(2))
    other.write(pattern(PAGE))
    op = abi.drm_vnpu_vm_bind_op(handle=bo.handle, va=0x5000_0000, size=PAGE)
    c.vm.bind_ops([op], asynchronous=True, waits=[before])
    pending = start_bind(proc, dev, c.vm, [map_op(other, 0x6000_0000)])
    pending.wait_blocked()
    proc.kill(signal.SIGUSR1)
    with raises_errno(errno.EINTR):
        pending.result(timeout_s=5)
    gate.open()
    c.vm.bind(other, va=0x6000_0000)
    out, va_out = c.buffer(PAGE)
    c.copy(0x6000_0000, va_out, PAGE).wait()
    assert out.read(PAGE) == pattern(PAGE)
