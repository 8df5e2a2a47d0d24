# SPDX-License-Identifier: MIT
"""QEMU has the rights that it needs, and goes when the harness goes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vnpu.machine import confine
from vnpu.qtest.machine import QtestMachine

pytestmark = pytest.mark.machine(npu=False)


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
    pid = Lab(sys.argv[2]).fresh(MachineConfig(npu=False)).process.pid
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
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and status(pid)["State"][0] != "Z":
        assert time.monotonic() < deadline, "QEMU outlived the harness"
        time.sleep(0.02)
