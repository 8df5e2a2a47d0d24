# SPDX-License-Identifier: MIT
"""Directories that are gone after a run, also after one that was killed."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

_PREFIX = "vnpu-run-"
_LOCK = "lock"

_held: list[IO[str]] = []


@cache
def _root(pid: int) -> Path:
    """This process's directory; the lock in it says that its owner lives."""
    _remove_abandoned()
    root = Path(tempfile.mkdtemp(prefix=_PREFIX))
    handle = (root / _LOCK).open("w")
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held.append(handle)
    atexit.register(_remove_own, root, pid)
    return root


def _remove_own(root: Path, pid: int) -> None:
    # A forked child inherits the registration but not the directory.
    if os.getpid() == pid:
        shutil.rmtree(root, ignore_errors=True)
        while _held:
            _held.pop().close()


def _remove_abandoned() -> None:
    for root in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with (root / _LOCK).open("w") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
        except OSError:
            continue  # somebody's who lives, or not ours to touch


def new(prefix: str = "vm-") -> Path:
    """A fresh directory. Its user removes it; the end of this process does at the latest."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_root(os.getpid())))
