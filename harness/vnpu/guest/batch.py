# SPDX-License-Identifier: MIT
"""Several steps in one frame: system calls and memory accesses that build on each other."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnpu.guest import syscalls
from vnpu.guest.errors import GuestFault
from vnpu.guest.memory import Buffer
from vnpu.guest.pending import Pending
from vnpu.guest.protocol import (
    Arg,
    ArgKind,
    Frame,
    FrameType,
    Op,
    RunReply,
    Status,
    StepSpec,
    pack_run,
)

if TYPE_CHECKING:
    from vnpu.guest.process import Process

#: structs behind pointers must be as aligned as any compiler would have them
_ALIGN = 16


@dataclass(frozen=True)
class Scratch:
    """A part of the batch's own memory in the guest; an argument of its steps."""

    offset: int
    size: int
    zeros: bool = False  # in the part that is not sent because it starts as zeros

    def __add__(self, more: int) -> Scratch:
        return Scratch(self.offset + more, self.size - more, self.zeros)

    def as_arg(self) -> Arg:
        """How steps name it. ``step`` marks the zeros, whose place is settled last."""
        return Arg(self.offset, ArgKind.SCRATCH, int(self.zeros))


class Step:
    """A step of a batch: an argument of later ones, and after run() its result."""

    def __init__(self, index: int, name: str, shift: int = 0, origin: Step | None = None) -> None:
        self._index = index
        self._name = name
        self._shift = shift
        self._origin = origin or self
        self._done: tuple[int, Status, int, int, bytes] | None = None

    def __add__(self, more: int) -> Step:
        """The result plus a constant, as an argument."""
        return Step(self._index, self._name, self._shift + more, self._origin)

    def as_arg(self) -> Arg:
        """How later steps name this one."""
        return Arg(self._shift, ArgKind.RESULT, self._index)

    @property
    def ran(self) -> bool:
        """Whether the batch came this far."""
        return self._result()[1] is not Status.NOT_RUN

    @property
    def value(self) -> int:
        """What the step returned, a negative errno included."""
        return self._result()[0]

    @property
    def data(self) -> bytes:
        """What a read step read."""
        self.check()
        return self._result()[4]

    def check(self) -> int:
        """The value. Raises OSError or GuestFault if the step failed."""
        value, status, signum, address, _ = self._result()
        if status is Status.FAULT:
            raise GuestFault(address, signum)
        if -4095 <= value < 0:
            raise OSError(-value, f"{self._name}: {os.strerror(-value)}")
        return value

    def _result(self) -> tuple[int, Status, int, int, bytes]:
        if self._origin._done is None:
            raise RuntimeError("the batch has not run")
        return self._origin._done


StepArg = int | bytes | bytearray | str | Buffer | Scratch | Step


@dataclass(frozen=True)
class Timing:
    """Durations of the repetitions, in nanoseconds of the guest's CLOCK_MONOTONIC."""

    repetitions: int
    durations: tuple[int, ...]

    @property
    def best(self) -> int:
        """The shortest."""
        return min(self.durations)

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.durations)


