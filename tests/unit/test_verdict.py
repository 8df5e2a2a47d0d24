# SPDX-License-Identifier: MIT
"""The verdict's own clock."""

import time
from types import SimpleNamespace

import pytest

from vnpu.testing import verdict


class Host:
    """A guest on a host that lets it run never, or always."""

    def __init__(self, starving):
        started = time.monotonic()
        self.process = SimpleNamespace(
            starved_s=lambda: time.monotonic() - started if starving else 0.0
        )
        self.slept = []
        service = SimpleNamespace(syscall=self._syscall)
        self.guest = SimpleNamespace(service=service)

    def _syscall(self, name, spec, *_, timeout_s):
        assert name == "nanosleep"
        seconds, nanoseconds = (int.from_bytes(spec[at : at + 8], "little") for at in (0, 8))
        self.slept.append(seconds + nanoseconds / 1e9)
        time.sleep(self.slept[-1])


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(verdict, "_SETTLE_S", 0.05)


def after(seconds):
    due = time.monotonic() + seconds
    return lambda: time.monotonic() > due


def test_a_guest_that_may_not_run_loses_no_time():
    assert verdict._comes_true(Host(starving=True), after(0.3))


def test_a_guest_that_runs_has_a_deadline():
    assert not verdict._comes_true(Host(starving=False), after(30))


def test_the_guest_sleeps_between_questions():
    host = Host(starving=False)
    asked = []
    verdict._comes_true(host, lambda: bool(asked.append(1)))
    assert len(asked) == len(host.slept) + 1 < 10
    assert sum(host.slept) > 0.04
