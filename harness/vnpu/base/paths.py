# SPDX-License-Identifier: MIT
"""Where things are: the repository, the cache, the files that come with the package."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from vnpu.base.errors import SetupError

#: a directory is the repository when it holds these
_LANDMARKS = ("spec/vnpu.yaml", "kernel", "qemu-device")


@cache
def repo_root() -> Path:
    """The repository: around this file (editable install), else around the current directory."""
    here = Path(__file__).resolve()
    for candidate in (*here.parents, Path.cwd(), *Path.cwd().parents):
        if all((candidate / mark).exists() for mark in _LANDMARKS):
            return candidate
    raise SetupError(
        "the vnpu repository was not found",
        "install with `pip install -e .` or run from inside the repository",
    )


def cache_dir() -> Path:
    """The root of everything downloaded and built: $VNPU_CACHE, else ~/.cache/vnpu."""
    configured = os.environ.get("VNPU_CACHE")
    if configured:
        return Path(configured).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vnpu"


def log_dir() -> Path:
    """Whole outputs of build tools; it exists after this call."""
    path = cache_dir() / "log"
    path.mkdir(parents=True, exist_ok=True)
    return path


def data(name: str) -> Path:
    """A data file that comes with the package: of the folder ``artifacts/data``."""
    return Path(__file__).resolve().parents[1] / "artifacts" / "data" / name
