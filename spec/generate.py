#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Generate the C header and the hardware manual from spec/vnpu.yaml.

``generate.py`` writes the files; ``generate.py --check`` writes nothing and
exits with 1 if a file differs from what it would write.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from pathlib import Path
from typing import Any

import jinja2
import yaml

SPEC = Path(__file__).resolve().parent
ROOT = SPEC.parent
#: output file -> template; the header is written to both of its users so that
#: each of the two directories can be taken away and built alone. Only the
#: device is built on other systems than Linux.
OUTPUTS = {
    "kernel/vnpu_hw.h": "vnpu_hw.h.j2",
    "qemu-device/vnpu_hw.h": "vnpu_hw.h.j2",
    "docs/hardware.md": "hardware.md.j2",
}
SIZES = {"u32": 4, "u64": 8}


def hexstr(value: int, digits: int = 1) -> str:
    return f"0x{value:0{digits}x}"


def define(name: str, value: Any) -> str:
    """A #define whose value starts at a tab stop."""
    tabs = "\t" * max(1, (48 - len("#define ") - len(name) + 7) // 8)
    return f"#define {name}{tabs}{value}"


def comment(text: str, indent: str = "") -> str:
    """A C comment of at most 80 columns: one line if it fits, else a block."""
    width = 80 - len(indent.expandtabs(8))
    if len(text) + len("/*  */") <= width:
        return f"{indent}/* {text} */"
    rows = textwrap.wrap(text, width - len(" * "), break_long_words=False)
    return "\n".join((f"{indent}/*", *(f"{indent} * {row}" for row in rows), f"{indent} */"))


def field_define(name: str, field: dict[str, Any], width: int) -> str:
    hi, lo = field["bits"]
    mask = ((1 << (hi - lo + 1)) - 1) << lo
    suffix = "ull" if width == 64 else "u"
    return "\n".join(
        (
            define(f"{name}_SHIFT", lo),
            define(f"{name}_MASK", f"{hexstr(mask)}{suffix}"),
        )
    )


def ctype(field: dict[str, Any]) -> str:
    count = f"[{field['count']}]" if "count" in field else ""
    return f"__le{8 * SIZES[field['type']]} {field['name']}{count}"


def field_table(fields: list[dict[str, Any]], start: int) -> str:
    rows = ["| offset | type | field | what |", "|---|---|---|---|"]
    for field in fields:
        kind = field["type"] + (f"[{field['count']}]" if "count" in field else "")
        doc = "; ".join(part for part in (field.get("enum", ""), field.get("doc", "")) if part)
        rows.append(f"| {start} | {kind} | `{field['name']}` | {doc} |")
        start += SIZES[field["type"]] * field.get("count", 1)
    return "\n".join(rows)


def packet_bytes(packet: dict[str, Any]) -> int:
    return 4 + sum(SIZES[f["type"]] * int(f.get("count", 1)) for f in packet["fields"])


def packet_sections(packets: list[dict[str, Any]]) -> str:
    out = []
    for packet in packets:
        size = "variable" if packet.get("variable") else f"{packet_bytes(packet)} bytes"
        on = f", on {' and '.join(packet['engines'])}" if "engines" in packet else ""
        out += [
            f"### {packet['name']} ({hexstr(packet['opcode'], 2)}, {size}{on})",
            "",
            packet["doc"] + ".",
            "",
        ]
        for flag in packet.get("flags", []):
            out.append(f"- flag {flag['bit']} `{flag['name']}`: {flag['doc']}")
        if packet.get("flags"):
            out.append("")
        out += [field_table(packet["fields"], 4), ""]
    return "\n".join(out).rstrip()


def register_table(registers: list[dict[str, Any]]) -> str:
    rows = ["| offset | name | access | what |", "|---|---|---|---|"]
    for reg in registers:
        rows.append(
            f"| {hexstr(reg['offset'], 3)} | `{reg['name']}` | {reg['access']} | {reg['doc']} |"
        )
        for field in reg.get("fields", []):
            bits = ":".join(map(str, field["bits"]))
            rows.append(f"| | &nbsp;&nbsp;`{field['name']}` [{bits}] | | {field['doc']} |")
    return "\n".join(rows)


def check_spec(spec: dict[str, Any]) -> None:
    """Refuse a specification that contradicts itself."""
    for entry in spec["ring_entries"]:
        if packet_bytes(entry) != 32:
            raise SystemExit(f"ring entry {entry['name']} is {packet_bytes(entry)} bytes, not 32")
    for packet in spec["packets"]:
        if packet_bytes(packet) % 8:
            raise SystemExit(f"packet {packet['name']} is not a multiple of 8 bytes")
    opcodes = [p["opcode"] for p in spec["ring_entries"] + spec["packets"]]
    if len(set(opcodes)) != len(opcodes):
        raise SystemExit("two packets share an opcode")
    for owner in [spec, *spec["blocks"]]:
        offsets = [r["offset"] for r in owner["registers"]]
        if len(set(offsets)) != len(offsets) or any(o % 4 for o in offsets):
            raise SystemExit("register offsets collide or are not dword aligned")
    for packet in spec["ring_entries"] + spec["packets"] + spec["records"]:
        offset = 0 if packet in spec["records"] else 4
        for field in packet["fields"]:
            size = SIZES[field["type"]]
            if offset % size:
                raise SystemExit(f"{packet['name']}.{field['name']} is not naturally aligned")
            offset += size * field.get("count", 1)


def render() -> dict[str, str]:
    spec = yaml.safe_load((SPEC / "vnpu.yaml").read_text())
    check_spec(spec)
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SPEC / "templates"),
        undefined=jinja2.ChainableUndefined,
        keep_trailing_newline=True,
    )
    env.globals.update(
        s=spec,
        hex=hexstr,
        comment=comment,
        define=define,
        fielddef=field_define,
        ctype=ctype,
        fieldtable=field_table,
        packets=packet_sections,
        regtable=register_table,
    )
    return {
        out: env.get_template(template).render(device=out.startswith("qemu-device/"))
        for out, template in OUTPUTS.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    stale = 0
    for name, text in render().items():
        path = ROOT / name
        old = path.read_text() if path.exists() else ""
        if old == text:
            continue
        if args.check:
            stale += 1
            diff = difflib.unified_diff(
                old.splitlines(True), text.splitlines(True), name, f"{name} (generated)"
            )
            sys.stderr.writelines(list(diff)[:40])
            print(f"{name} is stale: run `make spec`", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
