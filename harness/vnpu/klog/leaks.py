# SPDX-License-Identifier: MIT
"""Reports of kmemleak, without what others are known to lose."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

_KNOWN = Path(__file__).parent / "data/leaks.yaml"
_OBJECT = "unreferenced object"


def unknown(report: str) -> str:
    """The objects of a report that no entry of the list explains; empty if there are none."""
    objects = [_OBJECT + text for text in report.split(_OBJECT)[1:]]
    return "".join(text for text in objects if not _is_known(text))


def _is_known(text: str) -> bool:
    calls = re.findall(r"^\s+([\w.]+)\+0x", text, re.M)
    return any(_is_part(chain, calls) for chain in known())


def _is_part(chain: Sequence[str], calls: Sequence[str]) -> bool:
    """Whether the functions of a chain follow each other somewhere in a backtrace."""
    size = len(chain)
    return any(list(chain) == list(calls[at : at + size]) for at in range(len(calls)))


@functools.cache
def known() -> dict[tuple[str, ...], str]:
    """Chains of functions at whose ends memory is lost, and by whose fault."""
    entries = yaml.safe_load(_KNOWN.read_text())
    return {tuple(entry["calls"]): entry["reason"] for entry in entries}
