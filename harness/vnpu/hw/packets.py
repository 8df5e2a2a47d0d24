# SPDX-License-Identifier: MIT
"""Ring entries, packets and records as scapy layers.

A layer's fields are those of the specification, after ``opcode``, ``flags`` and ``dwords`` of the
header. ``dwords`` is computed unless given; so is nothing else: a layer builds whatever it is
told, malformed included.

    bytes(Copy(src=0x1000, dst=0x2000, size=64))
    Gemm(dtype=Dtype.F32, flags="BIAS+TRANS_B", m=4, n=4, k=4)
    for packet in parse_commands(data): packet.show()
"""

from __future__ import annotations

import struct
from typing import Any

from scapy.fields import (
    ByteEnumField,
    Field,
    FlagsField,
    LEIntEnumField,
    LEIntField,
    LEShortField,
    StrFixedLenField,
    StrLenField,
    XLEIntField,
    XLELongField,
)
from scapy.packet import Packet, Raw

from vnpu.hw import const
from vnpu.hw.codes import ENUMS, Opcode
from vnpu.hw.spec import camel, load

_SIZES = {"u32": 4, "u64": 8}


class _Layer(Packet):
    """What ring entries, packets and records share: nothing follows inside them."""

    #: other names that a constructor takes
    aliases: dict[str, str] = {}

    def __init__(self, *args: Any, **fields: Any) -> None:
        for old, new in self.aliases.items():
            if old in fields:
                fields[new] = fields.pop(old)
        super().__init__(*args, **fields)

    def default_payload_class(self, payload: bytes) -> type[Packet]:
        return Raw


class Command(_Layer):
    """A ring entry or packet: has a header, whose length is filled in."""

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        if self.dwords is None:
            pkt = pkt[:2] + struct.pack("<H", (len(pkt) + 3) // 4 & 0xFFFF) + pkt[4:]
        return pkt + pay


class Record(_Layer):
    """Written by the device to memory; has no header."""


def _flag_names(packet: dict[str, Any]) -> list[str]:
    names = [f"bit{bit}" for bit in range(8)]
    for flag in packet.get("flags", []):
        names[flag["bit"]] = flag["name"]
    return names


def _header(packet: dict[str, Any]) -> list[Field[Any, Any]]:
    return [
        ByteEnumField("opcode", packet["opcode"], {int(op): op.name for op in Opcode}),
        FlagsField("flags", 0, 8, _flag_names(packet)),
        LEShortField("dwords", None),
    ]


def _field(entry: dict[str, Any]) -> Field[Any, Any]:
    """Enumerations start with their first value, so that a layer is valid as it comes."""
    name = entry["name"]
    if "count" in entry:
        size = _SIZES[entry["type"]] * entry["count"]
        return StrFixedLenField(name, bytes(size), size)
    if entry["type"] == "u64":
        return XLELongField(name, 0)
    if "enum" in entry:
        enum = ENUMS[entry["enum"]]
        return LEIntEnumField(name, int(next(iter(enum))), {int(v): v.name for v in enum})
    return XLEIntField(name, 0) if name in ("pattern", "reserved") else LEIntField(name, 0)


def _command(packet: dict[str, Any]) -> type[Command]:
    fields = [*_header(packet), *map(_field, packet["fields"])]
    if packet.get("variable"):
        fixed = 4 + sum(_SIZES[f["type"]] * f.get("count", 1) for f in packet["fields"])
        fields.append(
            StrLenField("data", b"", length_from=lambda p: max(0, (p.dwords or 0) * 4 - fixed))
        )
    names = {f.name for f in fields}
    aliases = {"length": "size"} if "size" in names else {}
    attributes = {
        "name": packet["name"],
        "fields_desc": fields,
        "aliases": aliases,
        "__doc__": packet["doc"],
        "__module__": __name__,
    }
    return type(camel(packet["name"]), (Command,), attributes)


def _record(name: str, record: dict[str, Any]) -> type[Record]:
    attributes = {
        "name": record["name"],
        "fields_desc": [_field(entry) for entry in record["fields"]],
        "__doc__": record["doc"],
        "__module__": __name__,
    }
    return type(name, (Record,), attributes)


_COMMANDS = {p["name"]: _command(p) for p in load()["ring_entries"] + load()["packets"]}
_RECORDS = {r["name"]: r for r in load()["records"]}

RingNop: Any = _COMMANDS["RING_NOP"]
RingIndirect: Any = _COMMANDS["RING_INDIRECT"]
RingFence: Any = _COMMANDS["RING_FENCE"]
RingInvalidate: Any = _COMMANDS["RING_INVALIDATE"]

Nop: Any = _COMMANDS["NOP"]
Wait: Any = _COMMANDS["WAIT"]
Signal: Any = _COMMANDS["SIGNAL"]
Copy: Any = _COMMANDS["COPY"]
Copy2d: Any = _COMMANDS["COPY_2D"]
Fill: Any = _COMMANDS["FILL"]
Gemm: Any = _COMMANDS["GEMM"]
Eltwise: Any = _COMMANDS["ELTWISE"]
Reduce: Any = _COMMANDS["REDUCE"]

Event: Any = _record("Event", _RECORDS["EVENT"])
FenceRecord: Any = _record("FenceRecord", _RECORDS["FENCE"])

#: layers that only the driver may put on a ring, and those of command buffers, by opcode
RING_LAYERS = {p["opcode"]: _COMMANDS[p["name"]] for p in load()["ring_entries"]}
PACKET_LAYERS = {p["opcode"]: _COMMANDS[p["name"]] for p in load()["packets"]}


def sizeof(layer: type[Packet]) -> int:
    """Bytes of a layer without variable parts."""
    return len(layer())


def parse_commands(data: bytes) -> list[Packet]:
    """The packets of a command buffer.

    What cannot be a packet (unknown opcode, a length of zero or beyond the end) ends the list as
    one Raw layer.
    """
    packets: list[Packet] = []
    while data:
        layer = PACKET_LAYERS.get(data[0])
        dwords = int.from_bytes(data[2:4], "little")
        if layer is None or not 0 < dwords * 4 <= len(data) or dwords * 4 < sizeof(layer):
            packets.append(Raw(data))
            break
        packets.append(layer(data[: dwords * 4]))
        data = data[dwords * 4 :]
    return packets


def parse_ring(data: bytes) -> list[Packet]:
    """The entries of a ring's memory; an unknown one is a Raw layer."""
    size = const.RING_ENTRY_BYTES
    entries = (data[i : i + size] for i in range(0, len(data) - size + 1, size))
    return [RING_LAYERS.get(entry[0], Raw)(entry) for entry in entries]


def parse_events(data: bytes) -> list[Packet]:
    """The records of an event ring's memory."""
    size = const.EVENT_BYTES
    return [Event(data[i : i + size]) for i in range(0, len(data) - size + 1, size)]


def command_buffer(packets: list[Any]) -> bytes:
    """The bytes of packets one after the other; bytes are taken as they are."""
    return b"".join(bytes(packet) for packet in packets)
