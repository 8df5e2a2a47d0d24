# SPDX-License-Identifier: MIT
"""File locks: so that parallel runs neither build the same thing twice nor remove what others use.

All of them are flock() locks. The kernel drops one when the last process that
has it open is gone, so a killed run blocks nobody; a tool that outlives the
harness keeps the locks that it was started under (see ``inherited``).
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vnpu.base import paths

_passed_on: set[int] = set()
_guard = threading.Lock()


class Held:
    """A lock that is held until close(), or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pass_on(self) -> None:
        """Have the tools that are started from now on hold it as well; see ``inherited``."""
        with _guard:
            _passed_on.add(self._fd)

    def close(self) -> None:
        """Let others have it; fine to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with _guard:
                _passed_on.discard(fd)
            os.close(fd)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def take(path: Path, *, shared: bool = False, wait: bool = True) -> Held | None:
    """Lock the file ``path``, which is made if it is not there; its folder has to be.

    None if somebody else has the lock and ``wait`` is false. Nothing is ever
    written to the file, and a link is not followed. Raises OSError, which is
    PermissionError if the file is somebody else's.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        fd = _open(path)
        try:
            fcntl.flock(fd, how)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        if _is_still(path, fd):
            return Held(fd)
        os.close(fd)  # its holder removed it while we waited


def _open(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(fd)
        raise PermissionError(f"{path} is no lock of ours")
    return fd


def _is_still(path: Path, fd: int) -> bool:
    """Whether the path still names the file that was locked."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def named(name: str) -> Path:
    """The file of the cache's lock ``name``."""
    return paths.made("lock") / name


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock ``name`` of this cache; waits for another holder and says so. Not reentrant."""
    path = named(name)
    held = take(path, wait=False)
    if held is None:
        from vnpu.base import progress  # not needed by what runs before set-up

        progress.say(f"waiting for another run that is busy with {name}")
        held = take(path)
    assert held is not None
    with held:
        held.pass_on()
        yield


def inherited() -> tuple[int, ...]:
    """Descriptors that a tool has to inherit, so that no lock is free while the tool still works.

    They are those of all named locks that this process holds.
    """
    with _guard:
        return tuple(_passed_on)
