# SPDX-License-Identifier: MIT
"""Where the C headers are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vnpu.base import paths
from vnpu.base.errors import SetupError, VnpuError


def _root() -> Path:
    try:
        return paths.repo_root()
    except SetupError:  # a library without sources: nothing is there to compare with
        return Path(__file__).resolve().parents[2]


REPO = _root()
VNPU_HEADER = REPO / "kernel" / "include" / "uapi" / "drm" / "vnpu_accel.h"


@cache
def drm_include_dir() -> Path:
    """A directory with ``drm.h``.

    VNPU_DRM_INCLUDE and KDIR come first, then the system's directories, then
    the header package that the stock lane builds modules with, which is
    fetched if need be. Raises SetupError when there is none.
    """
    for directory in _candidates():
        if (directory / "drm.h").is_file():
            return directory
    raise SetupError(
        "drm.h was not found; it is required to read the layout of the uAPI",
        hint="install libdrm-dev, set KDIR= to a kernel tree, or run `vnpu boot` once",
    )


def _candidates() -> Iterator[Path]:
    if value := os.environ.get("VNPU_DRM_INCLUDE"):
        yield Path(value)
    if value := os.environ.get("KDIR"):
        yield Path(value) / "include" / "uapi" / "drm"
    yield Path("/usr/include/libdrm")
    yield Path("/usr/include/drm")
    yield from _stock_lane()


def _stock_lane() -> Iterator[Path]:
    """The headers of the stock kernel, fetched if need be.

    They may be split over two trees next to each other, as Debian's are.
    """
    try:
        from vnpu.artifacts.kernel import lanes as kernel

        build = kernel.ensure("stock").build_dir
    except (ImportError, VnpuError):
        return
    for tree in (build, *sorted(build.parent.glob("linux-headers-*-common*"))):
        yield tree / "include" / "uapi" / "drm"
