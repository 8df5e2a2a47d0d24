# SPDX-License-Identifier: MIT
"""What a report tells about a test and about a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: worst first; the order of a report
OUTCOMES = ("error", "failed", "xpassed", "passed", "xfailed", "skipped")


@dataclass
class TestResult:
    """One test. Durations are in seconds."""

    __test__ = False  # pytest is not to collect it

    nodeid: str
    outcome: str = "passed"
    duration: float = 0.0
    reason: str = ""
    failure: str = ""
    sections: list[tuple[str, str]] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    worker: str = ""

    @property
    def file(self) -> str:
        """The file that the test is in."""
        return self.nodeid.partition("::")[0]

    @property
    def name(self) -> str:
        """The test's name within its file."""
        return self.nodeid.partition("::")[2] or self.nodeid

    @property
    def bad(self) -> bool:
        """Whether somebody has to look."""
        return self.outcome in ("error", "failed", "xpassed")

    def worsen(self, outcome: str) -> None:
        """Several phases make a test; "passed" is what a phase says that has nothing to say."""
        if self.outcome == "passed" or (
            outcome != "passed" and OUTCOMES.index(outcome) < OUTCOMES.index(self.outcome)
        ):
            self.outcome = outcome


@dataclass
class Run:
    """A run: facts about where it happened, and its tests."""

    title: str
    started: str
    duration: float
    facts: dict[str, str]
    tests: list[TestResult]

    @property
    def verdict(self) -> str:
        """In one word."""
        if not self.tests:
            return "nothing ran"
        return "failed" if any(test.bad for test in self.tests) else "passed"

    def counts(self) -> list[tuple[str, int]]:
        """Number of tests of each outcome that occurred."""
        numbers = [(name, sum(t.outcome == name for t in self.tests)) for name in OUTCOMES]
        return [(name, number) for name, number in numbers if number]

    def by_file(self) -> list[tuple[str, list[TestResult]]]:
        """The tests of each file, files with failures first."""
        files: dict[str, list[TestResult]] = {}
        for test in self.tests:
            files.setdefault(test.file, []).append(test)
        return sorted(files.items(), key=lambda item: (not any(t.bad for t in item[1]), item[0]))
