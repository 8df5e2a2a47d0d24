# SPDX-License-Identifier: MIT
"""What a stranger's machine shows: bare Debian machines run what README says."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import bareroot as bare

from vnpu.base import paths
from vnpu.base.errors import SetupError, VnpuError
from vnpu.cli import child

#: a score of tests from all over the suite
SMOKE = "test_first_steps or test_lifecycle or test_snapshot"
_TESTING = re.compile(r"^testing on Linux (\S+)", re.M)


@dataclass(frozen=True)
class Variant:
    """A machine, and what is done on it: ``run`` gets the root and arguments for make."""

    name: str
    text: str
    release: str
    user: str
    run: Callable[[bare.Root, Sequence[str]], str]


def _as_root(machine: bare.Root, arguments: Sequence[str]) -> str:
    return machine.run("make", "qemu-test", *arguments)


def _as_user(machine: bare.Root, arguments: Sequence[str]) -> str:
    """A user is told what to install; with that installed, nothing more is needed."""
    told = machine.run("make", "qemu-test", *arguments, user=bare.USER, expect=2)
    command = next((line for line in told.splitlines() if line.strip().startswith("sudo ")), None)
    if command is None:
        raise VnpuError(f"set-up printed no command for a user to run:\n{told}")
    machine.run("apt-get", "update", "-q")
    machine.run(*shlex.split(command)[1:], "-y")
    return machine.run("make", "qemu-test", *arguments, user=bare.USER)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("debian12", "Debian 12, root, the whole suite", "bookworm", "root", _as_root),
        Variant(
            "debian12-user", "Debian 12, a user, some tests", "bookworm", bare.USER,
            lambda machine, more: _as_user(machine, [f"K={SMOKE}", *more]),
        ),
        Variant(
            "debian13", "Debian 13, root, its newest kernel", "trixie", "root",
            lambda machine, more: _as_root(
                machine, [f"K={SMOKE}", "KERNEL_VERSION=newest", *more]
            ),
        ),
    )
}  # fmt: skip


def check(variant: Variant, arguments: Sequence[str]) -> bool:
    """Run one variant and print a line about it; False if it failed."""
    log = paths.repo_root() / f"build/bare/{variant.name}.log"
    started = time.monotonic()
    try:
        told = _outcome(variant, arguments, log)
        mark = "✓"
    except (VnpuError, OSError) as error:
        told, mark = str(error), "✗"
    seconds = time.monotonic() - started
    print(f"{mark} {variant.text:36} {seconds:6.0f} s  {told}", flush=True)
    if mark == "✗":
        print(f"  the whole output: {log}", flush=True)
    return mark == "✓"


def _outcome(variant: Variant, arguments: Sequence[str], log: Path) -> str:
    with bare.fresh(variant.release, log) as machine:
        machine.clone(paths.repo_root(), variant.user)
        output = variant.run(machine, arguments)
        kernel = _TESTING.search(output)
        home = machine.path / ("root" if variant.user == "root" else f"home/{variant.user}")
        passed = _passed(home / "project/build/report")
    if kernel is None or not passed:
        raise VnpuError("the run ended well, but no test ran")
    return f"{passed} tests passed on Linux {kernel.group(1)}"


def _passed(reports: Path) -> int:
    """How many tests the JUnit reports name as passed."""
    total = 0
    for report in reports.glob("*.xml"):
        for suite in ElementTree.parse(report).iter("testsuite"):
            count = {
                key: int(suite.get(key, 0)) for key in ("tests", "errors", "failures", "skipped")
            }
            total += count["tests"] - count["errors"] - count["failures"] - count["skipped"]
    return total


def _say_what_is_left_out() -> None:
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=paths.repo_root(), capture_output=True, text=True
    ).stdout
    if changed:
        print("note: what is not committed is not in the clones", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 if all variants passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--variant", action="append", choices=VARIANTS, help="default: each in turn; repeatable"
    )
    parser.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="for make")
    chosen = parser.parse_args(argv)
    child.catch_termination()
    try:
        bare.require()
        _say_what_is_left_out()
        names = chosen.variant or list(VARIANTS)
        results = [check(VARIANTS[name], chosen.arguments) for name in names]
    except SetupError as error:
        print(f"check-bare: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("check-bare: interrupted", file=sys.stderr)
        return 130
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
