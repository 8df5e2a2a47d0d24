# SPDX-License-Identifier: MIT
"""Where buffer objects may be."""

from __future__ import annotations

import enum

from vnpu.uapi import abi


class Placement(enum.IntFlag):
    """Kinds of memory that a BO may be in."""

    VRAM = 1
    SYSTEM = 2

    @classmethod
    def of(cls, kind: int) -> Placement:
        """The bit of a kind of region."""
        bits: dict[int, Placement] = {
            abi.RegionKind.VRAM: cls.VRAM,
            abi.RegionKind.SYSTEM: cls.SYSTEM,
        }
        return bits[kind]
