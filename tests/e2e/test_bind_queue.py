# SPDX-License-Identifier: MIT
"""Bind queues: what waits for what, and what the device sees in the end."""

import errno
import random
import signal

import pytest
from bindspace import Held, Space
from support import (
    MIB,
    PAGE,
    map_op,
    pattern,
    pause,
    raises_errno,
    start_bind,
    unmap_op,
)

from vnpu.accel import BIND, COPY, VRAM, Device, Priority
from vnpu.guest import Process
from vnpu.hw.packets import Nop
from vnpu.uapi import abi

BASE = 1 << 40
HUGE = 2 * MIB


@pytest.mark.parametrize("distance", [PAGE, HUGE, 1 << 30, 1 << 39], ids=hex)
def test_queues_do_not_wait_for_each_other(held, space, distance):
    """Each way round, and where neither finds a page table that is there already."""
    for i, queues in enumerate([(None, space.queue), (space.queue, None)]):
        held = Held(space.npu)
        at = BASE + (i << 41)
        first = space.map(at, 1, queue=queues[0], waits=[held.fence])
        second = space.map(at + distance, 2, queue=queues[1])
        second.wait()
        if queues[1]:
            space.expect(at + distance, 2)
        assert not first.done()
        held.let_go()
        first.wait()
        space.expect(at, 1)
        space.expect(at + distance, 2)


def test_order_in_a_queue(held, space):
    first = space.map(BASE, 1, queue=space.queue, waits=[held.fence])
    second = space.map(BASE + HUGE, 2, queue=space.queue)
    pause(space.npu, 50)
    assert not first.done() and not second.done()
    held.let_go()
    second.wait()
    assert first.done()


@pytest.mark.parametrize("own_first", [False, True], ids=["own-last", "own-first"])
def test_same_address(held, space, own_first):
    """The later one waits, although the earlier one is in another queue, and is what is seen."""
    queues = (None, space.queue) if own_first else (space.queue, None)
    first = space.map(BASE, 1, pages=4, queue=queues[0], waits=[held.fence])
    second = space.map(BASE + PAGE, 8, queue=queues[1])
    third = space.unmap(BASE + 2 * PAGE, queue=queues[0])
    pause(space.npu, 50)
    assert not (first.done() or second.done() or third.done())
    held.let_go()
    for fence in (first, second, third):
        fence.wait()
    for i, page in enumerate([1, 8, None, 4]):
        space.expect(BASE + i * PAGE, page)


def test_table_that_goes(held, space):
    """The last page of 2 MiB is to be unmapped, which takes a table out; others need one there."""
    space.vm.bind(space.bo, va=BASE, size=PAGE)
    first = space.unmap(BASE, waits=[held.fence])
    second = space.map(BASE + PAGE, 2, queue=space.queue)
    pause(space.npu, 50)
    assert not second.done()
    held.let_go()
    second.wait()
    assert first.done()
    space.expect(BASE + PAGE, 2)
    space.expect(BASE, None)


def test_huge_page_that_is_cut(held, space):
    """Who maps beside the cut has to do with the table that comes in place of the page."""
    npu = space.npu
    big = npu.bo_create(HUGE, vm=space.vm)
    space.vm.bind(big, va=BASE)
    first = space.unmap(BASE + PAGE, waits=[held.fence])
    second = space.map(BASE + 8 * PAGE, 3, queue=space.queue)
    pause(npu, 50)
    assert not second.done()
    held.let_go()
    second.wait()
    assert first.done()
    space.expect(BASE + 8 * PAGE, 3)
    space.expect(BASE + PAGE, None)


def test_synchronous_bind_of_another_queue(held, space):
    """It returns although the VM's own queue is stuck, and a submit needs no sync for it."""
    stuck = space.map(BASE, waits=[held.fence])
    space.vm.bind(space.bo, va=BASE + PAGE, size=PAGE, queue=space.queue)
    space.expect(BASE + PAGE, 0)
    assert not stuck.done()
    held.let_go()
    stuck.wait()


