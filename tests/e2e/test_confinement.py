# SPDX-License-Identifier: MIT
"""QEMU has the rights that it needs, and goes when the harness goes."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vnpu.base.deadline import scaled
from vnpu.machine import confine
from vnpu.qtest.machine import QtestMachine

pytestmark = pytest.mark.machine(tested=False)


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def test_qemu_is_not_root(machine):
    found = status(machine.process.pid)
    if os.geteuid() == 0:
        assert set(found["Uid"]) == set(found["Gid"]) == {"65534"}
    assert "0" not in [*found["Uid"], *found["Gid"], *found["Groups"]]
    assert int(found["CapEff"][0], 16) == 0
    assert found["NoNewPrivs"] == ["1"]


def test_qemu_is_in_the_sandbox(machine):
    if not confine.sandbox(machine.images.qemu):
        pytest.skip("this QEMU was built without seccomp")
    assert status(machine.process.pid)["Seccomp"] == ["2"]
    with QtestMachine() as bare:
        assert status(bare.pid)["Seccomp"] == ["2"]


def test_qemu_knows_none_of_our_secrets(monkeypatch):
    monkeypatch.setenv("MADE_UP_TOKEN", "secret")
    with QtestMachine() as bare:
        given = Path(f"/proc/{bare.pid}/environ").read_bytes()
        assert b"secret" not in given and b"PATH=" in given


SHELL = """
import sys
from vnpu.cli.main import main
sys.exit(main(["boot", "--lane", sys.argv[1]]))
"""


@pytest.fixture
def terminal():
    """A terminal's other end, and a process that ``start`` gives it to."""
    ours, theirs = pty.openpty()
    started = []

    def start(*command):
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        started.append(process)
        return process

    with open(ours, "r+b", buffering=0) as end:
        yield end, start
    os.close(theirs)
    for process in started:
        process.kill()  # and the kernel ends its QEMU
        process.wait()


def read_until(end, pattern, timeout_s=240):
    seen = b""
    over = time.monotonic() + scaled(timeout_s)
    while not re.search(pattern, seen, re.S):
        ready = select.select([end], [], [], max(0, over - time.monotonic()))[0]
        assert ready, f"no {pattern!r} in {seen.decode(errors='replace')[-2000:]}"
        seen += end.read(4096)


def test_shell_for_a_person_is_confined_too(machine, terminal):
    """It has the terminal, and works; QEMU is nobody, in the sandbox."""
    end, start = terminal
    shell = start(sys.executable, "-c", SHELL, machine.lane)
    read_until(end, b":/# ")
    (pid,) = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
    found = status(pid)
    assert "0" not in [*found["Uid"], *found["Gid"]]
    assert found["NoNewPrivs"] == ["1"]
    assert found["Seccomp"] == (["2"] if confine.sandbox(machine.images.qemu) else ["0"])
    end.write(b"echo answer=$((6 * 7))\n")
    read_until(end, b"answer=42.*:/# ")
    end.write(b"\x04")
    assert shell.wait(timeout=scaled(60)) == 0


def test_qemu_cannot_change_the_snapshot(machine, lab, machine_config):
    """Others start from it."""
    saved = lab.template(machine_config).directory
    for path in (saved, *saved.iterdir()):
        assert path.stat().st_uid == os.geteuid()
        assert not path.stat().st_mode & 0o022


START = """
import sys, time
from vnpu.machine.config import MachineConfig
from vnpu.qtest.machine import QtestMachine
from vnpu.testing.lab import Lab
if sys.argv[1] == "guest":
    pid = Lab(sys.argv[2]).fresh(MachineConfig(tested=False)).process.pid
else:
    machine = QtestMachine()
    pid = machine.pid
print("pid", pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["guest", "qtest"])
def test_qemu_dies_with_the_harness(machine, kind):
    """Even if that is killed with no chance to do anything about it."""
    harness = subprocess.Popen(
        [sys.executable, "-c", START, kind, machine.lane], stdout=subprocess.PIPE, text=True
    )
    words = harness.stdout.readline().split()
    assert words[:1] == ["pid"]
    pid = int(words[1])
    assert Path(f"/proc/{pid}").exists()
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    deadline = time.monotonic() + scaled(20)
    while Path(f"/proc/{pid}").exists() and status(pid)["State"][0] != "Z":
        assert time.monotonic() < deadline, "QEMU outlived the harness"
        time.sleep(0.02)
