# SPDX-License-Identifier: MIT
"""Directories in places that everybody can write to, which only we may use."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vnpu.base.errors import SetupError


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
