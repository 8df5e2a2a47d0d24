# SPDX-License-Identifier: MIT
"""Every gate in turn, each by its own make target; a failure stops none of the others."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vnpu.base import paths
from vnpu.cli import child


@dataclass(frozen=True)
class Gate:
    """A target of the Makefile, with its arguments."""

    name: str
    arguments: tuple[str, ...]


_BARE = Gate("end to end, bare Debian 12", ("check-bare", "VARIANT=debian12"))
_STOCK = Gate("end to end, stock kernel", ("qemu-test", "LANE=stock"))
#: quick ones first, so that a slip shows early; what needs the debug kernel, which takes
#: minutes to build once, comes behind what does not
GATES = (
    Gate("style and types", ("lint", "ARGS=quick")),
    Gate("abi", ("abi",)),
    Gate("set-up", ("setup-test",)),
    Gate("unit", ("unit",)),
    Gate("device", ("device",)),
    Gate("another driver, vgem", ("qemu-test", "LANE=stock", "VNPU_TARGET=vgem")),
    Gate("device with sanitizers", ("device-asan",)),
    Gate("fuzzed device", ("fuzz", "FUZZ_MINUTES=0.5")),
    _STOCK,
    Gate("KUnit", ("kunit",)),
    Gate("driver and device checkers", ("lint", "ARGS=slow")),
    Gate("end to end, debug kernel", ("qemu-test", "LANE=debug")),
    Gate("lost memory, debug kernel", ("qemu-test", "LANE=debug", "ARGS=--vnpu-kmemleak=soak")),
)


_CHOICES = ("K", "REPLAY", "KDIR", "KERNEL", "KERNEL_VERSION", "QEMU", "QEMU_SRC", "VNPU_TARGET")


def gates(bare: bool) -> list[Gate]:
    """All gates; with ``bare`` the stock kernel is tested on a bare machine instead of here."""
    return [_BARE if bare and gate is _STOCK else gate for gate in GATES]


def report(chosen: Sequence[Gate], jobs: int) -> int:
    """Run the gates and tell how each went; 0 if all passed."""
    results = [(gate, *_run(gate, jobs)) for gate in chosen]
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
    # What the user chose by hand, for a run or in .config, is not for these.
    command = ["make", f"JOBS={jobs}", *(f"{name}=" for name in _CHOICES), *gate.arguments]
    status = child.run(command, paths.repo_root(), {"VNPU_CONFIG": os.devnull})
    return status, time.monotonic() - started


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="workers of a gate")
    parser.add_argument(
        "--bare", action="store_true", help="test the stock kernel on a bare machine (as root)"
    )
    chosen = parser.parse_args(argv)
    child.catch_termination()
    try:
        return report(gates(chosen.bare), chosen.jobs)
    except KeyboardInterrupt:
        print("check: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
