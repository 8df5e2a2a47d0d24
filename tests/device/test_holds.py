# SPDX-License-Identifier: MIT
"""Work that a tester holds: where it stays, what goes on meanwhile, and what ends it."""

from __future__ import annotations

import pytest

from vnpu.base.errors import RigError
from vnpu.hw.codes import Compare, Fault, Opcode, Priority, QueueState
from vnpu.hw.holds import Holds
from vnpu.hw.packets import Copy2d, Fill, RingInvalidate, Signal, Wait
from vnpu.hw.regs import EngineReg, QueueReg
from vnpu.qtest import VnpuQtest
from vnpu.qtest.npu import device

BUSY = 1
#: most rows of COPY_2D that the device does at a time
ROWS_OF_A_PART = 4096


def invalidate(queue, ctx):
    queue.put(RingInvalidate(flags="CONTEXT", context=ctx.index), queue.next_fence())
    queue.doorbell()


@pytest.fixture
def holds(npu: VnpuQtest) -> Holds:
    return holds_of(npu)


def monitor_of(machine):
    return lambda command, arguments: machine.qmp(command, **arguments)


def holds_of(npu: VnpuQtest) -> Holds:
    return Holds(
        lambda command, arguments: npu.machine.qmp(command, **arguments), "/machine/peripheral/npu"
    )


def fill(buffer, value=0xA5A5A5A5):
    return Fill(dst=buffer.va, size=buffer.size, pattern=value)


def filled(buffer):
    return buffer.read() == b"\xa5" * buffer.size


@pytest.mark.parametrize("site", ["packet", "part"])
def test_held_work_is_not_done_until_it_is_let_go(npu, ctx, holds, site):
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds.add(site, opcode=Opcode.FILL)
    queue.submit(fill(buffer))
    assert held.wait() == [2]
    assert not filled(buffer)
    assert queue.state == QueueState.RUNNING
    held.release()
    queue.wait()
    assert filled(buffer)
    assert held.queues == []
    assert held.seen == 1


@pytest.mark.parametrize("site, busy", [("packet", 0), ("part", 1)])
def test_a_held_part_occupies_its_engine_and_a_packet_does_not(npu, ctx, holds, site, busy):
    first, second = npu.queue(2, ctx=ctx), npu.queue(3, ctx=ctx, priority=Priority.KERNEL)
    one, two = ctx.buffer(64), ctx.buffer(64)
    with holds.add(site, opcode=Opcode.FILL, queue=2) as held:
        first.submit(fill(one))
        held.wait()
        assert npu.engine(first.engine, EngineReg.STATUS) & BUSY == busy
        second.submit(fill(two))
        if busy:
            for _ in range(20):
                assert not filled(two)
        else:
            second.wait()
    second.wait()
    first.wait()
    assert filled(one)
    assert filled(two)


def test_a_held_fence_is_not_written_though_its_work_is_done(npu, ctx, holds):
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds.add("entry", opcode=Opcode.RING_FENCE)
    value = queue.submit(fill(buffer))
    held.wait()
    assert filled(buffer)
    assert queue.read64(QueueReg.FENCE_LO) != value
    held.release()
    queue.wait()


def test_order_of_release_is_the_testers(npu, ctx, holds):
    queues = [npu.queue(n, ctx=ctx) for n in (2, 3, 4)]
    buffers = [ctx.buffer(64) for _ in queues]
    held = holds.add("packet", opcode=Opcode.FILL)
    for queue, buffer in zip(queues, buffers, strict=True):
        queue.submit(fill(buffer))
    assert held.wait(3) == [2, 3, 4]
    held.release(queue=3)
    queues[1].wait()
    assert [filled(buffer) for buffer in buffers] == [False, True, False]
    held.release(1)
    queues[0].wait()
    assert [filled(buffer) for buffer in buffers] == [True, True, False]
    assert held.queues == [4]
    held.release()
    queues[2].wait()


def test_a_rule_counts(npu, ctx, holds):
    queue = npu.queue(2, ctx=ctx)
    buffers = [ctx.buffer(64) for _ in range(4)]
    held = holds.add("packet", opcode=Opcode.FILL, skip=1, count=2)
    queue.submit(*[fill(buffer) for buffer in buffers])
    for done in (1, 2):
        held.wait()
        assert [filled(buffer) for buffer in buffers] == [i < done for i in range(4)]
        held.release()
        npu.until(lambda done=done: filled(buffers[done]), "the fill")
    queue.wait()
    assert all(map(filled, buffers))
    assert held.seen == 4


