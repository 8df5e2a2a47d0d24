# SPDX-License-Identifier: MIT
"""The machine is frozen in the middle of work and goes on elsewhere."""

from support import MIB, PAGE, Copier, Gate, pattern

from vnpu.accel import SYSTEM, VRAM
from vnpu.hw.codes import SignalOp
from vnpu.hw.packets import Copy, Fill, Signal


def test_work_in_flight_finishes_in_a_new_process(machine, npu):
    """Queued copies and fills finish after the move with the same bytes."""
    c = Copier(npu)
    src, va_src = c.buffer(8 * MIB, VRAM)
    dst, va_dst = c.buffer(8 * MIB, VRAM)
    counter, va_counter = c.buffer(PAGE, SYSTEM)
    data = pattern(8 * MIB)
    src.write(data)
    packets = [
        p
        for _ in range(20)
        for p in (
            Fill(pattern=0, dst=va_dst, size=8 * MIB),
            Copy(src=va_src, dst=va_dst, size=8 * MIB),
            Signal(op=SignalOp.ADD, addr=va_counter, value=1),
        )
    ]
    fence = c.queue.submit(packets)
    machine.move_to_new_process()
    fence.wait(timeout_ms=30000)
    assert fence.error() == 0
    assert dst.read(8 * MIB) == data
    assert int.from_bytes(counter.read(8), "little") == 20


def test_blocked_wait_survives(machine, npu):
    """A queue that waits in memory still waits, and is still let go."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    bo, va = c.buffer(PAGE, SYSTEM)
    fence = c.queue.submit([*gate.packets(), Fill(pattern=6, dst=va, size=PAGE)])
    machine.move_to_new_process()
    assert not fence.done()
    gate.open()
    fence.wait()
    assert bo.read(4) == b"\6\0\0\0"


def test_moved_twice(machine, npu):
    c = Copier(npu)
    bo, va = c.buffer(4 * MIB, VRAM)
    for i in range(2):
        c.queue.submit([Fill(pattern=i + 1, dst=va, size=4 * MIB)])
        machine.move_to_new_process()
    c.queue.submit([]).wait()
    assert bo.read(4) == b"\2\0\0\0"
