# SPDX-License-Identifier: MIT
"""The wire format of the guest agent; its other side is userspace/agent/proto.h.

Nothing here does input or output: bytes in, objects out, and back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from vnpu.base.errors import RigError

PORT_NAME = "vnpu.agent"
#: what the first process logs when the agent is gone; what waitpid() says follows
AGENT_ENDED = "vnpu-agent: the agent ended with wait status "
VERSION = 1
MAGIC = 0x41504E56
MAX_PAYLOAD = 4 << 20
AGENT_TARGET = 0
MAX_ARGS = 6
MAX_STEPS = 4096
REPLY = 0x8000

_FRAME = struct.Struct("<IIIIHHi")
_HELLO = struct.Struct("<6I")
_PROCESS = struct.Struct("<3I")
_INT = struct.Struct("<i")
_ARG = struct.Struct("<QII")
_STEP = struct.Struct("<HHI")
_RUN = struct.Struct("<6I")
_RESULT = struct.Struct("<qQHHI")
_RUN_REPLY = struct.Struct("<4I")

HEADER_SIZE = _FRAME.size
#: data that one batch can carry beside its steps, with room to spare
MAX_DATA = MAX_PAYLOAD - (1 << 20)


class FrameType(IntEnum):
    """Requests, and what the agent sends unasked."""

    HELLO = 1
    SPAWN = 2
    SIGNAL = 3
    POWEROFF = 4
    FORK = 5
    THREAD = 6
    RUN = 16
    EXIT = 17
    DETACHED = 64
    EXITED = 65


class Op(IntEnum):
    """What a step of a batch does."""

    SYSCALL = 1
    SYSCALL32 = 2
    READ = 3
    WRITE = 4
    ADD64 = 5
    COMPARE = 6


class ArgKind(IntEnum):
    """How the value of an argument is meant."""

    VALUE = 0
    RESULT = 1
    SCRATCH = 2


class Status(IntEnum):
    """How a step ended."""

    NOT_RUN = 0
    DONE = 1
    FAULT = 2


class RunFlag(IntFlag):
    """Options of a batch."""

    TIMED = 1


STOP_ON_ERROR = 1


class ProtocolError(RigError, ValueError):
    """Bytes that are not of this protocol."""


@dataclass(frozen=True)
class Frame:
    """A frame. ``type`` carries the REPLY bit in replies, ``error`` 0 or a negative errno."""

    target: int
    seq: int
    type: int
    payload: bytes = b""
    error: int = 0

    def __bytes__(self) -> bytes:
        head = _FRAME.pack(
            MAGIC, len(self.payload), self.target, self.seq, self.type, 0, self.error
        )
        return head + self.payload


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add received bytes and yield the frames that are complete now."""
        self._pending += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if len(self._pending) < HEADER_SIZE:
            return None
        magic, length, target, seq, kind, _, error = _FRAME.unpack_from(self._pending)
        if magic != MAGIC or length > MAX_PAYLOAD:
            raise ProtocolError(f"no frame: {bytes(self._pending[:HEADER_SIZE]).hex()}")
        end = HEADER_SIZE + length
        if len(self._pending) < end:
            return None
        payload = bytes(self._pending[HEADER_SIZE:end])
        del self._pending[:end]
        return Frame(target, seq, kind, payload, error)


@dataclass(frozen=True)
class Hello:
    """What the agent says of the guest."""

    page_size: int
    cpus: int
    service: int
    service_pid: int
    release: str
    failed_modules: tuple[str, ...]

    @classmethod
    def parse(cls, payload: bytes) -> Hello:
        """Raises ProtocolError if the agent speaks another version."""
        version, page_size, cpus, service, service_pid, _ = _HELLO.unpack_from(payload)
        if version != VERSION:
            raise ProtocolError(f"agent speaks version {version}, this is version {VERSION}")
        release, _, failures = payload[_HELLO.size :].partition(b"\0")
        lines = tuple(failures.rstrip(b"\0").decode(errors="replace").splitlines())
        return cls(page_size, cpus, service, service_pid, release.decode(), lines)


