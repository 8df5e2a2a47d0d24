# SPDX-License-Identifier: MIT
"""An end for tests that would never end: every call to a guest has a deadline, a loop has none."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Generator
from types import FrameType

import pytest

from vnpu.base import deadline
from vnpu.base.errors import RigError

#: for each of set-up, call and tear-down; the boot of a machine with all checks may be in it
LIMIT_S = 900.0


class TestStuck(RigError):
    """A test took longer than any test can mean to."""

    __test__ = False  # a class for pytest, by its name


def _other_threads() -> str:
    """Where they are; where this one is, the error itself shows."""
    frames = sys._current_frames()
    return "".join(
        f"\nthread {thread.name}:\n{''.join(traceback.format_stack(frames[thread.ident]))}"
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and thread.ident in frames
    )


class Watchdog:
    """A pytest plugin. Fails the test, with the stacks of all threads."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.limit_s = deadline.scaled(limit_s)

    def _bark(self, _signal: int, _frame: FrameType | None) -> None:
        raise TestStuck(
            f"the test did not end in {self.limit_s:g} s{_other_threads()}",
            f"set {deadline.VARIABLE} if this machine is very slow",
        )

    def _watched(self) -> Generator[None, object, object]:
        if threading.current_thread() is not threading.main_thread():
            return (yield)  # signals are handled elsewhere
        before = signal.signal(signal.SIGALRM, self._bark)
        signal.setitimer(signal.ITIMER_REAL, self.limit_s)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Watch the fixtures being made."""
        return (yield from self._watched())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Watch the test."""
        return (yield from self._watched())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """Watch the fixtures being undone."""
        return (yield from self._watched())
