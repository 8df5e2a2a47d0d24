# SPDX-License-Identifier: MIT
"""Deadlines are for machines of ordinary speed; ``VNPU_TIMEOUT_SCALE`` stretches all of them.

Each is written down unscaled and stretched once, by the function that really waits.
"""

from __future__ import annotations

import math
import os

from vnpu.base.errors import UsageError

VARIABLE = "VNPU_TIMEOUT_SCALE"


def scale() -> float:
    """By how much: 1 unless the environment says otherwise. Raises UsageError for nonsense."""
    text = os.environ.get(VARIABLE) or "1"
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not (factor > 0 and math.isfinite(factor)):
        raise UsageError(f"{VARIABLE}={text} is not a positive number", "10 for a slow emulator")
    return factor


def scaled(seconds: float) -> float:
    """A deadline as it holds here."""
    return seconds * scale()
