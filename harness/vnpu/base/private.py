# SPDX-License-Identifier: MIT
"""Directories in places that everybody can write to, which only we may use."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from vnpu.base.errors import SetupError


def opened(path: Path, flags: int) -> int:
    """A descriptor of a file in a directory that a confined QEMU may write to.

    Root must not be led elsewhere there. Raises SetupError for what is no file
    of one name, FileNotFoundError if there is none and ``flags`` make none.
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SetupError(f"{path} has become a link", "the guest may have done it") from None
        raise
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(handle)
        raise SetupError(f"{path} is no file of its own", "the guest may have done it")
    return handle


def directory(path: Path, group: int | None = None) -> Path:
    """Make ``path`` or see that it is ours; nobody else can look into it after that.

    Members of ``group`` may pass through it. Raises SetupError if somebody
    else was there first, or if it is a link.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SetupError(
                f"{path} belongs to somebody else", "remove it, or see who made it"
            ) from None
    if group is None:
        path.chmod(0o700)
    else:
        os.chown(path, -1, group)
        path.chmod(0o710)
    return path
