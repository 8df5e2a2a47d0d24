# SPDX-License-Identifier: MIT
"""Programs of ours that do the work of a command, on its terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType


class Terminated(KeyboardInterrupt):
    """Somebody ended this process, and it alone."""


def catch_termination() -> None:
    """Have a plain kill, or a terminal that closes, stop what runs, as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def run(
    command: Sequence[str],
    root: Path,
    env: Mapping[str, str] | None = None,
    interactive: bool = False,
) -> int:
    """Run a program in the directory ``root``; gives its exit status.

    Whatever ends this process is passed on to the program and all that it
    started, as an interrupt, and its end is waited for: it has machines and
    files to put away. Raises KeyboardInterrupt then.

    ``interactive``: it reads from this terminal, which interrupts it itself;
    else it has no stdin.
    """
    process = _start(command, root, {**os.environ, **(env or {})}, interactive)
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
            if not interactive:
                os.killpg(process.pid, signal.SIGINT)
            elif isinstance(interrupt, Terminated):
                process.send_signal(signal.SIGINT)
    if interrupted:
        raise interrupted
    return status


def _start(
    command: Sequence[str], root: Path, env: Mapping[str, str], interactive: bool
) -> subprocess.Popen[bytes]:
    if interactive:
        return subprocess.Popen(command, cwd=root, env=env)
    with _interruptible():
        return subprocess.Popen(
            command, cwd=root, env=env, stdin=subprocess.DEVNULL, process_group=0
        )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Have what starts in this block end by an interrupt, which is how it is told to.

    A shell has what it starts in the background ignore them, and children inherit that.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
