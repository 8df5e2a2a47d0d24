# SPDX-License-Identifier: MIT
"""Puts a mutant into a copy of the checkout and runs the tests on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from rows import Mutant

from vnpu.base.errors import BuildError, VnpuError
from vnpu.cli import child

#: exit statuses of the ``vnpu`` command
_BUILD_FAILED = 4
_RIG_FAILED = 5


@dataclass(frozen=True)
class Stage:
    """Tests to run on a mutant, as commands; the first that fails has noticed it."""

    name: str
    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Verdict:
    """What came of a mutant: the stage and the test that noticed it, if any did."""

    killed: bool
    stage: str
    test: str
    seconds: float


class Copy:
    """A copy of the checkout ``root`` in which mutants live, one at a time."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.path = path

    def refresh(self) -> None:
        """Make it equal to the checkout; what is the same keeps its time."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.root, capture_output=True, check=True, text=True,
        )  # fmt: skip
        names = [name for name in listed.stdout.split("\0") if name]
        for name in names:
            _copy(self.root / name, self.path / name)
        for room in ("kernel", "qemu-device", "tests", "harness"):
            for path in (self.path / room).rglob("*"):
                name = str(path.relative_to(self.path))
                if path.is_file() and path.suffix in (".c", ".h", ".py") and name not in names:
                    path.unlink()

    def put(self, mutant: Mutant) -> Path:
        """Put a mutant in; gives the file that it changed."""
        file = self.path / mutant.file(self.root).relative_to(self.root)
        file.write_text(mutant.changed(self.root))
        return file

    def take_out(self, file: Path) -> None:
        """Give a file its own content again."""
        _copy(self.root / file.relative_to(self.path), file)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        target.unlink(missing_ok=True)
    elif not target.is_file() or target.read_bytes() != source.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def stages(mutant: Mutant, jobs: int, thorough: bool) -> list[Stage]:
    """What to run, quick things first. ``thorough``: the debug kernel for all."""
    python = sys.executable
    vnpu = str(Path(python).with_name("vnpu"))
    pytest = (python, "-m", "pytest", "-q", "-x")
    found = []
    if mutant.room == "qemu-device":
        build = (vnpu, "prepare", "qemu")
        core = (*pytest, "tests/unit/test_core.py", "tests/unit/test_exec.py")
        found.append(Stage("core", (core,)))
        device = (*pytest, "tests/device", f"-n{jobs}", "--junitxml=build/report/device.xml")
        found.append(Stage("device", (build, device)))
    test = (vnpu, "test", f"--jobs={jobs}", "--lane")
    if mutant.lane == "stock" and mutant.first:
        files = [f"tests/e2e/{name}.py" for name in mutant.first]
        found.append(Stage("first", ((*test, "stock", *files, "--", "-x"),)))
    if mutant.lane == "stock":
        done = [f"--ignore=tests/e2e/{name}.py" for name in mutant.first]
        found.append(Stage("stock", ((*test, "stock", "--", "-x", *done),)))
    if mutant.kmemleak:
        found.append(Stage("lost memory", ((*test, "debug", "--", "-x", "--kmemleak=soak"),)))
    elif mutant.lane == "debug" or thorough:
        found.append(Stage("debug", ((*test, "debug", "--", "-x"),)))
        if mutant.room == "kernel":
            kunit = (vnpu, "test", "--lane", "debug", "--jobs=1", "tests/kunit")
            found.append(Stage("KUnit", (kunit,)))
    return found


def judge(copy: Copy, mutant: Mutant, todo: Sequence[Stage], log: Path) -> Verdict:
    """Run the stages on a mutant until one notices it.

    Raises BuildError if it does not compile, VnpuError if the rig failed;
    both are no verdict.
    """
    started = time.monotonic()
    file = copy.put(mutant)
    try:
        for stage in todo:
            shutil.rmtree(copy.path / "build/report", ignore_errors=True)
            (copy.path / "build/report").mkdir(parents=True)
            if not _passes(copy, stage, log):
                test = _first_failure(copy.path / "build/report") or stage.name
                return Verdict(True, stage.name, test, time.monotonic() - started)
    finally:
        copy.take_out(file)
    return Verdict(False, "", "", time.monotonic() - started)


def _passes(copy: Copy, stage: Stage, log: Path) -> bool:
    for command in stage.commands:
        status = child.run(
            ("sh", "-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", str(log), *command),
            copy.path,
            {"VNPU_REPO": str(copy.path), "VNPU_CONFIG": os.devnull},
        )
        if status == _BUILD_FAILED:
            raise BuildError(f"it does not compile, see {log}")
        if status == _RIG_FAILED:
            raise VnpuError(f"the rig failed, see {log}")
        if status:
            return False
    return True


def _first_failure(reports: Path) -> str:
    for report in sorted(reports.glob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                return f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
    return ""
