# SPDX-License-Identifier: MIT
"""The guest as a whole: its processes, files, modules, and the end of it."""

from __future__ import annotations

import errno
import itertools
import os
import struct
import subprocess

from vnpu.base.errors import RigError
from vnpu.guest import syscalls
from vnpu.guest.errors import GuestTimeout, ProcessGone
from vnpu.guest.log import KernelLog
from vnpu.guest.process import AT_FDCWD, Process
from vnpu.guest.protocol import AGENT_TARGET, FrameType, Hello, ProcessInfo
from vnpu.guest.session import Session

MARKER = "vnpu-harness: marker"
_nonces = itertools.count(1)
_READ_SIZE = 128 << 10
_AT_SYMLINK_NOFOLLOW = 0x100
_RNDADDENTROPY = 0x40085203
_RNDRESEEDCRNG = 0x5207
#: an idle remote process sleeps in recvmsg() on its socket, a descriptor from here on
_IDLE_CALL = syscalls.X86_64["recvmsg"]
_SOCKET_BASE = 4000


class Guest:
    """A guest whose agent answers."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.session.where_is = self._where_is
        self.session.is_blocked = self._is_blocked
        self.log = KernelLog(self)
        self.hello: Hello
        self.service: Process

    def connect(self, timeout_s: float, booting: bool = False) -> Hello:
        """Greet the agent; of a booting guest, wait for the agent's own greeting."""
        self.hello = self.session.greet(timeout_s, booting)
        info = ProcessInfo(self.hello.service, self.hello.service_pid, self.hello.service_pid)
        self.service = Process(self.session, info)
        return self.hello

    @property
    def timeout_s(self) -> float:
        """The deadline of every call, in seconds; can be set."""
        return self.session.timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        self.session.timeout_s = seconds

    @property
    def release(self) -> str:
        """The kernel's release, as `uname -r` says it."""
        return self.hello.release

    @property
    def processes(self) -> list[Process]:
        """The processes and threads made here that have not ended, in order."""
        self.session.poll()
        made = [Process(self.session, info) for info in self.session.members.values()]
        return [proc for proc in made if proc.alive]

    def spawn(self, uid: int = 0, gid: int = 0) -> Process:
        """A new process with nothing open but /dev/null on 0 to 2."""
        frame = self.session.ask(AGENT_TARGET, FrameType.SPAWN)
        proc = Process.born(self.session, ProcessInfo.parse(frame.payload))
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
        for info in list(self.session.members.values()):
            self.session.wait_exit(info)

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
        self.session.request(AGENT_TARGET, FrameType.POWEROFF)

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
        text = self.new_marker()
        self.write_file("/dev/kmsg", f"<6>{text}\n")
        return text

    def new_marker(self) -> str:
        """A line for the log that is not in it yet; reports of the kernel end at such a line."""
        return f"{MARKER} {self.service_nonce()}"

    def service_nonce(self) -> str:
        """A word that was not used in this guest before, nor in the one that it is a clone of."""
        return f"{os.getpid()}-{next(_nonces)}"

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

    def _is_blocked(self, info: ProcessInfo) -> bool:
        call = self._proc_file(info, "syscall").split()
        if len(call) < 2 or not call[0].isdigit():
            return False
        return int(call[0]) != _IDLE_CALL or int(call[1], 16) < _SOCKET_BASE

    def _where_is(self, info: ProcessInfo) -> str:
        """What the process does in the kernel, as far as the guest still tells."""
        if info.handle == self.service.handle or self.session.closed:
            return "no more is known"
        try:
            calls = self._proc_file(info, "syscall").strip()
            stack = self._proc_file(info, "stack").strip()
        except (OSError, GuestTimeout, ProcessGone, RigError):
            return "no more is known"
        numbers = {str(nr): name for name, nr in syscalls.X86_64.items()}
        name = numbers.get(calls.split()[0], calls) if calls else "?"
        return f"it is in {name}; kernel stack:\n{stack}"

    def _proc_file(self, info: ProcessInfo, name: str) -> str:
        return self.read_file(f"/proc/{info.pid}/task/{info.tid}/{name}").decode(errors="replace")


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
