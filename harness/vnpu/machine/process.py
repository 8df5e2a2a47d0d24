# SPDX-License-Identifier: MIT
"""The one place where QEMU is started: with its sockets, and to end with certainty."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vnpu.base import deadline, private
from vnpu.machine import confine

_KILL_TIMEOUT_S = 10.0
#: the device's engines are its threads; those that the library starts spin before they sleep
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
#: what it gets of ours: how it finds its parts, what sanitizers are to do, whose time it is.
#: Whoever takes QEMU over has no use for a user's tokens and passwords.
_PASSED_ON = """
    PATH LD_LIBRARY_PATH LANG LC_ALL TZ TMPDIR
    ASAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS ASAN_SYMBOLIZER_PATH
    MALLOC_ARENA_MAX MALLOC_PERTURB_ OPENBLAS_CORETYPE
""".split()


def environment() -> dict[str, str]:
    """What every QEMU gets as its environment."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _ENVIRONMENT


class QemuProcess:
    """QEMU, with connected sockets to it.

    Of the command line, ``{NAME}`` stands for the descriptor of the socket NAME
    or for the path NAME as QEMU sees it; see ``seen``. The sockets are pairs
    made beforehand, so that there is no path in a file system and no moment at
    which somebody must wait for a listener. The kernel kills the process when
    the thread that made it ends.

    Without ``log`` it has this terminal, and Ctrl-C with it.
    """

    def __init__(
        self,
        binary: Path,
        words: Sequence[str],
        *,
        log: Path | None = None,
        sockets: Sequence[str] = (),
        files: Mapping[str, Path] | None = None,
        confined: bool = True,
    ) -> None:
        """``confined``: if we are root, QEMU is not."""
        self._log = log
        self._seen: dict[str, str] = {}
        self.sockets: dict[str, socket.socket] = {}
        confined = confined and confine.group() is not None
        with contextlib.ExitStack() as passed, contextlib.ExitStack() as undo:
            fds = {}
            for name in sockets:
                ours, theirs = socket.socketpair()
                undo.callback(ours.close)
                passed.callback(theirs.close)
                self.sockets[name] = ours
                fds[name] = theirs.fileno()
            places = {name: str(fd) for name, fd in fds.items()}
            for name, path in {"qemu": binary, **(files or {})}.items():
                if confined:
                    fds[name] = os.open(path, os.O_PATH | os.O_CLOEXEC)
                    passed.callback(os.close, fds[name])
                self._seen[name] = f"/proc/self/fd/{fds[name]}" if confined else str(path)
            command = [*confine.die_with_parent(), *(confine.unprivileged() if confined else ())]
            command += ["--", self._seen["qemu"], *confine.sandbox(binary)]
            self.command_line = [*command, *filled(words, places | self._seen)]
            self._popen = self._start(tuple(fds.values()))
            undo.pop_all()

    def _start(self, fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        if self._log is None:
            return subprocess.Popen(self.command_line, pass_fds=fds, env=environment())
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with open(private.opened(self._log, flags), "ab") as log:
            return subprocess.Popen(
                self.command_line,
                pass_fds=fds,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the harness, which then ends its guests in order.
                process_group=0,
            )

    def seen(self, name: str) -> Path:
        """How this QEMU names one of its ``files``."""
        return Path(self._seen[name])

    @property
    def pid(self) -> int:
        """Of QEMU."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def starved_s(self) -> float:
        """Seconds for which its neediest thread was ready to run and had no processor."""
        delays = []
        for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            # A thread may end meanwhile; a kernel without these counts says nothing.
            with contextlib.suppress(OSError, IndexError):
                delays.append(int(path.read_text().split()[1]))
        return max(delays, default=0) / 1e9

    @property
    def messages(self) -> str:
        """What QEMU itself had to say."""
        if self._log is None:
            return ""
        try:
            with open(private.opened(self._log, os.O_RDONLY), errors="replace") as log:
                return log.read().strip()
        except FileNotFoundError:
            return ""

    def wait_for_ever(self) -> int:
        """Exit status."""
        return self._popen.wait()

    def wait(self, timeout_s: float) -> int | None:
        """Exit status, or None if it still runs after the deadline."""
        try:
            return self._popen.wait(deadline.scaled(timeout_s))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it now and close the sockets; fine to repeat."""
        if self.running:
            self._popen.kill()
            self._popen.wait(deadline.scaled(_KILL_TIMEOUT_S))
        for end in self.sockets.values():
            end.close()


def filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words, each ``{NAME}`` in them replaced by its value; other braces are left alone."""
    result = []
    for word in words:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)
        result.append(word)
    return result
