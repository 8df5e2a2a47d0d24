# SPDX-License-Identifier: MIT
"""Where apt may download to without being root.

apt lets an unprivileged user talk to the network and take apart what comes, if
that user can reach the place. The cache of root is no such place, so downloads
go to a directory of that user and are moved when they are complete and checked.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from vnpu.base import scratch

#: whom Debian's apt makes for this
_USER = "_apt"


def user() -> str:
    """For APT::Sandbox::User; only root can become somebody else."""
    return _USER if _uid() is not None else "root"


def _uid() -> int | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_USER).pw_uid
    except KeyError:
        return None


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A directory that apt's downloads can go to; it is gone after the block."""
    with scratch.folder("apt") as path:
        give(path)
        yield path


def give(path: Path) -> None:
    """Let apt's user write there."""
    uid = _uid()
    if uid is not None:
        os.chown(path, uid, -1)


def keep(path: Path, target: Path) -> Path:
    """Move what was downloaded to its place, and to us."""
    shutil.move(path, target)
    os.chown(target, os.geteuid(), os.getegid())
    return target
