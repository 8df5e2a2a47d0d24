# SPDX-License-Identifier: MIT
"""WAIT and SIGNAL, between queues and with the CPU; priorities and fairness."""

from __future__ import annotations

from typing import Any

import pytest

from vnpu.hw import regs
from vnpu.hw.codes import EngineType, Fault, Priority, QueueState
from vnpu.hw.packets import Copy, Fill, Nop, Signal, Wait
from vnpu.hw.regs import EngineReg, QueueReg, Reg
from vnpu.qtest import Queue, VnpuQtest
from vnpu.qtest.npu import PHYS_VRAM

ALL_ONES = (1 << 64) - 1
MS = 1_000_000


def wait(addr: int, value: int, compare: str = "EQ", mask: int = ALL_ONES) -> Any:
    return Wait(compare=compare, addr=addr, value=value, mask=mask)


def until_waiting(npu: VnpuQtest, *queues: Queue) -> None:
    for queue in queues:
        npu.until(lambda q=queue: q.state == QueueState.WAITING, f"queue {queue.index} in a WAIT")


@pytest.mark.parametrize(
    ("compare", "memory", "value", "mask", "goes_on"),
    [
        ("EQ", 5, 5, ALL_ONES, True),
        ("EQ", 5, 6, ALL_ONES, False),
        ("EQ", 0xFF05, 5, 0xFF, True),
        ("EQ", 0xFF05, 0xFF05, 0xFF, False),
        ("NE", 5, 5, ALL_ONES, False),
        ("NE", 5, 6, ALL_ONES, True),
        ("NE", 0x100, 0, 0xFF, False),
        ("GE", 5, 5, ALL_ONES, True),
        ("GE", 4, 5, ALL_ONES, False),
        ("GE", 1 << 63, 5, ALL_ONES, True),
        ("GE", 5, 1 << 63, ALL_ONES, False),
        ("GE", 0x1_0000_0000, 1, 0xFFFFFFFF, False),
        ("EQ", 0, 0, 0, True),
    ],
)
@pytest.mark.parametrize("vram", [False, True])
def test_compare(npu, compare, memory, value, mask, goes_on, vram):
    word = npu.alloc(8, vram=vram)
    npu.store(vram, word, memory.to_bytes(8, "little"))
    queue = npu.queue(2)
    fence = queue.submit(wait(word | PHYS_VRAM * vram, value, compare, mask))
    if goes_on:
        queue.wait()
        return
    until_waiting(npu, queue)
    npu.qtest.clock_step(10 * MS)
    assert queue.state == QueueState.WAITING
    assert not queue.signaled(fence)


def test_blocked_wait_is_no_progress(npu):
    queue = npu.queue(2)
    word = npu.alloc(8, vram=False)
    queue.submit(Nop(), wait(word, 1))
    until_waiting(npu, queue)
    progress, head = queue.read32(QueueReg.PROGRESS), queue.head
    busy = npu.engine(queue.engine, EngineReg.STATUS)
    for _ in range(5):
        npu.qtest.clock_step(3 * MS)
    assert (queue.read32(QueueReg.PROGRESS), queue.head) == (progress, head) == (1, 0)
    assert regs.unpack("ENGINE.STATUS", busy)["BUSY"] == 0
    assert regs.unpack("STATUS", npu.read32(Reg.STATUS))["BUSY"] == 1


@pytest.mark.parametrize("vram", [False, True])
def test_cpu_releases_a_wait_within_a_millisecond(each_npu, vram):
    npu = each_npu
    word = npu.alloc(8, vram=vram)
    queue = npu.queue(2)
    queue.submit(wait(word | PHYS_VRAM * vram, 1))
    until_waiting(npu, queue)
    npu.store(vram, word, (1).to_bytes(8, "little"))
    npu.qtest.clock_step(MS)
    queue.wait()


def test_wait_leaves_its_engine_to_others(npu):
    blocked, free = npu.queue(2), npu.queue(3)
    assert blocked.engine == free.engine
    blocked.submit(wait(npu.alloc(8, vram=False), 1))
    until_waiting(npu, blocked)
    free.run(Nop())


def test_signal_set_and_add(each_npu):
    npu = each_npu
    word = npu.alloc(8, vram=True)
    queue = npu.queue(2)
    at = PHYS_VRAM | word
    queue.run(Signal(op="SET", addr=at, value=40), Signal(op="ADD", addr=at, value=2))
    assert npu.vram64(word) == 42
    queue.run(Signal(op="ADD", addr=at, value=ALL_ONES))
    assert npu.vram64(word) == 41
    queue.run(Signal(op="ADD", addr=at, value=1 << 63), Signal(op="ADD", addr=at, value=1 << 63))
    assert npu.vram64(word) == 41


def test_added_up_by_all_queues(npu):
    """No addition is lost, whichever engine does it."""
    word = npu.alloc(8, vram=False)
    kinds = (EngineType.COPY, EngineType.TENSOR)
    queues = [npu.queue(n, kind=kinds[n % 2]) for n in range(16)]
    for queue in queues:
        queue.submit(*[Signal(op="ADD", addr=word, value=1)] * 100)
    for queue in queues:
        queue.wait()
    assert npu.qtest.read_int(word, 8) == 1600


