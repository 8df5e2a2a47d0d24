# SPDX-License-Identifier: MIT
"""A QEMU process: started with its sockets, ended with certainty."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from vnpu.base.errors import SetupError

_KILL_TIMEOUT_S = 10.0
#: the device's engines are its threads; those that the library starts spin before they sleep
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}


class QemuProcess:
    """QEMU with an agent socket and a monitor socket.

    The sockets are connected pairs made beforehand, so that there is no path in
    a file system and no moment at which somebody must wait for a listener.
    """

    def __init__(
        self, binary: Path, arguments: Callable[[int, int], Sequence[str]], stderr: Path
    ) -> None:
        self.agent, agent_end = socket.socketpair()
        self.monitor, monitor_end = socket.socketpair()
        self._stderr = stderr
        fds = (agent_end.fileno(), monitor_end.fileno())
        try:
            with stderr.open("ab") as log:
                self._popen = subprocess.Popen(
                    [*die_with_parent(), str(binary), *arguments(*fds)],
                    pass_fds=fds,
                    env=os.environ | _ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C is for the harness, which then ends its guests in order.
                    process_group=0,
                )
        except BaseException:
            self.agent.close()
            self.monitor.close()
            raise
        finally:
            agent_end.close()
            monitor_end.close()

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
        return self._stderr.read_text(errors="replace").strip() if self._stderr.exists() else ""

    def wait(self, timeout_s: float) -> int | None:
        """Exit status, or None if it still runs after the deadline."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it now and close the sockets; fine to repeat."""
        if self.running:
            self._popen.kill()
            self._popen.wait(_KILL_TIMEOUT_S)
        self.agent.close()
        self.monitor.close()


def die_with_parent() -> list[str]:
    """A command prefix: the kernel kills what follows when the thread that started it ends.

    A parent that dies before setpriv has set this up leaves a process behind;
    that gap is the time of one exec.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SetupError(
            "setpriv was not found; it is required to end guests with the harness",
            "install it: apt-get install util-linux",
        )
    return [setpriv, "--pdeathsig", "KILL", "--"]
