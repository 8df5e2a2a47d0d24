# SPDX-License-Identifier: MIT
"""This revision and another, round by round, so that a busy machine meets both."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from measure import Result

from against import revision
from vnpu.base import paths
from vnpu.base.errors import RigError

_FRAME = Path(__file__).with_name("frame.py")
#: parts of a round; all but the last make up what a test costs
_PARTS = ("answer", "processes", "unload", "log")
_FRESH = "new process"
ROUNDS = 20


class Side:
    """A revision that measures one round when asked."""

    def __init__(
        self, python: Path, lane: str, tree: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [python, _FRAME, lane],
            cwd=tree,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read_until("ready")
        self.rounds: list[dict[str, list[float]]] = []

    def _read_until(self, beginning: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line
        raise RigError(f"the measurement ended with status {self._process.wait()}")

    def round(self) -> None:
        """Measure once more."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.rounds.append(json.loads(self._read_until("{")))

    def median(self, *parts: str, cpu: bool) -> float:
        """Of the sum of these parts, ms."""
        sums = [sum(found[part][cpu] for part in parts) for found in self.rounds]
        return statistics.median(sums)

    def close(self) -> None:
        """Let it end its machines."""
        self._process.communicate()


def compare(lane: str, name: str) -> list[Result]:
    """Frame of a test and restores, against another revision."""
    commit = revision.resolve(name)
    tree = revision.checkout(commit)
    with (
        revision.environment(tree) as env,
        contextlib.closing(Side(tree / ".venv/bin/python", lane, tree, env)) as theirs,
        contextlib.closing(Side(Path(sys.executable), lane, paths.repo_root())) as ours,
    ):
        for _ in range(ROUNDS):
            theirs.round()
            ours.round()
    short = commit[:7]
    # a stock kernel never took long
    frame = 0.5 if lane == "debug" else None
    return [
        *_both(f"a test that does nothing, {lane}", short, ours, theirs, *_PARTS, goal=frame),
        *_both("restore, rewound", short, ours, theirs, "answer", goal=0.8),
        *_both("restore, new process", short, ours, theirs, _FRESH, goal=0.8),
    ]


def _both(
    what: str, commit: str, ours: Side, theirs: Side, *parts: str, goal: float | None
) -> list[Result]:
    results = []
    for cpu, unit in ((True, "CPU"), (False, "wall")):
        mine, other = ours.median(*parts, cpu=cpu), theirs.median(*parts, cpu=cpu)
        note = f"{mine:.1f} / {other:.1f} ms"
        results.append(
            Result(f"{what}, {unit}, against {commit}", mine / other, "×", goal, note=note)
        )
    return results
