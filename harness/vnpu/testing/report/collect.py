# SPDX-License-Identifier: MIT
"""Gathers results while pytest runs; also those that workers of pytest-xdist send."""

from __future__ import annotations

import os
import platform
import time
from datetime import datetime
from pathlib import Path

import pytest

from vnpu.testing.report.html import write
from vnpu.testing.report.model import Run, TestResult


class Collector:
    """Lives in the one process that sees all results, and writes the page at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._path = Path(config.getoption("--vnpu-html"))
        self._arguments = " ".join(config.invocation_params.args)
        self._started = time.time()
        self._tests: dict[str, TestResult] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test is over."""
        test = self._tests.setdefault(report.nodeid, TestResult(report.nodeid))
        test.duration += report.duration
        test.properties.update(report.user_properties)
        test.worker = getattr(report, "worker_id", "")
        test.worsen(_outcome(report))
        if report.skipped:
            test.reason = _reason(report)
        if report.failed:
            test.failure += ("\n\n" if test.failure else "") + report.longreprtext
            # Sections add up from phase to phase.
            test.sections = list(report.sections)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        write(self.run(), self._path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where it is."""
        terminalreporter.write_line(f"report: {self._path}")

    def run(self) -> Run:
        """All that was gathered."""
        tests = list(self._tests.values())
        started = datetime.fromtimestamp(self._started).astimezone()
        return Run(
            title="vnpu test report",
            started=started.strftime("%Y-%m-%d %H:%M:%S %Z"),
            duration=time.time() - self._started,
            facts=self._facts(tests),
            tests=tests,
        )

    def _facts(self, tests: list[TestResult]) -> dict[str, str]:
        facts = {
            "kernels": _distinct(tests, "kernel"),
            "lanes": _distinct(tests, "lane"),
            "QEMU build": _distinct(tests, "qemu"),
            "host": f"{platform.system()} {platform.release()}, {os.cpu_count()} processors",
            "Python": f"{platform.python_version()}, pytest {pytest.__version__}",
            "arguments": self._arguments,
        }
        return {name: value for name, value in facts.items() if value}


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return str(report.outcome)


def _reason(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail)
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext


def _distinct(tests: list[TestResult], name: str) -> str:
    return ", ".join(sorted({str(t.properties[name]) for t in tests if name in t.properties}))
