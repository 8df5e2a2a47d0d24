# SPDX-License-Identifier: MIT
"""What takes device time: resets, and enabling and disabling queues and contexts."""

from __future__ import annotations

from typing import Any

import pytest

from vnpu.hw import const, regs
from vnpu.hw.codes import EngineType, Fault, QueueState
from vnpu.hw.packets import Copy, Fill, Nop, RingNop
from vnpu.hw.regs import CtxReg, QueueReg, Reg
from vnpu.qtest import VnpuQtest
from vnpu.qtest.machine import failing_start
from vnpu.qtest.npu import PHYS_VRAM, device

US = 1000
MS = 1_000_000
#: the defaults
RESET, ENABLE, FLR = 100 * US, 20 * US, 10 * MS


def lasts(npu: VnpuQtest, changing: Any, ns: int) -> None:
    """Something is under way now, and over after *ns*, not earlier."""
    assert changing()
    npu.qtest.clock_step(ns - 1)
    assert changing()
    npu.qtest.clock_step(1)
    assert not changing()


# The device


def test_reset_takes_time(npu):
    npu.reset(wait=False)
    assert npu.read32(Reg.ID) == const.MAGIC
    lasts(npu, lambda: not npu.ready, RESET)


@pytest.mark.device(reset_us=7, enable_us=3)
def test_time_can_be_set(npu):
    queue = npu.queue(2, enable=False)
    queue.enable(wait=False)
    lasts(npu, lambda: queue.state == QueueState.CHANGING, 3 * US)
    npu.reset(wait=False)
    lasts(npu, lambda: not npu.ready, 7 * US)


@pytest.mark.device(reset_us=0, enable_us=0, flr_us=0)
def test_no_time_at_all(npu):
    ctx = npu.context(1)
    ctx.valid(False, wait=False)
    ctx.valid(True, wait=False)
    queue = npu.queue(2, ctx=ctx, enable=False)
    queue.enable(wait=False)
    assert queue.state == QueueState.IDLE
    queue.run(Nop())
    queue.reset(wait=False)
    assert queue.state == QueueState.DISABLED
    npu.reset_engine(0, wait=False)
    assert not npu.engine_resetting(0)
    npu.reset(wait=False)
    assert npu.ready
    npu.pci.function_reset()
    npu.assign()
    assert npu.ready


def test_writes_during_a_reset_do_nothing(npu):
    queue = npu.queue(2)
    npu.reset(wait=False)
    for offset, value in ((Reg.SCRATCH, 1), (regs.ctx(1) + CtxReg.PT, 0x1000), (Reg.CONTROL, 1),
                          (regs.doorbell(2), 1),
                          (regs.queue(2) + QueueReg.CONTEXT, 3)):  # fmt: skip
        npu.write32(offset, value)
    queue.enable(wait=False)
    npu.qtest.clock_step(RESET)
    assert npu.ready, "the second reset has not begun anew"
    assert (npu.read32(Reg.SCRATCH), npu.read32(regs.ctx(1) + CtxReg.PT)) == (0, 0)
    assert queue.read32(QueueReg.CONTEXT) == 0 and queue.state == QueueState.DISABLED
    npu.qtest.clock_step(MS)
    assert queue.state == QueueState.DISABLED


def test_a_packet_ends_with_the_write_that_resets(npu):
    """Not when READY comes back: memory may be given back earlier, once an old value is read."""
    queue = npu.queue(2)
    at = PHYS_VRAM | npu.alloc(32 << 20, vram=True)
    queue.submit(*[Fill(pattern=3, dst=at, size=32 << 20)] * 100)
    npu.reset(wait=False)
    assert npu.read32(Reg.STATUS) == 0, "neither ready nor busy"


# Queues


def test_enabling_a_queue_takes_time(npu):
    queue = npu.queue(2, enable=False)
    queue.enable(wait=False)
    assert regs.unpack("QUEUE.CONTROL", queue.read32(QueueReg.CONTROL))["ENABLE"]
    lasts(npu, lambda: queue.state == QueueState.CHANGING, ENABLE)
    assert queue.state == QueueState.IDLE
    queue.run(Nop())


def test_a_doorbell_that_comes_too_early_is_lost(npu):
    queue = npu.queue(2, enable=False)
    queue.enable(wait=False)
    queue.put(queue.next_fence())
    queue.doorbell()
    queue.settle()
    npu.qtest.clock_step(MS)
    assert queue.state == QueueState.IDLE and not queue.signaled(1)
    queue.doorbell()
    queue.wait()


def test_a_queue_that_is_being_enabled_cannot_be_written(npu):
    queue = npu.queue(2, enable=False)
    queue.enable(wait=False)
    queue.write32(QueueReg.CONTEXT, 7)
    queue.enable(False, wait=False)
    assert queue.read32(QueueReg.CONTEXT) == 0
    queue.settle()
    assert queue.state == QueueState.IDLE


def test_a_bad_queue_faults_when_its_time_is_over(npu):
    npu.events.take()
    queue = npu.queue(2, enable=False)
    queue.write32(QueueReg.CONTEXT, 9)
    queue.enable(wait=False)
    assert npu.events.take() == []
    # nobody reads a register meanwhile: the device does it by itself
    npu.qtest.clock_step(ENABLE)
    npu.until(lambda: npu.interrupted(const.EVENT_VECTOR), "the event")
    assert queue.expect_fault().code == Fault.CONTEXT


def test_a_reset_overtakes_enabling(npu):
    queue = npu.queue(2, enable=False)
    queue.enable(wait=False)
    npu.qtest.clock_step(ENABLE - 1)
    queue.reset(wait=False)
    lasts(npu, lambda: queue.state == QueueState.CHANGING, RESET)
    assert queue.state == QueueState.DISABLED


