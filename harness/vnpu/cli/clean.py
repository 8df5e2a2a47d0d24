# SPDX-License-Identifier: MIT
"""Empties the cache, wholly or of what is quickly made again, and removes the snapshots."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from vnpu.base import cache, locks, paths
from vnpu.base.errors import SetupError
from vnpu.machine import template

#: made in seconds from what stays: entries, which a run may use, and plain folders
ENTRIES = ("agent", "initramfs", "module")
FOLDERS = ("module-build", "log", "uapi")


def remove(everything: bool) -> Iterator[str]:
    """Remove, and tell what was removed.

    Raises SetupError, before anything is removed, if the cache is not marked
    as ours, or if the whole of it is to go and a run uses it.
    """
    root = paths.cache_dir()
    with contextlib.ExitStack() as held:
        if root.is_dir():
            paths.made("lock")  # refuses what is not ours, marks what an older version made
        if everything and root.is_dir():
            _lock_all(root, held)
        for directory in template.remove_all() if root.is_dir() else ():
            yield f"removed {directory}"
        if not root.is_dir():
            return
        if everything:
            shutil.rmtree(root)
            yield f"removed {root}"
            return
        for kind in ENTRIES:
            for entry in cache.remove_unused(kind):
                yield f"removed {entry}"
        for name in FOLDERS:
            if (root / name).is_dir():
                shutil.rmtree(root / name)
                yield f"removed {root / name}"


def _lock_all(root: Path, held: contextlib.ExitStack) -> None:
    """Take every lock there is, so that no run is at work on anything.

    But for those of templates: who makes or clones one uses a QEMU as well.
    """
    cache.release_all()
    for path in sorted((root / "lock").glob("[!.]*")):
        if path.name.startswith(template.LOCK):
            continue
        taken = locks.take(path, wait=False)
        if taken is None:
            raise SetupError(f"a run uses the cache: {path.name}", "wait for its end")
        held.enter_context(taken)
