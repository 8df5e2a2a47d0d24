# SPDX-License-Identifier: MIT
"""Random and hostile input: the device survives, and works as before afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.packet import fuzz

from vnpu.hw import const, packets, pte, regs
from vnpu.hw.codes import EngineType, Fault, Opcode, QueueState
from vnpu.hw.packets import Fill, RingIndirect
from vnpu.hw.regs import Reg
from vnpu.qtest import VnpuQtest
from vnpu.qtest.npu import PHYS_VRAM

many = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
GOOD, SIZE = 0x40000000, 1 << 16
MS = 1_000_000

u8, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
#: addresses and sizes near what is mapped, and anything
addresses = st.one_of(
    st.integers(GOOD - 64, GOOD + SIZE + 64),
    st.integers(GOOD // 8, (GOOD + SIZE) // 8).map(lambda n: 8 * n),
    st.sampled_from([0, (1 << 48) - 1, 1 << 48, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]),
    u64,
)
sizes = st.one_of(st.integers(0, 200), st.integers(0, SIZE), u64)
small = st.one_of(st.integers(0, 100), u32)
codes = st.integers(0, 7)
VALUES = {"src_stride": sizes, "dst_stride": sizes, "size": sizes, "count": sizes,
          "a": addresses, "b": addresses, "c": addresses, "bias": st.one_of(st.just(0), addresses),
          "src": addresses, "dst": addresses, "addr": addresses, "value": u64, "mask": u64,
          "op": codes, "dtype": codes, "activation": codes, "compare": codes,
          "pattern": u32, "reserved": st.one_of(st.just(0), st.just(0), u32)}  # fmt: skip


@st.composite
def any_packet(draw: st.DrawFn) -> bytes:
    """A packet with values that might work, or rubbish."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(min_size=1, max_size=40).map(lambda b: b + bytes(-len(b) % 8)))
    layer = draw(st.sampled_from(list(packets.PACKET_LAYERS.values())))
    packet = layer(flags=draw(st.one_of(st.just(0), st.integers(0, 7), u8)))
    for field in packet.fields_desc:
        if field.name not in ("opcode", "flags", "dwords", "data"):
            value = draw(VALUES.get(field.name, small))
            setattr(packet, field.name, value & ((1 << 8 * field.sz) - 1))
    return bytes(packet)


@pytest.fixture
def target(each_npu: VnpuQtest) -> Any:
    """The device, a context that maps memory, and memory that it does not map."""
    npu = each_npu
    ctx = npu.context(1)
    base = npu.alloc(SIZE, vram=True)
    ctx.table.map(GOOD, base, SIZE, vram=True)
    witness = npu.alloc(4096, vram=True)
    return npu, ctx, witness


def settle(npu: VnpuQtest, queue: Any) -> None:
    """Until the queue is idle, halted, or blocked in a WAIT."""
    at_rest = (QueueState.IDLE, QueueState.FAULTED, QueueState.WAITING)
    npu.until(lambda: queue.state in at_rest, f"queue {queue.index} at rest", step_ns=MS)


def assert_well(npu: VnpuQtest, witness: int) -> None:
    """It still computes, and nothing was written where no context maps."""
    assert npu.read32(Reg.ID) == const.MAGIC
    queue = npu.queue(60, log2=4)
    queue.run(Fill(pattern=0x600D600D, dst=PHYS_VRAM | witness, size=64))
    assert npu.load(True, witness, 68) == b"\x0d\x60" * 32 + bytes(4)
    npu.store(True, witness, bytes(64))
    queue.reset()


@pytest.mark.parametrize("kind", [EngineType.COPY, EngineType.TENSOR])
@many
@given(stream=st.lists(any_packet(), min_size=1, max_size=6).map(b"".join))
def test_random_packets(target, kind, stream):
    npu, ctx, witness = target
    with npu.scratch():
        queue = npu.queue(5, ctx=ctx, kind=kind, log2=4)
        at = ctx.buffer(stream).va
        queue.put(RingIndirect(addr=at, size=len(stream)))
        queue.doorbell()
        settle(npu, queue)
        queue.reset()
        assert_well(npu, witness)


@many
@given(seed=st.integers(0, 2**32))
def test_fuzzed_layers(target, seed):
    """scapy's own fuzzing of each layer, header left intact."""
    import random

    npu, ctx, witness = target
    random.seed(seed)
    with npu.scratch():
        for kind in (EngineType.COPY, EngineType.TENSOR):
            queue = npu.queue(5, ctx=ctx, kind=kind, log2=4)
            for layer in packets.PACKET_LAYERS.values():
                stream = bytes(fuzz(layer(flags=0)))
                stream += bytes(-len(stream) % 8)
                queue.put(RingIndirect(addr=ctx.buffer(stream).va, size=len(stream)))
                queue.doorbell()
                settle(npu, queue)
                queue.reset()
                queue.enable()
        assert_well(npu, witness)