class Batch:
    """Builds a batch; ``run()`` sends it.

    A step with ``check`` (the default) that fails ends the batch and makes
    run() raise; one without leaves its negative errno in ``.value``.
    """

    def __init__(self, proc: Process) -> None:
        self._proc = proc
        self._specs: list[StepSpec] = []
        self._steps: list[Step] = []
        self._data = bytearray()
        self._zeros = 0

    def syscall(self, name_or_nr: str | int, *args: StepArg, check: bool = True) -> Step:
        """A system call. bytes are copied in and passed by pointer, str gets a NUL."""
        number = syscalls.number(name_or_nr)
        return self._add(Op.SYSCALL, number, args, check, str(name_or_nr))

    def syscall32(self, name_or_nr: str | int, *args: StepArg, check: bool = True) -> Step:
        """A system call by the 32-bit entry; pointers must be below 4 GiB."""
        number = syscalls.number(name_or_nr, syscalls.I386)
        return self._add(Op.SYSCALL32, number, args, check, str(name_or_nr))

    def read(self, addr: StepArg, size: int | Step, check: bool = True) -> Step:
        """Read memory; the bytes are in ``.data`` of the step."""
        return self._add(Op.READ, 0, (addr, size), check, "read memory")

    def write(self, addr: StepArg, data: bytes, check: bool = True) -> Step:
        """Write memory."""
        args = (addr, self.scratch(data), len(data))
        return self._add(Op.WRITE, 0, args, check, "write memory")

    def copy(self, to: StepArg, source: StepArg, size: int) -> Step:
        """Copy memory inside the process."""
        return self._add(Op.WRITE, 0, (to, source, size), True, "copy memory")

    def compare(self, a: StepArg, b: StepArg, size: int) -> Step:
        """Compare memory inside the process: the offset of the first difference, or ``size``."""
        return self._add(Op.COMPARE, 0, (a, b, size), True, "compare memory")

    def add64(self, addr: StepArg, amount: int) -> Step:
        """Add to a 64-bit number in memory: what changes from repetition to repetition."""
        return self._add(Op.ADD64, 0, (addr, amount), True, "add to memory")

    def load64(self, addr: StepArg) -> Step:
        """A 64-bit number in memory: what a call has put there, for later steps."""
        return self.add64(addr, 0)

    def scratch(self, init: bytes | int) -> Scratch:
        """Memory of the batch, with these bytes or this many zeros.

        It lives until the process gets its next request.
        """
        if isinstance(init, int):
            place = Scratch(self._zeros, init, zeros=True)
            self._zeros += -(-init // _ALIGN) * _ALIGN
            return place
        place = Scratch(len(self._data), len(init))
        self._data += init
        self._data += bytes(-len(self._data) % _ALIGN)
        return place

    def run(self, repeat: int = 1, timed: bool = False, timeout_s: float | None = None) -> Timing:
        """Run the batch ``repeat`` times. Raises as the first failed checked step says."""
        return self.start(repeat, timed).result(timeout_s)

    def start(self, repeat: int = 1, timed: bool = False) -> Pending[Timing]:
        """As run(), without waiting."""
        base = len(self._data)
        specs = [self._placed(spec, base) for spec in self._specs]
        payload = pack_run(specs, bytes(self._data), base + self._zeros, repeat, timed)
        return self._proc._start(FrameType.RUN, payload, self._finish)

    def _finish(self, frame: Frame) -> Timing:
        reply = RunReply.parse(frame.payload)
        for step, done in zip(self._steps, reply.steps, strict=True):
            step._done = (done.value, done.status, done.signal, done.fault_address, done.data)
        for step, spec in zip(self._steps, self._specs, strict=True):
            if spec.stop_on_error and step.ran:
                step.check()
        return Timing(reply.repetitions, reply.durations)

    def _placed(self, spec: StepSpec, base: int) -> StepSpec:
        """The step with its zeros behind the data, now that all data are known."""
        args = tuple(
            Arg(arg.value + base, arg.kind) if arg.kind is ArgKind.SCRATCH and arg.step else arg
            for arg in spec.args
        )
        return StepSpec(spec.op, spec.number, args, spec.stop_on_error)

    def _add(self, op: Op, number: int, args: tuple[StepArg, ...], check: bool, name: str) -> Step:
        self._specs.append(StepSpec(op, number, tuple(map(self._arg, args)), check))
        self._steps.append(Step(len(self._steps), name))
        return self._steps[-1]

    def _arg(self, arg: StepArg) -> Arg:
        if isinstance(arg, str):
            arg = arg.encode() + b"\0"
        if isinstance(arg, bytes | bytearray):
            arg = self.scratch(bytes(arg))
        if isinstance(arg, Step | Scratch):
            return arg.as_arg()
        return Arg(int(arg))
