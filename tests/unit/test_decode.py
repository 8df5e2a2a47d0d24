# SPDX-License-Identifier: MIT
"""Places in stacks become lines of the source that was compiled."""

import shutil
import subprocess

import pytest

from vnpu.klog.decode import Symbols
from vnpu.testing.hang import digest

SOURCE = """\
int other(int);
int twice(int x)
{
	int y = other(x);

	return y + other(y);
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """An object file as a module is: not linked, with debug information."""
    folder = tmp_path_factory.mktemp("object")
    (folder / "foo.c").write_text(SOURCE)
    gcc = shutil.which("gcc")
    subprocess.run([gcc, "-g", "-O1", "-fno-inline", "-c", "foo.c"], cwd=folder, check=True)
    return folder


def calls(folder):
    """Offsets behind the calls, which is what a stack holds."""
    text = subprocess.run(
        ["objdump", "-d", "-r", "foo.o"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    lines = [line.split(":")[0].strip() for line in text.splitlines() if "\t" in line]
    offsets = [int(word, 16) for word in lines if not word.startswith("R_") and word]
    marks = [
        i for i, line in enumerate(text.splitlines()) if "R_X86_64" in line and "other" in line
    ]
    ends = []
    for mark in marks:
        before = text.splitlines()[mark - 1].split(":")[0].strip()
        ends.append(next(at for at in offsets if at > int(before, 16)))
    return ends


def test_calls_of_a_module(compiled):
    symbols = Symbols((("foo", compiled / "foo.o"),), ((f"{compiled}/", "kernel/"),))
    first, second = calls(compiled)
    text = f" twice+{first:#x}/0x20 [foo]\n ? twice+{second:#x}/0x20 [foo (O)]\n twice+0x1/0x2"
    assert symbols.decode(text).splitlines() == [
        f" twice+{first:#x}/0x20 [foo] (kernel/foo.c:4)",
        f" ? twice+{second:#x}/0x20 [foo (O)] (kernel/foo.c:6)",
        " twice+0x1/0x2",
    ]


def test_instruction_pointer_is_taken_as_it_is(compiled):
    symbols = Symbols((("foo", compiled / "foo.o"),), ((f"{compiled}/", ""),))
    assert symbols.decode("RIP: 0010:twice+0x0/0x20 [foo]").endswith(" (foo.c:3)")


def test_what_is_not_known_stays(compiled, tmp_path):
    text = "no place\n strange+0x1/0x2 [foo]\n twice+0x1/0x2 [bar]"
    assert Symbols((("foo", compiled / "foo.o"),)).decode(text) == text
    assert Symbols((("foo", tmp_path / "gone"),)).decode(text) == text
    assert Symbols().decode(text) == text


def test_digest_keeps_what_tells():
    task = "[    1.5] task:{0:16}state:{1} stack:0     pid:9\n[    1.5]  {2}+0x1/0x2{3}\n"
    text = (
        "[    1.5] sysrq: Show backtrace of all active CPUs\n[    1.5] NMI backtrace for cpu 0\n"
        + "[    1.5] sysrq: Show State\n"
        + task.format("kthreadd", "S", "kthreadd_sleep", "")
        + task.format("kworker/0:1", "D", "waits_in_kernel", "")
        + task.format("init", "S", "pipe_read", "")
        + task.format("init", "S", "unix_stream_read_generic", "")
        + task.format("vnpu-wq", "I", "in_driver", " [vnpu]")
        + "[    1.5] sysrq: Show Locks Held\n[    1.5] Showing all locks held in the system:\n"
    )
    kept = digest(text)
    for word in ("NMI backtrace", "waits_in_kernel", "pipe_read", "in_driver", "all locks"):
        assert word in kept
    for word in ("kthreadd_sleep", "unix_stream"):
        assert word not in kept
