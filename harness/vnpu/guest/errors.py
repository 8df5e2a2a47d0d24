# SPDX-License-Identifier: MIT
"""What can go wrong in a remote process, beside the errno of a system call."""

from __future__ import annotations

import os
import signal


class GuestFault(Exception):
    """Memory of a remote process could not be touched.

    ``addr`` is the address and ``signal`` SIGSEGV (nothing is mapped there, or
    not with this right) or SIGBUS (what is mapped there is gone).
    """

    def __init__(self, addr: int, signum: int) -> None:
        self.addr = addr
        self.signal = signal.Signals(signum)
        super().__init__(f"{self.signal.name} at {addr:#x}")


class ProcessGone(Exception):
    """The remote process ended, or executed another program, before it answered.

    ``status`` is as from waitpid(), or None while it is not known.
    """

    def __init__(self, what: str, status: int | None) -> None:
        self.status = status
        super().__init__(f"{what}: {describe_status(status)}")


class GuestTimeout(TimeoutError):
    """No answer within the deadline; the message tells where the process is."""


def describe_status(status: int | None) -> str:
    """A waitpid() status in words."""
    if status is None:
        return "it is gone"
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with {os.WEXITSTATUS(status)}"
