# SPDX-License-Identifier: MIT
"""Programs of ours that do the work of a command, on its terminal."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
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
    process = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **(env or {})},
        stdin=None if interactive else subprocess.DEVNULL,
        process_group=None if interactive else 0,
    )
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
