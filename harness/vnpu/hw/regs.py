# SPDX-License-Identifier: MIT
"""Registers of BAR0.

``Reg``, ``EngineReg``, ``CtxReg`` and ``QueueReg`` are offsets (the latter three relative to their
block). A 64-bit register X has X_LO, X_HI, and X as another name of X_LO.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from vnpu.hw import const
from vnpu.hw.spec import load


@dataclass(frozen=True)
class Field:
    """Bits hi..lo of a register."""

    name: str
    hi: int
    lo: int

    @property
    def mask(self) -> int:
        return ((1 << (self.hi - self.lo + 1)) - 1) << self.lo

    def get(self, value: int) -> int:
        return (value & self.mask) >> self.lo

    def put(self, value: int) -> int:
        """*value* in place; ValueError if it does not fit."""
        placed = value << self.lo
        if value < 0 or placed & ~self.mask:
            raise ValueError(f"{value:#x} does not fit field {self.name} [{self.hi}:{self.lo}]")
        return placed


@dataclass(frozen=True)
class Register:
    """A register; *offset* is relative to its block, *block* is empty for the device's own."""

    name: str
    offset: int
    access: str
    doc: str
    block: str = ""
    fields: dict[str, Field] = field(default_factory=dict)

    def pack(self, **values: int) -> int:
        """The register's value from its fields; those not named are zero."""
        return sum(self.fields[name].put(int(value)) for name, value in values.items())

    def unpack(self, value: int) -> dict[str, int]:
        return {name: bits.get(value) for name, bits in self.fields.items()}


@dataclass(frozen=True)
class Block:
    """A repeated group of registers."""

    name: str
    base: int
    stride: int
    count: int

    def at(self, index: int) -> int:
        """BAR0 offset of block *index*; IndexError when there is none."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name} {index}: there are {self.count}")
        return self.base + index * self.stride


def _register(entry: dict[str, Any], block: str = "") -> Register:
    fields = {f["name"]: Field(f["name"], *f["bits"]) for f in entry.get("fields", [])}
    return Register(entry["name"], entry["offset"], entry["access"], entry["doc"], block, fields)


def _offsets(name: str, registers: list[dict[str, Any]]) -> Any:
    members = {}
    for entry in registers:
        members[entry["name"]] = entry["offset"]
        if entry["name"].endswith("_LO"):
            members[entry["name"].removesuffix("_LO")] = entry["offset"]
    return IntEnum(name, members, module=__name__)


def _count(value: int | str) -> int:
    return getattr(const, value) if isinstance(value, str) else value


_BLOCKS = {block["name"]: block for block in load()["blocks"]}

Reg = _offsets("Reg", load()["registers"])
EngineReg = _offsets("EngineReg", _BLOCKS["ENGINE"]["registers"])
CtxReg = _offsets("CtxReg", _BLOCKS["CTX"]["registers"])
QueueReg = _offsets("QueueReg", _BLOCKS["QUEUE"]["registers"])

BLOCKS = {
    name: Block(name, b["base"], b["stride"], _count(b["count"])) for name, b in _BLOCKS.items()
}
#: every register; of a block: ``"QUEUE.CONFIG"``
REGISTERS = {entry["name"]: _register(entry) for entry in load()["registers"]} | {
    f"{name}.{entry['name']}": _register(entry, name)
    for name, block in _BLOCKS.items()
    for entry in block["registers"]
}


def engine(index: int) -> int:
    """BAR0 offset of an engine's registers."""
    return BLOCKS["ENGINE"].at(index)


def ctx(index: int) -> int:
    """BAR0 offset of a context's registers."""
    return BLOCKS["CTX"].at(index)


def queue(index: int) -> int:
    """BAR0 offset of a queue's registers."""
    return BLOCKS["QUEUE"].at(index)


def doorbell(index: int) -> int:
    """BAR0 offset of a queue's doorbell."""
    if not 0 <= index < const.MAX_QUEUES:
        raise IndexError(f"queue {index}: there are {const.MAX_QUEUES}")
    return const.DOORBELL_BASE + index * const.DOORBELL_STRIDE


def pack(register: str, **fields: int) -> int:
    """The value of a register named as in ``REGISTERS`` from its fields."""
    return REGISTERS[register].pack(**fields)


def unpack(register: str, value: int) -> dict[str, int]:
    """The fields of a register's value."""
    return REGISTERS[register].unpack(value)


__all__ = [
    "BLOCKS",
    "REGISTERS",
    "Block",
    "CtxReg",
    "EngineReg",
    "Field",
    "QueueReg",
    "Reg",
    "Register",
    "ctx",
    "doorbell",
    "engine",
    "pack",
    "queue",
    "unpack",
]
