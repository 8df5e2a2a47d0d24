# SPDX-License-Identifier: MIT
"""Turns: between queues, between parts of packets, and between the device and vCPUs."""

from __future__ import annotations

import os
import statistics
import struct
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vnpu.base.deadline import scaled
from vnpu.hw import const, pte, regs
from vnpu.hw.codes import EngineType, Fault, Priority
from vnpu.hw.packets import Copy, Copy2d, Fill, Gemm, Nop, Reduce, RingIndirect
from vnpu.hw.regs import EngineReg, QueueReg
from vnpu.qtest import Context, VnpuQtest
from vnpu.qtest.npu import PHYS_VRAM, Queue, device

MIB, GIB = 1 << 20, 1 << 30
DIM = const.GEMM_MAX_DIM


def running(npu: VnpuQtest, queue: Queue) -> Any:
    return npu.until(lambda: npu.engine(queue.engine, EngineReg.STATUS) & 1, "the packet")


def alias(npu: VnpuQtest, ctx: Context, pages: Sequence[int], *, vram: bool = False) -> int:
    """Half a terabyte of addresses that lead to a few pages, neighbours never to neighbours.

    Returns the first.
    """
    base = 255 << 39
    tables = [npu.alloc_table() for _ in range(const.PT_LEVELS - 1)]
    leaves = [pte.leaf(pages[i % len(pages)], vram=vram) for i in range(const.PT_ENTRIES)]
    npu.store(True, tables[0], struct.pack(f"<{const.PT_ENTRIES}Q", *map(int, leaves)))
    for below, table in pairwise(tables):
        npu.store(True, table, struct.pack("<Q", int(pte.table(below))) * const.PT_ENTRIES)
    ctx.table.set(base, int(pte.table(tables[-1])), level=const.PT_LEVELS - 1)
    return base


