# SPDX-License-Identifier: MIT
"""The report's page, from results that were made up."""

import re
from html.parser import HTMLParser

import pytest

from vnpu.testing.report.html import render, seconds, write
from vnpu.testing.report.model import Run, TestResult


class Balance(HTMLParser):
    """Fails on tags that do not close."""

    VOID = {"meta", "input", "br", "link"}

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def run():
    failed = TestResult(
        "tests/e2e/test_b.py::test_bad[<x>]",
        outcome="failed",
        duration=2.5,
        failure="assert 1 == 2 <script>alert(1)</script>",
        sections=[("kernel log (6.12)", "BUG: KASAN & more")],
        properties={"kernel": "6.12", "restore_ms": 47.1},
    )
    passed = TestResult("tests/e2e/test_a.py::test_good", duration=0.25)
    skipped = TestResult("tests/e2e/test_a.py::test_no", outcome="skipped", reason="only on debug")
    return Run("vnpu test report", "today", 75.0, {"kernels": "6.12"}, [passed, failed, skipped])


def test_page_is_whole_and_escaped(run):
    page = render(run)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "<script>alert" not in page
    assert "BUG: KASAN &amp; more" in page
    assert "restored in 47.1 ms" in page and "only on debug" in page


def test_failures_come_first(run):
    page = render(run)
    assert page.index("test_bad") < page.index("test_good")
    assert re.search(r"verdict failed.>failed", page)


def test_page_needs_nothing_else(run):
    assert not re.search(r"(src|href)=|@import|url\(", render(run))


def test_outcome_of_several_phases_is_the_worst():
    result = TestResult("x::y")
    for outcome in ("passed", "failed", "passed"):
        result.worsen(outcome)
    assert result.outcome == "failed"
    result.worsen("error")
    assert result.outcome == "error"
    skipped = TestResult("x::z")
    for outcome in ("skipped", "passed"):
        skipped.worsen(outcome)
    assert skipped.outcome == "skipped"


def test_nothing_ran():
    assert Run("t", "now", 0, {}, []).verdict == "nothing ran"


def test_written_whole(run, tmp_path):
    path = tmp_path / "new" / "report.html"
    write(run, path)
    assert path.read_text() == render(run)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "12 ms"), (2.34, "2.3 s"), (100, "1 min 40 s")]
)
def test_seconds(value, text):
    assert seconds(value) == text
