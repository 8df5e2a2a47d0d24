# SPDX-License-Identifier: MIT
"""Every gate in turn, each by its own make target; a failure stops none of the others."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vnpu.base import paths


@dataclass(frozen=True)
class Gate:
    """A target of the Makefile, with its arguments."""

    name: str
    arguments: tuple[str, ...]


#: quick ones first, so that a slip shows early
GATES = (
    Gate("unit", ("unit",)),
    Gate("abi", ("abi",)),
    Gate("device", ("device",)),
    Gate("device with sanitizers", ("device-asan",)),
    Gate("end to end, stock kernel", ("qemu-test", "LANE=stock")),
    Gate("end to end, debug kernel", ("qemu-test", "LANE=debug")),
    Gate("KUnit", ("kunit",)),
    Gate("lint", ("lint",)),
)


def report(jobs: int) -> int:
    """Run all gates and tell how each went; 0 if all passed."""
    results = [(gate, *_run(gate, jobs)) for gate in GATES]
    print("\n" + "-" * 60)
    for gate, status, seconds in results:
        verdict = "passed" if status == 0 else f"FAILED (status {status})"
        print(f"{gate.name:28} {seconds:7.1f} s  {verdict}")
    failed = sum(status != 0 for _, status, _ in results)
    print(f"gates: {len(results) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def _run(gate: Gate, jobs: int) -> tuple[int, float]:
    """The gate's exit status and how many seconds it took."""
    print(f"\n=== {gate.name}: make {' '.join(gate.arguments)}", flush=True)
    started = time.monotonic()
    # KDIR belongs to the lane that the user chose by hand, not to these.
    status = subprocess.run(
        ["make", *gate.arguments, f"JOBS={jobs}", "KDIR="],
        cwd=paths.repo_root(),
        stdin=subprocess.DEVNULL,
    ).returncode
    return status, time.monotonic() - started


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="workers of a gate")
    return report(parser.parse_args(argv).jobs)


if __name__ == "__main__":
    sys.exit(main())
