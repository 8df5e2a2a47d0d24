# SPDX-License-Identifier: MIT
"""Which kernel the user asks for. Imports nothing that needs installing."""

from __future__ import annotations

import os

from vnpu.artifacts import settings

LANES = ("stock", "debug", "custom")


def lane_of_environment() -> str:
    """The lane that the user asked for.

    ``custom`` if $KDIR is set, else $LANE, else what .config says, else ``stock``.
    """
    if os.environ.get("KDIR"):
        return "custom"
    return os.environ.get("LANE") or settings.load().get("VNPU_LANE") or "stock"


def kernel_version() -> str:
    """Which stock kernel the user asked for, by $KERNEL_VERSION or .config; empty: any 6.12."""
    asked = os.environ.get("KERNEL_VERSION", "").strip()
    return asked or settings.load().get("VNPU_KERNEL_VERSION", "").strip()