@pytest.mark.parametrize("kind", [EngineType.COPY, EngineType.TENSOR])
def test_signal_releases_a_wait_at_once(each_npu, kind):
    """On the same engine and another: the device's clock stands still meanwhile."""
    npu = each_npu
    word = npu.alloc(8, vram=True)
    waiter, signaler = npu.queue(2), npu.queue(3, kind=kind)
    waiter.submit(wait(PHYS_VRAM | word, 7, "GE"))
    until_waiting(npu, waiter)
    signaler.run(Signal(op="SET", addr=PHYS_VRAM | word, value=7))
    waiter.wait()


def test_ping_pong(each_npu):
    """Two queues of different engines hand a counter back and forth."""
    npu = each_npu
    word = PHYS_VRAM | npu.alloc(8, vram=True)
    rounds = 200
    players = [npu.queue(2), npu.queue(3, kind=EngineType.TENSOR)]
    for turn, queue in enumerate(players):
        commands = []
        for n in range(rounds):
            commands += [wait(word, 2 * n + turn), Signal(op="ADD", addr=word, value=1)]
        queue.submit(*commands)
    for queue in players:
        queue.wait()
    assert npu.vram64(word & ~PHYS_VRAM) == 2 * rounds


def test_wait_for_memory_that_is_unmapped_meanwhile(npu, ctx):
    """The word is looked at anew each time: a translation dropped is a fault then."""
    from vnpu.hw.packets import RingInvalidate

    word = ctx.buffer(8)
    queue = npu.queue(2, ctx=ctx)
    queue.submit(wait(word.va, 1))
    until_waiting(npu, queue)
    npu.events.take()
    ctx.table.unmap(word.va, 4096)
    npu.queue(3).run_entries(RingInvalidate(context=1, flags="CONTEXT"))
    npu.qtest.clock_step(2 * MS)
    event = queue.expect_fault()
    assert (event.code, event.addr) == (Fault.TRANSLATION, word.va)


def order_commands(counter: int, slot: int) -> list[Any]:
    """Take a number: the place in which the queue's first packets ran."""
    return [Signal(op="ADD", addr=counter, value=1), Copy(src=counter, dst=slot, size=8)]


def test_priorities(each_npu):
    """All become ready by one write of the CPU; the highest runs first."""
    npu = each_npu
    go, counter = (npu.alloc(8, vram=False) for _ in "ab")
    slots = [npu.alloc(8, vram=False) for _ in Priority]
    queues = []
    for n, priority in enumerate(Priority):
        queue = npu.queue(10 + n, priority=priority)
        queue.submit(wait(go, 1), *order_commands(counter, slots[n]))
        queues.append(queue)
    until_waiting(npu, *queues)
    npu.qtest.write_int(go, 1, 8)
    for queue in queues:
        queue.wait(step_ns=MS)
    assert [npu.qtest.read_int(slot, 8) for slot in slots] == [4, 3, 2, 1]


def test_equals_take_turns(each_npu):
    """Packet by packet, so that no queue is done before the other has begun."""
    npu = each_npu
    go, counter = (npu.alloc(8, vram=False) for _ in "ab")
    rounds = 10
    slots = npu.alloc(2 * rounds * 8, vram=False)
    queues = [npu.queue(2), npu.queue(3)]
    for n, queue in enumerate(queues):
        commands = [wait(go, 1)]
        for i in range(rounds):
            commands += order_commands(counter, slots + 8 * (n * rounds + i))
        queue.submit(*commands)
    until_waiting(npu, *queues)
    npu.qtest.write_int(go, 1, 8)
    for queue in queues:
        queue.wait(step_ns=MS)
    got = [npu.qtest.read_int(slots + 8 * i, 8) for i in range(2 * rounds)]
    assert got[:rounds] == got[rounds:] == list(range(2, 2 * rounds + 1, 2))


def test_high_priority_overtakes_a_long_command_buffer(npu):
    low, high = npu.queue(2, priority=Priority.LOW), npu.queue(3, priority=Priority.HIGH)
    at = PHYS_VRAM | npu.alloc(1 << 20, vram=True)
    low.submit(*[Fill(pattern=1, dst=at, size=1 << 20)] * 2700)
    npu.until(lambda: low.read32(QueueReg.PROGRESS) > 0, "the first packet")
    high.run(Nop())
    assert not low.signaled(1)
    assert low.state == QueueState.RUNNING
    low.reset()


def test_idle_priority_does_not_starve(npu):
    """LOW runs as soon as HIGH has nothing ready, blocked WAITs included."""
    low, high = npu.queue(2, priority=Priority.LOW), npu.queue(3, priority=Priority.KERNEL)
    word = npu.alloc(8, vram=False)
    high.submit(wait(word, 1))
    until_waiting(npu, high)
    low.run(Signal(op="SET", addr=word, value=1))
    high.wait()


def test_fence_waits_for_what_is_before_it(npu):
    """A fence behind a blocked WAIT is written after it, not before."""
    queue = npu.queue(2)
    word = npu.alloc(8, vram=False)
    first = queue.submit(Nop())
    second = queue.submit(wait(word, 1))
    third = queue.submit(Nop())
    queue.wait(first)
    until_waiting(npu, queue)
    assert queue.fence_record().value == first
    npu.qtest.write_int(word, 1, 8)
    queue.wait(second, step_ns=MS)
    queue.wait(third)
