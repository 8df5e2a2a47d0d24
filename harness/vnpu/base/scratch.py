# SPDX-License-Identifier: MIT
"""Temporary directories that a killed process leaves behind for the next one to remove.

A directory is locked itself while it is used, so that this needs no other place.
Imports nothing that needs installing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: two runs that begin at the same time meet once or twice
_ATTEMPTS = 50


@contextlib.contextmanager
def folder(kind: str) -> Iterator[Path]:
    """A directory for as long as the block lasts; those of the same ``kind`` that nobody uses go.

    Whoever made them is told by their names, which our user's name is a part of.
    """
    parent = Path(tempfile.gettempdir())
    prefix = f"vnpu-{kind}-{os.geteuid()}-"
    for left in parent.glob(f"{prefix}*"):
        _remove(left)
    path, fd = _new(parent, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)


def _new(parent: Path, prefix: str) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        fd = _locked(path)
        if fd is not None:
            return path, fd
        # Somebody took it for a leftover before it was locked.
    raise OSError(f"no directory in {parent} can be locked")


def _locked(path: Path) -> int | None:
    """A descriptor of the directory, whose lock is ours; None if somebody uses or removes it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.lstat(path), os.fstat(fd)):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _remove(path: Path) -> None:
    fd = _locked(path)
    if fd is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(fd)