def scattered(npu: VnpuQtest, byte: bytes = b"") -> list[int]:
    """Pages of guest memory, out of order."""
    base = npu.alloc(64 * const.PAGE_SIZE, vram=False)
    if byte:
        npu.store(False, base, byte * (64 * const.PAGE_SIZE // len(byte)))
    return [base + const.PAGE_SIZE * (i * 37 % 64) for i in range(64)]


@pytest.fixture
def wide(npu: VnpuQtest, ctx: Context) -> int:
    """The first of many addresses of the context, all of which are mapped."""
    return alias(npu, ctx, scattered(npu))


def long_gemm(at: int, dtype: str = "I8") -> Gemm:
    """The largest there is: minutes of work."""
    return Gemm(dtype=dtype, a=at, b=at + GIB, c=at + 2 * GIB, m=DIM, n=DIM, k=DIM,
                lda=DIM, ldb=DIM, ldc=DIM)  # fmt: skip


def start(npu: VnpuQtest, queue: Queue, packet: Any) -> None:
    queue.submit(packet)
    running(npu, queue)


# Between queues


def test_important_packet_waits_for_a_part_of_a_long_one(npu):
    low, high = npu.queue(2, priority=Priority.LOW), npu.queue(3, priority=Priority.KERNEL)
    low.submit(
        Copy2d(rows=1 << 23, src=0x100000, dst=PHYS_VRAM, src_stride=2, dst_stride=4, row_bytes=1)
    )
    running(npu, low)
    for _ in range(20):
        high.run(Fill(pattern=1, dst=PHYS_VRAM | 40 * MIB, size=64))
        assert not low.signaled(1)
    low.wait()
    assert low.fault == Fault.NONE


def test_important_packet_waits_for_a_step_of_a_product(npu, ctx, wide):
    low = npu.queue(2, ctx=ctx, kind=EngineType.TENSOR, priority=Priority.LOW)
    high = npu.queue(3, kind=EngineType.TENSOR, priority=Priority.KERNEL)
    start(npu, low, long_gemm(wide))
    small = npu.alloc(const.PAGE_SIZE, vram=True) | PHYS_VRAM
    for _ in range(5):
        high.run(Reduce(op="SUM", dtype="F32", src=small, dst=small, rows=4, cols=4))
    assert low.fault == Fault.NONE and not low.signaled(1)
    low.reset()


def test_priority_changes_between_parts(npu):
    """A queue that is kept from its engine half way gets it back when it counts for more."""
    low, high = npu.queue(2, priority=Priority.LOW), npu.queue(3)
    packet = Copy2d(
        rows=1 << 23, src=0x100000, dst=PHYS_VRAM, src_stride=2, dst_stride=4, row_bytes=1
    )
    low.submit(*[packet] * 30)
    npu.until(lambda: low.read32(QueueReg.PROGRESS) > 2, "some parts")
    high.submit(*[packet] * 30)
    npu.until(lambda: high.read32(QueueReg.PROGRESS) > 2, "its turn")
    before = low.read32(QueueReg.PROGRESS)
    npu.until(lambda: high.read32(QueueReg.PROGRESS) > 20, "some parts")
    assert low.read32(QueueReg.PROGRESS) == before
    low.write32(QueueReg.CONFIG, regs.pack("QUEUE.CONFIG", PRIORITY=Priority.HIGH))
    npu.until(lambda: low.read32(QueueReg.PROGRESS) > before + 2, "its turn")
    assert low.read32(QueueReg.CONFIG) == regs.pack(
        "QUEUE.CONFIG", LOG2=low.log2, ENGINE=low.engine, PRIORITY=Priority.HIGH
    )
    assert not high.signaled(1)
    for queue in (low, high):
        queue.reset()


def test_long_packet_shows_progress(npu):
    """The driver's watchdog would take it for hung."""
    queue = npu.queue(2)
    queue.submit(
        Copy2d(rows=1 << 23, src=0x100000, dst=PHYS_VRAM, src_stride=2, dst_stride=4, row_bytes=1)
    )
    seen = [queue.read32(QueueReg.PROGRESS)]
    npu.until(lambda: queue.read32(QueueReg.PROGRESS) > seen[0] + 3, "some parts")
    assert queue.head == 0 and not queue.signaled(1)
    queue.wait()
    assert queue.read32(QueueReg.PROGRESS) == (1 << 23) // 4096 + 2


@pytest.mark.parametrize("other", [False, True], ids=["alone", "with-others"])
def test_engine_reset_hits_a_packet_between_parts_too(npu, other):
    queue = npu.queue(2, priority=Priority.LOW)
    if other:
        npu.queue(3, priority=Priority.HIGH).submit(*[Nop()] * 8000)
    for _ in range(20):
        queue.submit(
            Copy2d(rows=1 << 22, src=0x100000, dst=PHYS_VRAM, src_stride=2, dst_stride=4,
                   row_bytes=1)
        )  # fmt: skip
        npu.until(lambda: queue.read32(QueueReg.PROGRESS) > 2, "a few parts")
        npu.events.take()
        npu.reset_engine(queue.engine)
        assert queue.expect_fault().code == Fault.RESET
        queue.reset()
        queue.enable()


# Bounds of what is prepared, and of what a stop waits for


def rss(npu: VnpuQtest) -> int:
    status = Path(f"/proc/{npu.machine.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.parametrize("dtype", ["F32", "I8"])
def test_product_is_prepared_in_pieces(npu, ctx, wide, dtype):
    """Its 786,432 pages of operands would take 50 MiB of lists, made in one go."""
    queue = npu.queue(2, ctx=ctx, kind=EngineType.TENSOR)
    before = rss(npu)
    start(npu, queue, long_gemm(wide, dtype))
    npu.until(lambda: queue.read32(QueueReg.PROGRESS) > 2, "a few parts", 60)
    assert rss(npu) - before < 16 * MIB
    queue.reset()


def long_reduce(at: int, out: int, dtype: str = "F32") -> Reduce:
    return Reduce(op="SUM", dtype=dtype, src=at, dst=out, rows=1, cols=const.ELEMS_MAX)


@pytest.mark.parametrize("what", ["reduce", "gemm", "copy"])
def test_stop_does_not_wait_for_a_long_packet(npu, ctx, wide, what):
    packet = {
        "reduce": long_reduce(wide, wide + 4 * GIB),
        "gemm": long_gemm(wide, "F16"),
        "copy": Copy(src=wide, dst=wide + 4 * GIB, size=GIB),
    }[what]
    kind = EngineType.COPY if what == "copy" else EngineType.TENSOR
    queue = npu.queue(2, ctx=ctx, kind=kind)
    start(npu, queue, packet)
    npu.machine.qmp("stop")
    assert (queue.head, queue.fault, queue.signaled(1)) == (0, Fault.NONE, False)
    npu.machine.qmp("cont")
    if what != "gemm":
        queue.wait()
    queue.reset()


def switches(npu: VnpuQtest, task: int | None = None) -> int:
    """How often threads of QEMU, or one, went to sleep so far."""
    tasks = Path(f"/proc/{npu.machine.pid}/task")
    total = 0
    for folder in [tasks / str(task)] if task else tasks.iterdir():
        text = (folder / "status").read_text()
        total += int(text.split("voluntary_ctxt_switches:")[1].split()[0])
    return total


def cpu_seconds(npu: VnpuQtest) -> float:
    """CPU time of QEMU's main thread."""
    pid = npu.machine.pid
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def main_loop(npu: VnpuQtest, queue: Queue) -> tuple[int, float]:
    """Ring the doorbell: how often QEMU's main thread sleeps while it works, and its CPU time, s.

    For half a second, or longer until there are enough to tell, in which nobody makes an
    access: each would be a reason to sleep.
    """
    gaps, used = switches(npu, npu.machine.pid), cpu_seconds(npu)
    queue.doorbell()
    patience = time.monotonic() + scaled(3)
    time.sleep(0.5)
    while switches(npu, npu.machine.pid) - gaps < 40 and time.monotonic() < patience:
        time.sleep(0.1)
    return switches(npu, npu.machine.pid) - gaps, cpu_seconds(npu) - used


@pytest.mark.parametrize("what", ["reduce", "gemm", "copy", "copy-2d"])
def test_preparation_of_a_packet_leaves_gaps(npu, ctx, wide, what):
    """An access waits for no more than the main loop does between two sleeps: not 5 ms."""
    packet = {
        "reduce": long_reduce(wide, wide + 4 * GIB),
        "gemm": long_gemm(wide, "F32"),
        "copy": Copy(src=wide, dst=wide + 4 * GIB, size=GIB),
        "copy-2d": Copy2d(rows=1 << 20, src=wide, dst=wide + 128 * GIB, src_stride=8192,
                          dst_stride=8192, row_bytes=1),
    }[what]  # fmt: skip
    queue = npu.queue(2, ctx=ctx, kind=EngineType.COPY if "copy" in what else EngineType.TENSOR)
    at, size = queue.commands(packet)
    queue.put(RingIndirect(addr=at, size=size))
    gaps, used = main_loop(npu, queue)
    # sanitizers make all of it slower
    assert used / gaps < (50e-3 if os.environ.get("VNPU_SANITIZE") else 5e-3)
    queue.reset()


def test_row_that_is_reduced_in_parts(each_npu):
    """With sync=on a part is 4096 elements: sums go over from one to the next."""
    ctx = each_npu.context(1)
    queue = each_npu.queue(2, ctx=ctx, kind=EngineType.TENSOR)
    values = np.random.default_rng(1).integers(-9, 9, (3, 20001)).astype(np.float32)
    src, dst = ctx.buffer(values.tobytes()), ctx.buffer(12)
    for op, want in (("SUM", values.sum(1)), ("MAX", values.max(1))):
        queue.run(Reduce(op=op, dtype="F32", src=src.va, dst=dst.va, rows=3, cols=20001))
        np.testing.assert_array_equal(np.frombuffer(dst.read(), np.float32), want)


def test_row_that_migrates(launch, npu, ctx, tmp_path):
    """Stopped in the middle of a row, saved, and gone on with in another machine."""
    wide = alias(npu, ctx, scattered(npu, b"\3\0\0\0"))
    queue = npu.queue(2, ctx=ctx, kind=EngineType.TENSOR)
    out = ctx.buffer(4)
    start(npu, queue, long_reduce(wide, out.va, "I32"))
    npu.until(lambda: queue.read32(QueueReg.PROGRESS) > 1, "a part")
    npu.machine.save(tmp_path / "state")
    assert not queue.signaled(1)
    target = launch([device()], incoming=True)
    target.load(tmp_path / "state")
    npu.move_to(target)
    queue.wait()
    assert struct.unpack("<I", out.read())[0] == 3 * const.ELEMS_MAX % (1 << 32)


# Between the device and vCPUs


def test_storm_of_packets_leaves_gaps(npu):
    """The main loop goes to sleep, without the BQL, after each fraction of a millisecond."""
    queue = npu.queue(2, log2=12)
    at, size = queue.commands(*[Nop()] * (const.CMD_MAX_BYTES // 8))
    queue.put(*[RingIndirect(addr=at, size=size)] * (queue.entries - 1))
    gaps, used = main_loop(npu, queue)
    assert queue.head != queue.tail, "the storm is over"
    assert gaps / used > 1000


#: mov %ax,0; ds = 0; loop: in $0x61; inc dword [0x500]
_LOOP = bytes.fromhex("31C08ED8E46166FF060005EBF7")
_COUNTER = 0x500


def bios(folder: Path) -> list[str]:
    """Firmware that reads a port and counts, for ever."""
    rom = bytearray(64 << 10)
    rom[: len(_LOOP)] = _LOOP
    rom[0xFFF0:0xFFF5] = bytes.fromhex("EA000000F0")
    (folder / "bios").write_bytes(rom)
    return ["-bios", str(folder / "bios")]


def accesses(npu: VnpuQtest, seconds: float = 0.3) -> float:
    """Port reads of the vCPU in a second."""
    before, start = npu.qtest.read_int(_COUNTER, 4), time.monotonic()
    time.sleep(seconds)
    after, end = npu.qtest.read_int(_COUNTER, 4), time.monotonic()
    return ((after - before) & 0xFFFFFFFF) / (end - start)


@pytest.mark.parametrize("packet", [Nop(), Fill(pattern=1, dst=PHYS_VRAM, size=4)],
                         ids=["nop", "fill"])  # fmt: skip
def test_vcpu_gets_its_turn_beside_a_storm_of_packets(launch, tmp_path, packet):
    """A vCPU needs the BQL for each access to a device.

    It keeps about half of its accesses; a quarter is asked for because the host may be busy with
    other things. A device that does not give the lock away leaves a thousandth.
    """
    npu = VnpuQtest(launch([device()], bios(tmp_path), accel="tcg"))
    queue = npu.queue(2, log2=12)
    at, size = queue.commands(*[packet] * (const.CMD_MAX_BYTES // len(bytes(packet))))
    alone, beside = [], []
    for _ in range(3):
        alone.append(accesses(npu))
        queue.put(*[RingIndirect(addr=at, size=size)] * (queue.entries - 1))
        queue.doorbell()
        beside.append(accesses(npu))
        assert queue.head != queue.tail, "the storm is over"
        queue.reset()
        queue.enable()
    assert statistics.median(beside) > statistics.median(alone) / 4


@pytest.mark.parametrize(
    "packet",
    [
        Fill(pattern=1, dst=PHYS_VRAM, size=4),
        Copy(src=PHYS_VRAM, dst=PHYS_VRAM | MIB, size=4096),
        Copy(src=MIB, dst=PHYS_VRAM | MIB, size=4096),
        Gemm(dtype="F32", a=PHYS_VRAM, b=PHYS_VRAM | MIB, c=PHYS_VRAM | 2 * MIB,
             m=16, n=16, k=16, lda=16, ldb=16, ldc=16),
    ],
    ids=["fill", "copy", "copy-from-host", "gemm"],
)  # fmt: skip
def test_small_packet_wakes_no_thread(npu, packet):
    kind = EngineType.TENSOR if isinstance(packet, Gemm) else EngineType.COPY
    queue = npu.queue(2, kind=kind)
    count = const.CMD_MAX_BYTES // len(bytes(packet))
    before = switches(npu)
    queue.run(*[packet] * count)
    assert (switches(npu) - before) / count < 0.5
