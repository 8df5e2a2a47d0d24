# SPDX-License-Identifier: MIT
"""The errors of the harness.

Library code raises these and never exits or prints; ``vnpu.cli.main`` and the
pytest plugin turn them into a line for the user. The class says whose fault
it is, because a broken rig must never look like a broken driver.
"""

from __future__ import annotations

from pathlib import Path


class VnpuError(Exception):
    """Something that the user has to know about: what happened, and what to do next."""

    #: exit status of the command line tool
    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class UsageError(VnpuError):
    """What the user asked for is none of the things that can be asked for."""

    exit_code = 2


class SetupError(VnpuError):
    """This machine lacks something: a tool, a package, a network, disk space."""

    exit_code = 3


class BuildError(VnpuError):
    """A compiler or build tool failed; the message carries its first error.

    ``log`` is the file with the whole output, where there is one.
    """

    exit_code = 4

    def __init__(self, message: str, hint: str | None = None, log: Path | None = None) -> None:
        super().__init__(message, hint)
        self.log = log


class RigError(VnpuError):
    """The harness or its virtual machine failed; the kernel under test is not to blame.

    ``console_tail`` holds the end of the guest's console.
    """

    exit_code = 5

    def __init__(self, message: str, hint: str | None = None, console_tail: str = "") -> None:
        super().__init__(message, hint)
        self.console_tail = console_tail

    def __str__(self) -> str:
        text = super().__str__()
        return (
            f"{text}\n--- end of the console ---\n{self.console_tail}"
            if self.console_tail
            else text
        )


class GuestKernelError(VnpuError):
    """The kernel under test reported a fault of its own in its log.

    ``excerpt`` is the part of the log that tells.
    """

    exit_code = 6

    def __init__(self, message: str, hint: str | None = None, excerpt: str = "") -> None:
        super().__init__(message, hint)
        self.excerpt = excerpt

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n{self.excerpt}" if self.excerpt else text