def test_disabling_takes_time_too(npu):
    queue = npu.queue(2)
    queue.enable(False, wait=False)
    assert not regs.unpack("QUEUE.CONTROL", queue.read32(QueueReg.CONTROL))["ENABLE"]
    lasts(npu, lambda: queue.state == QueueState.CHANGING, ENABLE)
    assert queue.state == QueueState.DISABLED


def test_work_of_a_queue_that_is_enabled_again_goes_on_by_itself(npu):
    """What is on the ring runs when the time is over, without a doorbell or a look."""
    queue = npu.queue(2)
    blocker = npu.queue(3)
    at = PHYS_VRAM | npu.alloc(32 << 20, vram=True)
    blocker.submit(*[Fill(pattern=3, dst=at, size=32 << 20)] * 20)
    queue.submit(Nop())
    queue.enable(False)
    blocker.wait()
    assert not queue.signaled(1)
    queue.enable(wait=False)
    npu.qtest.clock_step(ENABLE)
    npu.until(lambda: queue.signaled(1), "the fence")


# Engines


def test_an_engine_in_a_reset_begins_nothing(npu):
    queue = npu.queue(2)
    npu.reset_engine(queue.engine, wait=False)
    queue.submit(Nop())
    assert queue.state == QueueState.RUNNING
    lasts(npu, lambda: npu.engine_resetting(queue.engine), RESET)
    queue.wait()
    other = npu.queue(3, kind=EngineType.TENSOR)
    npu.reset_engine(queue.engine, wait=False)
    other.run(Nop())


# Contexts


def test_validating_a_context_takes_time(npu):
    ctx = npu.context(1)
    ctx.valid(False, wait=False)
    assert ctx.control == {"VALID": 0, "CHANGING": 1}
    lasts(npu, lambda: ctx.control["CHANGING"], ENABLE)
    ctx.valid(True, wait=False)
    assert ctx.control == {"VALID": 1, "CHANGING": 1}
    npu.write64(regs.ctx(1) + CtxReg.PT, 0x5000)
    lasts(npu, lambda: ctx.control["CHANGING"], ENABLE)
    assert ctx.control == {"VALID": 1, "CHANGING": 0}
    assert npu.read64(regs.ctx(1) + CtxReg.PT) == ctx.table.root


def test_a_context_is_not_valid_before_its_time(npu):
    ctx = npu.context(1)
    src, dst = ctx.buffer(b"ok"), ctx.buffer(2)
    queue = npu.queue(2, ctx=ctx)
    ctx.valid(False)
    ctx.valid(True, wait=False)
    assert queue.faults(Copy(src=src.va, dst=dst.va, size=2)).code == Fault.CONTEXT
    queue.reset()
    queue.enable()
    queue.run(Copy(src=src.va, dst=dst.va, size=2))
    assert dst.read() == b"ok"


def test_a_queue_and_its_context_may_come_together(npu):
    ctx = npu.context(1)
    queue = npu.queue(2, ctx=ctx, enable=False)
    ctx.valid(False)
    ctx.valid(True, wait=False)
    queue.enable(wait=False)
    npu.qtest.clock_step(ENABLE)
    assert queue.state == QueueState.IDLE


# The function


def in_flr(npu: VnpuQtest) -> bool:
    return npu.pci.read(0) == 0xFFFFFFFF


def test_function_level_reset_takes_time(npu):
    npu.pci.function_reset()
    lasts(npu, lambda: in_flr(npu), FLR)
    assert npu.pci.read(0) == const.PCI_DEVICE << 16 | const.PCI_VENDOR


@pytest.mark.device(flr_us=100_000)
def test_nothing_answers_in_a_function_level_reset(npu):
    npu.pci.function_reset()
    for offset in (0, 4, 0x10, 0x34, 0x80, 0xFC):
        assert npu.pci.read(offset) == 0xFFFFFFFF
    assert npu.pci.read_extended(0x100) == 0xFFFFFFFF
    assert npu.qtest.read_int(npu.regs + Reg.STATUS, 4) == 0xFFFFFFFF
    assert npu.qtest.read_int(npu.aperture, 8) == (1 << 64) - 1
    npu.assign()
    npu.qtest.clock_step(99 * MS)
    assert in_flr(npu)
    npu.qtest.clock_step(MS)
    assert npu.pci.read(0x10) & ~0xF == 0, "what was written meanwhile is lost"
    npu.assign()
    assert npu.ready
    npu.enable_msix()
    npu.queue(2).run_entries(RingNop())


def test_machine_reset_ends_a_function_level_reset(npu):
    npu.pci.function_reset()
    npu.machine.qmp("system_reset")
    npu.until(lambda: not in_flr(npu), "the reset of the machine")
    npu.assign()
    assert npu.ready


# Sleep


def test_a_change_ends_in_d3_or_after_it(npu):
    """Nobody can look; nothing is written to memory in D3."""
    npu.events.take()
    queue = npu.queue(2, enable=False)
    queue.write32(QueueReg.CONTEXT, 9)
    queue.enable(wait=False)
    npu.pci.power_state(3)
    npu.qtest.clock_step(MS)
    assert not npu.interrupted(const.EVENT_VECTOR)
    npu.pci.power_state(0)
    npu.assign()
    assert queue.expect_fault().code == Fault.CONTEXT


@pytest.mark.parametrize(
    ("properties", "complaint"),
    [
        ({"reset_us": 10_000_001}, "reset-us"),
        ({"enable_us": 10_000_001}, "enable-us"),
        ({"flr_us": 100_001}, "flr-us"),
        ({"flr_us": -1}, "flr-us"),
    ],
    ids=str,
)
def test_times_that_are_refused(properties, complaint):
    assert complaint in failing_start([device(**properties)])
