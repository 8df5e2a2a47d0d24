# SPDX-License-Identifier: MIT
"""What the kernel calls a warning counts, unless the list says why not."""

import re

import pytest

from vnpu.klog.levels import allowed, complaints, is_allowed, loud
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


@pytest.mark.parametrize(
    "line",
    [
        "vnpu 0000:01:00.0: [TTM] Buffer eviction failed",
        "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x1000",
        "workqueue: vnpu_work [vnpu] hogged CPU for >10000us 4 times",
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "turning off the locking correctness validator.",
    ],
)
def test_a_complaint_of_one_line_takes_no_other_along(line):
    """Neither what is odd behind it nor the lines of that, whatever these look like."""
    log = f"""\
<4>[    1.500000] {line}
<3>[    1.500001] foo: this is odd
<3>[    1.500002] CPU: that of foo
<3>[    1.500003]  and more"""
    assert titles(log)[:2] == [line, "foo: this is odd"]


BOOT = """\
<4>[    0.024000] tsc: Unable to calibrate against PIT
<4>[    0.300000] foo: an old driver
<6>[    1.900000] Run /init as init process
<4>[    2.000000] foo: this is odd"""


def titles(log, **how):
    return [item.title for item in complaints(log, **how)]


def test_a_boot_is_judged_by_level():
    """What only a boot may say is on the list with that condition."""
    assert titles(BOOT, booting=True) == ["foo: an old driver", "foo: this is odd"]
    assert titles(BOOT)[0] == "tsc: Unable to calibrate against PIT"


def test_a_kernel_that_is_not_ours_is_judged_from_its_first_process_on():
    assert titles(BOOT, booting=True, early=False) == ["foo: this is odd"]
    bad = BOOT.replace("foo: an old driver", "BUG: KASAN: double-free in f+0x1/0x2")
    assert titles(bad, booting=True, early=False)[0].startswith("BUG: KASAN")


def test_checker_that_the_command_line_turns_off():
    """Nobody misses it in a boot; in a test it turned itself off."""
    line = "<6>[    0.000000] kmemleak: Kernel memory leak detector disabled"
    assert titles(line, booting=True) == []
    assert titles(line) == ["kmemleak: Kernel memory leak detector disabled"]


def test_list_of_what_is_harmless():
    assert is_allowed("clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc'")
    assert not is_allowed("foo: perf: interrupt took too long")
    for pattern, reason in allowed(booting=True).items():
        re.compile(pattern)
        assert len(reason.split()) >= 3, f"{pattern}: say why"
        assert not re.match(pattern, "foo 0000:01:00.0: this is odd"), f"{pattern}: too wide"
