# SPDX-License-Identifier: MIT
"""Rings: doorbells, wrapping, fences, command buffers, enabling and disabling."""

from __future__ import annotations

import pytest

from vnpu.hw import const, packets, regs
from vnpu.hw.codes import Access, EngineType, Fault, QueueState
from vnpu.hw.packets import (
    Copy,
    Fill,
    Gemm,
    Nop,
    RingFence,
    RingIndirect,
    RingNop,
    Signal,
    Wait,
)
from vnpu.hw.regs import EngineReg, QueueReg, Reg
from vnpu.qtest.npu import PHYS_VRAM


def test_fence(each_npu):
    npu = each_npu
    queue = npu.queue(2)
    value = 0x1122334455667788
    queue.put(RingNop(), RingFence(flags="IRQ", addr=queue.fence_at, value=value))
    queue.doorbell()
    queue.wait(value)
    assert queue.fence_record().value == value
    assert queue.read64(QueueReg.FENCE) == value
    assert queue.state == QueueState.IDLE
    assert (queue.head, queue.read32(QueueReg.TAIL)) == (2, 2)
    assert queue.read32(QueueReg.PROGRESS) == 2
    npu.until(lambda: npu.interrupted(queue.vector), "the fence's interrupt")


def test_fence_without_irq_is_silent(npu):
    quiet, loud = npu.queue(2), npu.queue(3)
    quiet.put(quiet.next_fence(flags=0))
    quiet.doorbell()
    quiet.wait()
    loud.run_entries(RingNop())
    npu.until(lambda: npu.interrupted(loud.vector), "the other queue's interrupt")
    assert not npu.interrupted(quiet.vector)


@pytest.mark.parametrize("ring_vram", [False, True])
@pytest.mark.parametrize("fence_vram", [False, True])
def test_ring_and_fence_in_either_memory(npu, ring_vram, fence_vram):
    queue = npu.queue(2, vram=ring_vram, fence_vram=fence_vram)
    queue.run(Nop())
    assert queue.fence_record().value == 1


def test_vectors_may_be_shared(npu):
    first, second = npu.queue(2, vector=5), npu.queue(3, vector=5)
    for queue in (first, second):
        queue.run_entries(RingNop())
        npu.until(lambda: npu.interrupted(5), "the shared vector")


def test_ring_wraps(npu):
    queue = npu.queue(2, log2=const.RING_LOG2_MIN)
    total = 0
    for batch in (1, 15, 16, 7, 16, 3, 16, 16, 11):
        queue.put(*[RingNop()] * (batch - 1), queue.next_fence())
        queue.doorbell()
        queue.wait()
        total += batch
        assert queue.head == total == queue.read32(QueueReg.PROGRESS)


@pytest.mark.parametrize("log2", range(const.RING_LOG2_MIN, const.RING_LOG2_MAX + 1))
def test_every_ring_size_filled_to_the_brim(npu, log2):
    queue = npu.queue(2, log2=log2)
    queue.put(*[RingNop()] * (queue.entries - 1), queue.next_fence())
    queue.doorbell()
    queue.wait()
    assert queue.head == queue.entries


def test_doorbell_beyond_the_ring(npu):
    queue = npu.queue(2, log2=4)
    npu.events.take()
    queue.doorbell(17)
    event = queue.expect_fault()
    assert (queue.fault, event.code, event.access) == (Fault.RING, Fault.RING, Access.NONE)
    assert (event.addr, event.ip, event.entry, event.arg) == (0, 0, 0, 0)


def test_doorbell_backwards(npu):
    queue = npu.queue(2, log2=4)
    queue.run_entries(RingNop())
    npu.events.take()
    queue.doorbell(1)
    assert queue.expect_fault().code == Fault.RING
    assert queue.head == 2


def test_repeated_doorbell_does_nothing(npu):
    queue = npu.queue(2)
    queue.run_entries(RingNop())
    for _ in range(3):
        queue.doorbell()
    assert queue.state == QueueState.IDLE
    assert queue.read32(QueueReg.PROGRESS) == 2


def test_doorbell_of_disabled_queue_is_ignored(npu):
    queue = npu.queue(2, enable=False)
    queue.put(queue.next_fence())
    queue.doorbell()
    assert queue.state == QueueState.DISABLED
    assert queue.read32(QueueReg.TAIL) == 0
    queue.enable()
    assert queue.state == QueueState.IDLE
    queue.doorbell()
    queue.wait()