@dataclass(frozen=True)
class ProcessInfo:
    """A new remote process."""

    handle: int
    pid: int
    tid: int

    def __str__(self) -> str:
        kind = "Process" if self.pid == self.tid else "Thread"
        return f"{kind}(pid={self.pid}, tid={self.tid})"

    @classmethod
    def parse(cls, payload: bytes) -> ProcessInfo:
        """From the reply to SPAWN, FORK or THREAD."""
        return cls(*_PROCESS.unpack(payload))


def pack_int(value: int) -> bytes:
    """Payload of SIGNAL and EXIT."""
    return _INT.pack(value)


def parse_int(payload: bytes) -> int:
    """Payload of EXITED: a status as from waitpid()."""
    return int(_INT.unpack(payload)[0])


@dataclass(frozen=True)
class Arg:
    """An argument of a step; ``step`` matters for RESULT only."""

    value: int
    kind: ArgKind = ArgKind.VALUE
    step: int = 0

    def __bytes__(self) -> bytes:
        return _ARG.pack(self.value & (1 << 64) - 1, self.kind, self.step)


@dataclass(frozen=True)
class StepSpec:
    """A step as it is sent."""

    op: Op
    number: int
    args: tuple[Arg, ...]
    stop_on_error: bool = False

    def __bytes__(self) -> bytes:
        if len(self.args) > MAX_ARGS:
            raise ProtocolError(f"{len(self.args)} arguments; {MAX_ARGS} are the most")
        flags = STOP_ON_ERROR if self.stop_on_error else 0
        args = b"".join(map(bytes, self.args)).ljust(MAX_ARGS * _ARG.size, b"\0")
        return _STEP.pack(self.op, flags, self.number) + args


def pack_run(
    steps: list[StepSpec], data: bytes, scratch_size: int, repeat: int = 1, timed: bool = False
) -> bytes:
    """Payload of RUN. ``scratch_size`` bytes start with ``data`` and continue with zeros."""
    if len(steps) > MAX_STEPS:
        raise ProtocolError(f"{len(steps)} steps; {MAX_STEPS} are the most of a batch")
    flags = RunFlag.TIMED if timed else 0
    scratch = max(scratch_size, len(data))
    head = _RUN.pack(len(steps), flags, repeat, len(data), scratch, 0)
    payload = b"".join((head, *map(bytes, steps), data))
    if len(payload) > MAX_PAYLOAD or scratch > MAX_PAYLOAD:
        raise ProtocolError("a batch is too large; move data in parts")
    return payload


@dataclass(frozen=True)
class StepResult:
    """How a step went; ``signal`` and ``fault_address`` are set for faults."""

    value: int
    status: Status
    signal: int
    fault_address: int
    data: bytes


@dataclass(frozen=True)
class RunReply:
    """Results of the last repetition and the durations of all, in nanoseconds."""

    repetitions: int
    steps: list[StepResult] = field(default_factory=list)
    durations: tuple[int, ...] = ()

    @classmethod
    def parse(cls, payload: bytes) -> RunReply:
        """Raises ProtocolError if lengths do not add up."""
        count, repetitions, durations, length = _RUN_REPLY.unpack_from(payload)
        at = _RUN_REPLY.size
        raw = [_RESULT.unpack_from(payload, at + i * _RESULT.size) for i in range(count)]
        at += count * _RESULT.size
        times = struct.unpack_from(f"<{durations}Q", payload, at)
        at += 8 * durations
        if at + length != len(payload) or sum(item[4] for item in raw) != length:
            raise ProtocolError("a reply's lengths do not add up")
        steps = []
        for value, address, status, signal, size in raw:
            data = payload[at : at + size]
            steps.append(StepResult(value, Status(status), signal, address, data))
            at += size
        return cls(repetitions, steps, times)
