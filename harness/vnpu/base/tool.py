# SPDX-License-Identifier: MIT
"""The one place where build tools are started.

Every tool gets no stdin, the C locale and a process group of its own, so that
Ctrl-C takes all its children with it. Output goes to a log file; a failure
becomes an exception that carries the first line that tells what is wrong.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from types import FrameType
from typing import Any

from vnpu.base import deadline, locks
from vnpu.base.errors import BuildError, SetupError

#: Debian package of each tool that is not named after its package
PACKAGES = {
    "gcc": "build-essential",
    "make": "build-essential",
    "ld": "binutils",
    "strip": "binutils",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "xz": "xz-utils",
    "ninja": "ninja-build",
    "pkg-config": "pkgconf",
}

#: most telling first; the first line that matches the earliest pattern is shown
_TELLING = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i)\b(fatal )?error: ",
        r"undefined (reference|symbol)|modpost: .*undefined!",
        r"^(E|ERROR|Error|error)\b:? ",
        r"\*\*\* |FAILED|[Ff]ailed|No such file",
    )
)
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Result:
    """What a tool that succeeded wrote (stdout and stderr in order) and where it is logged."""

    output: str
    log: Path | None = None
    lines: list[str] = field(default_factory=list)


def first_error(lines: Sequence[str]) -> str:
    """The line of a tool's output that best tells why it failed."""
    for pattern in _TELLING:
        for line in lines:
            if pattern.search(line):
                return line.strip()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def missing(tool: str, reason: str) -> SetupError:
    """The error for a tool that is not installed."""
    package = PACKAGES.get(tool, tool)
    return SetupError(
        f"{tool} was not found; it is required to {reason}",
        f"install it: apt-get install {package} (or run `make setup` as root)",
    )


def run(
    argv: Sequence[str | Path],
    reason: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    hint: str | None = None,
) -> Result:
    """Run a tool to its end.

    ``reason`` completes "required to …"; ``env`` is added to this process's
    environment; ``on_line`` sees each line as it comes.
    Raises SetupError if the tool is missing, BuildError if it fails.
    """
    args = [str(arg) for arg in argv]
    lines: list[str] = []
    with open(log or os.devnull, "w", buffering=1) as sink:
        sink.write(f"$ cd {cwd or Path.cwd()} && {shlex.join(args)}\n")

        def take(line: str) -> None:
            sink.write(line + "\n")
            lines.append(line)
            if on_line is not None:
                on_line(line)

        status = stream(args, reason, take, cwd=cwd, env=_environment(env))
    if status != 0:
        where = f"\n  log: {log}" if log else ""
        told = first_error(lines)
        raise BuildError(
            f"could not {reason}: {told}\n  command: {shlex.join(args)} (exit {status}){where}",
            hint,
            log,
        )
    return Result("\n".join(lines), log, lines)


def stream(
    args: Sequence[str],
    reason: str,
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str],
    patience_s: float = 5.0,
) -> int:
    """Run a tool to its end and give its exit status; ``on_line`` sees what it writes.

    ``env`` is its whole environment. Whatever interrupts this ends the tool with
    its children: by SIGTERM, and after ``patience_s`` by SIGKILL.
    Raises SetupError if there is no such tool.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with _undisturbed():  # else a tool that has just started would be nobody's
            process = _spawn(args, reason, cwd, env)
        assert process.stdout is not None
        for raw in process.stdout:
            on_line(_ESCAPES.sub("", raw.rstrip("\n")))
        return process.wait()
    except BaseException:
        if process:
            _kill_group(process, patience_s)
        raise


#: of the make that we may run in: its flags and variables are not for the makes that we run
_OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")


def _environment(added: Mapping[str, str] | None) -> dict[str, str]:
    environment = {**os.environ, "LANG": "C", "LC_ALL": "C.UTF-8", **(added or {})}
    for name in _OF_MAKE:
        environment.pop(name, None)
    return environment


def _spawn(
    args: Sequence[str], reason: str, cwd: Path | None, env: Mapping[str, str]
) -> subprocess.Popen[str]:
    if cwd is not None and not cwd.is_dir():
        raise BuildError(f"could not {reason}: {cwd} is not a directory")
    if which(args[0], path=env.get("PATH")) is None:
        raise missing(args[0], reason)
    try:
        return subprocess.Popen(
            [*_ended_with_us(), *args],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
            # If we are killed, the tool's children may work for a moment longer,
            # and nobody must think that what they write to is free.
            pass_fds=locks.inherited(),
        )
    except FileNotFoundError as error:
        raise missing(args[0], reason) from error


def _ended_with_us() -> list[str]:
    """A command prefix: the kernel asks the tool to end when we are killed.

    make and ninja then end their children.
    """
    setpriv = which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _kill_group(process: subprocess.Popen[str], patience_s: float) -> None:
    """End the tool and all its children, politely first."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=deadline.scaled(patience_s))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM wait until the end of the block, and happen then."""
    came: list[tuple[int, FrameType | None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere
        return
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
            signal.signal(number, lambda *signal_and_frame: came.append(signal_and_frame))
    try:
        yield
    finally:
        for wanted, handler in handlers.items():
            signal.signal(wanted, handler)
    for came_number, frame in came:
        handlers[came_number](came_number, frame)
