# SPDX-License-Identifier: MIT
"""Bare machines: what they see, and that nothing of them is left, however they end."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bareroot
import check_bare
import pytest

from vnpu.base.errors import SetupError, VnpuError

REPO = Path(__file__).resolve().parents[2]

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mmdebstrap") is None,
    reason="bare machines are made by root, with mmdebstrap",
)


def test_users_are_told_that_root_is_needed(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="by root only"):
        bareroot.require()
    assert check_bare.main(["--variant", "debian12"]) == SetupError.exit_code


def test_only_what_reaches_the_registries_comes_along(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/somewhere")
    monkeypatch.setenv("VNPU_CACHE", "/elsewhere")
    monkeypatch.setenv("KDIR", "/kernel")
    variables = bareroot._environment("root", Path("/root"))
    assert variables["https_proxy"] == "http://proxy.example:1"
    assert variables["HOME"] == "/root"
    assert not {"PIP_FIND_LINKS", "VNPU_CACHE", "KDIR", "PYTHONPATH"} & set(variables)


@needs_root
def test_machine_is_bare_and_apart(tmp_path):
    with bareroot.fresh("bookworm", tmp_path / "log") as machine:
        machine.clone(REPO, bareroot.USER)
        told = machine.run(
            "sh", "-c", "id -un; pwd; ls -A ~; ls /dev/shm; ls /proc | grep -c '^[0-9]'",
            user=bareroot.USER,
        ).split()  # fmt: skip
        assert told[:2] == [bareroot.USER, f"/home/{bareroot.USER}/project"]
        assert int(told[-1]) < 10, "other processes are seen"
        for tool in ("gcc", "python3", "git"):
            with pytest.raises(bareroot.CommandFailed):
                machine.run("which", tool)
        assert "Makefile" in machine.run("ls", user=bareroot.USER)
        with pytest.raises(bareroot.CommandFailed, match="exit 3") as caught:
            machine.run("sh", "-c", "echo telling; exit 3")
        assert "telling" in str(caught.value)
        machine.run("sh", "-c", "exit 3", expect=3)
        place = machine.path.parent
    assert not place.exists()
    assert "telling" in (tmp_path / "log").read_text()


@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(tmp_path, number):
    """Neither processes nor mounts; after SIGKILL the next machine removes the directory."""
    mark = f"{os.getpid()}{number.value}"
    program = (
        "import signal, sys\n"
        f"sys.path.insert(0, {str(REPO / 'tools/bare')!r})\n"
        "from pathlib import Path\n"
        "import bareroot\n"
        "from vnpu.cli import child\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "child.catch_termination()\n"
        f"with bareroot.fresh('bookworm', Path({str(tmp_path / 'log')!r})) as machine:\n"
        "    print(machine.path, flush=True)\n"
        f"    machine.clone(Path({str(REPO)!r}), 'root')\n"
        f"    machine.run('sh', '-c', 'setsid sleep 9{mark} & sleep 8{mark}')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    root = Path(process.stdout.readline().decode().strip())
    _until(lambda: _count(mark) == 2, "the commands did not start")
    process.send_signal(number)
    process.wait(timeout=60)
    _until(lambda: _count(mark) == 0, "a process is left")
    assert str(root) not in Path("/proc/self/mounts").read_text()
    if number == signal.SIGKILL:
        assert root.exists()
        bareroot._sweep(root.parents[1])
    assert not root.exists()


def _count(mark):
    """How many processes sleep for a time of this test's own."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = folder.read_bytes().split(b"\0")
        except OSError:
            continue
        found += words[0] == b"sleep" and words[1][1:].decode() == mark
    return found


def _until(condition, complaint):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)


def test_a_run_without_tests_is_no_success(tmp_path):
    assert check_bare._passed(tmp_path) == 0
    (tmp_path / "e2e.xml").write_text(
        '<testsuites><testsuite tests="7" errors="1" failures="2" skipped="1"/></testsuites>'
    )
    assert check_bare._passed(tmp_path) == 3


def test_user_variant_needs_the_command_that_is_printed():
    class Machine:
        def __init__(self, told):
            self.told = told
            self.ran = []

        def run(self, *command, user="root", expect=0):
            self.ran.append((user, command, expect))
            return self.told

    machine = Machine("Packages are missing:\n  sudo apt-get install --no-remove a b\nmake: ...\n")
    check_bare._as_user(machine, ["K=x"])
    assert machine.ran == [
        (bareroot.USER, ("make", "qemu-test", "K=x"), 2),
        ("root", ("apt-get", "update", "-q"), 0),
        ("root", ("apt-get", "install", "--no-remove", "a", "b", "-y"), 0),
        (bareroot.USER, ("make", "qemu-test", "K=x"), 0),
    ]
    with pytest.raises(VnpuError, match="printed no command"):
        check_bare._as_user(Machine("nothing"), [])
