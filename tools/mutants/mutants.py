# SPDX-License-Identifier: MIT
"""How many bugs the tests notice: puts each of tests/mutants into driver or device and runs them.

A row is a bug that drivers or devices of this kind had. Each is put into a copy
of this checkout, alone, and the tests run until one fails. What is known of a
mutant, and of exactly these sources, is kept and not found out again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from judge import Copy, Verdict, judge, stages
from rows import Mutant, choose, load

from vnpu.base import paths
from vnpu.base.errors import BuildError, VnpuError
from vnpu.cli import child

_SOURCES = ("kernel", "qemu-device", "tests", "harness", "userspace", "spec")


class Known:
    """Verdicts of earlier runs, by what they were found out about."""

    def __init__(self, file: Path, state: str) -> None:
        self._file = file
        self._state = state
        self._verdicts: dict[str, Verdict] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                row = json.loads(line)
                self._verdicts[row["key"]] = Verdict(**row["verdict"])

    def get(self, mutant: Mutant, thorough: bool) -> Verdict | None:
        """What is known of a mutant in the sources as they are now."""
        return self._verdicts.get(self._key(mutant, thorough))

    def put(self, mutant: Mutant, thorough: bool, verdict: Verdict) -> None:
        """Remember a verdict."""
        row = {"key": self._key(mutant, thorough), "name": mutant.name, "verdict": asdict(verdict)}
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _key(self, mutant: Mutant, thorough: bool) -> str:
        text = json.dumps([self._state, asdict(mutant), thorough], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _state(copy: Copy) -> str:
    """A hash of all sources that matter."""
    total = hashlib.sha256()
    for room in _SOURCES:
        for path in sorted((copy.path / room).rglob("*")):
            if path.is_file() and path.suffix != ".pyc" and "mutants" not in path.parts[-2:]:
                total.update(f"{path.relative_to(copy.path)}\0".encode())
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _name(mutant: Mutant) -> str:
    return f"{mutant.group + '/' + mutant.name:44}"


def _line(mutant: Mutant, verdict: Verdict, known: bool) -> str:
    if verdict.killed:
        told = f"noticed   {verdict.stage}: {verdict.test}"
    else:
        told = f"SURVIVED  {mutant.why}"
    time = "   known" if known else f"{verdict.seconds:6.0f} s"
    return f"{_name(mutant)} {time}  {told}"


def _run(copy: Copy, chosen: Sequence[Mutant], jobs: int, thorough: bool, known: Known) -> int:
    """Judge the mutants and print a line each; the exit status."""
    log = copy.root / "build/mutants"
    noticed = survived = unclear = 0
    for mutant in chosen:
        if mutant.equivalent:
            print(
                f"{mutant.group + '/' + mutant.name:44}           no test can: {mutant.equivalent}"
            )
            continue
        verdict = known.get(mutant, thorough)
        was_known = verdict is not None
        if verdict is None:
            try:
                todo = stages(mutant, jobs, thorough)
                verdict = judge(copy, mutant, todo, log / f"{mutant.name}.log")
            except (BuildError, VnpuError) as error:
                print(f"{mutant.group}/{mutant.name}: NO VERDICT: {error}", flush=True)
                unclear += 1
                continue
            known.put(mutant, thorough, verdict)
        noticed += verdict.killed
        survived += not verdict.killed
        print(_line(mutant, verdict, was_known), flush=True)
    total = noticed + survived
    share = 100 * noticed / total if total else 0
    print(f"{noticed} of {total} noticed ({share:.0f} %), {survived} survived, {unclear} unclear")
    return 1 if survived or unclear else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0 if every mutant was noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants or groups; * and ? match")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="workers")
    parser.add_argument(
        "--thorough", action="store_true", help="try survivors on the debug kernel, and KUnit"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    arguments = parser.parse_args(argv)
    child.catch_termination()
    root = paths.repo_root()
    try:
        chosen = choose(load(root), arguments.names)
        for mutant in chosen:
            mutant.file(root)
        if arguments.list:
            for mutant in chosen:
                print(f"{_name(mutant)} {mutant.why}")
            return 0
        folder = root / "build/mutants"
        folder.mkdir(parents=True, exist_ok=True)
        copy = Copy(root, folder / "tree")
        copy.refresh()
        known = Known(folder / "known.jsonl", _state(copy))
        return _run(copy, chosen, arguments.jobs, arguments.thorough, known)
    except VnpuError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("mutants: interrupted; what was found out is kept", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
