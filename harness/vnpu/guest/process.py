# SPDX-License-Identifier: MIT
"""Remote processes: real processes of the guest, steered from here."""

from __future__ import annotations

import errno
import os
import select
import signal
import struct
import time
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from typing import TypeVar

from vnpu.base import deadline
from vnpu.guest import protocol
from vnpu.guest.batch import Batch, Step, StepArg
from vnpu.guest.errors import GuestTimeout, ProcessGone
from vnpu.guest.link import Request
from vnpu.guest.memory import Mapping
from vnpu.guest.pending import Pending
from vnpu.guest.protocol import Frame, FrameType, ProcessInfo
from vnpu.guest.session import Session

T = TypeVar("T")

AT_FDCWD = -100
PROT_READ, PROT_WRITE = 1, 2
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_32BIT = 0x01, 0x02, 0x20, 0x40
PAGE = 4096
#: how much one frame moves; larger transfers go in parts, some of them under way at once
CHUNK = 1 << 20
_IN_FLIGHT = 4
_POLLFD = struct.Struct("<ihh")


class Process:
    """A process (or thread) of the guest.

    Every call acts inside it and takes as long as the guest needs; the deadline
    of Guest.timeout_s turns a call that blocks into GuestTimeout.
    """

    def __init__(self, session: Session, info: ProcessInfo) -> None:
        self.session = session
        self.info = info
        self.handle = info.handle
        self.pid = info.pid
        self.tid = info.tid

    @classmethod
    def born(cls, session: Session, info: ProcessInfo) -> Process:
        """One that has just been made; the session remembers it until it is waited for."""
        session.members[info.handle] = info
        return cls(session, info)

    def __repr__(self) -> str:
        return str(self.info)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Process):
            return NotImplemented
        return self.session is other.session and self.handle == other.handle

    def __hash__(self) -> int:
        return hash((id(self.session), self.handle))

    @property
    def timeout_s(self) -> float:
        """The deadline of every call, in seconds."""
        return self.session.timeout_s

    # System calls

    def syscall(self, name_or_nr: str | int, *args: StepArg, timeout_s: float | None = None) -> int:
        """Make a system call and return its result. Raises OSError.

        bytes are copied into the process and passed by pointer, str as a C
        string; a bytearray is also copied back.
        """
        return self.syscall_async(name_or_nr, *args).result(timeout_s)

    def syscall_async(self, name_or_nr: str | int, *args: StepArg) -> Pending[int]:
        """As syscall(), without waiting for the result."""
        return self._one_call(Batch.syscall, name_or_nr, args)

    def syscall32(self, name_or_nr: str | int, *args: StepArg) -> int:
        """Make a system call as a 32-bit program does; pointers must be below 4 GiB."""
        return self._one_call(Batch.syscall32, name_or_nr, args).result()

    def batch(self) -> Batch:
        """Several steps in one frame."""
        return Batch(self)

    def _one_call(
        self, method: Callable[..., Step], name: str | int, args: tuple[StepArg, ...]
    ) -> Pending[int]:
        batch = Batch(self)
        places = [batch.scratch(bytes(arg)) if isinstance(arg, bytearray) else arg for arg in args]
        call = method(batch, name, *places, check=False)
        outs = [
            (arg, batch.read(place, len(arg)))
            for arg, place in zip(args, places, strict=True)
            if isinstance(arg, bytearray)
        ]

        def finish(_: object) -> int:
            for arg, step in outs:
                arg[:] = step.data
            return call.check()

        return batch.start().then(finish)

    # Memory

    def alloc(self, size: int, low: bool = False) -> Mapping:
        """Fresh zeroed memory; ``low`` puts it below 4 GiB, for 32-bit calls."""
        flags = MAP_PRIVATE | MAP_ANONYMOUS | (MAP_32BIT if low else 0)
        return self.mmap(size, flags=flags)

    def mmap(
        self,
        length: int,
        prot: int = PROT_READ | PROT_WRITE,
        flags: int = MAP_SHARED,
        fd: int = -1,
        offset: int = 0,
        addr: int = 0,
    ) -> Mapping:
        """mmap(). Raises OSError."""
        at = self.syscall("mmap", addr, length, prot, flags, fd, offset)
        return Mapping(self, at, length)

    def read_mem(self, addr: int, size: int) -> bytes:
        """Read memory as a load does. Raises GuestFault."""
        chunks: list[bytes] = self._windowed(
            lambda at: self._start_read(addr + at, min(CHUNK, size - at)),
            range(0, size, CHUNK),
        )
        return b"".join(chunks)

    def write_mem(self, addr: int, data: bytes) -> None:
        """Write memory as a store does. Raises GuestFault."""
        self._windowed(
            lambda at: self._start_write(addr + at, bytes(data[at : at + CHUNK])),
            range(0, len(data), CHUNK),
        )

    def copy_mem(self, to: int, source: int, size: int) -> None:
        """Copy memory by loads and stores of the process. Raises GuestFault."""
        batch = self.batch()
        batch.copy(to, source, size)
        batch.run()

    def compare_mem(self, a: int, b: int, size: int) -> int | None:
        """Offset of the first byte that differs; None if none does. Raises GuestFault."""
        batch = self.batch()
        step = batch.compare(a, b, size)
        batch.run()
        return step.value if step.value < size else None

    def _start_read(self, addr: int, size: int) -> Pending[bytes]:
        batch = self.batch()
        step = batch.read(addr, size)
        return batch.start().then(lambda _: step.data)

    def _start_write(self, addr: int, data: bytes) -> Pending[None]:
        batch = self.batch()
        batch.write(addr, data)
        return batch.start().then(lambda _: None)

    def _windowed(self, start: Callable[[int], Pending[T]], offsets: range) -> list[T]:
        """Results in order, with some requests under way at a time."""
        results: list[T] = []
        under_way: list[Pending[T]] = []
        for offset in offsets:
            if len(under_way) == _IN_FLIGHT:
                results.append(under_way.pop(0).result())
            under_way.append(start(offset))
        return results + [pending.result() for pending in under_way]

    # Files

    def open(self, path: str, flags: int = os.O_RDWR | os.O_CLOEXEC, mode: int = 0o600) -> int:
        """open(), returning the descriptor."""
        return self.syscall("openat", AT_FDCWD, path, flags, mode)

    def close(self, fd: int) -> None:
        """close()."""
        self.syscall("close", fd)

    def dup(self, fd: int) -> int:
        """dup()."""
        return self.syscall("dup", fd)

    def read(self, fd: int, size: int) -> bytes:
        """read() of at most ``size`` bytes; empty at the end of the file."""
        batch = self.batch()
        place = batch.scratch(size)
        got = batch.syscall("read", fd, place, size)
        data = batch.read(place, got)
        batch.run()
        return data.data

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """pread() of at most ``size`` bytes."""
        batch = self.batch()
        place = batch.scratch(size)
        got = batch.syscall("pread64", fd, place, size, offset)
        data = batch.read(place, got)
        batch.run()
        return data.data

    def write(self, fd: int, data: bytes) -> int:
        """write(), returning how much was written."""
        return self.syscall("write", fd, data, len(data))

    def ioctl(self, fd: int, nr: int, arg: bytes | bytearray | int = 0) -> tuple[int, bytes]:
        """ioctl(): the result and the argument as the kernel left it.

        An int is passed as it is, and then no bytes come back. Raises OSError.
        """
        if isinstance(arg, int):
            return self.syscall("ioctl", fd, nr, arg), b""
        data = bytearray(arg)
        return self.syscall("ioctl", fd, nr, data), bytes(data)

    def poll(self, fds: MappingType[int, int], timeout_ms: int = 0) -> dict[int, int]:
        """poll(): the events of those descriptors that have any."""
        packed = bytearray().join(_POLLFD.pack(fd, events, 0) for fd, events in fds.items())
        patience = max(timeout_ms, 0) / 1000 + self.session.timeout_s
        self.syscall("poll", packed, len(fds), timeout_ms, timeout_s=patience)
        return {fd: got & 0xFFFF for fd, _, got in _POLLFD.iter_unpack(packed) if got}

    def wait_readable(self, fd: int, timeout_ms: int) -> bool:
        """Whether ``fd`` becomes readable in time."""
        return bool(self.poll({fd: select.POLLIN}, timeout_ms))

    # Life

    def fork(self) -> Process:
        """A child with the same descriptors and a copy of the memory."""
        return self._child(FrameType.FORK)

    def thread(self) -> Process:
        """A thread: the same memory and descriptors, but it can block on its own."""
        return self._child(FrameType.THREAD)

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Send a signal; to threads, to just this one.

        SIGUSR1 makes a blocked system call return EINTR, SIGUSR2 has a handler
        with SA_RESTART.
        """
        payload = protocol.pack_int(signum)
        self.session.ask(self.handle, FrameType.SIGNAL, payload)

    def exit(self, status: int = 0) -> int:
        """End it by itself and return its status as from waitpid()."""
        self.session.request(self.handle, FrameType.EXIT, protocol.pack_int(status))
        return self.wait()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end and return its status as from waitpid(); 0 for threads.

        When it returns, the kernel has closed the process's files. Raises GuestTimeout.
        """
        return self.session.wait_exit(self.info, timeout_s)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked for something."""
        self.session.poll()
        return not self.session.is_detached(self.info)

    def setuid(self, uid: int, gid: int | None = None) -> None:
        """Drop privileges for good: no supplementary groups, then group, then user."""
        gid = uid if gid is None else gid
        batch = self.batch()
        batch.syscall("setgroups", 0, 0)
        batch.syscall("setresgid", gid, gid, gid)
        batch.syscall("setresuid", uid, uid, uid)
        batch.run()

    def _child(self, kind: FrameType) -> Process:
        pending = self._start(kind, b"", lambda frame: ProcessInfo.parse(frame.payload))
        return Process.born(self.session, pending.result())

    # How requests are made

    def _start(self, kind: FrameType, payload: bytes, finish: Callable[[Frame], T]) -> Pending[T]:
        return Pending(self, self.session.request(self.handle, kind, payload), finish)

    def _settle(self, request: Request, timeout_s: float | None) -> Frame:
        timeout_s = self.session.timeout_s if timeout_s is None else timeout_s
        if not self.session.wait(lambda: request.settled, timeout_s):
            where = self.session.where_is(self.info)
            raise GuestTimeout(
                f"{self!r} did not answer in {deadline.scaled(timeout_s):g} s; {where}"
            )
        if request.reply is None:
            raise ProcessGone(repr(self), self.session.status_soon(self.info))
        if request.reply.error:
            number = -request.reply.error
            raise OSError(number, f"{self!r}: {os.strerror(number)}")
        return request.reply

    def _wait_blocked(self, request: Request, timeout_s: float | None) -> None:
        timeout_s = self.session.timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + deadline.scaled(timeout_s)
        while not self.session.is_blocked(self.info):
            self.session.poll()
            if request.settled:
                raise GuestTimeout(f"{self!r} did not block: it has answered")
            if time.monotonic() > end:
                raise GuestTimeout(f"{self!r} does not block; {self.session.where_is(self.info)}")


def retry_on_eintr(call: Callable[[], T]) -> T:
    """Make a call again as long as a signal interrupts it."""
    while True:
        try:
            return call()
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
