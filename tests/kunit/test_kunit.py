# SPDX-License-Identifier: MIT
"""The driver's own unit tests, run by KUnit inside the guest's kernel.

Results are read by the parser that the kernel's own ``kunit.py`` uses.
"""

import importlib
import os
import sys
from pathlib import Path

import pytest

from vnpu.artifacts.kernel import debug

pytestmark = pytest.mark.lane("debug", "custom")

RESULTS = "/sys/kernel/debug/kunit"


@pytest.fixture(scope="module")
def parser():
    """The module ``kunit_parser`` of the kernel's source."""
    own = Path(os.environ.get("KDIR") or "/nonexistent", "tools/testing/kunit")
    folder = str(own if own.is_dir() else debug.kunit_tools())
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("kunit_parser")
    finally:
        sys.path.remove(folder)


def cases(parser, ktap):
    """All cases of a suite's results, with their full names: ``(name, test)``.

    A suite that crashed, or said less than it announced, is a case that failed.
    """
    printer = importlib.import_module("kunit_printer").null_printer
    test = parser.parse_run_tests(ktap.splitlines(), printer)
    return list(_leaves(test))


def _leaves(test, path=()):
    if not test.subtests:
        yield ".".join(path), test
    for child in test.subtests:
        yield from _leaves(child, (*path, child.name))
    if test.status.name not in ("SUCCESS", "FAILURE", "SKIPPED"):
        yield ".".join(path), test


def failures(parser, ktap, suite):
    """What did not succeed, with the lines that it wrote."""
    found = cases(parser, ktap)
    assert found, f"suite {suite} ran no test:\n{ktap}"
    return [
        "\n".join([f"{name}: {case.status.name}", *case.log])
        for name, case in found
        if case.status is not parser.TestStatus.SUCCESS
    ]


SUITE = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: mmu
    # module: vnpu_kunit
    1..4
    ok 1 a name with blanks
        KTAP version 1
        # Subtest: parameters
        # parameters: EXPECTATION FAILED at a.c:3
        ok 1 same
        not ok 2 same
    not ok 2 parameters
    ok 3 later # SKIP no hardware
    ok 4 last
not ok 1 mmu
"""


def test_names_with_blanks_and_cases_of_one_name_are_told_apart(parser):
    found = [(name, case.status.name) for name, case in cases(parser, SUITE)]
    names = [name for name, _ in found]
    assert "mmu.a name with blanks" in names
    assert [status for name, status in found if name.endswith("parameters.same")] == [
        "SUCCESS",
        "FAILURE",
    ]
    told = failures(parser, SUITE, "mmu")
    assert len(told) >= 2
    assert any(text.startswith("mmu.later: SKIPPED") for text in told)


def test_a_suite_that_ends_too_early_fails(parser):
    cut = "\n".join(SUITE.splitlines()[:7]) + "\nok 1 mmu\n"
    assert failures(parser, cut, "mmu")


def test_kunit_suites_pass(guest, parser):
    before = set(guest.listdir(RESULTS)) if guest.exists(RESULTS) else set()
    guest.insmod("vnpu_kunit")
    suites = sorted(set(guest.listdir(RESULTS)) - before)
    assert suites, "vnpu_kunit.ko registered no suite"
    failed = []
    for suite in suites:
        ktap = guest.read_file(f"{RESULTS}/{suite}/results").decode()
        failed += failures(parser, ktap, suite)
    assert not failed, "\n".join(failed)
    guest.rmmod("vnpu_kunit")
