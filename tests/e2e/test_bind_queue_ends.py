# SPDX-License-Identifier: MIT
"""The end of bind queues, and of what they belong to, while binds wait in them."""

import errno

import pytest
from bindspace import Held, Space
from foreign import KeptFiles, open_beside, status
from support import (
    DRIVER,
    GIVEN_UP,
    PAGE,
    STUCK,
    debugfs,
    kill,
    pause,
    pci_address,
    raises_errno,
    reset_function,
    stop_answering,
    unplug,
)

from vnpu.accel import BIND, COPY, Device
from vnpu.hw.packets import Nop

BASE = 1 << 40


def test_destroyed_queue_carries_out_what_it_has(held, space):
    fence = space.map(BASE, 5, queue=space.queue, waits=[held.fence])
    space.queue.destroy()
    with raises_errno(errno.ENOENT):
        space.map(BASE + PAGE, queue=space.queue)
    assert not fence.done()
    held.let_go()
    fence.wait()
    space.queue = space.npu.queue_create(space.vm, engine=BIND)
    space.expect(BASE, 5)


def test_destroyed_vm_with_binds_behind(held, space):
    """Its binds still signal, in all queues."""
    fences = [
        space.map(BASE, queue=queue, waits=[held.fence]) for queue in (None, space.queue, None)
    ]
    space.vm.destroy()
    space.queue.destroy()
    pause(space.npu, 50)
    assert not any(fence.done() for fence in fences)
    held.let_go()
    for fence in fences:
        fence.wait()


def test_destroyed_queues_count_until_their_binds_are_over(held, space):
    npu = space.npu
    count = npu.limits().max_queues - 2  # there are those of the fixtures
    fences = []
    for i in range(count):
        queue = npu.queue_create(space.vm, engine=BIND)
        fences.append(space.map(BASE + i * PAGE, queue=queue, waits=[held.fence]))
        queue.destroy()
    with raises_errno(errno.EDQUOT):
        npu.queue_create(space.vm, engine=BIND)
    held.let_go()
    for fence in fences:
        fence.wait()
    pause(npu, 100)
    queues = [npu.queue_create(space.vm, engine=COPY) for _ in range(count)]
    queues[-1].submit([Nop()]).wait()


def binds_of_who_is_gone(foreign, holder):
    """Fences of a client that is gone, of binds of two queues that wait for another driver."""
    dev, sync = open_beside(foreign)
    space = Space(dev)
    fences = [space.map(BASE, queue=queue, waits=[sync]) for queue in (None, space.queue, None)]
    fences.append(space.unmap(BASE, queue=space.queue))
    files = KeptFiles(holder, dev.proc, [fence.syncobj.export_sync_file() for fence in fences])
    kill(dev.proc)
    return files


def test_binds_of_who_is_gone_are_carried_out(guest, npu, foreign):
    files = binds_of_who_is_gone(foreign, guest.spawn())
    pause(npu, 100)
    assert files.statuses() == [0, 0, 0, 0]
    foreign.signal()
    files.wait()
    assert files.statuses() == [1, 1, 1, 1]


def test_driver_and_module_go_while_binds_wait(guest, foreign):
    """Neither is kept by them; the module is until they are over."""
    files = binds_of_who_is_gone(foreign, guest.spawn())
    guest.write_file(f"{DRIVER}/unbind", pci_address(guest).encode())
    foreign.signal()
    files.wait()
    assert set(files.statuses()) == {-errno.ENODEV}
    guest.rmmod("vnpu")
    guest.insmod("vnpu")


def pending(guest):
    """Binds in both queues behind a job that waits."""
    space = Space(Device.open(guest.spawn()))
    held = Held(space.npu)
    fences = [space.map(BASE, 1, queue=queue, waits=[held.fence]) for queue in (None, space.queue)]
    fences.append(space.unmap(BASE))
    return space, held, fences


def test_unplug_while_binds_wait(machine, guest):
    space, _, fences = pending(guest)
    files = [fence.syncobj.export_sync_file() for fence in fences]
    unplug(machine)
    for fd in files:
        assert space.npu.proc.poll({fd: 1}, timeout_ms=10000), "a fence was left behind"
        assert status(space.npu.proc, fd) == -errno.ENODEV
    for queue in (None, space.queue):
        with raises_errno(errno.ENODEV):
            space.vm.bind(space.bo, va=BASE, queue=queue)
    with raises_errno(errno.ENODEV):
        space.npu.queue_create(space.vm, engine=BIND)
    space.npu.close()


@GIVEN_UP
@pytest.mark.allow_kernel_log(STUCK)
def test_device_is_given_up_while_binds_wait(guest):
    space, _, fences = pending(guest)
    stop_answering(guest)
    with raises_errno(errno.EIO):
        guest.write_file(f"{debugfs(guest)}/reset", b"1")
    for fence in fences:
        fence.wait(check=False)
        assert fence.error() == errno.ENODEV
    with raises_errno(errno.ENODEV):
        space.vm.bind(space.bo, va=BASE, queue=space.queue)


def test_function_is_reset_while_binds_wait(guest):
    """The job that they wait for is lost; they are carried out, as are those after them."""
    space, held, fences = pending(guest)
    first = space.map(BASE + PAGE, 2, queue=space.queue, waits=[held.fence])
    reset_function(guest)
    held.fence.wait(check=False)
    assert held.fence.error() == errno.ECANCELED
    for fence in (*fences, first):
        fence.wait()
    space.expect(BASE, None)
    space.expect(BASE + PAGE, 2)
    space.map(BASE, 3, queue=space.queue).wait()
    space.expect(BASE, 3)
