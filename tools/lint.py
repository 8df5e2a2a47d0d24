# SPDX-License-Identifier: MIT
"""Style and static checks of all sources; a finding is a failure unless it is accepted."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import checkpatch
from vnpu.artifacts import module
from vnpu.artifacts.kernel import lanes as kernel
from vnpu.base import paths, progress
from vnpu.base.errors import BuildError, VnpuError
from vnpu.base.tool import run

#: file with the findings that are wrong, and why; see ``Accepted``
ACCEPTED = Path(__file__).with_name("lint-accepted.txt")


@dataclass
class Accepted:
    """A finding that is known to be wrong: a regular expression, and the reason."""

    pattern: re.Pattern[str]
    reason: str
    used: bool = False


def load_accepted() -> list[Accepted]:
    """Read the file: a reason in a comment, then the patterns that it covers."""
    accepted: list[Accepted] = []
    reason = ""
    for line in ACCEPTED.read_text().splitlines():
        if line.startswith("#"):
            reason = line.lstrip("# ")
        elif line.strip():
            accepted.append(Accepted(re.compile(line), reason))
    return accepted


class Found(Exception):
    """A check found something; it ends the step that the user sees, as a failure."""


def report(groups: Sequence[str] = ("quick", "slow")) -> int:
    """Run the checks of these groups, print what is wrong; 0 if nothing is.

    An accepted pattern that matches nothing any more is wrong as well.
    """
    accepted = load_accepted()
    count = 0
    for group in groups:
        for name, check in _CHECKS[group].items():
            lines = _run(name, check, accepted)
            count += len(lines)
            for line in lines:
                print(f"{name}: {line}")
    if "slow" in groups:  # the checks whose findings can be accepted
        for entry in accepted:
            if not entry.used:
                count += 1
                print(f"{ACCEPTED.name}: matches nothing any more: {entry.pattern.pattern}")
    sys.stdout.flush()
    print(f"lint: {count} findings, {sum(entry.used for entry in accepted)} accepted ones")
    return 1 if count else 0


def _run(name: str, check: Callable[[], Iterable[str]], accepted: list[Accepted]) -> list[str]:
    """What one check has to say that is not accepted, or why it could not be done."""
    new: list[str] = []
    try:
        with progress.step(f"lint: {name}"):
            new = [finding for finding in check() if not _is_accepted(finding, accepted)]
            if new:
                raise Found
    except Found:
        pass
    except VnpuError as error:
        new = [str(error)]
    return new


def _is_accepted(finding: str, accepted: list[Accepted]) -> bool:
    for entry in accepted:
        if entry.pattern.search(finding):
            entry.used = True
            return True
    return False


def _tool_lines(argv: list[str | Path], pattern: str) -> list[str]:
    """The lines of a checker's output that are findings; its status says whether there are any."""
    try:
        run(argv, "check the sources", cwd=paths.repo_root(), log=paths.log_dir() / "lint.log")
    except BuildError as error:
        assert error.log is not None
        lines = error.log.read_text().splitlines()[1:]
        return [line for line in lines if re.search(pattern, line)] or lines[-5:]
    return []


def _ruff() -> list[str]:
    return _tool_lines(
        [sys.executable, "-m", "ruff", "check", "--output-format=concise", "."], r"^\S+:\d+:\d+: "
    )


def _ruff_format() -> list[str]:
    return _tool_lines(
        [sys.executable, "-m", "ruff", "format", "--check", "--output-format=concise", "."],
        r"^\S+:\d+:\d+: ",
    )


def _types() -> list[str]:
    return _tool_lines([sys.executable, "-m", "mypy"], r": error: ")


def _generated() -> list[str]:
    lines = _tool_lines([sys.executable, "spec/generate.py", "--check"], r"is stale")
    return lines + _tool_lines([sys.executable, "-m", "vnpu.uapi", "--check"], r"stale|differ")


def _driver_sources() -> list[Path]:
    return sorted((paths.repo_root() / "kernel").rglob("*.[ch]"))


def _device_sources() -> list[Path]:
    return sorted((paths.repo_root() / "qemu-device").rglob("*.[ch]"))


def _checkpatch_driver() -> list[str]:
    return checkpatch.findings(checkpatch.kernel_script(), _driver_sources(), "--strict")


def _checkpatch_device() -> list[str]:
    return checkpatch.findings(checkpatch.qemu_script(), _device_sources())


def _sparse(lane: str) -> Callable[[], list[str]]:
    return lambda: module.lint_build(kernel.ensure(lane))


_CHECKS: dict[str, dict[str, Callable[[], Iterable[str]]]] = {
    # nothing but Python is needed
    "quick": {
        "ruff": _ruff,
        "ruff format": _ruff_format,
        "types": _types,
        "generated files": _generated,
    },
    # kernels and their sources, and QEMU's
    "slow": {
        "checkpatch, driver": _checkpatch_driver,
        "checkpatch, device": _checkpatch_device,
        "sparse and W=1, stock kernel": _sparse("stock"),
        "sparse and W=1, debug kernel": _sparse("debug"),
    },
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[*_CHECKS, []], help="default: all")
    return report(parser.parse_args(argv).groups or list(_CHECKS))


if __name__ == "__main__":
    sys.exit(main())
