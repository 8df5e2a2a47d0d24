# SPDX-License-Identifier: MIT
"""Options of the pytest plugin."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from vnpu import target
from vnpu.artifacts.kernel.choice import LANES, lane_of_environment
from vnpu.machine.machine import DIRECTORY

__all__ = ["LANES", "Options", "add"]

_KEY = pytest.StashKey["Options"]()


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    lane: str
    log_dir: Path | None
    keep_vm: bool
    trace: bool
    kmemleak: str

    @classmethod
    def of(cls, config: pytest.Config) -> Options:
        """The options of this session."""
        if _KEY not in config.stash:
            config.stash[_KEY] = cls._read(config)
        return config.stash[_KEY]

    @classmethod
    def _read(cls, config: pytest.Config) -> Options:
        kdir = config.getoption("--kdir")
        if kdir:
            # The sources of the custom lane, and the workers, look there.
            os.environ["KDIR"] = str(Path(kdir).expanduser().resolve())
        lane = config.getoption("--lane")
        if lane is None:
            lane = lane_of_environment()
        if config.getoption("--keep-vm") and config.getoption("numprocesses", None):
            raise pytest.UsageError("--keep-vm needs this terminal, which workers (-n) do not have")
        log_dir = config.getoption("--vm-log-dir")
        return cls(
            lane=lane,
            log_dir=Path(log_dir).resolve() if log_dir else None,
            keep_vm=config.getoption("--keep-vm"),
            trace=config.getoption("--vnpu-trace"),
            kmemleak=config.getoption("--kmemleak") or "",
        )

    @property
    def qemu_arguments(self) -> tuple[str, ...]:
        """For clones only: what is traced does not change a machine."""
        pattern = target.current().trace
        if not self.trace or not pattern:
            return ()
        return ("-trace", f"enable={pattern}", "-D", f"{DIRECTORY}/device-trace.log")

    def directory_for(self, nodeid: str) -> Path | None:
        """Where the files of a test's machine are kept, if at all."""
        if self.log_dir is None:
            return None
        return self.log_dir / re.sub(r"[^\w.=-]+", "_", nodeid)


def add(parser: pytest.Parser) -> None:
    """Tell pytest about the options."""
    group = parser.getgroup("vnpu", "virtual NPU")
    group.addoption("--lane", choices=LANES, help="kernel to test on (default: stock)")
    group.addoption("--kdir", metavar="DIR", help="test the kernel built in DIR (lane custom)")
    group.addoption(
        "--vm-log-dir", metavar="DIR", help="keep console and QEMU log of every test under DIR"
    )
    group.addoption(
        "--keep-vm",
        action="store_true",
        help="stop at a failed test with its machine running, and a gdb server in it",
    )
    group.addoption(
        "--vnpu-trace", action="store_true", help="show what the device saw, for failed tests"
    )
    group.addoption(
        "--kmemleak",
        nargs="?",
        const="each",
        choices=("each", "soak"),
        help="scan for leaked memory, if the kernel can: after each test (takes 6 s and more), or "
        "with soak once for many, which then share a guest; tests of other machines are left out",
    )
    group.addoption("--vnpu-html", metavar="PATH", help="write a report as one HTML page")
