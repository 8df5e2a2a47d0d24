# SPDX-License-Identifier: MIT
"""Fuzz the core of the device, or run again what was found.

The core is built with clang, libFuzzer and sanitizers (fuzz.c), without QEMU. The first inputs
are made of the traffic of the tests over qtest; what is learnt is kept in build/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import seeds

from vnpu.base import paths
from vnpu.base.cache import digest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
import core_lib

HERE = Path(__file__).resolve().parent
FOLDER = paths.repo_root() / "build/fuzz"
TRAFFIC = FOLDER / "traffic"
#: bytes of an input, and seconds that one may take (sanitizers, a machine under load)
LIMITS = (f"-max_len={seeds.MAX_INPUT}", "-timeout=60", "-rss_limit_mb=4096")
#: seconds between two lines of progress
PROGRESS_S = 10.0
#: fewer of the core's branches than these reached: the fuzzer itself is broken
MIN_COVERAGE = 1000
_STATUS = re.compile(r"#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)/")


class Failed(Exception):
    """It cannot be done, or something was found."""


def build(folder: Path = FOLDER, device: Path = core_lib.DEVICE) -> Path:
    """The fuzzer, built if its sources have changed."""
    clang = os.environ.get("CLANG", "clang")
    if not shutil.which(clang):
        raise Failed("no clang here: `make setup` installs it, or set CLANG=")
    sources = [*core_lib.sources(device), *sorted(HERE.glob("*.c"))]
    headers = [*sorted(device.glob("*.h")), *sorted(HERE.glob("*.h")), core_lib.HERE / "shim.h"]
    program = folder / f"core-fuzz-{digest(*sources, *headers, device / 'trace-events')[:12]}"
    if program.exists():
        return program
    for old in folder.glob("core-fuzz-*"):
        old.unlink()
    print("fuzz: building", flush=True)
    include = folder / "include"
    core_lib.write_headers(include, device)
    work = folder / "building"
    command = [
        clang, "-g", "-O1", "-std=gnu11", *core_lib.WARNINGS, "-Wno-missing-field-initializers",
        "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined",
        f"-I{include}", f"-I{core_lib.HERE}", f"-I{device}", f"-I{HERE}", *map(str, sources),
        "-pthread", "-Wl,--wrap=vnpu_packet_exec", *core_lib.glib(), "-o", str(work),
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode:
        raise Failed("the fuzzer does not build")
    work.rename(program)
    return program


def record_traffic() -> None:
    """Have the tests over qtest write down what they do, if they have not."""
    if any(TRAFFIC.glob("*.qtest")):
        return
    print("fuzz: recording what the device tests do", flush=True)
    status = subprocess.run(
        ["make", "device", f"JOBS={os.cpu_count() or 1}", "K=", "ARGS="],
        cwd=paths.repo_root(),
        check=False,
    ).returncode
    if status:
        raise Failed("the device tests fail: mend that first")


def fuzz(program: Path, minutes: float) -> None:
    """Fuzz for so long; Failed tells what was found."""
    record_traffic()
    corpus, first, found = FOLDER / "corpus", FOLDER / "seeds", FOLDER / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(first, ignore_errors=True)
    count = seeds.write(TRAFFIC, first)
    print(f"fuzz: {minutes:g} minutes, {count} inputs from the device tests", flush=True)
    command = [
        str(program), *LIMITS, f"-max_total_time={max(1, round(minutes * 60))}",
        f"-artifact_prefix={found}/", str(corpus), str(first),
    ]  # fmt: skip
    status, coverage, text = _watch(command)
    if status:
        crash = re.search(r"Test unit written to (\S+)", text)
        raise Failed(
            text + f"\nfuzz: found something: make fuzz REPLAY="
            f"{Path(crash[1]).resolve() if crash else found}"
        )
    if coverage < MIN_COVERAGE:
        raise Failed(f"only {coverage} branches were reached: the fuzzer is broken")


def _watch(command: Sequence[str]) -> tuple[int, int, str]:
    """Run the fuzzer with some lines of progress; exit status, coverage, the end of its output."""
    started = shown = time.monotonic()
    last = None
    tail: list[str] = []
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, errors="replace", env=_environment()
    ) as process:
        try:
            assert process.stderr
            for line in process.stderr:
                status = _STATUS.match(line)
                if not status:
                    tail = [*tail[-200:], line]
                    continue
                last = status
                if time.monotonic() - shown > PROGRESS_S or "DONE" in line:
                    shown = time.monotonic()
                    _progress(status, shown - started)
        except BaseException:
            process.terminate()
            raise
    return process.returncode, int(last[2]) if last else 0, "".join(tail)


def _progress(status: re.Match[str], seconds: float) -> None:
    inputs, coverage, _, kept = status.groups()
    print(f"fuzz: {seconds:5.0f} s  {inputs} inputs  {coverage} branches  {kept} kept", flush=True)


def _environment(**more: str) -> dict[str, str]:
    options = "quarantine_size_mb=16:malloc_context_size=8"
    return {**os.environ, "ASAN_OPTIONS": options, **more}


def replay(program: Path, path: Path) -> None:
    """Run one input and tell its records."""
    done = subprocess.run(
        [program, *LIMITS, str(path)], check=False, env=_environment(VNPU_FUZZ_TELL="1")
    )
    if done.returncode:
        raise Failed(f"fuzz: it still fails (status {done.returncode})")


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--replay", type=Path, help="run this input again")
    chosen = parser.parse_args(argv)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        program = build()
        if chosen.replay:
            replay(program, chosen.replay)
        else:
            fuzz(program, chosen.minutes)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fuzz: interrupted", file=sys.stderr)
        return 130
    print("fuzz: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
