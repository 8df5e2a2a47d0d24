# SPDX-License-Identifier: MIT
"""Page table entries and the arithmetic of the four levels."""

from __future__ import annotations

from dataclasses import dataclass

from vnpu.hw import const
from vnpu.hw.regs import Field
from vnpu.hw.spec import load

_PTE = next(f for f in load()["formats"] if f["name"] == "PTE")
FIELDS = {f["name"]: Field(f["name"], *f["bits"]) for f in _PTE["fields"]}
RESERVED_MASK = ((1 << _PTE["bits"]) - 1) & ~sum(f.mask for f in FIELDS.values())

VALID = FIELDS["VALID"].mask
WRITE = FIELDS["WRITE"].mask
LEAF = FIELDS["LEAF"].mask
VRAM = FIELDS["VRAM"].mask
ADDR = FIELDS["ADDR"].mask


@dataclass(frozen=True)
class Pte:
    """A decoded entry; *addr* in bytes, *reserved* the bits that must be zero."""

    valid: bool
    write: bool
    leaf: bool
    vram: bool
    addr: int
    reserved: int = 0

    def __int__(self) -> int:
        return (
            self.valid * VALID
            | self.write * WRITE
            | self.leaf * LEAF
            | self.vram * VRAM
            | self.addr
            | self.reserved
        )


def _address(addr: int) -> int:
    if addr & ~ADDR:
        raise ValueError(f"{addr:#x} is not a page address below 2^52")
    return addr


def leaf(addr: int, *, vram: bool, write: bool = True) -> int:
    """An entry that maps memory at *addr*: a VRAM offset or a host DMA address."""
    return int(Pte(True, write, True, vram, _address(addr)))


def table(addr: int) -> int:
    """An entry that points to a lower table at VRAM offset *addr*."""
    return int(Pte(True, False, False, True, _address(addr)))


def decode(value: int) -> Pte:
    return Pte(
        bool(value & VALID),
        bool(value & WRITE),
        bool(value & LEAF),
        bool(value & VRAM),
        value & ADDR,
        value & RESERVED_MASK,
    )


def level_size(level: int) -> int:
    """Bytes that one entry of *level* covers."""
    return 1 << (const.PAGE_SHIFT + const.PT_BITS * level)


def index(va: int, level: int) -> int:
    """Which entry of its table of *level* an address uses."""
    return va // level_size(level) % const.PT_ENTRIES