@pytest.mark.parametrize(
    ("register", "value", "fault"),
    [
        (QueueReg.CONFIG, regs.pack("QUEUE.CONFIG", LOG2=const.RING_LOG2_MIN - 1), Fault.RING),
        (QueueReg.CONFIG, regs.pack("QUEUE.CONFIG", LOG2=const.RING_LOG2_MAX + 1), Fault.RING),
        (QueueReg.CONFIG, regs.pack("QUEUE.CONFIG", LOG2=31), Fault.RING),
        (QueueReg.CONFIG, regs.pack("QUEUE.CONFIG", LOG2=6, ENGINE=2), Fault.RING),
        (QueueReg.CONFIG, regs.pack("QUEUE.CONFIG", LOG2=6, ENGINE=15), Fault.RING),
        (QueueReg.VECTOR, 0x1000, Fault.RING),
        (QueueReg.VECTOR, 0xFFFFFFFF, Fault.RING),
        (QueueReg.BASE_LO, 0x400800, Fault.RING),
        (QueueReg.CONTEXT, 5, Fault.CONTEXT),
        (QueueReg.CONTEXT, const.MAX_CONTEXTS, Fault.CONTEXT),
        (QueueReg.CONTEXT, 0xFFFFFFFF, Fault.CONTEXT),
    ],
)
def test_bad_configuration_faults_at_once(npu, register, value, fault):
    queue = npu.queue(2, enable=False)
    queue.write32(register, value)
    npu.events.take()
    queue.enable()
    event = queue.expect_fault()
    assert (queue.fault, event.code, event.queue) == (fault, fault, 2)


@pytest.mark.parametrize("base", [0x4000000, 0x3FFF000, 1 << 52, (1 << 64) - 4096])
def test_vram_ring_beyond_the_end(npu, base):
    queue = npu.queue(2, vram=True, log2=8, enable=False)
    npu.write64(queue.base + QueueReg.BASE, base)
    npu.events.take()
    queue.enable()
    assert queue.expect_fault().code == Fault.RING


def test_ring_the_bus_refuses(npu):
    queue = npu.queue(2, enable=False)
    npu.write64(queue.base + QueueReg.BASE, 0x70000000)
    npu.events.take()
    queue.enable()
    queue.doorbell(1)
    event = queue.expect_fault()
    assert (event.code, event.access, event.addr) == (Fault.DMA, Access.FETCH, 0x70000000)
    assert event.arg == 0


def test_disable_keeps_head_and_enable_goes_on(npu):
    queue = npu.queue(2)
    word = npu.alloc(8, vram=False)
    at, size = queue.commands(Wait(addr=word, value=1, mask=0xFF))
    queue.put(
        RingNop(),
        RingIndirect(addr=at, size=size),
        queue.next_fence(),
    )
    queue.doorbell()
    npu.until(lambda: queue.state == QueueState.WAITING, "the WAIT")
    queue.enable(False)
    assert queue.state == QueueState.DISABLED
    assert queue.head == 1
    npu.qtest.write_int(word, 1, 8)
    npu.qtest.clock_step(5_000_000)
    assert not queue.signaled(1)
    queue.enable()
    queue.wait(step_ns=1_000_000)
    assert queue.head == 3


def test_command_buffer_is_taken_in_whole(npu):
    """What is written over a command buffer that has started does not run."""
    queue = npu.queue(2)
    word, target = npu.alloc(8, vram=False), npu.alloc(4096, vram=True)
    at, size = queue.commands(
        Wait(addr=word, value=1, mask=0xFF),
        Fill(pattern=0x11111111, dst=PHYS_VRAM | target, size=64),
    )
    queue.put(RingIndirect(addr=at, size=size), queue.next_fence())
    queue.doorbell()
    npu.until(lambda: queue.state == QueueState.WAITING, "the WAIT")
    npu.store(False, at, b"\xff" * size)
    npu.qtest.write_int(word, 1, 8)
    queue.wait(step_ns=1_000_000)
    assert npu.load(True, target, 64) == b"\x11" * 64


def test_largest_command_buffer(each_npu):
    queue = each_npu.queue(2)
    count = const.CMD_MAX_BYTES // 8
    queue.run(bytes(Nop()) * count)
    assert queue.read32(QueueReg.PROGRESS) == count + 2


def test_nops_of_every_length(each_npu):
    queue = each_npu.queue(2)
    nops = [Nop(data=b"\xa5" * 4 * n) for n in range(0, const.PACKET_MAX_DWORDS - 1, 2)]
    queue.run(*nops)
    assert queue.read32(QueueReg.PROGRESS) == len(nops) + 2


