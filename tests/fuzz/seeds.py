# SPDX-License-Identifier: MIT
"""First inputs for the fuzzer: what tests over qtest did to the device, and some more.

The tests write down each command that they send to QEMU (``--traffic``), as text; here the
ones that reach the device or memory become records of the fuzzer (records.h).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from vnpu.hw import const
from vnpu.hw.packets import Copy, Copy2d, Fill
from vnpu.qtest.npu import PHYS_VRAM

#: as in records.h
OPS = (
    "WRITE", "READ", "RAM", "VRAM", "CLOCK", "RUN", "POLL", "PAUSE", "BUS", "MODE", "HOOK",
    "RESET", "SETTLE", "LOAD", "EXIT", "SETUP", "MAP", "ENTRY", "COMMANDS", "UNMAP",
)  # fmt: skip
_RECORD = struct.Struct("<BBBBIQ")
#: most bytes of data behind a record, and of an input
_MAX_DATA = 4096
MAX_INPUT = 16384

#: where the tests put the BARs of their first device, and how large memory is
_MMIO, _VRAM, _MEMORY = 0xE0000000, 0x10_0000_0000, 64 << 20
_SLOT = 4
_CONFIG_ADDRESS, _CONFIG_DATA = 0xCF8, 0xCFC
_COMMAND, _PM_CONTROL, _DEVCTL = 0x04, 0x64, 0x88
_WIDTHS = {"b": 1, "w": 2, "l": 4, "q": 8}


def record(op: str, a: int = 0, b: int = 0, x: int = 0, y: int = 0, data: bytes = b"") -> bytes:
    """A record, and the data that follow it."""
    head = _RECORD.pack(OPS.index(op), a, b, 0, len(data) or x, y & 0xFFFFFFFFFFFFFFFF)
    return head + data + bytes(-len(data) % _RECORD.size)


def _memory(addr: int, data: bytes) -> Iterator[bytes]:
    for base, op in ((0, "RAM"), (_VRAM, "VRAM")):
        at = addr - base
        if at >= 0 and at + len(data) <= _MEMORY:
            for start in range(0, len(data), _MAX_DATA):
                yield record(op, y=at + start, data=data[start : start + _MAX_DATA])


class Converter:
    """Makes records of the commands of one machine."""

    def __init__(self) -> None:
        self._selected = 0
        self._last_read = -1

    def convert(self, lines: Iterable[str]) -> bytes:
        """An input, cut off where it would be too long."""
        out = b""
        for line in lines:
            for part in self._line(line.split()):
                if len(out) + len(part) > MAX_INPUT:
                    return out
                out += part
        return out

    def _line(self, words: list[str]) -> Iterator[bytes]:
        verb, numbers = words[0], words[1:]
        if verb == "b64write":
            yield from _memory(int(numbers[0], 0), base64.b64decode(numbers[2]))
        elif verb == "memset":
            addr, size, byte = (int(number, 0) for number in numbers)
            if byte:
                yield from _memory(addr, bytes([byte]) * min(size, _MAX_DATA))
        elif verb == "clock_step":
            yield record("CLOCK", y=int(numbers[0], 0))
        elif verb[:-1] in ("write", "read") and verb[-1] in _WIDTHS:
            yield from self._access(verb[:-1], _WIDTHS[verb[-1]], *(int(n, 0) for n in numbers))
        elif verb.startswith("out"):
            yield from self._port(int(numbers[0], 0), int(numbers[1], 0))

    def _access(self, verb: str, width: int, addr: int, value: int = 0) -> Iterator[bytes]:
        at = addr - _MMIO
        if not 0 <= at < const.BAR_REGS_SIZE:
            if verb == "write":
                yield from _memory(addr, value.to_bytes(width, "little"))
            return
        for low in range(0, width if width > 4 else 4, 4):
            if verb == "write":
                self._last_read = -1
                yield record("WRITE", x=at + low, y=value >> 8 * low & 0xFFFFFFFF)
            elif at + low != self._last_read:
                # who polls is not interesting
                self._last_read = at + low
                yield record("READ", x=at + low)

    def _port(self, port: int, value: int) -> Iterator[bytes]:
        if port == _CONFIG_ADDRESS:
            self._selected = value
            return
        offset = self._selected & 0xFC | port - _CONFIG_DATA
        if self._selected >> 11 & 0x1F != _SLOT:
            return
        if offset == _COMMAND:
            yield record("BUS", a=value >> 2 & 1)
        elif offset == _PM_CONTROL:
            yield record("PAUSE", a=value & 3 != 0)
        elif offset == _DEVCTL and value >> 15 & 1:
            yield record("RESET")


def _stopped() -> Iterator[tuple[str, bytes]]:
    """Packets that stop and go on, in VRAM and in guest memory: tests have few of them."""
    mib = 1 << 20
    for name, base, room in (("vram", PHYS_VRAM, 16 * mib), ("ram", 4 * mib, 4 * mib)):
        size = room // 4 + 12
        packets = {
            "copy": Copy(src=base, dst=base + room, size=size),
            "backward": Copy(src=base, dst=base + size // 3, size=size),
            "fill": Fill(dst=base + room, size=size, pattern=0x12345678),
            "rows": Copy2d(src=base, dst=base + room, rows=3, row_bytes=size // 3,
                           src_stride=size // 3 + 4, dst_stride=size // 3 + 100),
        }  # fmt: skip
        for kind, packet in packets.items():
            work = bytes(packet) + bytes(Copy(src=base + room, dst=base, size=4096))
            yield f"stopped-{kind}-{name}", b"".join((
                record("RESET", a=1),
                record("SETUP", b=2),
                record("SETUP", b=3, x=0x100),
                record("RAM" if base < _MEMORY else "VRAM",
                       y=base & (1 << 32) - 1, data=bytes(range(256)) * 16),
                record("COMMANDS", b=2, data=work),
                record("COMMANDS", b=3, data=work),
                record("UNMAP", x=room, y=base & (1 << 32) - 1),
                record("RUN", a=15),
                record("PAUSE", a=1),
                record("SETTLE"),
                record("PAUSE"),
                record("RUN", a=15),
            ))  # fmt: skip


def write(traffic: Path, folder: Path) -> int:
    """Convert all that was recorded in *traffic*; how many inputs *folder* has got."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, data in _stopped():
        (folder / name).write_bytes(data)
        count += 1
    for path in sorted(traffic.glob("*.qtest")):
        data = Converter().convert(path.read_text().splitlines())
        if data:
            (folder / path.stem).write_bytes(data)
            count += 1
    return count
