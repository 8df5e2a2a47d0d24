# SPDX-License-Identifier: MIT
"""Malformed work: each fault with its exact code, registers and event record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vnpu.hw import const
from vnpu.hw.codes import Access, EngineType, EventType, Fault, QueueState
from vnpu.hw.packets import (
    Copy,
    Copy2d,
    Eltwise,
    Fill,
    Gemm,
    Nop,
    Reduce,
    RingFence,
    RingIndirect,
    RingInvalidate,
    RingNop,
    Signal,
    Wait,
)
from vnpu.hw.regs import QueueReg, Reg
from vnpu.qtest import VnpuQtest

#: a page that the test maps for its operands, and one it does not
GOOD, HOLE = 0x40000000, 0x50000000
TOP = 1 << const.VA_BITS
MAX64 = (1 << 64) - 1

Packet = Callable[[], Any]


def copy(**kw: Any) -> Any:
    return Copy(**({"src": GOOD, "dst": GOOD + 4096, "size": 64} | kw))


def copy_2d(**kw: Any) -> Any:
    fields = {"rows": 2, "row_bytes": 8, "src": GOOD, "dst": GOOD + 4096}
    return Copy2d(**(fields | {"src_stride": 16, "dst_stride": 16} | kw))


def fill(**kw: Any) -> Any:
    return Fill(**({"dst": GOOD, "size": 64} | kw))


def gemm(**kw: Any) -> Any:
    fields = {"dtype": "F32", "a": GOOD, "b": GOOD + 256, "c": GOOD + 512}
    return Gemm(**(fields | {"m": 2, "n": 2, "k": 2, "lda": 2, "ldb": 2, "ldc": 2} | kw))


def eltwise(**kw: Any) -> Any:
    fields = {"op": "ADD", "dtype": "F32", "a": GOOD, "b": GOOD + 256, "dst": GOOD + 512}
    return Eltwise(**(fields | {"count": 4} | kw))


def reduce(**kw: Any) -> Any:
    fields = {"op": "SUM", "dtype": "F32", "src": GOOD, "dst": GOOD + 512}
    return Reduce(**(fields | {"rows": 2, "cols": 2} | kw))


def wait(**kw: Any) -> Any:
    return Wait(**({"addr": GOOD, "compare": "EQ"} | kw))


def signal(**kw: Any) -> Any:
    return Signal(**({"addr": GOOD, "op": "SET"} | kw))


NONE, READ, WRITE = Access.NONE, Access.READ, Access.WRITE

#: engine, packet, fault, access, faulting address (0: none is told)
PACKET_FAULTS: list[tuple[str, Any, Any, Any, int]] = [
    # header
    ("COPY", Nop(opcode=0), Fault.OPCODE, NONE, 0),
    ("COPY", Nop(opcode=0x7F), Fault.OPCODE, NONE, 0),
    ("COPY", Nop(opcode=0xFF), Fault.OPCODE, NONE, 0),
    ("COPY", RingFence(), Fault.OPCODE, NONE, 0),
    ("COPY", RingIndirect(), Fault.OPCODE, NONE, 0),
    ("COPY", RingInvalidate(flags="ALL"), Fault.OPCODE, NONE, 0),
    ("COPY", Nop(dwords=0), Fault.LENGTH, NONE, 0),
    ("COPY", Nop(dwords=1), Fault.LENGTH, NONE, 0),
    ("COPY", Nop(dwords=3), Fault.LENGTH, NONE, 0),
    ("COPY", Nop(dwords=4), Fault.LENGTH, NONE, 0),
    ("COPY", Nop(dwords=0xFFFF), Fault.LENGTH, NONE, 0),
    ("COPY", Nop(data=bytes(4 * const.PACKET_MAX_DWORDS)), Fault.LENGTH, NONE, 0),
    ("COPY", copy(dwords=6), Fault.LENGTH, NONE, 0),
    ("COPY", bytes(copy())[:24], Fault.LENGTH, NONE, 0),
    ("COPY", copy(flags=1), Fault.RESERVED, NONE, 0),
    ("COPY", Nop(flags=0x80), Fault.RESERVED, NONE, 0),
    ("TENSOR", gemm(flags=8), Fault.RESERVED, NONE, 0),
    # engines
    ("TENSOR", copy(), Fault.ENGINE, NONE, 0),
    ("TENSOR", copy_2d(), Fault.ENGINE, NONE, 0),
    ("TENSOR", fill(), Fault.ENGINE, NONE, 0),
    ("COPY", gemm(), Fault.ENGINE, NONE, 0),
    ("COPY", eltwise(), Fault.ENGINE, NONE, 0),
    ("COPY", reduce(), Fault.ENGINE, NONE, 0),
    # reserved fields
    ("COPY", copy(reserved=1), Fault.RESERVED, NONE, 0),
    ("COPY", copy_2d(reserved=1), Fault.RESERVED, NONE, 0),
    ("TENSOR", gemm(reserved=1), Fault.RESERVED, NONE, 0),
    ("TENSOR", gemm(bias=GOOD), Fault.RESERVED, NONE, 0),
    ("TENSOR", eltwise(reserved=1), Fault.RESERVED, NONE, 0),
    ("TENSOR", reduce(reserved=1), Fault.RESERVED, NONE, 0),
    # parameters
    ("COPY", copy(size=0), Fault.PARAM, NONE, 0),
    ("COPY", copy(size=const.COPY_MAX_BYTES + 1), Fault.PARAM, NONE, 0),
    ("COPY", copy(size=MAX64), Fault.PARAM, NONE, 0),
    ("COPY", copy_2d(rows=0), Fault.PARAM, NONE, 0),
    ("COPY", copy_2d(row_bytes=0), Fault.PARAM, NONE, 0),
    ("COPY", copy_2d(src_stride=7), Fault.PARAM, NONE, 0),
    ("COPY", copy_2d(dst_stride=7), Fault.PARAM, NONE, 0),
    ("COPY", copy_2d(dst=GOOD + 4), Fault.PARAM, NONE, 0),
    (
        "COPY",
        copy_2d(rows=0xFFFFFFFF, row_bytes=0xFFFFFFFF, src_stride=MAX64, dst_stride=MAX64),
        Fault.PARAM,
        NONE,
        0,
    ),
    ("COPY", fill(size=const.COPY_MAX_BYTES + 4), Fault.PARAM, NONE, 0),
    ("COPY", wait(compare=0), Fault.PARAM, NONE, 0),
    ("COPY", wait(compare=4), Fault.PARAM, NONE, 0),
    ("COPY", signal(op=0), Fault.PARAM, NONE, 0),
    ("COPY", signal(op=3), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(dtype=0), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(dtype="I32"), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(dtype=6), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(activation=2), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(m=0), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(n=const.GEMM_MAX_DIM + 1), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(k=0xFFFFFFFF), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(lda=1), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(ldb=const.GEMM_MAX_DIM + 1), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(ldc=1), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(flags="TRANS_B", k=5, lda=5, ldb=4), Fault.PARAM, NONE, 0),
    ("TENSOR", gemm(c=GOOD + 8), Fault.PARAM, NONE, 0),
    ("TENSOR", eltwise(op=0), Fault.PARAM, NONE, 0),
    ("TENSOR", eltwise(op=4), Fault.PARAM, NONE, 0),
    ("TENSOR", eltwise(dtype=0), Fault.PARAM, NONE, 0),
    ("TENSOR", eltwise(count=0), Fault.PARAM, NONE, 0),
    ("TENSOR", eltwise(count=const.ELEMS_MAX + 1), Fault.PARAM, NONE, 0),
    ("TENSOR", eltwise(count=1 << 63), Fault.PARAM, NONE, 0),
    ("TENSOR", reduce(op=3), Fault.PARAM, NONE, 0),
    ("TENSOR", reduce(rows=0), Fault.PARAM, NONE, 0),
    ("TENSOR", reduce(cols=0), Fault.PARAM, NONE, 0),
    ("TENSOR", reduce(rows=0xFFFFFFFF, cols=0xFFFFFFFF), Fault.PARAM, NONE, 0),
    # alignment
    ("COPY", fill(dst=GOOD + 2), Fault.ALIGNMENT, NONE, GOOD + 2),
    ("COPY", fill(size=6), Fault.ALIGNMENT, NONE, 0),
    ("COPY", wait(addr=GOOD + 4), Fault.ALIGNMENT, NONE, GOOD + 4),
    ("COPY", signal(addr=GOOD + 1), Fault.ALIGNMENT, NONE, GOOD + 1),
    ("TENSOR", gemm(a=GOOD + 2), Fault.ALIGNMENT, NONE, GOOD + 2),
    ("TENSOR", gemm(dtype="F16", b=GOOD + 257), Fault.ALIGNMENT, NONE, GOOD + 257),
    ("TENSOR", gemm(dtype="I8", c=GOOD + 514), Fault.ALIGNMENT, NONE, GOOD + 514),
    ("TENSOR", gemm(flags="BIAS", bias=GOOD + 1025), Fault.ALIGNMENT, NONE, GOOD + 1025),
    # addresses
    ("COPY", copy(src=TOP), Fault.ADDRESS, NONE, TOP),
    ("COPY", copy(src=TOP - 63), Fault.ADDRESS, NONE, TOP - 63),
    ("COPY", copy(dst=MAX64 - 3), Fault.ADDRESS, NONE, MAX64 - 3),
    ("COPY", fill(dst=1 << 63), Fault.ADDRESS, NONE, 1 << 63),
    ("COPY", copy_2d(src_stride=1 << 48), Fault.ADDRESS, NONE, GOOD),
    ("COPY", copy_2d(rows=3, dst_stride=1 << 63), Fault.ADDRESS, NONE, GOOD + 4096),
    ("COPY", wait(addr=TOP), Fault.ADDRESS, NONE, TOP),
    ("COPY", signal(addr=MAX64 - 7), Fault.ADDRESS, NONE, MAX64 - 7),
    ("TENSOR", gemm(a=TOP - 4), Fault.ADDRESS, NONE, TOP - 4),
    ("TENSOR", eltwise(dst=TOP - 8), Fault.ADDRESS, NONE, TOP - 8),
    ("TENSOR", reduce(src=TOP - 8), Fault.ADDRESS, NONE, TOP - 8),
    # translation
    ("COPY", copy(src=HOLE + 5), Fault.TRANSLATION, READ, HOLE + 5),
    ("COPY", copy(dst=HOLE + 6), Fault.TRANSLATION, WRITE, HOLE + 6),
    ("COPY", copy(src=GOOD + 8100, size=200), Fault.TRANSLATION, READ, GOOD + 8192),
    ("COPY", fill(dst=0), Fault.TRANSLATION, WRITE, 0),
    ("COPY", wait(addr=HOLE), Fault.TRANSLATION, READ, HOLE),
    ("COPY", signal(addr=HOLE), Fault.TRANSLATION, WRITE, HOLE),
    ("COPY", signal(addr=HOLE, op="ADD"), Fault.TRANSLATION, WRITE, HOLE),
    ("COPY", copy_2d(src=HOLE), Fault.TRANSLATION, READ, HOLE),
    ("COPY", copy_2d(src=GOOD + 8184, src_stride=8), Fault.TRANSLATION, READ, GOOD + 8192),
    ("TENSOR", gemm(a=HOLE), Fault.TRANSLATION, READ, HOLE),
    ("TENSOR", gemm(b=HOLE + 4), Fault.TRANSLATION, READ, HOLE + 4),
    ("TENSOR", gemm(c=HOLE), Fault.TRANSLATION, WRITE, HOLE),
    ("TENSOR", gemm(flags="BIAS", bias=HOLE), Fault.TRANSLATION, READ, HOLE),
    ("TENSOR", eltwise(a=HOLE), Fault.TRANSLATION, READ, HOLE),
    ("TENSOR", eltwise(dst=HOLE), Fault.TRANSLATION, WRITE, HOLE),
    ("TENSOR", reduce(src=HOLE), Fault.TRANSLATION, READ, HOLE),
    ("TENSOR", reduce(dst=HOLE), Fault.TRANSLATION, WRITE, HOLE),
]


def identify(value: Any) -> str | None:
    if isinstance(value, bytes):
        return "cut"
    return getattr(value, "name", None) if hasattr(value, "fields_desc") else None


@pytest.mark.parametrize(
    ("engine", "packet", "code", "access", "addr"), PACKET_FAULTS, ids=identify
)
def test_packet_fault(npu, ctx, engine, packet, code, access, addr):
    """The third packet of the second command buffer faults; the rest of the device goes on."""
    base = npu.alloc(8192, vram=True)
    ctx.table.map(GOOD, base, 8192, vram=True)
    queue = npu.queue(2, ctx=ctx, kind=EngineType[engine])
    other = npu.queue(3, ctx=ctx, kind=EngineType[engine])
    queue.run(Nop())
    npu.events.take()
    npu.until(lambda: npu.interrupted(queue.vector), "the first fence's interrupt")

    at, size = queue.commands(Nop(), Nop(data=bytes(8)), packet)
    queue.put(RingNop(), RingIndirect(addr=at, size=size), queue.next_fence())
    queue.doorbell()
    event = queue.expect_fault()
    ip = at + 8 + 16

    assert (Fault(event.code), Access(event.access)) == (code, access)
    assert (event.addr, event.ip, event.entry) == (addr, ip, 3)
    assert (event.type, event.queue, event.context) == (EventType.FAULT, 2, 1)
    assert event.arg == int.from_bytes(bytes(packet)[:8], "little")
    assert event.reserved == 0
    assert (queue.state, queue.fault) == (QueueState.FAULTED, code)
    assert queue.read64(QueueReg.FAULT_ADDR) == addr
    assert queue.read64(QueueReg.FAULT_IP) == ip
    assert queue.head == 3
    npu.until(lambda: npu.interrupted(const.EVENT_VECTOR), "the event vector")

    # halted: the fence behind it is not written, another doorbell is ignored
    queue.put(queue.next_fence())
    queue.doorbell()
    other.run(Nop())
    assert not queue.signaled(2)
    assert not npu.interrupted(queue.vector)
    assert queue.state == QueueState.FAULTED and queue.head == 3

    # and reset makes it as new
    queue.reset()
    queue.enable()
    queue.run(Nop())


RING_FAULTS: list[tuple[Any, Any, Any, int]] = [
    (RingNop(opcode=0), Fault.OPCODE, NONE, 0),
    (RingNop(opcode=5), Fault.OPCODE, NONE, 0),
    (RingNop(opcode=0x10), Fault.OPCODE, NONE, 0),
    (RingNop(opcode=0x20), Fault.OPCODE, NONE, 0),
    (RingNop(opcode=0xFF), Fault.OPCODE, NONE, 0),
    (RingNop(dwords=0), Fault.LENGTH, NONE, 0),
    (RingNop(dwords=7), Fault.LENGTH, NONE, 0),
    (RingNop(dwords=9), Fault.LENGTH, NONE, 0),
    (RingNop(flags=1), Fault.RESERVED, NONE, 0),
    (RingNop(reserved=b"\0" * 27 + b"\1"), Fault.RESERVED, NONE, 0),
    (RingIndirect(addr=GOOD, size=0), Fault.LENGTH, NONE, 0),
    (RingIndirect(addr=GOOD, size=4), Fault.LENGTH, NONE, 0),
    (RingIndirect(addr=GOOD, size=12), Fault.LENGTH, NONE, 0),
    (RingIndirect(addr=GOOD, size=const.CMD_MAX_BYTES + 8), Fault.LENGTH, NONE, 0),
    (RingIndirect(addr=GOOD, size=0xFFFFFFF8), Fault.LENGTH, NONE, 0),
    (RingIndirect(addr=GOOD, size=8, reserved=b"\1" + bytes(15)), Fault.RESERVED, NONE, 0),
    (RingIndirect(addr=GOOD, size=8, flags=1), Fault.RESERVED, NONE, 0),
    (RingIndirect(addr=GOOD + 4, size=8), Fault.ALIGNMENT, NONE, GOOD + 4),
    (RingIndirect(addr=TOP - 8, size=16), Fault.ADDRESS, NONE, TOP - 8),
    (RingIndirect(addr=MAX64 - 7, size=8), Fault.ADDRESS, NONE, MAX64 - 7),
    (RingIndirect(addr=HOLE, size=8), Fault.TRANSLATION, Access.FETCH, HOLE),
    (RingIndirect(addr=GOOD + 8184, size=16), Fault.TRANSLATION, Access.FETCH, GOOD + 8192),
    (RingFence(addr=0x3000008), Fault.ALIGNMENT, NONE, 0x3000008),
    (RingFence(addr=0x3000000, flags=4), Fault.RESERVED, NONE, 0),
    (RingFence(addr=0x3000000, reserved0=1), Fault.RESERVED, NONE, 0),
    (RingFence(addr=0x3000000, reserved1=1), Fault.RESERVED, NONE, 0),
    (RingFence(addr=0x70000000), Fault.DMA, WRITE, 0x70000000),
    (RingFence(addr=0xE0000030), Fault.DMA, WRITE, 0xE0000030),
    (RingFence(addr=MAX64 - 15), Fault.DMA, WRITE, MAX64 - 15),
    (RingFence(addr=64 << 20, flags="VRAM"), Fault.VRAM_RANGE, WRITE, 64 << 20),
    (RingFence(addr=MAX64 - 15, flags="VRAM"), Fault.VRAM_RANGE, WRITE, MAX64 - 15),
    (RingInvalidate(flags="ALL", context=1), Fault.RESERVED, NONE, 0),
    (RingInvalidate(flags="ALL", addr=4096), Fault.RESERVED, NONE, 0),
    (RingInvalidate(flags="CONTEXT", size=4096), Fault.RESERVED, NONE, 0),
    (RingInvalidate(flags="ALL+CONTEXT"), Fault.RESERVED, NONE, 0),
    (RingInvalidate(flags=4), Fault.RESERVED, NONE, 0),
    (RingInvalidate(reserved=1), Fault.RESERVED, NONE, 0),
    (RingInvalidate(context=const.MAX_CONTEXTS, size=4096), Fault.CONTEXT, NONE, 0),
    (RingInvalidate(context=1, addr=8, size=4096), Fault.ALIGNMENT, NONE, 8),
    (RingInvalidate(context=1, addr=4096, size=8), Fault.ALIGNMENT, NONE, 4096),
    (RingInvalidate(context=1, addr=TOP - 4096, size=8192), Fault.ADDRESS, NONE, TOP - 4096),
]


@pytest.mark.device(posted_errors="on")
@pytest.mark.parametrize(("entry", "code", "access", "addr"), RING_FAULTS, ids=identify)
def test_ring_entry_fault(npu, ctx, entry, code, access, addr):
    ctx.table.map(GOOD, npu.alloc(8192, vram=True), 8192, vram=True)
    queue = npu.queue(2, ctx=ctx)
    npu.events.take()
    queue.put(RingNop(), RingNop(), entry, queue.next_fence())
    queue.doorbell()
    event = queue.expect_fault()
    assert (Fault(event.code), Access(event.access)) == (code, access)
    assert (event.addr, event.ip, event.entry) == (addr, 2, 2)
    assert event.arg == int.from_bytes(bytes(entry)[:8], "little")
    assert queue.read64(QueueReg.FAULT_IP) == 2
    assert queue.read64(QueueReg.FAULT_ADDR) == addr
    assert queue.head == 2 and not queue.signaled(1)
    assert npu.read32(Reg.ID) == const.MAGIC


@pytest.mark.device(posted_errors="on")
def test_physical_context_faults(npu):
    vram = 1 << 63
    cases = [
        (Copy(src=vram | 64 << 20, dst=vram, size=1), Fault.VRAM_RANGE, READ, vram | 64 << 20),
        (Copy(src=vram, dst=vram | (64 << 20) - 1, size=2), Fault.VRAM_RANGE, WRITE,
         vram | (64 << 20) - 1),
        (Copy(src=MAX64 - 1, dst=vram, size=2), Fault.VRAM_RANGE, READ, MAX64 - 1),
        (Copy(src=MAX64 - 1, dst=vram, size=3), Fault.ADDRESS, NONE, MAX64 - 1),
        (Copy(src=vram - 1, dst=vram, size=2), Fault.ADDRESS, NONE, vram - 1),
        (Copy(src=0x70000000, dst=vram, size=2), Fault.DMA, READ, 0x70000000),
        (Copy(src=vram, dst=0x70000000, size=2), Fault.DMA, WRITE, 0x70000000),
        (Copy(src=vram, dst=npu.regs + Reg.SCRATCH, size=4), Fault.DMA, WRITE,
         npu.regs + Reg.SCRATCH),
    ]  # fmt: skip
    queue = npu.queue(2)
    for packet, code, access, addr in cases:
        event = queue.faults(packet)
        assert (Fault(event.code), Access(event.access), event.addr) == (code, access, addr)
        assert event.context == const.PHYS_CONTEXT
        queue.reset()
        queue.enable()
    assert npu.read32(Reg.SCRATCH) == 0


def test_failed_copy_writes_nothing_beyond_the_fault(npu, ctx):
    """Source ends in a hole: the bytes around the destination stay as they were."""
    queue = npu.queue(2, ctx=ctx)
    src, dst = ctx.buffer(b"\x11" * 4096), ctx.buffer(b"\x22" * 8192)
    queue.faults(Copy(src=src.va, dst=dst.va, size=4097))
    assert dst.read(4096) == b"\x22" * 4096


def test_context_made_invalid_faults_the_next_packet(npu, ctx):
    queue = npu.queue(2, ctx=ctx)
    queue.run(Nop())
    at, size = queue.commands(Nop())
    npu.events.take()
    ctx.valid(False)
    queue.put(RingIndirect(addr=at, size=size))
    queue.doorbell()
    event = queue.expect_fault()
    assert (event.code, event.context) == (Fault.CONTEXT, 1)


# The event ring


def fault_once(npu: VnpuQtest, index: int) -> None:
    """Make queue *index* fault."""
    queue = npu.queue(index, log2=4)
    queue.put(RingNop(opcode=0))
    queue.doorbell()
    npu.until(lambda: queue.fault == Fault.OPCODE, "the fault")


def test_records_are_numbered_and_stamped(npu):
    npu.events.take()
    times = []
    for index in range(3):
        npu.qtest.clock_step(1000)
        fault_once(npu, index)
        # to enable the queue took time, and nothing has since
        times.append(npu.read64(Reg.TIMESTAMP))
    records = npu.events.take()
    assert [(e.seq, e.queue) for e in records] == [(0, 0), (1, 1), (2, 2)]
    assert [e.timestamp for e in records] == times


def test_overflow_is_counted_and_keeps_the_old(npu):
    from vnpu.qtest.npu import EventRing

    events = EventRing(npu, log2=const.EVENT_LOG2_MIN)
    slots = 1 << const.EVENT_LOG2_MIN
    for index in range(slots + 3):
        fault_once(npu, index)
    assert events.tail == slots
    assert events.dropped == 3
    assert [e.queue for e in events.take()] == list(range(slots))
    fault_once(npu, 30)
    (event,) = events.take()
    assert (event.seq, event.queue) == (slots, 30)
    assert events.dropped == 3


def test_enabling_clears_the_counters(npu):
    events = npu.events
    fault_once(npu, 0)
    assert events.tail == 1
    events.enable(False)
    fault_once(npu, 1)
    assert (events.tail, events.dropped) == (1, 0)
    events.enable()
    assert (events.tail, events.dropped, events.head) == (0, 0, 0)
    fault_once(npu, 2)
    assert [e.queue for e in events.take()] == [2]


@pytest.mark.device(posted_errors="on")
def test_event_ring_that_cannot_be_written(npu):
    events = npu.events
    events.enable(False)
    events.base = 0x70000000
    events.enable()
    fault_once(npu, 4)
    assert (events.tail, events.dropped) == (0, 1)
    assert not npu.interrupted(const.EVENT_VECTOR)


def test_fault_without_event_ring_is_in_the_registers(npu):
    fault_once(npu, 4)
    assert npu.read32(Reg.EVENT_TAIL) == 0
