# SPDX-License-Identifier: MIT
"""Kernels to test on, one a lane.

- ``stock``: the distribution's own 6.12 image and headers; nothing is compiled.
- ``debug``: a newer kernel, small, with every checker that can find a driver's faults.
- ``custom``: the user's own built tree (``KDIR=``), optionally another image (``KERNEL=``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vnpu.errors import SetupError

LANES = ("stock", "debug", "custom")


@dataclass(frozen=True)
class KernelArtifact:
    """A kernel that can be booted and built against.

    ``image`` is a bzImage, or better an ELF file that QEMU can boot; see pvh.

    ``modules`` are what the driver and its tests need, uncompressed, each
    after those that it depends on. ``key`` changes when any of it does.
    """

    lane: str
    release: str
    image: Path
    build_dir: Path
    modules: list[Path]
    key: str


def lane_of_environment() -> str:
    """The lane that the user asked for: ``custom`` if $KDIR is set, else $LANE, else ``stock``."""
    if os.environ.get("KDIR"):
        return "custom"
    return os.environ.get("LANE") or "stock"


def ensure(lane: str) -> KernelArtifact:
    """The kernel of a lane, fetched or built if it is not there yet."""
    if os.environ.get("KERNEL") and lane != "custom":
        raise SetupError(
            f"KERNEL= is for a kernel of one's own, and the lane is {lane}",
            "name the tree that modules are built against as well: KDIR=",
        )
    # Each lane imports this module, so they are imported when they are needed.
    if lane == "stock":
        from vnpu.sources import kernel_stock

        return kernel_stock.ensure()
    if lane == "debug":
        from vnpu.sources import kernel_debug

        return kernel_debug.ensure()
    if lane == "custom":
        from vnpu.sources import kernel_custom

        return kernel_custom.ensure()
    raise SetupError(f"there is no lane {lane!r}", f"choose one of {', '.join(LANES)}")
