# SPDX-License-Identifier: MIT
"""Another revision, made ready to be measured beside this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vnpu.base import cache, paths, progress
from vnpu.base.errors import SetupError

_HERE = Path(__file__).parent


def resolve(name: str) -> str:
    """The commit that ``name`` means in this checkout. Raises SetupError."""
    command = ["git", "-C", str(paths.repo_root()), "rev-parse", "--verify", f"{name}^{{commit}}"]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise SetupError(f"{name} is no commit here", "name a revision of this checkout")
    return found.stdout.strip()


def checkout(commit: str) -> Path:
    """Its sources with an environment of their own, kept in the cache.

    What does not build any more where it is measured is mended by a patch that
    is named after the commit, which must not touch what is measured.
    """
    patches = [path for path in sorted(_HERE.glob("*.patch")) if commit.startswith(path.stem)]

    def make(tree: Path) -> None:
        with progress.step(f"check out and set up {commit[:12]}"):
            _unpack(commit, tree)
            for patch in patches:
                subprocess.run(["patch", "-s", "-p1", "-i", patch], cwd=tree, check=True)
            subprocess.run(["sh", "harness/setup.sh"], cwd=tree, check=True)

    return cache.tree("against", cache.digest(commit, *patches), make)


def _unpack(commit: str, tree: Path) -> None:
    command = ["git", "-C", str(paths.repo_root()), "archive", commit]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", tree], stdin=archive.stdout, check=True)
    if archive.returncode:
        raise SetupError(f"git archive {commit} failed", "look at the repository")


@contextlib.contextmanager
def environment(tree: Path) -> Iterator[dict[str, str]]:
    """A cache and a place for snapshots of its own: an old one's rules are not this one's.

    The snapshots, which may lie in memory, are gone in the end.
    """
    store = tree / "build/cache"
    _share_sources(store)
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else tree
    with tempfile.TemporaryDirectory(prefix="vnpu-against-", dir=parent) as place:
        yield os.environ | {"VNPU_CACHE": str(store), "VNPU_TEMPLATES": place}


def _share_sources(store: Path) -> None:
    """Archives that were fetched are not fetched again."""
    ours = paths.cache_dir() / "qemu-src"
    if ours.is_dir() and not (store / "qemu-src").exists():
        shutil.copytree(ours, store / "qemu-src")
