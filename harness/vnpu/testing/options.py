# SPDX-License-Identifier: MIT
"""Options of the pytest plugin."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        kdir = config.getoption("--vnpu-kdir")
        if kdir:
            # The sources of the custom lane, and the workers, look there.
            os.environ["KDIR"] = str(Path(kdir).expanduser().resolve())
        lane = config.getoption("--vnpu-lane")
        if lane is None:
            lane = lane_of_environment()
        if config.getoption("--vnpu-keep-vm") and config.getoption("numprocesses", None):
            raise pytest.UsageError(
                "--vnpu-keep-vm needs this terminal, which workers (-n) do not have"
            )
        log_dir = config.getoption("--vnpu-log-dir")
        return cls(
            lane=lane,
            log_dir=Path(log_dir).resolve() if log_dir else None,
            keep_vm=config.getoption("--vnpu-keep-vm"),
            trace=config.getoption("--vnpu-trace"),
            kmemleak=config.getoption("--vnpu-kmemleak") or "",
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
    """Tell pytest about the options. All have our prefix: other plugins have options as well.

    Some have an older name besides, unless another plugin has that.
    """
    group = parser.getgroup("vnpu", "guests")
    taken = _names_of(parser)

    def option(name: str, older: str = "", **how: Any) -> None:
        names = [name, *([older] if older and older not in taken else [])]
        group.addoption(*names, dest=name.lstrip("-").replace("-", "_"), **how)

    option("--vnpu-lane", choices=LANES, help="kernel to test on (default: stock)")
    option("--vnpu-kdir", metavar="DIR", help="test the kernel built in DIR (lane custom)")
    option(
        "--vnpu-log-dir",
        "--vm-log-dir",
        metavar="DIR",
        help="keep console and QEMU log of every test under DIR",
    )
    option(
        "--vnpu-keep-vm",
        "--keep-vm",
        action="store_true",
        help="stop at a failed test with its machine running, and a gdb server in it",
    )
    option("--vnpu-trace", action="store_true", help="show what the device saw, for failed tests")
    option(
        "--vnpu-kmemleak",
        "--kmemleak",
        nargs="?",
        const="each",
        choices=("each", "soak"),
        help="scan for leaked memory, if the kernel can: after each test (takes 6 s and more), or "
        "with soak once for many, which then share a guest; tests of other machines are left out",
    )
    option("--vnpu-html", metavar="PATH", help="write a report as one HTML page")


def _names_of(parser: pytest.Parser) -> set[str]:
    """Of the options that others have added so far."""
    groups = [*getattr(parser, "_groups", ()), getattr(parser, "_anonymous", None)]
    options = [option for group in groups if group for option in group.options]
    return {name for option in options for name in option.names()}
