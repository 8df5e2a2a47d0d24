# SPDX-License-Identifier: MIT
"""Directories that are gone after a run, also after one that was killed.

Each user has a place below the system's temporary directory, each process a
directory in it with a lock file beside, and each machine one in that.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from vnpu.base import locks, private
from vnpu.base.errors import SetupError
from vnpu.machine import confine

#: where large things are that should not go to a disk
MEMORY = Path("/dev/shm")
_PREFIX = "run-"
_LOCK = ".lock"


def new(prefix: str = "vm-", base: Path | None = None) -> Path:
    """A fresh directory, for QEMU to write to. ``base`` is MEMORY, or where the system has them.

    Its user removes it; the end of this process does at the latest. Raises
    SetupError if somebody else sits where it should be.
    """
    root = _root(os.getpid(), base or Path(tempfile.gettempdir()))
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    confine.hand_over(path)
    return path


@cache
def _root(pid: int, base: Path) -> Path:
    """This process's directory in ``base``; the lock beside it says that its owner lives."""
    place = private.directory(_place(base), confine.passing())
    # One at a time: else another process takes a directory that is not locked yet
    # for an abandoned one.
    guard = locks.take(place / "lock")
    assert guard is not None
    with guard:
        _remove_abandoned(place)
        _remove_abandoned_elsewhere(place)
        root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        private.directory(root, confine.group())
        held = locks.take(_lock_of(root))
    assert held is not None
    atexit.register(_remove_own, root, held, pid)
    return root


def _place(base: Path) -> Path:
    return base / f"vnpu-{os.geteuid()}-runs"


def _remove_abandoned_elsewhere(place: Path) -> None:
    """Few runs need memory for what they write, and none might come for long."""
    other = _place(MEMORY)
    if other != place and other.is_dir():
        with contextlib.suppress(SetupError, OSError):
            private.directory(other, confine.passing())
            guard = locks.take(other / "lock", wait=False)
            if guard is not None:
                with guard:
                    _remove_abandoned(other)


def _lock_of(root: Path) -> Path:
    return root.with_name(root.name + _LOCK)


def _remove_own(root: Path, held: locks.Held, pid: int) -> None:
    # A forked child inherits the registration but not the directory.
    if os.getpid() == pid:
        shutil.rmtree(root, ignore_errors=True)
        _lock_of(root).unlink(missing_ok=True)
        held.close()


def _remove_abandoned(place: Path) -> None:
    for root in place.glob(f"{_PREFIX}*"):
        if root.name.endswith(_LOCK):
            continue
        held = locks.take(_lock_of(root), wait=False)
        if held is not None:
            with held:
                shutil.rmtree(root, ignore_errors=True)
                _lock_of(root).unlink(missing_ok=True)
