# SPDX-License-Identifier: MIT
"""Every line that the kernel itself calls a warning or worse, unless it is known to be harmless."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from vnpu.klog.oracle import Finding, Kind, bare

#: KERN_WARNING; the smaller, the worse
_WARNING = 4
_LEVEL = re.compile(r"^<(\d+)>")
_ALLOWED = Path(__file__).parent / "data/allowed.yaml"


def loud(log: str, found: Sequence[Finding]) -> list[Finding]:
    """Lines at KERN_WARNING or worse that are in no finding and on no list.

    ``log`` has its levels ("<4>[ 1.5] text"); ``found`` are the findings in it.
    """
    return list(_loud(log.splitlines(), found))


def _loud(lines: Sequence[str], found: Sequence[Finding]) -> Iterator[Finding]:
    told = {number for item in found for number in range(item.start, item.end)}
    for number, line in enumerate(lines):
        level = _LEVEL.match(line)
        if number in told or not level or int(level[1]) & 7 > _WARNING:
            continue
        text = bare(line)
        if text.strip() and not is_allowed(text):
            yield Finding(Kind.LEVEL, text, line, text, number, number + 1)


def is_allowed(text: str) -> bool:
    """Whether the list has this message (without its time stamp)."""
    return any(pattern.match(text) for pattern in _patterns())


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in allowed())


def allowed() -> dict[str, str]:
    """The list: beginnings of messages as regular expressions, and why they are harmless."""
    entries = yaml.safe_load(_ALLOWED.read_text())
    return {entry["message"]: entry["reason"] for entry in entries}
