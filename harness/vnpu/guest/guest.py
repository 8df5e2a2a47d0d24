# SPDX-License-Identifier: MIT
"""The guest as a whole: its processes, files, modules, and the end of it."""

from __future__ import annotations

import errno
import itertools
import os
import struct
import subprocess
from collections.abc import Callable

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.guest import syscalls
from vnpu.guest.errors import GuestTimeout, ProcessGone
from vnpu.guest.link import Link, LinkClosed, Request
from vnpu.guest.process import AT_FDCWD, Process
from vnpu.guest.protocol import AGENT_TARGET, Frame, FrameType, Hello, ProcessInfo

DEFAULT_TIMEOUT_S = 10.0
_PATIENCE_S = 1.0
_READ_SIZE = 128 << 10
_AT_SYMLINK_NOFOLLOW = 0x100
_RNDADDENTROPY = 0x40085203
_RNDRESEEDCRNG = 0x5207
#: an idle remote process sleeps in recvmsg() on its socket, a descriptor from here on
_IDLE_CALL = syscalls.X86_64["recvmsg"]
_SOCKET_BASE = 4000


class Guest:
    """A guest whose agent answers.

    ``explain`` makes the exception for a guest that is suddenly gone: the VM
    knows why. ``timeout_s`` is the deadline of every call, in seconds; time for
    which a busy host did not let the guest run (a growing count, by
    ``starved_s``) does not use it up.
    """

    def __init__(
        self,
        link: Link,
        explain: Callable[[], Exception] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        starved_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._link = link
        self._explain = explain or (lambda: RigError("the guest agent is gone"))
        self._starved_s = starved_s
        self.timeout_s = timeout_s
        self._processes: dict[int, Process] = {}
        self._markers = itertools.count(1)
        self.hello: Hello
        self.service: Process

    def connect(self, timeout_s: float, booting: bool = False) -> Hello:
        """Greet the agent; of a booting guest, wait for the agent's own greeting."""
        if booting:
            if not self._wait(lambda: self._link.unasked_hello() is not None, timeout_s):
                raise RigError(f"the guest agent did not start in {timeout_s:g} s")
            frame = self._link.unasked_hello()
            assert frame is not None
        else:
            frame = self._ask(AGENT_TARGET, FrameType.HELLO, timeout_s=timeout_s)
        self.hello = Hello.parse(frame.payload)
        info = ProcessInfo(self.hello.service, self.hello.service_pid, self.hello.service_pid)
        self.service = Process(self, info)
        return self.hello

    @property
    def release(self) -> str:
        """The kernel's release, as `uname -r` says it."""
        return self.hello.release

    @property
    def processes(self) -> list[Process]:
        """The processes and threads made here that have not ended, in order."""
        self._poll()
        return [proc for proc in self._processes.values() if proc.alive]

    def spawn(self, uid: int = 0, gid: int = 0) -> Process:
        """A new process with nothing open but /dev/null on 0 to 2."""
        frame = self._ask(AGENT_TARGET, FrameType.SPAWN)
        proc = self._adopt(ProcessInfo.parse(frame.payload))
        if uid or gid:
            proc.setuid(uid, gid)
        return proc

    def kill_all(self) -> None:
        """Kill the processes made here and wait until their files are closed."""
        for proc in self.processes:
            try:
                proc.kill()
            except OSError as error:
                if error.errno != errno.ESRCH:
                    raise
        for proc in list(self._processes.values()):
            proc.wait()
        self._processes.clear()

    def add_entropy(self, seed: bytes) -> None:
        """Stir the kernel's random numbers. Clones of a template draw the same without this."""
        fd = self.service.open("/dev/random", os.O_WRONLY)
        try:
            pool_info = struct.pack("<2i", 8 * len(seed), len(seed)) + seed
            self.service.ioctl(fd, _RNDADDENTROPY, pool_info)
            self.service.ioctl(fd, _RNDRESEEDCRNG, 0)
        finally:
            self.service.close(fd)

    def poweroff(self) -> None:
        """Ask the agent to shut the guest down; it does not answer any more."""
        self._request(AGENT_TARGET, FrameType.POWEROFF, b"")

    # Files, by a process that is always there

    def read_file(self, path: str) -> bytes:
        """The whole of a file, also of those in proc and debugfs. Raises OSError."""
        fd = self.service.open(path, os.O_RDONLY | os.O_CLOEXEC)
        parts = []
        try:
            while part := self.service.read(fd, _READ_SIZE):
                parts.append(part)
        finally:
            self.service.close(fd)
        return b"".join(parts)

    def write_file(self, path: str, data: bytes | str, append: bool = False) -> None:
        """Write a file by a single write() (what sysfs and debugfs need). Raises OSError."""
        data = data.encode() if isinstance(data, str) else data
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        flags |= os.O_APPEND if append else os.O_TRUNC
        batch = self.service.batch()
        fd = batch.syscall("openat", AT_FDCWD, path, flags, 0o644)
        written = batch.syscall("write", fd, data, len(data), check=False)
        batch.syscall("close", fd)
        batch.run()
        written.check()

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted. Raises OSError."""
        fd = self.service.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        names: list[str] = []
        try:
            while found := self._getdents(fd):
                names += found
        finally:
            self.service.close(fd)
        return sorted(set(names) - {".", ".."})

    def exists(self, path: str) -> bool:
        """Whether there is something at ``path``; a link counts by itself."""
        batch = self.service.batch()
        stat = batch.syscall(
            "newfstatat", AT_FDCWD, path, batch.scratch(256), _AT_SYMLINK_NOFOLLOW, check=False
        )
        batch.run()
        if stat.value not in (0, -errno.ENOENT, -errno.ENOTDIR):
            stat.check()
        return stat.value == 0

    def _getdents(self, fd: int) -> list[str]:
        data = bytearray(32 << 10)
        size = self.service.syscall("getdents64", fd, data, len(data))
        names = []
        at = 0
        while at < size:
            (length,) = struct.unpack_from("<H", data, at + 16)
            name = bytes(data[at + 19 : at + length]).partition(b"\0")[0]
            names.append(name.decode(errors="surrogateescape"))
            at += length
        return names

    # Modules and the log

    def insmod(self, name: str, params: str = "") -> None:
        """Load /lib/modules/NAME.ko. Raises OSError."""
        fd = self.service.open(f"/lib/modules/{name}.ko", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.service.syscall("finit_module", fd, params, 0, timeout_s=6 * self.timeout_s)
        finally:
            self.service.close(fd)

    def rmmod(self, name: str) -> None:
        """Unload a module. Raises OSError (EWOULDBLOCK: it is in use)."""
        self.service.syscall("delete_module", name, os.O_NONBLOCK, timeout_s=6 * self.timeout_s)

    def modules(self) -> list[str]:
        """Names of the loaded modules."""
        return [line.split()[0] for line in self.read_file("/proc/modules").decode().splitlines()]

    def dmesg_marker(self) -> str:
        """Put a unique line into the kernel's log and return it.

        When it shows on the console, everything logged before has too.
        """
        text = f"vnpu-harness: marker {self.service_nonce()}"
        self.write_file("/dev/kmsg", f"<6>{text}\n")
        return text

    def service_nonce(self) -> str:
        """A word that was not used in this guest before."""
        return f"{os.getpid()}-{next(self._markers)}"

    def shell(
        self, command: str, timeout_s: float = 60.0, check: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command by busybox's shell. With ``check``, raises CalledProcessError."""
        base = f"/tmp/.shell-{self.service_nonce()}"
        child = self.service.fork()
        status = self._execute(child, command, base, timeout_s)
        out, err = (self.read_file(f"{base}.{stream}") for stream in ("out", "err"))
        for stream in ("out", "err"):
            self.service.syscall("unlinkat", AT_FDCWD, f"{base}.{stream}", 0)
        code = os.waitstatus_to_exitcode(status)
        done = subprocess.CompletedProcess(command, code, out, err)
        if check:
            done.check_returncode()
        return done

    def _execute(self, child: Process, command: str, base: str, timeout_s: float) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        for number, stream in ((1, "out"), (2, "err")):
            fd = child.open(f"{base}.{stream}", flags)
            child.syscall("dup2", fd, number)
            child.close(fd)
        argv = _vector(child, ["sh", "-c", command])
        envp = _vector(child, ["PATH=/bin:/sbin", "HOME=/tmp"])
        try:
            child.syscall("execve", "/bin/busybox", argv, envp)
        except ProcessGone:
            pass  # it is busybox now
        except OSError:
            child.exit(127)
            raise
        try:
            return child.wait(timeout_s)
        except GuestTimeout:
            child.kill()
            child.wait()
            raise

    # Where a process is, for messages and for tests that need it to block

    def is_blocked(self, proc: Process) -> bool:
        """Whether it sleeps in a system call of a request."""
        call = self._proc_file(proc, "syscall").split()
        if len(call) < 2 or not call[0].isdigit():
            return False
        return int(call[0]) != _IDLE_CALL or int(call[1], 16) < _SOCKET_BASE

    def where_is(self, proc: Process) -> str:
        """What the process does in the kernel, as far as the guest still tells."""
        if proc.handle == self.service.handle or self._link.closed:
            return "no more is known"
        try:
            calls = self._proc_file(proc, "syscall").strip()
            stack = self._proc_file(proc, "stack").strip()
        except (OSError, GuestTimeout, ProcessGone, RigError):
            return "no more is known"
        numbers = {str(nr): name for name, nr in syscalls.X86_64.items()}
        name = numbers.get(calls.split()[0], calls) if calls else "?"
        return f"it is in {name}; kernel stack:\n{stack}"

    def _proc_file(self, proc: Process, name: str) -> str:
        return self.read_file(f"/proc/{proc.pid}/task/{proc.tid}/{name}").decode(errors="replace")

    # Requests, with a lost connection explained

    def _adopt(self, info: ProcessInfo) -> Process:
        proc = Process(self, info)
        self._processes[info.handle] = proc
        return proc

    def _request(self, target: int, kind: FrameType, payload: bytes) -> Request:
        try:
            return self._link.request(target, kind, payload)
        except LinkClosed as error:
            raise self._explain() from error

    def _tell(self, target: int, kind: FrameType, payload: bytes) -> None:
        """A request that is answered by the target's end only."""
        self._request(target, kind, payload)

    def _ask(
        self, target: int, kind: FrameType, payload: bytes = b"", timeout_s: float | None = None
    ) -> Frame:
        """A request that the agent itself answers, so it is always quick."""
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        request = self._request(target, kind, payload)
        if not self._wait(lambda: request.settled, timeout_s):
            raise GuestTimeout(f"the guest agent did not answer in {timeout_s:g} s")
        if request.reply is None:
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        if request.reply.error:
            number = -request.reply.error
            raise OSError(number, os.strerror(number))
        return request.reply

    def _wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        try:
            # Most answers come at once, and nobody has to look at the clock for them.
            at_once = min(timeout_s, _PATIENCE_S)
            if self._link.wait(done, at_once):
                return True
            return timeout_s > at_once and self._wait_longer(done, timeout_s - at_once)
        except LinkClosed as error:
            raise self._explain() from error

    def _wait_longer(self, done: Callable[[], bool], timeout_s: float) -> bool:
        timeout_s = deadline.scaled(timeout_s)
        before = self._starved_s()
        granted = 0.0
        while True:
            if self._link.wait(done, timeout_s):
                return True
            timeout_s = self._starved_s() - before - granted
            if timeout_s <= 0:
                return False
            granted += timeout_s

    def _poll(self) -> None:
        try:
            self._link.poll()
        except LinkClosed as error:
            raise self._explain() from error

    def _ended(self, proc: Process) -> bool:
        detached = self._link.is_detached(proc.handle)
        return detached and (proc.pid != proc.tid or self._link.status_of(proc.handle) is not None)

    def _wait_exit(self, proc: Process, timeout_s: float | None) -> int:
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        if not self._wait(lambda: self._ended(proc), timeout_s):
            raise GuestTimeout(f"{proc!r} did not end in {timeout_s:g} s; {self.where_is(proc)}")
        self._processes.pop(proc.handle, None)
        return self._link.status_of(proc.handle) or 0

    def _status_soon(self, proc: Process) -> int | None:
        """The status of a process that has just gone, unless it executes another program."""
        self._wait(lambda: self._ended(proc), 0.05)
        return self._link.status_of(proc.handle)


def _vector(proc: Process, words: list[str]) -> int:
    """The address of a NULL-terminated array of strings in the process."""
    texts = [word.encode() + b"\0" for word in words]
    pointers = 8 * (len(texts) + 1)
    memory = proc.alloc(pointers + sum(map(len, texts)))
    addresses = []
    at = memory.addr + pointers
    for text in texts:
        addresses.append(at)
        at += len(text)
    memory.write(struct.pack(f"<{len(texts) + 1}Q", *addresses, 0) + b"".join(texts))
    return memory.addr
