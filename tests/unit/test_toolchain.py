# SPDX-License-Identifier: MIT
"""Programs of another release, run with the libraries of that release."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vnpu.artifacts.kernel import toolchain, versions
from vnpu.base.errors import BuildError

PROGRAM = """
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
int main(int n, char **v)
{
	puts(v[0]);
	puts(n > 1 ? v[1] : "-");
	puts(getenv("GCC_EXEC_PREFIX"));
	return 3;
}
"""


def library(name):
    """Where this machine has a shared library."""
    told = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in told.splitlines() if name in line]
    return Path(line.split("=>")[-1].split()[0])


@pytest.fixture
def kernel(tmp_path):
    """An unpacked kernel with a program in its headers, and the libraries beside it."""
    (tmp_path / "usr/lib/kbuild").mkdir(parents=True)
    source = tmp_path / "tool.c"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", source, "-o", tmp_path / "usr/lib/kbuild/tool"], check=True)
    libraries = tmp_path / "toolchain/usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    for name in ("libc.so.6", "ld-linux-x86-64.so.2"):
        shutil.copy(library(name), libraries / name)
    return tmp_path


def test_wrapped_program_keeps_name_arguments_and_status(kernel):
    folder = kernel / "usr/lib"
    (folder / "kbuild/script").write_text("#!/bin/sh\n")
    (folder / "kbuild/script").chmod(0o755)
    programs = toolchain._programs(folder)
    assert [path.name for path in programs] == ["tool"]
    toolchain._wrap(programs, kernel, kernel)
    tool = folder / "kbuild/tool"
    done = subprocess.run([tool, "an argument"], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        str(tool), "an argument", f"{kernel}/toolchain/usr/lib/gcc/"
    ]  # fmt: skip
    assert done.returncode == 3


def test_program_for_newer_libraries_is_noticed(kernel):
    tool = kernel / "usr/lib/kbuild/tool"
    assert not toolchain._lacks_libraries(tool)
    newer = kernel / "newer"
    subprocess.run(
        ["gcc", "-shared", "-x", "c", "/dev/null", "-o", kernel / "libelsewhere.so"], check=True
    )
    subprocess.run(
        ["gcc", kernel / "tool.c", "-o", newer, f"-L{kernel}", "-Wl,--no-as-needed", "-lelsewhere"],
        check=True,
    )
    assert toolchain._lacks_libraries(newer)


def headers(kernel, text):
    folder = kernel / "usr/src/linux-headers-7.3.4-amd64"
    folder.mkdir(parents=True)
    (folder / ".kernelvariables").write_text(text)
    return folder / ".kernelvariables"


def test_machine_that_has_all_uses_its_own(kernel, monkeypatch):
    text = "CC = $(if $(X),ccache) $(CROSS_COMPILE)gcc-14\n"
    variables = headers(kernel, text)
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: f"/usr/bin/{name}")
    toolchain.complete(kernel, kernel, versions.Release("7.3.4-amd64", None))
    assert variables.read_text() == text


def test_machine_without_the_compiler_gets_it(kernel, monkeypatch):
    variables = headers(kernel, "A = 1\nCC = $(if $(X),ccache) $(CROSS_COMPILE)gcc-14\nB = 2\n")
    asked = []
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: asked.append(name))
    monkeypatch.setattr(toolchain, "_unpack", lambda *_: None)
    (kernel / "toolchain/usr/bin").mkdir()
    toolchain.complete(kernel, Path("/final"), versions.Release("7.3.4-amd64", None))
    assert asked == ["x86_64-linux-gnu-gcc-14"]
    assert variables.read_text().splitlines() == [
        "A = 1",
        "CC = $(if $(X),ccache) /final/toolchain/usr/bin/x86_64-linux-gnu-gcc-14",
        "B = 2",
    ]


def test_headers_that_name_no_compiler(kernel):
    headers(kernel, "CC = cc\n")
    with pytest.raises(BuildError, match="do not say which compiler"):
        toolchain.complete(kernel, kernel, versions.Release("7.3.4-amd64", None))


def test_libraries_that_packages_need():
    class Archive:
        def show(self, name):
            depends = {"libelf1t64": "libc6 (>= 2.38), libzstd1, zlib1g", "libc6": "libgcc-s1"}
            return {"Depends": depends.get(name, "")}

    fields = {"Depends": "pahole, libc6 (>= 2.38), libelf1t64 | libelf1, libfoo-dev"}
    found = toolchain._libraries(Archive(), toolchain._names(fields))
    assert set(found) == {"libc6", "libelf1t64", "libelf1", "libzstd1", "zlib1g", "libgcc-s1"}
