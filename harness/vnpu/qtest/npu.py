# SPDX-License-Identifier: MIT
"""The device over qtest: registers, contexts, queues, events and interrupts.

with QtestMachine([device()]) as machine:
    npu = VnpuQtest(machine)
    ctx = npu.context(1)
    src, dst = ctx.buffer(b"hello"), ctx.buffer(5, vram=False)
    npu.queue(2, ctx=ctx).run(Copy(src=src.va, dst=dst.va, size=5))
    assert dst.read() == b"hello"
"""

from __future__ import annotations

import contextlib
import random
import struct
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.hw import const, packets, regs
from vnpu.hw.codes import EngineType, Fault, Priority, QueueState
from vnpu.hw.regs import CtxReg, EngineReg, QueueReg, Reg
from vnpu.qtest import pci
from vnpu.qtest.machine import QtestMachine
from vnpu.qtest.memory import Arena, Buffer, Frame
from vnpu.qtest.pagetable import PageTable

#: where the BARs are put: each device has a megabyte and 64 GiB of these
_MMIO = 0xE0000000
_VRAM = 0x10_0000_0000
#: guest memory below is left alone
_RAM_START = 2 << 20

VRAM = 64 << 20
SLOT = 4
#: device time between two looks at what takes time
_STEP_NS = 10_000
#: first virtual address that buffers get
_VA_START = 0x10_0000_0000

PHYS_VRAM = 1 << const.PHYS_VRAM_BIT


def device(**properties: Any) -> str:
    """The argument of -device, from properties; underscores stand for dashes."""
    options = {"vram": f"{VRAM >> 20}M", "addr": f"{SLOT:#x}", "id": "npu"}
    if "memdev" in properties:
        del options["vram"]
    options |= {key.replace("_", "-"): value for key, value in properties.items()}
    pairs = [f"{key}={value}" for key, value in options.items() if value is not None]
    return ",".join(["vnpu", *pairs])