def test_wrong_queues(npu, space):
    other = npu.vm_create()
    with raises_errno(errno.EINVAL):
        other.bind(space.bo, queue=space.queue)
    jobs = npu.queue_create(space.vm, engine=COPY)
    with raises_errno(errno.ENOENT):
        space.vm.bind(space.bo, queue=jobs)
    with raises_errno(errno.ENOENT):
        space.queue.submit([])
    with raises_errno(errno.ENOENT):
        space.queue.query()
    for priority in (Priority.LOW, Priority.HIGH):
        with raises_errno(errno.EINVAL):
            npu.queue_create(space.vm, engine=BIND, priority=priority)
    space.queue.destroy()
    with raises_errno(errno.ENOENT):
        space.queue.destroy()


def test_bind_queues_count_as_queues(npu, space):
    queues = [npu.queue_create(space.vm, engine=BIND) for _ in range(npu.limits().max_queues - 1)]
    for engine in (BIND, COPY):
        with raises_errno(errno.EDQUOT):
            npu.queue_create(space.vm, engine=engine)
    queues.pop().destroy()
    npu.queue_create(space.vm, engine=COPY).submit([Nop()]).wait()


@pytest.mark.parametrize("seed", range(3))
def test_device_sees_what_was_asked_for_last(npu, space, seed):
    """Random binds in three queues, let go in a random order: as if one after the other."""
    rng = random.Random(seed)
    queues = [None, space.queue, npu.queue_create(space.vm, engine=BIND)]
    held = [Held(npu) for _ in range(4)]
    window = [BASE + HUGE + (i - 8) * PAGE for i in range(16)]
    expected = [None] * len(window)
    fences = []
    for _ in range(60):
        first = rng.randrange(len(window))
        pages = rng.randint(1, min(6, len(window) - first))
        waits = [h.fence for h in rng.sample(held, rng.randrange(3))]
        args = {"pages": pages, "queue": rng.choice(queues), "waits": waits}
        if rng.random() < 0.4:
            fences.append(space.unmap(window[first], **args))
            expected[first : first + pages] = [None] * pages
        else:
            page = rng.randrange(16 - pages)
            fences.append(space.map(window[first], page, **args))
            expected[first : first + pages] = range(page, page + pages)
    rng.shuffle(held)
    for one in held:
        one.let_go()
    for fence in fences:
        fence.wait()
    for va, page in zip(window, expected, strict=True):
        space.expect(va, page)


def test_queue_of_another_file(other, space):
    """An ID means something in its own file only."""
    vm = other.vm_create()
    bo = other.bo_create(PAGE)
    with raises_errno(errno.ENOENT):
        vm.bind(bo, queue=space.queue)
    assert abi.queue_create(
        other.proc, other.fd, vm_id=vm.id, engine_class=BIND, priority=Priority.NORMAL
    )
    with raises_errno(errno.ENOENT):
        abi.queue_destroy(other.proc, other.fd, id=space.queue.id + 1)


@pytest.mark.parametrize(
    "change",
    [{"flags": 1}, {"flags": 1 << 31}, {"pad": 1}, {"vm_id": 0}, {"vm_id": 999}],
    ids=lambda change: "-".join(f"{k}={v}" for k, v in change.items()),
)
def test_bad_queue_create(npu, space, change):
    fields = {"vm_id": space.vm.id, "engine_class": BIND, "priority": Priority.NORMAL} | change
    with raises_errno(errno.ENOENT if "vm_id" in change else errno.EINVAL):
        abi.call(npu.proc, npu.fd, abi.QUEUE_CREATE, abi.QueueCreate(**fields))


@pytest.mark.parametrize(
    "change",
    [{"flags": 2}, {"pad": 1}, {"syncs": True}, {"ops": False}],
    ids=lambda change: "-".join(f"{k}={v}" for k, v in change.items()),
)
def test_bad_bind(npu, space, change):
    """As without a queue: flags, padding, syncs of a synchronous bind, a bind of nothing."""
    fields = {"flags": change.get("flags", 0), "pad": change.get("pad", 0)}
    sync = abi.Sync(type=abi.SyncType.BINARY, op=abi.SyncOp.SIGNAL, handle=1)
    with raises_errno(errno.EINVAL):
        abi.vm_bind(
            npu.proc,
            npu.fd,
            vm_id=space.vm.id,
            bind_queue_id=space.queue.id,
            ops=[map_op(space.bo, BASE)] if change.get("ops", True) else [],
            syncs=[sync] if change.get("syncs") else [],
            **fields,
        )
    space.expect(BASE, None)


