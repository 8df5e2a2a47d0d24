# SPDX-License-Identifier: MIT
"""The command: what it makes of its arguments, and what its exit status says."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from vnpu import target
from vnpu.base import paths
from vnpu.base.errors import GuestKernelError, SetupError, UsageError
from vnpu.cli import main, suite


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What the command puts into the environment goes with the test."""
    for name in ("KDIR", "KERNEL", "KERNEL_VERSION", "LANE", "VNPU_REPO"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    ("pytests", "ours"), [(0, 0), (1, 1), (2, 130), (3, 5), (4, 2), (5, 2), (-9, 137)]
)
def test_exit_statuses_of_pytest_are_not_taken_for_ours(pytests, ours):
    assert suite.translated(pytests) == ours


def test_no_match_is_wrong_usage_and_says_so(capfd):
    assert suite.translated(5) == 2
    assert "no test matches" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("places", "name"),
    [
        ([], "e2e-stock"),
        (["/x/tests/kunit"], "kunit-stock"),
        (["/x/test_bo.py::test_a[/dev/null]"], "test_bo-test_a_dev_null-stock"),
    ],
)
def test_report_names_are_file_names(places, name):
    assert suite.report_name(places, "stock") == name


def test_report_of_a_chosen_kernel_has_its_own_name(monkeypatch):
    monkeypatch.setenv("KERNEL_VERSION", "7.3")
    assert suite.report_name([], "stock") == "e2e-stock-7.3"
    assert suite.report_name([], "debug") == "e2e-debug"


def test_paths_are_of_the_current_directory_or_the_checkout(tmp_path, monkeypatch):
    root = paths.repo_root()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    assert suite._resolved("mine.py::test_x", root) == f"{tmp_path}/mine.py::test_x"
    assert suite._resolved("tests/e2e/test_bo.py", root) == f"{root}/tests/e2e/test_bo.py"
    assert suite._resolved("--lf", root) == "--lf"
    with pytest.raises(UsageError, match=r"there is no tests/nothing\.py"):
        suite._resolved("tests/nothing.py", root)


def checkout(folder):
    for mark in ("spec", "kernel", "qemu-device"):
        (folder / mark).mkdir(parents=True)
    (folder / "spec/vnpu.yaml").touch()
    return folder


