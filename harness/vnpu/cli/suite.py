# SPDX-License-Identifier: MIT
"""Runs tests in guests: pytest, with what it needs made ready before."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vnpu.artifacts.kernel import choice
from vnpu.base import paths, progress
from vnpu.base.errors import UsageError, VnpuError
from vnpu.cli import child
from vnpu.cli.where import tell_root
from vnpu.target import DEFAULT, VARIABLE, current

if TYPE_CHECKING:
    from vnpu.machine.images import Images

#: pytest's exit statuses in terms of ours (see ``vnpu --help``), with what to say
_STATUSES = {
    0: (0, ""),
    1: (1, ""),
    2: (130, ""),
    3: (5, "pytest or its plugin failed, not a test"),
    4: (2, "pytest did not understand its arguments"),
    5: (2, "no test matches"),
}

#: names of the option that needs the terminal
_KEEP = frozenset(("--keep-vm", "--vnpu-keep-vm"))


def run(
    lane: str,
    *,
    chosen: Sequence[str] = (),
    expression: str | None = None,
    jobs: int = 1,
    keep_vm: bool = False,
    target: str | None = None,
) -> int:
    """Test on a kernel lane; gives an exit status of the ``vnpu`` command.

    ``chosen`` are files, directories and node ids, relative to the current
    directory or to the checkout, and options of pytest; without any of the
    former all tests of the target run. ``expression`` is pytest's ``-k``.
    Raises UsageError, SetupError, BuildError, KeyboardInterrupt.
    """
    from vnpu.machine.images import prepare

    if target:
        os.environ[VARIABLE] = target  # for the workers as well
    tested = current()
    root = tell_root()
    arguments = [_resolved(argument, root) for argument in chosen]
    tests = [argument for argument in arguments if not argument.startswith("-")]
    places = [item for item in tests if Path(item.partition("::")[0]).exists()]
    # Before the workers start: they find everything ready, and say nothing.
    images = prepare(lane)
    report = paths.report_dir() / report_name(places or [Path(tested.tests).name], lane)
    command = [
        sys.executable, "-m", "pytest", "-q",
        f"--vnpu-lane={lane}",
        f"--junitxml={report}.xml",
        f"--vnpu-html={report}.html",
    ]  # fmt: skip
    keep_vm = keep_vm or not _KEEP.isdisjoint(arguments)
    if keep_vm:
        command.append("--vnpu-keep-vm")
        jobs = 1  # a worker has no terminal to stop at
    if jobs > 1:
        boot_ahead(images)
        command += ["-n", str(jobs)]
    if expression:
        command += ["-k", expression]
    what = "" if tested.name == DEFAULT else f" {tested.name}"
    progress.say(f"testing{what} on Linux {images.release} ({lane})")
    arguments = [argument for argument in arguments if argument not in _KEEP]
    command += [*([] if places else [tested.tests]), *arguments]
    env = {}
    if paths.is_carried():
        command += ["-p", "no:cacheprovider"]
        env["PYTHONDONTWRITEBYTECODE"] = "1"
    status = child.run(command, root, env, interactive=keep_vm)
    return translated(status)


def boot_ahead(images: Images) -> None:
    """Boot the machine of most tests here, where it is seen; workers say nothing meanwhile.

    If it does not boot, the tests that need it will say so as well.
    """
    from vnpu.machine.template import Template

    try:
        Template.ensure(images).close()
    except VnpuError as error:
        progress.say(f"the machine of most tests does not boot: {error.message}")


def translated(status: int) -> int:
    """An exit status of pytest as one of ours, with a word on what is meant."""
    ours, text = _STATUSES.get(status, (status if status > 0 else 128 - status, ""))
    if text:
        print(f"vnpu: {text}", file=sys.stderr)
    return ours


def report_name(places: Sequence[str], lane: str) -> str:
    """The name of a report: of the first place that is tested, and of the kernel."""
    if places:
        file, _, test = places[0].partition("::")
        name = Path(file).stem + (f"-{test}" if test else "")
    else:
        name = "e2e"
    version = choice.kernel_version() if lane == "stock" else ""
    # names of tests may be anything, and long
    parts = (name[:80], lane, version)
    return "-".join(re.sub(r"[^\w.+=-]+", "_", part).strip("_") for part in parts if part)


def _resolved(argument: str, root: Path) -> str:
    """A path of the current directory or the checkout, absolute; all else as it is.

    Raises UsageError for a path of tests that is in neither.
    """
    if argument.startswith("-"):
        return argument
    file, separator, test = argument.partition("::")
    for base in (Path.cwd(), root):
        if (base / file).exists():
            return f"{(base / file).resolve()}{separator}{test}"
    if separator or file.endswith(".py") or "/" in file:
        raise UsageError(f"there is no {file}, here or in {root}")
    return argument
