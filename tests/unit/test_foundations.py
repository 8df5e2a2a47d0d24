# SPDX-License-Identifier: MIT
"""What holds when something goes wrong: tools, keys, machines that do not boot, garbage."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vnpu.artifacts import agent, compiler
from vnpu.base import cache, deadline, locks, paths
from vnpu.base.errors import GuestKernelError, RigError, UsageError
from vnpu.guest.link import Link, LinkClosed
from vnpu.guest.protocol import ProtocolError
from vnpu.machine.config import MachineConfig
from vnpu.machine.template import Template
from vnpu.testing import lab, watchdog

pytest_plugins = ["pytester"]

BUSY = """
import sys
from vnpu.base import tool
from vnpu.base.locks import lock
with lock("tree"):
    tool.run(["sh", "-c", sys.argv[1]], "work")
"""


@pytest.fixture
def killed_harness(monkeypatch, tmp_path):
    """Kills a harness that holds a lock and runs a script as a tool; gives the script's pid."""
    monkeypatch.setenv("VNPU_CACHE", str(tmp_path / "cache"))
    started = tmp_path / "started"

    def run(script):
        harness = subprocess.Popen([sys.executable, "-c", BUSY, f"echo $$ > {started}; {script}"])
        while not started.exists() or not started.read_text():
            assert harness.poll() is None
            time.sleep(0.01)
        harness.kill()
        harness.wait()
        return int(started.read_text())

    yield run
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(started.read_text()), signal.SIGKILL)


def test_tool_ends_with_a_killed_harness(killed_harness):
    pid = killed_harness("while :; do sleep 0.05; done")
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the tool goes on"
        time.sleep(0.02)


def test_lock_is_held_as_long_as_a_tool_works(killed_harness):
    """A tool may take its time to end; nobody works on the same tree until then."""
    pid = killed_harness("trap '' TERM; while :; do sleep 0.05; done")
    time.sleep(0.2)
    assert locks.take(locks.named("tree"), wait=False) is None
    os.kill(pid, signal.SIGKILL)
    locks.take(locks.named("tree")).close()


def test_agent_is_built_anew_for_other_flags(monkeypatch, tmp_path):
    monkeypatch.setenv("VNPU_CACHE", str(tmp_path / "cache"))
    keys = []
    monkeypatch.setattr(
        cache, "artifact", lambda kind, key, make: keys.append(key) or Path("/nowhere")
    )
    agent.build()
    monkeypatch.setenv("CFLAGS", "-O3")
    agent.build()
    monkeypatch.setattr(compiler, "version", lambda command: "gcc 99")
    agent.build()
    assert len(set(keys)) == 3
    assert not (paths.cache_dir() / "agent").exists()


def test_machine_that_does_not_boot_is_tried_once(monkeypatch):
    tries = []

    def ensure(images, config):
        tries.append(config)
        raise GuestKernelError("it complained")

    monkeypatch.setattr(Template, "ensure", ensure)
    made = lab.Lab("stock", images=object())
    with pytest.raises(GuestKernelError):
        made.fresh()
    for _ in range(3):
        with pytest.raises(lab.NotRun, match="not run: .*it complained"):
            made.fresh()
    assert len(tries) == 1
    with pytest.raises(GuestKernelError):
        made.fresh(MachineConfig(smp=2))
    assert len(tries) == 2, "another machine is another try"


def test_garbage_from_the_guest_is_the_rigs_fault():
    ours, theirs = socket.socketpair()
    link = Link(ours)
    theirs.sendall(b"garbage" * 20)
    with pytest.raises(ProtocolError) as info:
        link.poll()
    assert isinstance(info.value, RigError)
    with pytest.raises(LinkClosed):
        link.wait(lambda: False, 1)


def test_garbage_wakes_whoever_waits():
    """A second thread must not sleep to its deadline because the first one failed."""
    ours, theirs = socket.socketpair()
    link = Link(ours)
    seen = []

    def wait():
        try:
            link.wait(lambda: False, 30)
        except (ProtocolError, LinkClosed) as error:
            seen.append(type(error))

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    theirs.sendall(b"garbage" * 20)
    for thread in threads:
        thread.join(10)
    assert sorted(kind.__name__ for kind in seen) == ["LinkClosed", "ProtocolError"]


# Time


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_scale_of_deadlines_is_a_number(monkeypatch, text):
    monkeypatch.setenv(deadline.VARIABLE, text)
    with pytest.raises(UsageError, match=deadline.VARIABLE):
        deadline.scaled(1)


def test_deadlines_are_scaled(monkeypatch):
    assert deadline.scaled(2) == 2
    monkeypatch.setenv(deadline.VARIABLE, "2.5")
    assert deadline.scaled(2) == 5


@pytest.mark.parametrize("where", ["setup", "call", "teardown"])
def test_endless_test_is_ended(pytester, where):
    pytester.makepyfile(f"""
        import pytest, threading

        done = threading.Event()

        def rest():
            done.wait(5)

        threading.Thread(target=rest, name="sleeper", daemon=True).start()

        def loop():
            while True:
                pass

        @pytest.fixture
        def around():
            if {where!r} == "setup":
                loop()
            yield
            if {where!r} == "teardown":
                loop()

        def test_endless(around):
            if {where!r} == "call":
                loop()

        def test_next():
            pass
    """)
    plugins = [watchdog.Watchdog(limit_s=0.3)]
    result = pytester.inline_run("-p", "no:vnpu", "-p", "no:cacheprovider", plugins=plugins)
    passed, _, failed = result.listoutcomes()
    assert [report.nodeid.rpartition("::")[2] for report in failed] == ["test_endless"]
    told = str(failed[0].longrepr)
    assert "TestStuck" in told and "in loop" in told
    assert "thread sleeper" in told and "in rest" in told
    assert passed[-1].nodeid.endswith("test_next")
