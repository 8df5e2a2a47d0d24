# SPDX-License-Identifier: MIT
"""Kernels to test on, one a lane.

- ``stock``: a kernel of the distribution, image and headers; nothing is compiled. It is the
  newest 6.12, or what $KERNEL_VERSION asks for.
- ``debug``: a newer kernel, small, with every checker that can find a driver's faults.
- ``custom``: the user's own built tree (``KDIR=``), optionally another image (``KERNEL=``).
"""

from __future__ import annotations

import os

from vnpu.artifacts.kernel import custom, debug, stock
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.artifacts.kernel.choice import LANES, lane_of_environment
from vnpu.base.errors import SetupError

__all__ = ["LANES", "ensure", "lane_of_environment"]


def ensure(lane: str) -> KernelArtifact:
    """The kernel of a lane, fetched or built if it is not there yet."""
    if os.environ.get("KERNEL") and lane != "custom":
        raise SetupError(
            f"KERNEL= is for a kernel of one's own, and the lane is {lane}",
            "name the tree that modules are built against as well: KDIR=",
        )
    if os.environ.get("KERNEL_VERSION") and lane != "stock":
        raise SetupError(
            f"KERNEL_VERSION= chooses a kernel of the distribution, and the lane is {lane}",
            "leave one of them out",
        )
    makers = {"stock": stock.ensure, "debug": debug.ensure, "custom": custom.ensure}
    if lane not in makers:
        raise SetupError(f"there is no lane {lane!r}", f"choose one of {', '.join(LANES)}")
    return makers[lane]()