@many
@given(
    entries=st.lists(
        st.one_of(
            st.binary(min_size=32, max_size=32),
            st.builds(
                lambda op, flags, rest: bytes([op, flags, 8, 0]) + rest,
                st.integers(0, 5),
                st.integers(0, 4),
                st.binary(min_size=28, max_size=28),
            ),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_random_ring_entries(target, entries):
    """Privileged, so fences may go anywhere; but nothing else breaks."""
    npu, ctx, _ = target
    with npu.scratch():
        queue = npu.queue(5, ctx=ctx, log2=4)
        queue.put(*entries)
        queue.doorbell()
        settle(npu, queue)
        queue.reset()
        assert npu.read32(Reg.ID) == const.MAGIC


@many
@given(
    writes=st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 0x70 // 4),
                st.integers(0x200 // 4, 0x300 // 4),
                st.integers(0x4000 // 4, 0x4080 // 4),
                st.integers(0x8000 // 4, 0x8300 // 4),
                st.integers(0, 8).map(lambda n: regs.doorbell(n) // 4),
                st.integers(0, const.BAR_REGS_SIZE // 4 - 2),
            ),
            st.one_of(st.integers(0, 64), u32),
            st.sampled_from([4, 8]),
        ),
        max_size=30,
    )
)
def test_random_register_writes(target, writes):
    npu, _, witness = target
    for dword, value, size in writes:
        npu.qtest.write_int(npu.regs + 4 * dword, value, size)
        npu.qtest.read_int(npu.regs + 4 * dword, size)
    npu.qtest.clock_step(2 * MS)
    npu.reset()
    npu.enable_msix()
    assert_well(npu, witness)


@many
@given(
    entries=st.lists(
        st.tuples(
            st.integers(0, const.PT_LEVELS - 1),
            st.one_of(
                u64,
                st.builds(
                    lambda page, bits: page << 12 | bits | pte.VALID,
                    st.one_of(st.integers(0, 1 << 14), st.integers(0, (1 << 40) - 1)),
                    st.integers(0, 15),
                ),
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    size=st.integers(1, 3 * const.PAGE_SIZE),
)
def test_random_page_tables(target, entries, size):
    """Tables full of rubbish, walked by reads: host pages that are no memory included."""
    npu, ctx, witness = target
    va = GOOD + (1 << 40)
    flusher = npu.queue(61, log2=4)
    with npu.scratch():
        for level, value in entries:
            ctx.table.slot(va, 0)
            ctx.table.set(va, value, level)
            queue = npu.queue(5, ctx=ctx, log2=4)
            out = npu.alloc(SIZE, vram=True)
            ctx.table.map(GOOD + SIZE, out, SIZE, vram=True)
            stream = ctx.buffer(bytes(packets.Copy(src=va, dst=GOOD + SIZE, size=size)))
            queue.put(RingIndirect(addr=stream.va, size=32))
            queue.doorbell()
            settle(npu, queue)
            assert queue.state == QueueState.IDLE or queue.fault != Fault.NONE
            queue.reset()
            # begin anew for the next one, with fresh tables
            root = ctx.table.root + 8 * pte.index(va, const.PT_LEVELS - 1)
            npu.qtest.write_int(npu.aperture + root, 0, 8)
            flusher.run_entries(packets.RingInvalidate(flags="ALL"))
        flusher.reset()
        assert_well(npu, witness)


def test_every_opcode_in_the_header(npu, ctx):
    """256 opcodes with every small length: only the known ones get past the header."""
    known = {int(op) for op in Opcode}
    queue = npu.queue(5, ctx=ctx, log2=4)
    for opcode in range(256):
        stream = ctx.buffer(bytes([opcode, 0, 2, 0, 0, 0, 0, 0]))
        queue.put(RingIndirect(addr=stream.va, size=8))
        queue.doorbell()
        settle(npu, queue)
        if opcode == packets.Nop().opcode:
            assert queue.state == QueueState.IDLE
        else:
            wanted = Fault.LENGTH if opcode in known and opcode >= 0x10 else Fault.OPCODE
            assert queue.fault == wanted, hex(opcode)
        queue.reset()
        queue.enable()
