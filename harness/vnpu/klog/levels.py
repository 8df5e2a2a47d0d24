# SPDX-License-Identifier: MIT
"""Every line that the kernel itself calls a warning or worse, unless it is known to be harmless."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from vnpu.klog import oracle
from vnpu.klog.oracle import Finding, Kind, bare

#: KERN_WARNING; the smaller, the worse
_WARNING = 4
_LEVEL = re.compile(r"^<(\d+)>")
#: what the kernel says before it starts the first process, and with it the first module
_INIT = re.compile(r"Run \S+ as init process")
_ALLOWED = Path(__file__).parent / "data/allowed.yaml"


def complaints(log: str, booting: bool = False, early: bool = True) -> list[Finding]:
    """All that a log is judged by: the reports in it, then the loud lines that are in none.

    ``booting``: what only a kernel that boots may say is no complaint. ``early``:
    also judge by their levels the lines from before the first process.
    """
    found = [item for item in oracle.findings(log) if not _is_asked_for(item, booting)]
    lines = log.splitlines()
    first = 0 if early else _first_process(lines)
    return [*found, *(item for item in _loud(lines, found, booting) if item.start >= first)]


def _is_asked_for(item: Finding, booting: bool) -> bool:
    """Whether a checker is off because the command line of the kernel says so."""
    return item.kind is Kind.CHECKER and is_allowed(item.title, booting)


def _first_process(lines: Sequence[str]) -> int:
    return next((at for at, line in enumerate(lines) if _INIT.match(bare(line))), 0)


def loud(log: str, found: Sequence[Finding], booting: bool = False) -> list[Finding]:
    """Lines at KERN_WARNING or worse that are in no finding and on no list.

    ``log`` has its levels ("<4>[ 1.5] text"); ``found`` are the findings in it.
    """
    return list(_loud(log.splitlines(), found, booting))


def _loud(lines: Sequence[str], found: Sequence[Finding], booting: bool) -> Iterator[Finding]:
    told = {number for item in found for number in range(item.start, item.end)}
    for number, line in enumerate(lines):
        level = _LEVEL.match(line)
        if number in told or not level or int(level[1]) & 7 > _WARNING:
            continue
        text = bare(line)
        if text.strip() and not is_allowed(text, booting):
            yield Finding(Kind.LEVEL, text, line, text, number, number + 1)


def is_allowed(text: str, booting: bool = False) -> bool:
    """Whether the list has this message (without its time stamp)."""
    return any(pattern.match(text) for pattern in _patterns(booting))


@functools.cache
def _patterns(booting: bool) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in allowed(booting))


def allowed(booting: bool = False) -> dict[str, str]:
    """The list: beginnings of messages as regular expressions, and why they are harmless.

    Those that are harmless only from a kernel that boots are in it if ``booting``.
    """
    entries = yaml.safe_load(_ALLOWED.read_text())
    return {
        entry["message"]: entry["reason"]
        for entry in entries
        if booting or entry.get("when") != "boot"
    }
