# SPDX-License-Identifier: MIT
"""File locks, so that parallel runs do not build the same thing twice."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from vnpu.base import paths, progress


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock ``name`` of this cache; waits for another holder and says so.

    The kernel drops the lock when its holder dies, so a killed run blocks nobody.
    Not reentrant.
    """
    folder = paths.cache_dir() / "lock"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"waiting for another run that is busy with {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
