# SPDX-License-Identifier: MIT
"""Codes of the interface: an IntEnum for each enumeration, an IntFlag for each packet's flags."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any

from vnpu.hw.spec import camel, load


def _enum(name: str) -> Any:
    entry = next(item for item in load()["enums"] if item["name"] == name)
    values = {value["name"]: value["value"] for value in entry["values"]}
    return IntEnum(camel(name), values, module=__name__)


def _flags(name: str) -> Any:
    packet = next(p for p in load()["ring_entries"] + load()["packets"] if p["name"] == name)
    bits = {flag["name"]: 1 << flag["bit"] for flag in packet["flags"]}
    return IntFlag(f"{camel(name)}Flags", bits, module=__name__)


EngineType = _enum("engine_type")
QueueState = _enum("queue_state")
Priority = _enum("priority")
Fault = _enum("fault")
Access = _enum("access")
EventType = _enum("event_type")
Dtype = _enum("dtype")
Activation = _enum("activation")
EltwiseOp = _enum("eltwise_op")
ReduceOp = _enum("reduce_op")
Compare = _enum("compare")
SignalOp = _enum("signal_op")

RingFenceFlags = _flags("RING_FENCE")
RingInvalidateFlags = _flags("RING_INVALIDATE")
GemmFlags = _flags("GEMM")

_opcodes: dict[str, int] = {
    p["name"]: p["opcode"] for p in load()["ring_entries"] + load()["packets"]
}
Opcode = IntEnum("Opcode", _opcodes, module=__name__)  # type: ignore[misc]  # known at run time

#: all enumerations by the name the specification gives them
ENUMS = {
    entry["name"]: globals().get(camel(entry["name"])) or _enum(entry["name"])
    for entry in load()["enums"]
}
