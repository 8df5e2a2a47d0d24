# SPDX-License-Identifier: MIT
"""Empties the cache, wholly or of what is quickly made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from vnpu.base import paths
from vnpu.base.errors import SetupError

#: made in seconds from what stays
QUICK = ("agent", "initramfs", "module", "module-build", "log", "uapi")
#: a directory without these is not a cache of ours, whatever $VNPU_CACHE says
_MARKS = ("apt", "lock", "log", "qemu-src", "qemu-tree", "kernel-stock")


def remove(everything: bool) -> Iterator[str]:
    """Remove, and tell what was removed."""
    root = paths.cache_dir()
    if not root.is_dir():
        return
    if not everything:
        for name in QUICK:
            if (root / name).is_dir():
                shutil.rmtree(root / name)
                yield f"removed {root / name}"
        return
    if not any((root / mark).is_dir() for mark in _MARKS) and any(root.iterdir()):
        raise SetupError(f"{root} does not look like a cache of vnpu", "remove it yourself")
    shutil.rmtree(root)
    yield f"removed {root}"
