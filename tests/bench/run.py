# SPDX-License-Identifier: MIT
"""Run the benchmarks: a table on the terminal, numbers in a JSON file.

Ratios compare what ran side by side in this run; absolute numbers belong to
this machine and this moment.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import data
import rig
import submit
from against import duel
from measure import Result, show

from vnpu.artifacts.kernel import choice
from vnpu.base import paths, progress
from vnpu.base.errors import VnpuError
from vnpu.guest import Guest
from vnpu.machine.config import MIB, MachineConfig
from vnpu.machine.images import prepare
from vnpu.machine.template import Template

GUEST = {
    "roundtrip": submit.round_trip,
    "pipelined": submit.pipelined,
    "bos": submit.many_bos,
    "binds": submit.binds,
    "small": data.small,
    "copy": data.copy,
    "gemm": data.gemm,
}
RIG = ("boot", "restore", "restores", "memory")
SMALL = {"eviction": data.eviction}
#: with --against: this revision and another
AGAINST = "against"


def _in_guest(template: Template, what: Callable[[Guest], list[Result]]) -> list[Result]:
    with template.restore() as vm:
        return what(vm.guest)


def _run(names: list[str], lane: str, restores: int, revision: str | None) -> Iterator[Result]:
    images = prepare(lane)
    template = Template.ensure(images, MachineConfig())
    jobs: dict[str, Callable[[], list[Result]]] = {
        "boot": lambda: rig.boot(images),
        "restore": lambda: rig.restore(template, restores),
        "restores": lambda: rig.many_restores(template, restores),
        "memory": lambda: rig.private_memory(template),
    }
    for name, what in GUEST.items():
        jobs[name] = lambda what=what: _in_guest(template, what)
    for name, what in SMALL.items():
        jobs[name] = lambda what=what: _in_guest(
            Template.ensure(images, MachineConfig(vram=64 * MIB, aperture=64 * MIB)), what
        )
    if revision:
        jobs[AGAINST] = lambda: duel.compare(lane, revision)
    for name in names:
        with progress.step(f"measure {name}"):
            results = jobs[name]()
        yield from results


def main() -> int:
    known = [*RIG, *GUEST, *SMALL]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(known)}")
    parser.add_argument(
        "--lane",
        default=choice.lane_of_environment(),
        help="kernel to run on (default: %(default)s)",
    )
    parser.add_argument(
        "--against",
        metavar="REV",
        help="build this revision as well and compare restores and what a test costs;"
        f" as a NAME: {AGAINST}",
    )
    parser.add_argument("--restores", type=int, default=1000, help="consecutive restores to make")
    parser.add_argument(
        "--json",
        type=Path,
        default=paths.repo_root() / "build/bench.json",
        help="where the numbers go (default: build/bench.json)",
    )
    args = parser.parse_args()
    known += [AGAINST] if args.against else []
    unknown = set(args.names) - set(known)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    results: list[Result] = []
    try:
        for result in _run(args.names or known, args.lane, args.restores, args.against):
            results.append(result)
    except VnpuError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    finally:
        if results:
            show(results)
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps([r.as_dict() for r in results], indent=2) + "\n")
            print(f"numbers: {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