class VnpuQtest:
    """A device that has been set up: BARs, bus mastering and MSI-X."""

    def __init__(
        self, machine: QtestMachine, slot: int = SLOT, *, number: int = 0, bus: int = 0
    ) -> None:
        self.machine = machine
        self.qtest = machine.qtest
        self.pci = pci.PciFunction(machine.qtest, slot, bus)
        self.regs = _MMIO + (number << 20)
        self.msix = self.regs + const.BAR_REGS_SIZE
        self.aperture = _VRAM + (number << 36)
        self._events: EventRing | None = None
        self.assign()
        share = machine.memory // 2
        self.ram = Arena(_RAM_START + number * share, (number + 1) * share)
        visible = self.read64(Reg.APERTURE_SIZE)
        self.vram = Arena(0, visible - visible // 8)
        self.tables = Arena(visible - visible // 8, visible)
        self.vectors = self.read32(Reg.VECTORS)
        self._vector_page = self.ram.alloc(4 * self.vectors)
        self.enable_msix()

    def move_to(self, machine: QtestMachine) -> None:
        """Go on with the device in *machine*, which has taken over its state.

        Contexts, queues and buffers follow.
        """
        self.machine = machine
        self.qtest = self.pci.qtest = machine.qtest

    # Configuration

    def assign(self) -> None:
        """Give the BARs their addresses and switch the function on."""
        self.pci.assign(const.BAR_REGS, self.regs)
        self.pci.assign(const.BAR_MSIX, self.msix)
        self.pci.assign(const.BAR_VRAM, self.aperture)
        self.pci.command()

    def enable_msix(self) -> None:
        """Point each vector at a dword of guest memory, where interrupts can be read."""
        table = b"".join(
            struct.pack("<QII", self._vector_page + 4 * vector, 0x100 + vector, 0)
            for vector in range(self.vectors)
        )
        self.qtest.write(self.msix, table)
        cap = self.pci.capability(pci.CAP_MSIX)
        self.pci.write(cap, self.pci.read(cap) | pci.MSIX_ENABLE)

    def mask_vector(self, vector: int, masked: bool) -> None:
        self.qtest.write_int(self.msix + 16 * vector + 12, masked, 4)

    def vector_pending(self, vector: int) -> bool:
        """The pending bit, set while a masked vector was raised."""
        cap = self.pci.capability(pci.CAP_MSIX)
        pba = self.msix + (self.pci.read(cap + 8) & ~7)
        return bool(self.qtest.read_int(pba + vector // 32 * 4, 4) >> vector % 32 & 1)

    def interrupted(self, vector: int) -> bool:
        """Was the vector raised since the last call?"""
        at = self._vector_page + 4 * vector
        value = self.qtest.read_int(at, 4)
        if value not in (0, 0x100 + vector):
            raise RigError(f"vector {vector} delivered {value:#x}")
        self.qtest.write_int(at, 0, 4)
        return bool(value)

    # Registers

    def read32(self, offset: int) -> int:
        return self.qtest.read_int(self.regs + offset, 4)

    def write32(self, offset: int, value: int) -> None:
        self.qtest.write_int(self.regs + offset, value, 4)

    def read64(self, offset: int) -> int:
        return self.qtest.read_int(self.regs + offset, 8)

    def write64(self, offset: int, value: int) -> None:
        self.qtest.write_int(self.regs + offset, value, 8)

    def settle(self, changing: Callable[[], Any], what: str) -> None:
        """Let device time pass until something is not under way any more."""
        step_ns = 0 if self.machine.clock_runs else _STEP_NS
        end = time.monotonic() + deadline.scaled(30)
        while changing():
            if time.monotonic() > end:
                raise RigError(f"{what} does not end", console_tail=self.machine.log)
            if step_ns:
                self.qtest.clock_step(step_ns)

    @property
    def ready(self) -> bool:
        return bool(regs.unpack("STATUS", self.read32(Reg.STATUS))["READY"])

    def reset(self, *, wait: bool = True) -> None:
        self.write32(Reg.CONTROL, regs.pack("CONTROL", RESET=1))
        if wait:
            self.settle(lambda: not self.ready, "the reset of the device")

    def function_reset(self) -> None:
        """FLR. The configuration space is as after power-on when this returns."""
        self.pci.function_reset()
        self.settle_function_reset()

    def settle_function_reset(self) -> None:
        self.settle(lambda: self.pci.read(0) == 0xFFFFFFFF, "the function-level reset")

    def engine(self, index: int, register: int) -> int:
        return self.read32(regs.engine(index) + register)

    def reset_engine(self, index: int, *, wait: bool = True) -> None:
        offset = regs.engine(index) + EngineReg.CONTROL
        self.write32(offset, regs.pack("ENGINE.CONTROL", RESET=1))
        if wait:
            self.settle(lambda: self.engine_resetting(index), f"the reset of engine {index}")

    def engine_resetting(self, index: int) -> bool:
        status = regs.unpack("ENGINE.STATUS", self.engine(index, EngineReg.STATUS))
        return bool(status["RESETTING"])

    @cached_property
    def engine_types(self) -> list[int]:
        """The type of each engine."""
        count = self.read32(Reg.ENGINES)
        return [self.engine(index, EngineReg.TYPE) for index in range(count)]

    def engines(self, kind: int) -> list[int]:
        """Indices of the engines of a type."""
        return [index for index, found in enumerate(self.engine_types) if found == kind]

    # Memory

    def load(self, vram: bool, addr: int, size: int) -> bytes:
        """Read VRAM through the aperture, or guest memory."""
        return self.qtest.read(self.aperture + addr if vram else addr, size)

    def store(self, vram: bool, addr: int, data: bytes) -> None:
        self.qtest.write(self.aperture + addr if vram else addr, data)

    def alloc(self, size: int, *, vram: bool, align: int = const.PAGE_SIZE) -> int:
        """Zeroed memory: a VRAM offset or an address of guest memory."""
        addr = (self.vram if vram else self.ram).alloc(size, align)
        self.qtest.fill(self.aperture + addr if vram else addr, size, 0)
        return addr

    def alloc_table(self) -> int:
        """A zeroed page of VRAM for page tables, which ``scratch`` does not give back."""
        at = self.tables.alloc(const.PAGE_SIZE)
        self.qtest.fill(self.aperture + at, const.PAGE_SIZE, 0)
        return at

    @contextlib.contextmanager
    def scratch(self) -> Iterator[None]:
        """What is allocated inside is free again afterwards; its mappings stay."""
        with self.ram.scratch(), self.vram.scratch():
            yield

    def vram64(self, offset: int) -> int:
        return self.qtest.read_int(self.aperture + offset, 8)

    # Parts

    def context(self, index: int) -> Context:
        return Context(self, index)

    def queue(self, index: int, **config: Any) -> Queue:
        """A queue with its ring in fresh memory, enabled; see ``Queue``."""
        return Queue(self, index, **config)

    @property
    def events(self) -> EventRing:
        """The event ring, enabled at first use."""
        if self._events is None:
            self._events = EventRing(self)
        return self._events

    def until(
        self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0, step_ns: int = 0
    ) -> Any:
        """Poll until *condition* is true and return it; RigError after *timeout_s*.

        Engines work in real time; *step_ns* also advances the device's clock at each look.
        """
        patience = deadline.scaled(timeout_s)
        end = time.monotonic() + patience
        pause = 0.0001
        while not (value := condition()):
            if time.monotonic() > end:
                raise RigError(f"{what}: not within {patience:g} s", console_tail=self.machine.log)
            if step_ns:
                self.qtest.clock_step(step_ns)
            time.sleep(pause)
            pause = min(2 * pause, 0.005)
        return value


class Context:
    """A context with a page table of its own. Context 0 translates nothing: use ``physical``."""

    def __init__(self, npu: VnpuQtest, index: int) -> None:
        self.npu, self.index = npu, index
        self._va = Arena(_VA_START, 1 << const.VA_BITS)
        self.table = PageTable(
            npu.vram64,
            lambda at, value: npu.qtest.write_int(npu.aperture + at, value, 8),
            npu.alloc_table,
        )
        npu.write64(regs.ctx(index) + CtxReg.PT, self.table.root)
        self.valid(True)

    def valid(self, on: bool, *, wait: bool = True) -> None:
        offset = regs.ctx(self.index) + CtxReg.CONTROL
        self.npu.write32(offset, regs.pack("CTX.CONTROL", VALID=int(on)))
        if wait:
            self.npu.settle(lambda: self.control["CHANGING"], f"a change of context {self.index}")

    @property
    def control(self) -> dict[str, int]:
        """The fields of its CONTROL."""
        value = self.npu.read32(regs.ctx(self.index) + CtxReg.CONTROL)
        return regs.unpack("CTX.CONTROL", value)

    def buffer(
        self,
        content: bytes | int,
        *,
        vram: bool = True,
        offset: int = 0,
        scatter: bool = False,
        huge: bool = False,
        write: bool = True,
        map: bool = True,
    ) -> Buffer:
        """Map fresh memory holding *content*, or so many zero bytes.

        *offset* bytes into its first page, a guard page unmapped before and after it. *scatter*
        takes pages in random order from random places; *huge* uses 2 MiB leaves. With *map*
        False only the address range is reserved.
        """
        data = content if isinstance(content, bytes) else b""
        size = len(data) or int(content)
        page = const.HUGE_SIZE if huge else const.PAGE_SIZE
        span = -(-(offset + size) // page) * page
        frames = self._frames(span, page, vram, scatter)
        guard = self._va.alloc(span + 2 * page, page)
        buffer = Buffer(guard + page + offset, size, offset, frames, self.npu.load, self.npu.store)
        if map:
            at = guard + page
            for frame in frames:
                self.table.map(
                    at, frame.addr, frame.size, vram=frame.vram, write=write, huge=huge or False
                )
                at += frame.size
        if data:
            buffer.write(data)
        return buffer

    def _frames(self, span: int, page: int, vram: bool, scatter: bool) -> list[Frame]:
        if not scatter:
            return [Frame(vram, self.npu.alloc(span, vram=vram, align=page), span)]
        # a page in between makes neighbours rare but possible, as in real life
        frames = [
            Frame(vram, self.npu.alloc(page, vram=vram, align=page), page)
            for _ in range(span // page)
        ]
        random.Random(span).shuffle(frames)
        return frames


class Queue:
    """A hardware queue. The ring has 2^*log2* entries; *engine* is an index.

    *ctx* is a Context, whose address space gets the command buffers, or just a number. Fences
    go to a record in guest memory, or VRAM with *fence_vram*.
    """

    def __init__(
        self,
        npu: VnpuQtest,
        index: int,
        *,
        ctx: Context | int = const.PHYS_CONTEXT,
        engine: int | None = None,
        kind: int = EngineType.COPY,
        log2: int = 6,
        vram: bool = False,
        priority: int = Priority.NORMAL,
        vector: int | None = None,
        fence_vram: bool = False,
        enable: bool = True,
    ) -> None:
        self.npu, self.index = npu, index
        self._context = ctx if isinstance(ctx, Context) else None
        self.ctx = ctx.index if isinstance(ctx, Context) else ctx
        self.base = regs.queue(index)
        self.log2, self.vram = log2, vram
        self.entries = 1 << log2
        self.ring = npu.alloc(self.entries * const.RING_ENTRY_BYTES, vram=vram)
        self.fence_vram = fence_vram
        self.fence_at = npu.alloc(16, vram=fence_vram, align=16)
        self.tail = 0
        self.fence = 0
        self.engine = npu.engines(kind)[0] if engine is None else engine
        self.vector = min(1 + index, npu.vectors - 1) if vector is None else vector
        self.config = regs.pack(
            "QUEUE.CONFIG", LOG2=log2, VRAM=int(vram), ENGINE=self.engine, PRIORITY=priority
        )
        self.configure()
        if enable:
            self.enable()

    # Registers

    def read32(self, register: int) -> int:
        return self.npu.read32(self.base + register)

    def read64(self, register: int) -> int:
        return self.npu.read64(self.base + register)

    def write32(self, register: int, value: int) -> None:
        self.npu.write32(self.base + register, value)

    def configure(self) -> None:
        self.npu.write64(self.base + QueueReg.BASE, self.ring)
        self.write32(QueueReg.CONFIG, self.config)
        self.write32(QueueReg.CONTEXT, self.ctx)
        self.write32(QueueReg.VECTOR, self.vector)

    def enable(self, on: bool = True, *, wait: bool = True) -> None:
        self.write32(QueueReg.CONTROL, regs.pack("QUEUE.CONTROL", ENABLE=int(on)))
        if wait:
            self.settle()

    def reset(self, *, wait: bool = True) -> None:
        self.write32(QueueReg.CONTROL, regs.pack("QUEUE.CONTROL", RESET=1))
        self.tail = 0
        if wait:
            self.settle()

    def settle(self) -> None:
        """Until what CONTROL was told has taken effect, but for a packet that still runs."""
        self.npu.settle(
            lambda: self.state == QueueState.CHANGING, f"a change of queue {self.index}"
        )

    @property
    def state(self) -> Any:
        return QueueState(regs.unpack("QUEUE.STATUS", self.read32(QueueReg.STATUS))["STATE"])

    @property
    def fault(self) -> Any:
        """The fault code, NONE unless faulted."""
        status = regs.unpack("QUEUE.STATUS", self.read32(QueueReg.STATUS))
        faulted = status["STATE"] == QueueState.FAULTED
        return Fault(status["FAULT"]) if faulted else Fault.NONE

    @property
    def head(self) -> int:
        return self.read32(QueueReg.HEAD)

    # Work

    def put(self, *entries: Any) -> None:
        """Write entries (layers or 32 bytes each) to the ring; see ``ring_doorbell``."""
        for entry in entries:
            raw = bytes(entry)
            at = self.ring + self.tail % self.entries * const.RING_ENTRY_BYTES
            self.npu.store(self.vram, at, raw)
            self.tail = (self.tail + 1) & 0xFFFFFFFF

    def doorbell(self, tail: int | None = None) -> None:
        self.npu.write32(regs.doorbell(self.index), self.tail if tail is None else tail)

    def next_fence(self, flags: Any = "IRQ") -> Any:
        self.fence += 1
        where = packets.RingFence(flags=flags, addr=self.fence_at, value=self.fence)
        if self.fence_vram:
            where.flags |= "VRAM"
        return where

    def commands(self, *commands: Any) -> tuple[int, int]:
        """A command buffer with these packets, where the queue's context sees it.

        Its address and size.
        """
        data = packets.command_buffer(list(commands))
        if self.ctx == const.PHYS_CONTEXT:
            at = self.npu.alloc(len(data), vram=False, align=8)
            self.npu.store(False, at, data)
            return at, len(data)
        if self._context is None:
            raise RigError(f"queue {self.index} was given no Context to map commands in")
        return self._context.buffer(data).va, len(data)

    def submit(self, *commands: Any, fence: bool = True) -> int:
        """Run packets: one command buffer and a fence, whose value is returned."""
        at, size = self.commands(*commands)
        self.put(packets.RingIndirect(addr=at, size=size))
        if fence:
            self.put(self.next_fence())
        self.doorbell()
        return self.fence

    def fence_record(self) -> Any:
        return packets.FenceRecord(self.npu.load(self.fence_vram, self.fence_at, 16))

    def signaled(self, value: int) -> bool:
        return bool(self.fence_record().value >= value)

    def wait(self, value: int | None = None, timeout_s: float = 30.0, step_ns: int = 0) -> None:
        """Until the fence has *value* (default: the last one); RigError on a fault or timeout."""
        target = self.fence if value is None else value

        def done() -> bool:
            if self.signaled(target):
                return True
            if self.fault != Fault.NONE:
                raise RigError(f"queue {self.index} faulted: {self.fault!r}")
            return False

        self.npu.until(done, f"fence {target} of queue {self.index}", timeout_s, step_ns)

    def run(self, *commands: Any) -> None:
        """Submit packets and wait for them."""
        self.wait(self.submit(*commands))

    def run_entries(self, *entries: Any) -> None:
        """Run ring entries and a fence, and wait for it."""
        self.put(*entries, self.next_fence())
        self.doorbell()
        self.wait()

    def faults(self, *commands: Any) -> Any:
        """Submit packets that must fault; the event record."""
        self.npu.events.take()
        self.submit(*commands)
        return self.expect_fault()

    def expect_fault(self) -> Any:
        """Wait for the queue to fault; its one event record."""
        self.npu.until(lambda: self.fault != Fault.NONE, f"a fault of queue {self.index}")
        records = [e for e in self.npu.events.take() if e.queue == self.index]
        if len(records) != 1:
            raise RigError(f"queue {self.index} faulted with {len(records)} event records")
        return records[0]


class EventRing:
    """The event ring, in guest memory, of 2^*log2* records."""

    def __init__(self, npu: VnpuQtest, log2: int = 5) -> None:
        self.npu, self.log2 = npu, log2
        self.base = npu.alloc(const.EVENT_BYTES << log2, vram=False)
        self.enable()

    def enable(self, on: bool = True) -> None:
        if on:
            self.npu.write64(Reg.EVENT_BASE, self.base)
        config = regs.pack("EVENT_CONFIG", LOG2=self.log2, ENABLE=int(on))
        self.npu.write32(Reg.EVENT_CONFIG, config)
        self.head = self.npu.read32(Reg.EVENT_HEAD)

    @property
    def tail(self) -> int:
        return self.npu.read32(Reg.EVENT_TAIL)

    @property
    def dropped(self) -> int:
        return self.npu.read32(Reg.EVENT_DROPPED)

    def take(self) -> list[Any]:
        """Read the new records and give their places back."""
        out = []
        tail = self.tail
        while self.head != tail:
            at = self.base + self.head % (1 << self.log2) * const.EVENT_BYTES
            out += packets.parse_events(self.npu.load(False, at, const.EVENT_BYTES))
            self.head = (self.head + 1) & 0xFFFFFFFF
        self.npu.write32(Reg.EVENT_HEAD, self.head)
        return out
