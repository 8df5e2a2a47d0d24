# SPDX-License-Identifier: MIT
"""docs/uapi.md: the kernel-doc of the header with the layouts that the compiler gives."""

from __future__ import annotations

import re

from vnpu.uapi.gen.cheader import Doc, Header
from vnpu.uapi.gen.extract import Abi, Layout

_DOC_BLOCK = re.compile(r"/\*\*\n \* DOC: (.*?)\n(.*?)\*/", re.S)


def text(abi: Abi, header: Header, source: str) -> str:
    """The manual; ``source`` is the header's text."""
    parts = [
        "<!-- Generated from kernel/include/uapi/drm/vnpu_accel.h by `make uapi`: do not edit. -->",
        "# User API",
        "",
        *_overview(source),
        "## Ioctls",
        "",
        "| ioctl | number | argument |",
        "|---|---|---|",
    ]
    for name, ioctl in abi.ioctls.items():
        parts.append(f"| `{name}` | `{ioctl.nr:#x}` | [{ioctl.struct}](#struct-{ioctl.struct}) |")
    parts += ["", "## Structures", ""]
    for name, layout in abi.structs.items():
        parts += _struct(name, layout, header.docs.get(name, Doc()))
    parts += ["## Enumerations", ""]
    for name, values in abi.enums.items():
        parts += _enum(name, values, header.docs.get(name, Doc()))
    parts += ["## Flags and limits", "", "| name | value | what |", "|---|---|---|"]
    for name, value in abi.constants.items():
        parts.append(f"| `{name}` | `{value:#x}` | {header.docs.get(name, Doc()).title} |")
    return "\n".join(parts) + "\n"


def _overview(source: str) -> list[str]:
    lines: list[str] = []
    for _, body in _DOC_BLOCK.findall(source):
        lines += [re.sub(r"^\s*\* ?", "", line) for line in body.rstrip().split("\n")]
    return [*lines, ""]


def _struct(name: str, layout: Layout, doc: Doc) -> list[str]:
    lines = [f"### struct {name}", "", f"{doc.title}. {layout.size} bytes.", ""]
    if doc.text:
        lines += [doc.text, ""]
    lines += ["| offset | type | field | what |", "|---|---|---|---|"]
    for member in layout.members:
        kind = member.struct or member.kind
        if member.count:
            kind += f"[{member.count}]"
        what = doc.members.get(member.name, "")
        lines.append(f"| {member.offset} | {kind} | `{member.name}` | {what} |")
    return [*lines, ""]


def _enum(name: str, values: dict[str, int], doc: Doc) -> list[str]:
    lines = [
        f"### enum {name}",
        "",
        f"{doc.title}.",
        "",
        "| value | name | what |",
        "|---|---|---|",
    ]
    for macro, value in values.items():
        lines.append(f"| {value} | `{macro}` | {doc.members.get(macro, '')} |")
    return [*lines, ""]
