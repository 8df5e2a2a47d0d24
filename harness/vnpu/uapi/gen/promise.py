# SPDX-License-Identifier: MIT
"""The ABI as text, for people to read and for a diff to catch changes.

``python -m vnpu.uapi --golden FILE`` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator

from vnpu.uapi.gen.extract import Abi, Layout

_DIRECTIONS = {0: "IO", 1: "IOW", 2: "IOR", 3: "IOWR"}


def text(abi: Abi) -> str:
    """One line a fact, in the order of the header."""
    return "\n".join(_lines(abi)) + "\n"


def _lines(abi: Abi) -> Iterator[str]:
    yield "# User ABI of the driver. Lines may be added; a line that changes breaks programs."
    for name, ioctl in abi.ioctls.items():
        nr = ioctl.nr
        direction = _DIRECTIONS[nr >> 30]
        yield (
            f"ioctl {name} = {nr:#010x} {direction}({chr(nr >> 8 & 0xFF)!r}, "
            f"{nr & 0xFF:#04x}, struct {ioctl.struct}: {nr >> 16 & 0x3FFF} bytes)"
        )
    for name, value in abi.constants.items():
        yield f"define {name} = {value:#x}"
    for enum, values in abi.enums.items():
        for name, value in values.items():
            yield f"enum {enum} {name} = {value}"
    for name, layout in abi.structs.items():
        yield from _struct(name, layout)


def _struct(name: str, layout: Layout) -> Iterator[str]:
    yield f"struct {name} size {layout.size} align {layout.align}"
    for member in layout.members:
        kind = f"struct {member.struct}" if member.struct else member.kind
        array = f"[{member.count}]" if member.count else ""
        yield f"struct {name} +{member.offset} {kind} {member.name}{array}"