def test_command_buffer_over_scattered_pages(npu, ctx):
    queue = npu.queue(2, ctx=ctx)
    target = ctx.buffer(64)
    data = bytes(Nop()) * 1500 + bytes(Fill(pattern=7, dst=target.va, size=64))
    for vram in (True, False):
        target.write(bytes(64))
        stream = ctx.buffer(data, vram=vram, offset=0xFF8, scatter=True)
        queue.run_entries(RingIndirect(addr=stream.va, size=len(data)))
        assert target.read() == b"\x07\0\0\0" * 16


def test_counters(each_npu):
    npu = each_npu
    queue = npu.queue(2)
    at = PHYS_VRAM | npu.alloc(1 << 20, vram=True)
    jobs = npu.engine(queue.engine, EngineReg.JOBS)
    records = []
    for _ in range(3):
        queue.run(Fill(pattern=1, dst=at, size=1 << 20), Nop())
        records.append(queue.fence_record().busy_ns)
    assert npu.engine(queue.engine, EngineReg.JOBS) - jobs == 6
    assert 0 < records[0] < records[1] < records[2]
    assert queue.read64(QueueReg.BUSY) == records[2]
    assert npu.read64(regs.engine(queue.engine) + EngineReg.BUSY) == records[2]
    assert regs.unpack("STATUS", npu.read32(Reg.STATUS))["BUSY"] == 0


def test_busy_grows_while_a_packet_runs(npu):
    """Queue and engine show the packet's time so far, and no less when it has ended."""
    queue = npu.queue(2, kind=EngineType.TENSOR)
    a, b, c = (PHYS_VRAM | at for at in (16 << 20, 20 << 20, 24 << 20))
    dim = 1024
    queue.submit(Gemm(dtype="I8", a=a, b=b, c=c, m=dim, n=dim, k=dim, lda=dim, ldb=dim, ldc=dim))
    engine = regs.engine(queue.engine) + EngineReg.BUSY
    samples = []
    while queue.read32(QueueReg.PROGRESS) == 0:
        samples += [queue.read64(QueueReg.BUSY), npu.read64(engine)]
    queue.wait()
    samples += [queue.fence_record().busy_ns, queue.read64(QueueReg.BUSY)]
    assert samples == sorted(samples)
    assert len(set(samples)) > 10
    assert samples[-1] == samples[-2] == npu.read64(engine)


def test_all_queues_at_once(npu):
    queues = [npu.queue(n, log2=4) for n in range(const.MAX_QUEUES)]
    targets = [npu.alloc(4096, vram=True) for _ in queues]
    for n, (queue, target) in enumerate(zip(queues, targets, strict=True)):
        queue.submit(Fill(pattern=n + 1, dst=PHYS_VRAM | target, size=4096))
    for n, (queue, target) in enumerate(zip(queues, targets, strict=True)):
        queue.wait()
        assert npu.load(True, target, 4096) == (n + 1).to_bytes(4, "little") * 1024
        assert npu.interrupted(queue.vector) or queue.vector != n + 1


@pytest.mark.device(copy_engines=2, tensor_engines=2)
def test_several_engines_of_a_kind(npu):
    copy, tensor = npu.engines(EngineType.COPY), npu.engines(EngineType.TENSOR)
    data = npu.alloc(4096, vram=True)
    npu.store(True, data, bytes(range(256)) * 16)
    for n, engine in enumerate(copy):
        dst = npu.alloc(4096, vram=True)
        npu.queue(n, engine=engine).run(Copy(src=PHYS_VRAM | data, dst=PHYS_VRAM | dst, size=4096))
        assert npu.load(True, dst, 4096) == npu.load(True, data, 4096)
        assert npu.engine(engine, EngineReg.JOBS) == 1
    for n, engine in enumerate(tensor):
        dst = npu.alloc(4096, vram=True)
        npu.queue(10 + n, engine=engine).run(
            packets.Eltwise(
                op="MAX", dtype="I8", a=PHYS_VRAM | data, b=PHYS_VRAM | data, dst=PHYS_VRAM | dst,
                count=4096,
            )
        )  # fmt: skip
        assert npu.load(True, dst, 4096) == npu.load(True, data, 4096)


def test_signal_is_visible_to_the_cpu(each_npu):
    npu = each_npu
    word = npu.alloc(16, vram=False)
    npu.queue(2).run(Signal(op="SET", addr=word, value=0xFEDCBA9876543210))
    assert npu.qtest.read_int(word, 8) == 0xFEDCBA9876543210