def test_checkout_around_the_current_directory_comes_first(tmp_path, monkeypatch):
    own = paths.repo_root()
    other = checkout(tmp_path / "other")
    (other / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(other / "deep/er")
    assert paths.repo_root() == other
    monkeypatch.chdir(tmp_path)
    assert paths.repo_root() == own
    monkeypatch.setenv("VNPU_REPO", str(other))
    assert paths.repo_root() == other
    monkeypatch.setenv("VNPU_REPO", str(tmp_path))
    with pytest.raises(SetupError, match="is no checkout"):
        paths.repo_root()


def test_the_checkout_is_told_where_it_may_surprise(tmp_path, monkeypatch, capfd):
    from vnpu.cli.where import tell_root

    monkeypatch.chdir(tmp_path)
    root = tell_root()
    assert f"using the checkout {root}" in capfd.readouterr().err
    monkeypatch.chdir(root)
    tell_root()
    assert capfd.readouterr().err == ""


def test_options_become_variables_for_what_is_built():
    arguments = main._parser().parse_args(["test", "--kernel", "7.3"])
    main._apply_choices(arguments)
    assert os.environ["KERNEL_VERSION"] == "7.3"
    assert arguments.lane == "stock"
    arguments = main._parser().parse_args(["test", "--kdir", "/somewhere"])
    main._apply_choices(arguments)
    assert arguments.lane == "custom"
    with pytest.raises(SystemExit) as caught:
        main._parser().parse_args(["test", "--kdir", "/x", "--kernel", "7.3"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("number", "handler"),
    [
        (signal.SIGTERM, "default_int_handler"),
        (signal.SIGTERM, "SIG_IGN"),
        (signal.SIGINT, "default_int_handler"),
    ],
)
def test_ending_a_command_ends_all_that_it_started(tmp_path, number, handler):
    """A plain kill, as a CI system does it, reaches the grandchildren too.

    Also of what a shell started in the background, which ignores interrupts.
    """
    pid_file = tmp_path / "pid"
    program = (
        f"import signal; signal.signal(signal.SIGINT, signal.{handler})\n"
        "from pathlib import Path\n"
        "from vnpu.cli import child\n"
        "child.catch_termination()\n"
        f"child.run([{sys.executable!r}, '-c', {_starter(pid_file)!r}], Path.cwd())"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text().strip()):
        assert time.monotonic() < deadline, "the command did not start"
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(timeout=60)
    while _runs(int(pid_file.read_text())):
        assert time.monotonic() < deadline, "a grandchild is left"
        time.sleep(0.02)


def _starter(pid_file):
    """A program with a child."""
    return (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "child.wait()"
    )


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("jobs", "boots"), [(1, 0), (2, 1)])
def test_machine_of_most_tests_boots_before_the_workers(monkeypatch, capfd, jobs, boots):
    """One that does not boot is told, and the tests tell the rest."""
    done = []

    def ensure(_images):
        done.append("boot")
        raise GuestKernelError("it complained")

    images = SimpleNamespace(release="6.12")
    monkeypatch.setattr("vnpu.machine.images.prepare", lambda _lane: images)
    monkeypatch.setattr("vnpu.machine.template.Template.ensure", ensure)
    monkeypatch.setattr(suite.child, "run", lambda *_args, **_kwargs: done.append("tests") or 0)
    assert suite.run("stock", jobs=jobs) == 0
    assert done == ["boot"] * boots + ["tests"]
    assert ("does not boot: it complained" in capfd.readouterr().err) == bool(boots)


def test_target_has_its_own_tests_and_report(monkeypatch):
    monkeypatch.setenv(target.VARIABLE, "")  # undone at the end
    commands = []
    images = SimpleNamespace(release="6.12")
    monkeypatch.setattr("vnpu.machine.images.prepare", lambda _lane: images)
    monkeypatch.setattr(suite.child, "run", lambda argv, *_, **_kw: commands.append(argv) or 0)
    suite.run("stock", target="vgem")
    assert target.current().name == "vgem"
    assert commands[0][-1] == "tests/targets/vgem"
    assert any(word.endswith("/vgem-stock.xml") for word in commands[0])


@pytest.mark.parametrize(
    ("words", "variables", "told"),
    [
        (["boot", "--vram", "3"], {}, "multiples of 2 MiB"),
        (["boot", "--vram", "0"], {}, "0 is not a positive number"),
        (["test", "--jobs", "many"], {}, "many is not a positive number"),
        (["test", "tests/nothing.py"], {}, "there is no tests/nothing.py"),
        (["test"], {"VNPU_TARGET": "x"}, "there is no target 'x'"),
        (["test"], {"VNPU_TIMEOUT_SCALE": "x"}, "VNPU_TIMEOUT_SCALE=x is not a positive number"),
    ],
)
def test_wrong_usage_is_told_in_a_line(monkeypatch, capfd, words, variables, told):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        status = main.main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    said = capfd.readouterr().err
    assert told in said and "Traceback" not in said


def test_every_command_says_what_it_does(capsys):
    for words in ([], ["doctor"], ["prepare"], ["boot"], ["test"], ["bench"], ["clean"]):
        with pytest.raises(SystemExit) as end:
            main.main([*words, "--help"])
        assert end.value.code == 0
        first, _, rest = capsys.readouterr().out.partition("\n\n")
        assert first.startswith("usage: vnpu") and rest[0].isupper(), words


def test_plain_pytest_tells_nonsense_in_a_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "VNPU_TARGET": "x"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is no target 'x'" in done.stderr and "Traceback" not in done.stderr
