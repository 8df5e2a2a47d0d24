# SPDX-License-Identifier: MIT
"""A line for each ioctl: decoded argument, result, duration.

On with VNPU_TRACE=1 in the environment (to standard error), or by adding a
function to ``hooks``.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vnpu.uapi.base import Ioctl, Struct


@dataclass(frozen=True)
class Call:
    """A finished ioctl. *seconds* include the way to the guest and back."""

    pid: int
    fd: int
    ioctl: Ioctl
    before: Struct
    after: Struct | None
    outcome: int | OSError
    seconds: float

    def __str__(self) -> str:
        return (
            f"[{self.pid}] {self.ioctl.name}(fd={self.fd}, {self.before!r}) = "
            f"{self._result()}  {self.seconds * 1e3:.2f} ms"
        )

    def _result(self) -> str:
        if isinstance(self.outcome, OSError):
            number = self.outcome.errno or 0
            return f"-{errno.errorcode.get(number, number)}"
        changes = [
            f"{field.name}={field.show(value)}"
            for field, value in (self.after.items() if self.after is not None else ())
            if value != getattr(self.before, field.name)
        ]
        return " ".join([str(self.outcome), *changes])


hooks: list[Callable[[Call], None]] = []


def to_stderr(call: Call) -> None:
    """Print a call; the hook that VNPU_TRACE installs."""
    print(call, file=sys.stderr, flush=True)


if os.environ.get("VNPU_TRACE", "0") not in ("", "0"):
    hooks.append(to_stderr)


def emit(
    proc: Any,
    fd: int,
    ioctl: Ioctl,
    before: Struct,
    after: Struct | None,
    outcome: int | OSError,
    seconds: float,
) -> None:
    """Give a finished call to every hook."""
    if hooks:
        record = Call(proc.pid, fd, ioctl, before, after, outcome, seconds)
        for hook in hooks:
            hook(record)
