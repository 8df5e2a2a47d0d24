# SPDX-License-Identifier: MIT
"""Kernels to test on, one a lane.

- ``stock``: the distribution's own 6.12 image and headers; nothing is compiled.
- ``debug``: a newer kernel, small, with every checker that can find a driver's faults.
- ``custom``: the user's own built tree (``KDIR=``), optionally another image (``KERNEL=``).
"""

from __future__ import annotations

import os

from vnpu.artifacts.kernel import custom, debug, stock
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.base.errors import SetupError

LANES = ("stock", "debug", "custom")


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
    makers = {"stock": stock.ensure, "debug": debug.ensure, "custom": custom.ensure}
    if lane not in makers:
        raise SetupError(f"there is no lane {lane!r}", f"choose one of {', '.join(LANES)}")
    return makers[lane]()
