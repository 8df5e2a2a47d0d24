# SPDX-License-Identifier: MIT
"""What a test costs before it does anything: one round for each line of standard input.

Runs in the environment of the revision that is measured, this one's or an older
one's, and needs nothing of what surrounds it. A round prints a line of JSON:
names of parts with [wall, CPU] in ms. CPU is that of QEMU, without this process.
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

try:
    from vnpu.machine.config import MachineConfig
    from vnpu.machine.images import prepare
    from vnpu.machine.pool import Pool
    from vnpu.machine.template import Template
    from vnpu.testing import verdict
except ImportError:  # as the rooms were called once
    from vnpu.fixtures import verdict
    from vnpu.vm.config import VmConfig as MachineConfig
    from vnpu.vm.images import prepare
    from vnpu.vm.pool import Pool
    from vnpu.vm.template import Template

Parts = dict[str, list[float]]


class Clock:
    """Notes wall clock and QEMU's CPU time, in ms, at the ends of parts."""

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self.parts: Parts = {}
        self._last = self._now()

    def _now(self) -> tuple[float, float]:
        stats = [path.read_text().split() for path in self._tasks.glob("*/schedstat")]
        return 1e3 * time.monotonic(), sum(int(stat[0]) for stat in stats) / 1e6

    def done(self, name: str) -> None:
        """The part since the last call, or since the beginning."""
        now = self._now()
        self.parts[name] = [after - before for after, before in zip(now, self._last, strict=True)]
        self._last = now


def rewound(pool: Pool, pid: int) -> tuple[Parts, int]:
    """A whole frame in a process that had a test before; and the process of the next one."""
    clock = Clock(pid)
    machine = pool.take()
    machine.guest.service.syscall("getpid")
    clock.done("answer")
    machine.guest.spawn()
    machine.guest.kill_all()
    clock.done("processes")
    # it took the guest alone once
    takes_machine = "machine" in inspect.signature(verdict._unload).parameters
    verdict._unload(machine if takes_machine else machine.guest)
    clock.done("unload")
    verdict.check_log(machine)
    clock.done("log")
    pool.give_back(machine)
    return clock.parts, machine.process.pid


def new_process(template: Template) -> Parts:
    """To the first answer of a machine in a new process."""
    started = time.monotonic()
    machine: Any = template.restore()
    try:
        machine.guest.service.syscall("getpid")
        clock = Clock(machine.process.pid)
        _, cpu = clock._last
        return {"new process": [1e3 * (time.monotonic() - started), cpu]}
    finally:
        machine.close()


def main() -> None:
    template = Template.ensure(prepare(sys.argv[1]), MachineConfig())
    with Pool(template) as pool:
        first = pool.take()
        pid = first.process.pid
        first.guest.service.syscall("getpid")
        pool.give_back(first)
        rewound(pool, pid)
        print("ready", flush=True)
        for _ in sys.stdin:
            parts, pid = rewound(pool, pid)
            print(json.dumps(parts | new_process(template)), flush=True)


if __name__ == "__main__":
    main()
