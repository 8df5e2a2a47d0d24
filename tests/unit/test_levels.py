# SPDX-License-Identifier: MIT
"""What the kernel calls a warning counts, unless the list says why not."""

import re

import pytest

from vnpu.klog.levels import allowed, is_allowed, loud
from vnpu.klog.oracle import Kind, findings


def judged(log):
    found = findings(log)
    return [item.title for item in [*found, *loud(log, found)]]


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_unknown_words_of_a_loud_level(level):
    """Also those that a program wrote, whose facility is above the level."""
    for number in (level, level | 1 << 3):
        (found,) = loud(f"<{number}>[    1.500000] foo: this is odd", [])
        assert found.kind is Kind.LEVEL and found.title == "foo: this is odd"
        assert found.matches("is odd")


@pytest.mark.parametrize("level", [5, 6, 7, 13, 14, 30])
def test_quiet_levels(level):
    assert loud(f"<{level}>[    1.500000] foo: this is odd", []) == []


def test_a_console_without_levels_says_nothing():
    assert loud("[    1.500000] foo: this is odd", []) == []


def test_lines_of_a_report_are_told_once():
    log = """\
<4>[    1.500000] ------------[ cut here ]------------
<4>[    1.500001] WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2
<4>[    1.500002] Call Trace:
<4>[    1.500003]  g+0x1/0x2
<4>[    1.500004] ---[ end trace 0000000000000000 ]---
<4>[    1.500005] foo: this is odd
<6>[    1.500006] foo: this is not"""
    assert judged(log) == ["WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2", "foo: this is odd"]


def test_list_of_what_is_harmless():
    assert is_allowed("clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc'")
    assert not is_allowed("foo: perf: interrupt took too long")
    for pattern, reason in allowed().items():
        re.compile(pattern)
        assert len(reason.split()) >= 3, f"{pattern}: say why"
        assert not re.match(pattern, "foo 0000:01:00.0: this is odd"), f"{pattern}: too wide"
