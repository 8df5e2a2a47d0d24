# SPDX-License-Identifier: MIT
"""The parts of fetching and building that can be tested without a network or a long build."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vnpu.artifacts.initramfs import cpio
from vnpu.artifacts.kernel import custom as kernel_custom
from vnpu.artifacts.kernel import debug as kernel_debug
from vnpu.artifacts.kernel import lanes as kernel
from vnpu.artifacts.kernel import modinfo
from vnpu.artifacts.qemu import build as qemu_build
from vnpu.base import tool as runner
from vnpu.base.errors import BuildError, SetupError
from vnpu.target import current


def test_missing_tool_names_its_package():
    with pytest.raises(SetupError, match=r"no-such-tool-x was not found; it is required to weld"):
        runner.run(["no-such-tool-x"], "weld")
    assert "build-essential" in str(runner.missing("gcc", "compile"))


def test_failing_command_shows_the_first_compiler_error(tmp_path):
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return undeclared; }\n")
    log = tmp_path / "log"
    with pytest.raises(BuildError, match=r"wrong\.c:1:.*error: .*undeclared") as caught:
        runner.run(["gcc", "-c", source, "-o", tmp_path / "x.o"], "compile", log=log)
    assert caught.value.log == log
    assert "undeclared" in log.read_text()
    assert str(log) in caught.value.message


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["make: *** [x] Error 1", "a.c:3:1: error: bad"], "a.c:3:1: error: bad"),
        (["meson.build:83:2: ERROR: Nonexistent", "ERROR: meson setup failed"],
         "meson.build:83:2: ERROR: Nonexistent"),
        (["ok", 'ERROR: modpost: "foo" [x.ko] undefined!'],
         'ERROR: modpost: "foo" [x.ko] undefined!'),
        (["E: Unable to locate package x", "done"], "E: Unable to locate package x"),
        (["nothing telling", "last words", ""], "last words"),
        ([], "no output"),
    ],
)  # fmt: skip
def test_first_error(lines, told):
    assert runner.first_error(lines) == told


def test_interrupted_command_takes_its_children_along(tmp_path):
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; wait"
    # A shell's background jobs, this test's runner perhaps among them, ignore SIGINT.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}; from vnpu.base.tool import run; run(['sh', '-c', {script!r}], 'wait')"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text().strip()):
        assert time.monotonic() < deadline, "the command did not start"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    child = int(pid_file.read_text())
    while os.path.exists(f"/proc/{child}") and not _is_zombie(child):
        assert time.monotonic() < deadline, "a child outlived the interrupt"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_while_a_command_starts(monkeypatch, number):
    """It is not lost, and neither is the command: the signal waits until somebody can end it."""
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self.pid)
            os.kill(os.getpid(), number)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    monkeypatch.setattr(subprocess, "Popen", Popen)
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.run(["sleep", "60"], "wait")
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    (pid,) = started
    assert not os.path.exists(f"/proc/{pid}")


def _is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_lost_options():
    wanted = "CONFIG_A=y\n# CONFIG_B is a comment\nCONFIG_C=n\nCONFIG_D=m\nCONFIG_E=18\n"
    config = "CONFIG_A=y\n# CONFIG_C is not set\nCONFIG_D=y\nCONFIG_E=18\n"
    assert kernel_debug.lost_options(wanted, config) == ["CONFIG_D=m"]
    assert kernel_debug.lost_options("CONFIG_C=n\n", "CONFIG_C=y\n") == ["CONFIG_C=n"]


def test_tables_that_are_walked_are_small(tmp_path):
    for name, there, _ in kernel_debug._SIZES:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(f"#define OTHER 1\n{there}\n")
    kernel_debug._resize_tables(tmp_path)
    for name, _, wanted in kernel_debug._SIZES:
        assert (tmp_path / name).read_text() == f"#define OTHER 1\n{wanted}\n"


def test_missing_options_say_why():
    options = [*kernel_custom.REQUIRED, *current().required, *kernel_custom.BUILT_IN]
    config = "".join(f"CONFIG_{name.split('|')[-1]}=y\n" for name in options)
    assert kernel_custom.missing_options(config) == []
    poorer = config.replace("CONFIG_DRM_TTM=y\n", "").replace(
        "CONFIG_DEVTMPFS=y", "CONFIG_DEVTMPFS=m"
    )
    text = "\n".join(kernel_custom.missing_options(poorer))
    assert "CONFIG_DRM_TTM" in text
    assert "CONFIG_DEVTMPFS=y  (device nodes)" in text


def test_custom_lane_explains_an_unbuilt_tree(tmp_path, monkeypatch):
    monkeypatch.setenv("KDIR", str(tmp_path))
    monkeypatch.delenv("KERNEL", raising=False)
    with pytest.raises(SetupError, match="no kernel image"):
        kernel_custom.ensure()
    image = tmp_path / "arch/x86/boot/bzImage"
    image.parent.mkdir(parents=True)
    image.touch()
    with pytest.raises(SetupError, match=r"no Module\.symvers"):
        kernel_custom.ensure()
    (tmp_path / "Module.symvers").touch()
    with pytest.raises(SetupError, match=r"no \.config"):
        kernel_custom.ensure()


def test_lane_follows_the_environment(monkeypatch):
    monkeypatch.delenv("KDIR", raising=False)
    monkeypatch.delenv("LANE", raising=False)
    assert kernel.lane_of_environment() == "stock"
    monkeypatch.setenv("LANE", "debug")
    assert kernel.lane_of_environment() == "debug"
    monkeypatch.setenv("KDIR", "/somewhere")
    assert kernel.lane_of_environment() == "custom"
    with pytest.raises(SetupError, match="no lane 'nightly'"):
        kernel.ensure("nightly")


def _module(folder, name, depends):
    """An object file with a .modinfo section, as modpost would leave it."""
    source = folder / f"{name}.c"
    text = f'"name={name}\\0depends={depends}"'
    source.write_text(f'const char i[] __attribute__((section(".modinfo"), used)) = {text};\n')
    module = folder / f"{name}.ko"
    subprocess.run(["gcc", "-c", source, "-o", module], check=True)
    return module


def test_modules_load_after_what_they_need(tmp_path):
    needs = {"top": "left,right-hand", "left": "base", "right-hand": "base", "base": ""}
    files = {name.replace("-", "_"): _module(tmp_path, name, of) for name, of in needs.items()}
    assert modinfo.read(files["top"])["name"] == "top"
    order = modinfo.load_order([files["top"], files["base"]], files.__getitem__)
    assert [modinfo.name_of(path) for path in order] == ["base", "left", "right_hand", "top"]


def test_cpio_is_read_back_by_the_tool(tmp_path):
    archive = cpio.Archive()
    archive.directory("dev")
    archive.character_device("dev/console", 5, 1)
    archive.file("init", b"#!/bin/sh\n", 0o755)
    archive.file("odd", b"x" * 5)
    archive.symlink("sh", "busybox")
    listing = subprocess.run(
        ["cpio", "-itv", "--quiet"], input=archive.finish(), capture_output=True, check=True
    ).stdout.decode()
    rows = {line.split()[-1]: line.split() for line in listing.splitlines()}
    assert rows["dev"][0] == "drwxr-xr-x"
    assert rows["dev/console"][0].startswith("c") and rows["dev/console"][4:6] == ["5,", "1"]
    assert rows["init"][0] == "-rwxr-xr-x" and rows["init"][4] == "10"
    assert rows["odd"][4] == "5"
    assert " sh -> busybox" in listing


@pytest.mark.parametrize("name", ["a b", "a:b"])
def test_cache_where_makefiles_cannot_work_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv("VNPU_CACHE", str(tmp_path / name))
    monkeypatch.delenv("QEMU", raising=False)
    for make in (qemu_build.ensure, kernel_debug.ensure):
        with pytest.raises(SetupError, match="cannot be built in .*blank or colon"):
            make()
    assert not (tmp_path / name).exists()


def test_qemu_is_configured_by_paths_without_blanks(tmp_path):
    """The environment of a checkout may have some; Python still finds what is beside it."""
    environment = tmp_path / "check out/.venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (tmp_path / "tree").mkdir()
    plain = qemu_build._plain(tmp_path / "tree", "python", environment / "bin/python")
    assert " " not in str(plain)
    said = subprocess.run(
        [plain, "-c", "import sys; print(sys.prefix != sys.base_prefix)"],
        capture_output=True,
        text=True,
    )
    assert said.stdout == "True\n"
