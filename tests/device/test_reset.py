# SPDX-License-Identifier: MIT
"""Resets of queue, engine, device and function, at rest and in the middle of work; power and
bus mastering."""

from __future__ import annotations

import time
from typing import Any

import pytest

from vnpu.hw import const, pte, regs
from vnpu.hw.codes import Access, EngineType, Fault, QueueState
from vnpu.hw.packets import Copy, Fill, Gemm, Nop, RingNop, Signal, Wait
from vnpu.hw.regs import CtxReg, EngineReg, QueueReg, Reg
from vnpu.qtest import Queue, VnpuQtest
from vnpu.qtest.npu import PHYS_VRAM

MS = 1_000_000
ALL_ONES = (1 << 64) - 1


def endless(npu: VnpuQtest, index: int = 2, **config: Any) -> Queue:
    """A queue with half a minute of work, running: many GEMMs of a fraction of a second."""
    queue = npu.queue(index, kind=EngineType.TENSOR, **config)
    a, b, c = (PHYS_VRAM | at for at in (16 << 20, 20 << 20, 24 << 20))
    dim = 1024
    gemm = Gemm(
        dtype="I8", a=a, b=b, c=c, m=dim, n=dim, k=dim, lda=dim, ldb=dim, ldc=dim
    )  # fmt: skip
    queue.submit(*[gemm] * (const.CMD_MAX_BYTES // len(gemm)))
    npu.until(lambda: running(npu, queue), "the GEMM on its engine")
    return queue


def running(npu: VnpuQtest, queue: Queue) -> bool:
    status = regs.unpack("ENGINE.STATUS", npu.engine(queue.engine, EngineReg.STATUS))
    return bool(status["BUSY"]) and status["QUEUE"] == queue.index


def blocked(npu: VnpuQtest, index: int = 5) -> tuple[Queue, int]:
    """A queue in a WAIT, and the word it waits for (in VRAM)."""
    queue = npu.queue(index)
    word = npu.alloc(8, vram=True)
    queue.submit(Wait(addr=PHYS_VRAM | word, compare="EQ", value=1, mask=ALL_ONES))
    npu.until(lambda: queue.state == QueueState.WAITING, "the WAIT")
    return queue, word


def assert_pristine(npu: VnpuQtest, queue: Queue) -> None:
    """A queue that was reset."""
    for register in (QueueReg.HEAD, QueueReg.TAIL, QueueReg.PROGRESS, QueueReg.STATUS,
                     QueueReg.CONTROL):  # fmt: skip
        assert queue.read32(register) == 0
    for register in (QueueReg.FENCE, QueueReg.BUSY, QueueReg.FAULT_ADDR, QueueReg.FAULT_IP):
        assert queue.read64(register) == 0


# Queue


def test_queue_reset_aborts_the_running_packet(npu):
    queue = endless(npu)
    other = npu.queue(3, kind=EngineType.TENSOR)
    queue.reset()  # comes back at all: the packet never ends by itself
    assert_pristine(npu, queue)
    assert not running(npu, queue)
    other.run(Nop())
    queue.enable()
    queue.run(Nop())


def test_queue_reset_keeps_the_configuration(npu):
    queue = npu.queue(2, log2=5, vector=9)
    queue.run(Nop())
    before = [queue.read32(reg) for reg in (QueueReg.CONFIG, QueueReg.CONTEXT, QueueReg.VECTOR)]
    base = queue.read64(QueueReg.BASE)
    queue.reset()
    assert before == [
        queue.read32(reg) for reg in (QueueReg.CONFIG, QueueReg.CONTEXT, QueueReg.VECTOR)
    ]
    assert queue.read64(QueueReg.BASE) == base
    assert_pristine(npu, queue)


def test_queue_reset_drops_a_blocked_wait(npu):
    queue, word = blocked(npu)
    queue.reset()
    assert_pristine(npu, queue)
    npu.qtest.write_int(npu.aperture + word, 1, 8)
    npu.qtest.clock_step(5 * MS)
    assert not queue.signaled(1)
    queue.enable()
    queue.fence = 10
    queue.run(Nop())
    assert queue.fence_record().value == 11


def test_queue_reset_drops_what_was_on_the_ring(npu):
    """The engine is kept busy by another, so that nothing of it has begun."""
    endless(npu, 2)
    queue = npu.queue(3, kind=EngineType.TENSOR)
    word = npu.alloc(8, vram=False)
    queue.submit(Signal(op="SET", addr=word, value=1))
    queue.reset()
    npu.queue(2, kind=EngineType.TENSOR, enable=False).reset()
    queue.enable()
    queue.run(Nop())
    assert npu.qtest.read_int(word, 8) == 0


def test_queue_reset_of_one_leaves_others(npu):
    running_queue = endless(npu)
    waiting, word = blocked(npu)
    npu.queue(9).reset()
    assert running(npu, running_queue)
    npu.qtest.write_int(npu.aperture + word, 1, 8)
    waiting.wait(step_ns=MS)
    running_queue.reset()


def test_disable_stops_after_the_running_packet(npu):
    queue = npu.queue(2)
    at = PHYS_VRAM | npu.alloc(32 << 20, vram=True)
    queue.submit(*[Fill(pattern=3, dst=at, size=32 << 20)] * 50)
    npu.until(lambda: running(npu, queue), "the FILL")
    queue.enable(False)
    npu.until(lambda: queue.state == QueueState.DISABLED, "the end of the packet", step_ns=MS)
    progress = queue.read32(QueueReg.PROGRESS)
    assert 2 <= progress < 100 and progress % 2 == 0, "parts of 16 MiB, whole packets"
    npu.queue(3).run(Nop())
    assert queue.read32(QueueReg.PROGRESS) == progress and queue.head == 0
    queue.enable()
    queue.wait()
    assert queue.read32(QueueReg.PROGRESS) == 102


# Engine


def test_engine_reset_faults_the_running_queue(npu):
    queue = endless(npu)
    npu.events.take()
    npu.reset_engine(queue.engine)
    event = queue.expect_fault()
    assert (event.code, event.access, event.addr) == (Fault.RESET, Access.NONE, 0)
    assert event.arg & 0xFF == Gemm().opcode
    other = npu.queue(3, kind=EngineType.TENSOR)
    other.run(Nop())


def test_engine_reset_spares_the_next_in_line(npu):
    queue = endless(npu)
    patient = npu.queue(3, kind=EngineType.TENSOR)
    patient.submit(Nop())
    npu.reset_engine(queue.engine)
    patient.wait()
    assert queue.fault == Fault.RESET


def test_engine_reset_at_rest_does_nothing(npu):
    queue = npu.queue(2)
    queue.run(Nop())
    waiting, word = blocked(npu)
    npu.events.take()
    for engine in range(npu.read32(Reg.ENGINES)):
        npu.reset_engine(engine)
    assert npu.events.take() == []
    assert waiting.state == QueueState.WAITING
    queue.run(Nop())
    npu.qtest.write_int(npu.aperture + word, 1, 8)
    waiting.wait(step_ns=MS)


# Device and function


def by_register(npu: VnpuQtest) -> None:
    npu.reset()


def by_flr(npu: VnpuQtest) -> None:
    npu.function_reset()
    npu.assign()


def by_machine(npu: VnpuQtest) -> None:
    npu.machine.qmp("system_reset")
    # the reset comes after the answer: BARs are gone when it has been
    npu.until(lambda: npu.pci.read(0x10) & ~0xF == 0, "the reset of the machine")
    npu.assign()


RESETS = [by_register, by_flr, by_machine]


@pytest.mark.parametrize("reset", RESETS)
def test_reset_in_the_middle_of_everything(npu, reset):
    """A running packet, a blocked WAIT, a faulted queue, work behind them."""
    ctx = npu.context(3)
    npu.events.take()
    npu.write32(Reg.SCRATCH, 77)
    mark = npu.alloc(4096, vram=True)
    npu.store(True, mark, b"survivor" * 512)
    busy = endless(npu)
    behind = npu.queue(3, kind=EngineType.TENSOR)
    behind.submit(Nop())
    waiting, word = blocked(npu)
    faulted = npu.queue(7)
    faulted.put(RingNop(opcode=0))
    faulted.doorbell()
    npu.until(lambda: faulted.fault, "the fault")
    assert ctx.index == 3

    reset(npu)

    for queue in (busy, behind, waiting, faulted):
        assert queue.state == QueueState.DISABLED
        assert_pristine(npu, queue)
        assert queue.read64(QueueReg.BASE) == 0
        assert queue.read32(QueueReg.CONFIG) == 0
    for register in (Reg.SCRATCH, Reg.EVENT_CONFIG, Reg.EVENT_HEAD, Reg.EVENT_TAIL):
        assert npu.read32(register) == 0
    assert npu.read64(Reg.EVENT_BASE) == 0
    assert npu.read32(regs.ctx(3) + CtxReg.CONTROL) == 0
    assert npu.read64(regs.ctx(3) + CtxReg.PT) == 0
    assert regs.unpack("STATUS", npu.read32(Reg.STATUS)) == {"READY": 1, "BUSY": 0}
    for engine in range(2):
        assert npu.engine(engine, EngineReg.JOBS) == 0
    assert npu.load(True, mark, 4096) == b"survivor" * 512

    # nothing comes back to life
    npu.qtest.write_int(npu.aperture + word, 1, 8)
    npu.qtest.clock_step(10 * MS)
    assert not waiting.signaled(1)
    assert not behind.signaled(1)
    npu.enable_msix()
    npu.queue(2, kind=EngineType.TENSOR).run(Nop())
    npu.queue(5).run(Nop())


@pytest.mark.parametrize("reset", RESETS)
def test_reset_at_rest(npu, reset):
    for _ in range(3):
        reset(npu)
        assert npu.read32(Reg.ID) == const.MAGIC
        npu.enable_msix()
        npu.queue(2).run(Nop())


@pytest.mark.parametrize("reset", RESETS)
def test_reset_forgets_translations(npu, reset):
    ctx = npu.context(1)
    pages = [npu.alloc(4096, vram=True) for _ in "ab"]
    for n, page in enumerate(pages, 1):
        npu.store(True, page, bytes([n]) * 8)
    va, out = 0x123456000, npu.alloc(4096, vram=False)
    ctx.table.set(0x9000, pte.leaf(out, vram=False))
    for n, page in enumerate(pages, 1):
        ctx.table.set(va, pte.leaf(page, vram=True))
        queue = npu.queue(2, ctx=ctx)
        queue.run(Copy(src=va, dst=0x9000, size=1))
        assert npu.load(False, out, 1) == bytes([n])
        reset(npu)
        npu.enable_msix()
        npu.write64(regs.ctx(1) + CtxReg.PT, ctx.table.root)
        ctx.valid(True)


def test_register_reset_keeps_configuration_space(npu):
    before = [npu.pci.read(offset) for offset in range(0, 0x100, 4)]
    npu.reset()
    assert [npu.pci.read(offset) for offset in range(0, 0x100, 4)] == before
    queue = npu.queue(2)
    queue.run(Nop())
    npu.until(lambda: npu.interrupted(queue.vector), "an interrupt after the reset")


def test_flr_clears_configuration_space(npu):
    npu.function_reset()
    assert npu.pci.read(0x04) & 0x6 == 0
    assert npu.pci.read(0x10) & ~0xF == 0


def test_quit_in_the_middle_of_work(launch):
    from vnpu.qtest.npu import device

    machine = launch([device()])
    npu = VnpuQtest(machine)
    endless(npu)
    blocked(npu)
    assert machine.close() == 0


# Bus mastering and power


def test_bus_master_off_faults_host_accesses(npu):
    """Rings and fences in VRAM go on, and work that stays in VRAM."""
    queue = npu.queue(2, vram=True, fence_vram=True)
    page = npu.alloc(4096, vram=True)
    at = npu.alloc(64, vram=True, align=8)
    npu.events.take()
    npu.pci.command(master=False)
    npu.store(True, at, bytes(Fill(pattern=9, dst=PHYS_VRAM | page, size=64)))
    from vnpu.hw.packets import RingIndirect

    queue.put(RingIndirect(addr=PHYS_VRAM | at, size=24), queue.next_fence(flags=0))
    queue.doorbell()
    queue.wait()
    assert npu.load(True, page, 4) == b"\x09\0\0\0"

    host = npu.alloc(64, vram=False)
    npu.store(True, at, bytes(Copy(src=PHYS_VRAM | page, dst=host, size=32)))
    queue.put(RingIndirect(addr=PHYS_VRAM | at, size=32))
    queue.doorbell()
    npu.until(lambda: queue.fault == Fault.DMA, "the DMA fault")
    assert queue.read64(QueueReg.FAULT_ADDR) == host
    assert npu.load(False, host, 32) == bytes(32)
    # the event record could not be written either
    assert (npu.events.tail, npu.events.dropped) == (0, 1)
    npu.pci.command()
    queue.reset()
    queue.enable()
    queue.run_entries(RingNop())


def test_bus_master_off_faults_ring_in_host_memory(npu):
    queue = npu.queue(2)
    npu.pci.command(master=False)
    queue.doorbell(1)
    npu.until(lambda: queue.fault == Fault.DMA, "the DMA fault")
    assert queue.read64(QueueReg.FAULT_ADDR) == queue.ring


def test_bus_master_off_stops_a_running_copy(npu):
    queue = npu.queue(2)
    size = 20 << 20
    host = npu.ram.alloc(size)
    queue.submit(*[Copy(src=host, dst=PHYS_VRAM, size=size)] * 1000)
    npu.until(lambda: running(npu, queue), "the copy")
    npu.pci.command(master=False)
    npu.until(lambda: queue.fault == Fault.DMA, "the DMA fault")
    npu.pci.command()


def test_d3_stops_work_and_d0_goes_on(npu):
    queue = npu.queue(2)
    at = PHYS_VRAM | npu.alloc(8 << 20, vram=True)
    queue.submit(*[Fill(pattern=3, dst=at, size=8 << 20)] * 300)
    npu.until(lambda: running(npu, queue), "the work")
    npu.pci.power_state(3)
    assert npu.read32(Reg.ID) == 0xFFFFFFFF
    npu.pci.power_state(0)
    npu.assign()
    progress = queue.read32(QueueReg.PROGRESS)
    assert progress < 302
    queue.wait()
    # falling asleep may have ended a part early
    assert queue.read32(QueueReg.PROGRESS) in (302, 303)
    assert npu.engine(queue.engine, EngineReg.JOBS) == 300
    assert npu.load(True, at & ~PHYS_VRAM, 8 << 10) == b"\x03\0\0\0" * (2 << 10)


def test_stop_and_continue_in_the_middle_of_work(npu):
    queue = npu.queue(2)
    at = PHYS_VRAM | npu.alloc(8 << 20, vram=True)
    queue.submit(*[Fill(pattern=3, dst=at, size=8 << 20)] * 300)
    npu.until(lambda: running(npu, queue), "the work")
    npu.machine.qmp("stop")
    progress = queue.read32(QueueReg.PROGRESS)
    time.sleep(0.05)
    assert queue.read32(QueueReg.PROGRESS) == progress < 302
    npu.machine.qmp("cont")
    queue.wait()
    assert npu.engine(queue.engine, EngineReg.JOBS) == 300


# Interrupts


def test_device_reset_forgets_interrupts(npu):
    """One that could not be delivered yet: while the machine is stopped, none is."""
    npu.events.take()
    queue = npu.queue(2, log2=4)
    npu.machine.qmp("stop")
    queue.doorbell(0x1000)
    assert queue.fault == Fault.RING and npu.events.tail == 1
    npu.reset(wait=False)
    npu.machine.qmp("cont")
    npu.settle(lambda: not npu.ready, "the reset")
    npu.queue(3).run(Nop())
    npu.until(lambda: npu.interrupted(4), "the interrupt of the queue")
    assert not npu.interrupted(const.EVENT_VECTOR)


def test_interrupt_waits_for_bus_mastering(npu):
    """Messages are writes. Ring and fence are in VRAM, which needs no bus."""
    queue = npu.queue(2, vram=True, fence_vram=True)
    npu.pci.command(master=False)
    queue.run_entries(RingNop())
    assert not npu.interrupted(queue.vector)
    npu.pci.command()
    npu.until(lambda: npu.interrupted(queue.vector), "the interrupt")


def test_queue_with_a_bad_doorbell_is_quiet_after_its_reset(npu):
    """Halted is not quiet: the packet on the engine runs to its end."""
    queue = endless(npu)
    queue.doorbell(queue.tail + 0x10000)
    assert queue.state == QueueState.FAULTED and running(npu, queue)
    queue.reset()
    assert not running(npu, queue)
    assert_pristine(npu, queue)