def test_syncs_across_queues(held, space):
    """A bind of one queue waits for one of the other, and a job for that."""
    space.vm.bind(space.bo, va=BASE + 2 * HUGE)
    first = space.map(BASE, 1, queue=space.queue, waits=[held.fence])
    second = space.map(BASE + HUGE, 2, waits=[first])
    third = space.map(BASE + HUGE + PAGE, 3, queue=space.queue, waits=[second])
    pause(space.npu, 50)
    assert not (first.done() or second.done() or third.done())
    held.let_go()
    third.wait()
    assert first.done() and second.done()
    for i, va in enumerate([BASE, BASE + HUGE, BASE + HUGE + PAGE], 1):
        space.expect(va, i)


def test_job_waits_for_a_bind_of_a_queue(held, space):
    """By way of a sync; without one its job finds the addresses as they were."""
    queue = space.npu.queue_create(space.vm, engine=BIND)
    bound = space.map(BASE, 1, queue=queue, waits=[held.fence])
    space.expect(BASE, None)
    assert not bound.done()
    jobs = space.npu.queue_create(space.vm, engine=COPY)
    late = jobs.submit([], waits=[bound])
    pause(space.npu, 50)
    assert not late.done()
    held.let_go()
    late.wait()
    space.expect(BASE, 1)


def interrupted(proc: Process, space: Space, op) -> None:
    """A synchronous bind in the second queue waits, and a signal ends that."""
    bind = start_bind(proc, space.npu, space.vm, [op], space.queue)
    bind.wait_blocked()
    proc.kill(signal.SIGUSR1)
    with raises_errno(errno.EINTR):
        bind.result(timeout_s=5)


def test_signal_interrupts_a_bind_behind_another_queue(guest):
    """It waits for a bind of the same address, and gives up before it changes anything."""
    proc = guest.spawn()
    space = Space(Device.open(proc))
    held = Held(space.npu)
    first = space.map(BASE, 1, waits=[held.fence])
    interrupted(proc, space, unmap_op(BASE, PAGE))
    interrupted(proc, space, map_op(space.bo, BASE, PAGE, 2 * PAGE))
    held.let_go()
    first.wait()
    space.expect(BASE, 1)


@pytest.mark.parametrize("step", [PAGE, HUGE, 1 << 30], ids=hex)
def test_signal_interrupts_a_bind_that_empties_a_table(guest, step):
    """The table goes with its last page, but not before what is pending in it."""
    proc = guest.spawn()
    space = Space(Device.open(proc))
    held = Held(space.npu)
    for i in range(2):
        space.vm.bind(space.bo, va=BASE + i * step, size=PAGE)
    first = space.unmap(BASE, waits=[held.fence])
    interrupted(proc, space, unmap_op(BASE + step, PAGE))
    held.let_go()
    first.wait()
    space.expect(BASE, None)
    space.expect(BASE + step, 0)


def test_signal_interrupts_a_bind_that_cuts_a_huge_page(guest):
    proc = guest.spawn()
    space = Space(Device.open(proc))
    held = Held(space.npu)
    big = space.npu.bo_create(HUGE, vm=space.vm)
    done = space.npu.syncobj_create()
    space.vm.bind(big, va=BASE, waits=[held.fence], signals=[done], asynchronous=True)
    interrupted(proc, space, map_op(space.bo, BASE + 8 * PAGE, PAGE))
    held.let_go()
    done.wait(timeout_ms=10000)
    space.vm.unbind(BASE, HUGE)


@pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)
def test_mapping_of_a_queue_comes_back(npu, space):
    """The kernel maps it again by way of the VM's own queue, and it waits for nothing there."""
    bo = space.bo = npu.bo_create(8 * MIB, placement=VRAM)
    bo.write(pattern(2 * PAGE))
    space.vm.bind(bo, va=BASE, queue=space.queue)
    space.expect(BASE + PAGE, 1)
    other = npu.vm_create()
    for _ in range(8):
        npu.bo_create(8 * MIB, placement=VRAM, vm=other).map()[:1] = b"x"
    space.expect(BASE + PAGE, 1)
