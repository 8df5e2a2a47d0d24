# SPDX-License-Identifier: MIT
"""Whoever waits does so by the one scale for slow machines, and stretches a deadline once."""

import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.guest.guest import Guest
from vnpu.guest.session import Session
from vnpu.machine.console import Console
from vnpu.machine.machine import Machine
from vnpu.machine.process import QemuProcess
from vnpu.machine.qmp import Qmp, QmpError
from vnpu.qtest.npu import VnpuQtest
from vnpu.qtest.protocol import QtestProtocol
from vnpu.testing import verdict

#: of a deadline of so many seconds nothing should be noticed, or so much if it was scaled twice
SCALE, DEADLINE_S = 0.01, 20.0


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setenv(deadline.VARIABLE, str(SCALE))


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def console(_ends, tmp_path):
    assert not Console(tmp_path / "log").wait_for("never", DEADLINE_S)


def monitor(ends, _tmp_path):
    qmp = Qmp(ends)
    with pytest.raises(QmpError, match=r"silent for 0\.2 s"):
        qmp.wait_event("NEVER", DEADLINE_S)
    qmp.close()


def process(_ends, tmp_path):
    sleeper = QemuProcess(Path("/bin/sleep"), ["60"], log=tmp_path / "log", sockets=())
    assert sleeper.wait(DEADLINE_S) is None
    sleeper.kill()


def qtest(ends, _tmp_path):
    protocol = QtestProtocol(ends, DEADLINE_S)
    with pytest.raises(TimeoutError):
        ends.recv(1)
    del protocol


def device(_ends, _tmp_path):
    npu = VnpuQtest.__new__(VnpuQtest)
    npu.machine = SimpleNamespace(log="")
    with pytest.raises(Exception, match=r"not within 0\.2 s"):
        npu.until(lambda: False, "it", DEADLINE_S)


def settling(_ends, _tmp_path):
    host = SimpleNamespace(
        process=SimpleNamespace(starved_s=lambda: 0.0),
        guest=SimpleNamespace(service=SimpleNamespace(syscall=lambda *_, **__: time.sleep(0.01))),
    )
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(verdict, "_SETTLE_S", DEADLINE_S)
        assert not verdict._comes_true(host, lambda: False)


WAITS = [console, monitor, process, qtest, device, settling]


@pytest.mark.parametrize("wait", WAITS)
def test_deadlines_are_stretched_once(wait, ends, tmp_path):
    started = time.monotonic()
    wait(ends, tmp_path)
    assert 0.9 * SCALE * DEADLINE_S < time.monotonic() - started < DEADLINE_S / 2


class Silence:
    """A link over which nothing comes; it counts the seconds that it was to wait."""

    def __init__(self):
        self.seconds = 0.0

    def wait(self, _done, seconds):
        self.seconds += seconds
        return False

    def unasked_hello(self):
        return None


@pytest.mark.parametrize("seconds", [0.5, DEADLINE_S])
def test_answers_of_the_guest_have_stretched_deadlines(monkeypatch, seconds):
    """Short ones as well."""
    monkeypatch.setenv(deadline.VARIABLE, "10")
    link = Silence()
    Session(link).wait(lambda: False, seconds)
    assert link.seconds == pytest.approx(10 * seconds)


def test_boot_is_stretched_once(monkeypatch, tmp_path):
    class Silent(Machine):
        def __init__(self, *_):
            self.guest = Guest(Session(link))
            self.console = Console(tmp_path / "log")

        def connect_monitor(self):
            pass

        def close(self, keep=None):
            pass

    monkeypatch.setenv(deadline.VARIABLE, "10")
    link = Silence()
    with pytest.raises(RigError, match="did not start in 3000 s"):
        Silent.boot(None, timeout_s=300)
    assert link.seconds == pytest.approx(3000)
