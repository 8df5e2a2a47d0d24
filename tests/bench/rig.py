# SPDX-License-Identifier: MIT
"""Boot, restore, and what a restored machine costs."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path

from measure import Result, percentile

from vnpu.base import progress
from vnpu.base.errors import VnpuError
from vnpu.machine.images import Images
from vnpu.machine.kvm import describe
from vnpu.machine.machine import Machine
from vnpu.machine.pool import Pool
from vnpu.machine.template import Template

MIB = 1 << 20


def boot(images: Images) -> list[Result]:
    """From power-on to the agent's first answer."""
    times = []
    for _ in range(3):
        start = time.monotonic()
        with Machine.boot(describe(images)):
            times.append(time.monotonic() - start)
    return [Result("boot to agent", statistics.median(times), "s", goal=5, note=images.release)]


def _first_answer(machine: Machine) -> None:
    machine.guest.service.syscall("getpid")


def restore(template: Template, count: int) -> list[Result]:
    """From the decision to restore to the first system call's result."""
    fresh, pooled = [], []
    for _ in range(min(count, 40)):
        start = time.monotonic()
        with template.restore() as machine:
            _first_answer(machine)
            fresh.append(1000 * (time.monotonic() - start))
    with Pool(template) as pool:
        pool.give_back(pool.take())
        for _ in range(min(count, 40)):
            start = time.monotonic()
            machine = pool.take()
            _first_answer(machine)
            pooled.append(1000 * (time.monotonic() - start))
            pool.give_back(machine)
    return [
        Result("restore, new process, median", statistics.median(fresh), "ms", goal=150),
        Result("restore, new process, p99", percentile(fresh, 99), "ms"),
        Result("restore, pool, median", statistics.median(pooled), "ms", goal=80),
        Result("restore, pool, p99", percentile(pooled, 99), "ms"),
    ]


def _qemu_count() -> int:
    """Machines that this process started; others on this host are nobody's leftovers."""
    command = ["pgrep", "-c", "-P", str(os.getpid()), "qemu-system"]
    found = subprocess.run(command, capture_output=True, text=True)
    return int(found.stdout or 0)


def many_restores(template: Template, count: int) -> list[Result]:
    """Consecutive restores, each of which must answer; what is left after them.

    Every tenth machine is thrown away, so that both ways to the next are taken.
    """
    processes, runs = _qemu_count(), _run_dirs()
    failures = 0
    start = time.monotonic()
    with progress.step(f"{count} consecutive restores"), Pool(template) as pool:
        for i in range(count):
            try:
                machine = pool.take()
                _first_answer(machine)
                if i % 10:
                    pool.give_back(machine)
                else:
                    machine.close()
            except VnpuError:
                failures += 1
    each = 1000 * (time.monotonic() - start) / count
    return [
        Result(f"{count} restores: failures", failures, "", goal=0),
        Result(f"{count} restores: processes left", _qemu_count() - processes, "", goal=0),
        Result(f"{count} restores: run directories left", _run_dirs() - runs, "", goal=0),
        Result(f"{count} restores: each", each, "ms"),
    ]


def _run_dirs() -> int:
    from vnpu.machine import rundir

    probe = rundir.new()
    try:
        return len([p for p in probe.parent.iterdir() if p.is_dir()])
    finally:
        probe.rmdir()


def private_memory(template: Template) -> list[Result]:
    """What a restored machine that has worked has of its own."""
    with template.restore() as machine:
        _first_answer(machine)
        machine.guest.listdir("/dev/accel")
        rollup = Path(f"/proc/{machine.process.pid}/smaps_rollup").read_text()
    sizes = {k: int(v.split()[0]) for k, v in (line.split(":") for line in rollup.splitlines()[1:])}
    private = (sizes["Private_Dirty"] + sizes["Private_Clean"]) / 1024
    dirty = sizes["Private_Dirty"] / 1024
    # a debug kernel has shadows of its memory, and stacks
    goal = 43 if template.images.lane == "stock" else None
    note = f"{dirty:.0f} dirty"
    return [Result("private memory of a restored VM", private, "MiB", goal=goal, note=note)]