@pytest.mark.parametrize(
    "rule",
    [
        {"queue": 3}, {"engine": 1}, {"context": 2}, {"opcode": Opcode.COPY}, {"addr": (0, 4095)},
        {"skip": 1}, {"count": 0},
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_match_is_not_held(npu, ctx, holds, rule):
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds.add("packet", **rule)
    queue.run(fill(buffer))
    assert filled(buffer)
    assert held.queues == []


def test_inline_packets_are_held_too(npu, ctx, holds):
    queue, word = npu.queue(2, ctx=ctx), ctx.buffer(bytes(8))
    held = holds.add("packet", opcode=Opcode.SIGNAL)
    queue.submit(Signal(addr=word.va, value=7))
    held.wait()
    assert word.read() == bytes(8)
    held.release()
    queue.wait()
    assert word.read()[0] == 7


def test_an_invalidation_waits_for_a_held_part_of_its_context_only(npu, ctx, holds):
    other = npu.context(2)
    worker, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    kernel = npu.queue(1)
    held = holds.add("part", queue=2)
    worker.submit(fill(buffer))
    held.wait()
    invalidate(kernel, other)
    kernel.wait()
    invalidate(kernel, ctx)
    for _ in range(20):
        assert kernel.state == QueueState.RUNNING
    held.release()
    kernel.wait()
    worker.wait()


@pytest.mark.parametrize("site", ["entry", "packet", "part"])
@pytest.mark.parametrize("how", ["queue", "device"])
def test_a_reset_ends_what_is_held(npu, ctx, holds, site, how):
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds.add(site, queue=2)
    queue.submit(fill(buffer))
    held.wait()
    if how == "queue":
        queue.reset()
    else:
        npu.reset()
    assert held.queues == []
    assert queue.state == QueueState.DISABLED
    held.close()
    assert not filled(buffer)


def test_an_engine_reset_ends_what_is_held_on_it(npu, ctx, holds):
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds.add("part", queue=2)
    queue.submit(fill(buffer))
    held.wait()
    npu.reset_engine(queue.engine)
    assert queue.fault == Fault.RESET
    assert held.queues == []
    assert npu.engine(queue.engine, EngineReg.STATUS) & BUSY == 0
    assert not filled(buffer)


@pytest.mark.parametrize("site", ["entry", "packet", "part"])
def test_held_work_stays_held_while_the_machine_is_stopped(npu, ctx, holds, site):
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds.add(site, queue=2)
    queue.submit(fill(buffer))
    held.wait()
    npu.machine.qmp("stop")
    npu.machine.qmp("cont")
    held.wait()
    assert not filled(buffer)
    assert held.seen == 1
    held.close()
    queue.wait()
    assert filled(buffer)


@pytest.mark.parametrize("site", ["entry", "packet", "part"])
@pytest.mark.parametrize("again", [True, False])
def test_held_work_moves_with_the_machine(npu, ctx, holds, launch, tmp_path, site, again):
    """It has not been done there, and a rule of the destination holds it."""
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds.add(site, queue=2)
    queue.submit(fill(buffer))
    held.wait()
    npu.machine.qmp("stop")
    npu.machine.save(tmp_path / "state")
    there = launch([device()], incoming=True)
    rules = Holds(
        lambda command, arguments: there.qmp(command, **arguments), "/machine/peripheral/npu"
    )
    rule = rules.add(site, queue=2) if again else None
    there.load(tmp_path / "state")
    npu.move_to(there)
    if rule:
        rule.wait()
        assert not filled(buffer)
        rule.close()
    queue.wait()
    assert filled(buffer)


def test_a_wait_that_goes_on_is_held_no_more(npu, ctx, holds):
    queue, word = npu.queue(2, ctx=ctx), ctx.buffer(bytes(8))
    out = ctx.buffer(64)
    held = holds.add("packet", opcode=Opcode.WAIT)
    queue.submit(Wait(compare=Compare.EQ, addr=word.va, value=1, mask=2**64 - 1), fill(out))
    held.wait()
    word.write(b"\1" + bytes(7))
    assert not filled(out)
    held.release()
    queue.wait()
    assert filled(out)


def test_a_long_packet_is_held_part_by_part(npu, ctx, holds):
    rows = 3 * ROWS_OF_A_PART
    src, dst = ctx.buffer(b"\xa5" * (8 * rows)), ctx.buffer(4 * rows)
    queue = npu.queue(2, ctx=ctx)
    held = holds.add("part", opcode=Opcode.COPY_2D)
    queue.submit(Copy2d(rows=rows, src=src.va, dst=dst.va, src_stride=8, dst_stride=4, row_bytes=4))
    for part in range(3):
        npu.until(lambda part=part: held.seen == part + 1 and held.queues, f"part {part}")
        done = dst.read().count(b"\xa5")
        assert done == part * 4 * ROWS_OF_A_PART
        held.release()
    queue.wait()
    assert filled(dst)


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("hold", {"id": 1, "site": "moon"}, "none of entry, packet, part"),
        ("hold", {"site": "part"}, "id"),
        ("hold", {"id": 1}, "site"),
        ("hold", {"id": 1, "site": "part", "color": 3}, "color"),
        ("hold", {"id": 1, "site": "part", "queue": [1]}, "queue"),
        ("hold", {"id": 1, "site": "part", "queue": [1, 2, 3]}, "queue"),
        ("hold", {"id": 1, "site": "part", "queue": [0, 1 << 32]}, "32 bits"),
        ("hold", {"id": 1, "site": "part", "skip": "one"}, "skip"),
        ("hold", {"id": 9, "site": "part"}, "a hold 9 already"),
        ("hold-release", {"id": 3}, "no hold 3"),
        ("hold-release", {"id": 9, "queue": 5}, "nothing of queue 5"),
        ("hold-remove", 3, "no hold 3"),
    ],
)
def test_bad_rules_are_refused_in_words(npu, holds, name, value, text):
    holds.set("hold", {"id": 9, "site": "part"})
    with pytest.raises(RigError, match=text):
        holds.set(name, value)


def test_an_unplugged_device_takes_no_rules_and_lets_those_it_had_go(launch):
    npu = VnpuQtest(launch([device()]))
    ctx = npu.context(1)
    queue, buffer = npu.queue(2, ctx=ctx), ctx.buffer(64)
    held = holds_of(npu).add("part", queue=2)
    queue.submit(fill(buffer))
    held.wait()
    # the machine is closed with the device as it is: nothing may be left behind
