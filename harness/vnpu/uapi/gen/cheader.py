# SPDX-License-Identifier: MIT
"""What a C header says in its text: names of things, and their kernel-doc.

Layouts and values are not read here; the compiler knows those (extract.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_COMMENT = re.compile(r"/\*(\*?)(.*?)\*/", re.S)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\S.*)$", re.M)
_TYPE = re.compile(r"^(struct|enum)\s+(\w+)\s*\{(.*?)^\}", re.M | re.S)


@dataclass
class Doc:
    """A kernel-doc comment of a type: its title, its text, its members' texts."""

    title: str = ""
    text: str = ""
    members: dict[str, str] = field(default_factory=dict)


@dataclass
class Header:
    """Names that a header defines, in order, and their documentation."""

    structs: list[str]
    enums: list[str]
    macros: list[str]
    docs: dict[str, Doc]


def parse(text: str) -> Header:
    """Read the text of a header."""
    code = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    code = code.replace("\\\n", "  ")
    kinds = [(m[1], m[2]) for m in _TYPE.finditer(code)]
    return Header(
        structs=[name for kind, name in kinds if kind == "struct"],
        enums=[name for kind, name in kinds if kind == "enum"],
        macros=[m[1] for m in _DEFINE.finditer(code)],
        docs=_docs(text),
    )


def _docs(text: str) -> dict[str, Doc]:
    """Documentation by name of struct, enum or macro."""
    docs: dict[str, Doc] = {}
    current = Doc()
    for comment in _kernel_doc(text):
        if match := re.match(r"(?:struct|enum)\s+(\w+)\s+-\s+(.*?)(?:\n\n(.*))?$", comment, re.S):
            current = docs[match[1]] = Doc(_flow(match[2]), (match[3] or "").strip())
        elif match := re.match(r"@(\w+):\s*(.*)", comment, re.S):
            if _is_macro(match[1], text):
                docs[match[1]] = Doc(_flow(match[2]))
            else:
                current.members[match[1]] = _flow(match[2])
    return docs


def _kernel_doc(text: str) -> Iterator[str]:
    for match in _COMMENT.finditer(text):
        if match[1]:
            yield "\n".join(re.sub(r"^\s*\* ?", "", line) for line in match[2].split("\n")).strip()


def _is_macro(name: str, text: str) -> bool:
    return re.search(rf"^#define\s+{name}\b", text, re.M) is not None


def _flow(text: str) -> str:
    return " ".join(text.split())
