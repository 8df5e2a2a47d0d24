# SPDX-License-Identifier: MIT
"""A fresh QEMU with the device, and no guest, for each test.

``@pytest.mark.device(queues=2)`` sets properties of the device.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest

from vnpu.machine import rundir
from vnpu.qtest import Context, QtestMachine, VnpuQtest, pci
from vnpu.qtest.npu import VRAM, device
from vnpu.qtest.protocol import QtestProtocol

Launch = Callable[..., QtestMachine]

#: what a sanitizer prints when it finds something
SANITIZER_REPORTS = ("AddressSanitizer", "runtime error:", "ThreadSanitizer")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--traffic", type=Path, metavar="DIR", help="write down there what is sent to each machine"
    )


@pytest.fixture(autouse=True)
def traffic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --traffic, a file of qtest commands for each machine of the test."""
    folder = request.config.getoption("--traffic")
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", request.node.nodeid.rpartition("/")[2])[:120]
    files: dict[QtestProtocol, TextIO] = {}
    command = QtestProtocol.command

    def recorded(self: QtestProtocol, line: str) -> list[str]:
        if self not in files:
            path = folder / f"{name}-{len(files)}.qtest"
            files[self] = stack.enter_context(path.open("w"))
        # large contents are noise
        if len(line) < 1 << 14:
            files[self].write(line + "\n")
        return command(self, line)

    stack = contextlib.ExitStack()
    request.addfinalizer(stack.close)
    monkeypatch.setattr(QtestProtocol, "command", recorded)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "device(**properties): properties of the vnpu device")


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start machines; each must still be alive at the end, and quit without complaint."""
    machines: list[QtestMachine] = []

    def start(*args: Any, **kwargs: Any) -> QtestMachine:
        machine = QtestMachine(*args, **kwargs)
        machines.append(machine)
        return machine

    yield start
    problems = []
    for machine in machines:
        with machine:
            status = machine.close()
            log = machine.log
        if status or any(report in log for report in SANITIZER_REPORTS):
            problems.append(f"QEMU exited with {status}: {log}")
    assert not problems, "\n".join(problems)


@pytest.fixture
def properties(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("device")
    return dict(marker.kwargs) if marker else {}


@pytest.fixture
def npu(launch: Launch, properties: dict[str, Any]) -> VnpuQtest:
    """The device, its engines in threads of their own."""
    return VnpuQtest(launch([device(**properties)]))


@pytest.fixture(params=["threads", "sync"])
def each_npu(
    request: pytest.FixtureRequest, launch: Launch, properties: dict[str, Any]
) -> VnpuQtest:
    """The device once with engine threads and once with sync=on."""
    if request.param == "sync":
        properties["sync"] = "on"
    return VnpuQtest(launch([device(**properties)]))


class Errors:
    """A device behind a port that listens to it (Advanced Error Reporting)."""

    _SLOT = 6

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.machine = self.another()
        self.port = pci.RootPort(self.machine.qtest, self._SLOT)
        self.npu = VnpuQtest(self.machine, 0, bus=self.port.BUS)
        self.aer = self.npu.pci.extended_capability(pci.EXT_CAP_AER)
        self.express = self.npu.pci.capability(pci.CAP_EXPRESS)
        self.root = self.port.extended_capability(pci.EXT_CAP_AER)
        self.npu.pci.write16(self.express + pci.EXPRESS_DEVCTL, pci.DEVCTL_REPORT)
        express = self.port.capability(pci.CAP_EXPRESS)
        self.port.write16(express + pci.EXPRESS_DEVCTL, pci.DEVCTL_REPORT)
        # errors of the bus behind it are passed on
        self.port.write16(pci.BRIDGE_CONTROL, pci.BRIDGE_SERR)
        self.port.write_extended(self.root + pci.AER_ROOT_COMMAND, 7)

    def another(self, **kwargs: Any) -> QtestMachine:
        """One more machine of this kind."""
        devices = [pci.RootPort.device(self._SLOT), device(bus="rp", addr="0")]
        return self._launch([*devices, "vm-rewind,id=rewind"], pci.RootPort.NATIVE, **kwargs)

    def move_to(self, machine: QtestMachine) -> None:
        """Go on in *machine*, which has taken over the state."""
        self.machine = machine
        self.npu.move_to(machine)
        self.port.qtest = machine.qtest

    def inject(self, *words: str) -> None:
        """Have QEMU make an error of the device: its name, dwords of header and prefix."""
        line = " ".join(("pcie_aer_inject_error npu", *words))
        said = self.machine.qmp("human-monitor-command", **{"command-line": line})
        assert said.startswith("OK"), said

    def status(self, register: int) -> int:
        return self.npu.pci.read_extended(self.aer + register)

    def at_root(self) -> int:
        """What the port has received: bits of its root error status."""
        return self.port.read_extended(self.root + pci.AER_ROOT_STATUS) & 0x7F


@pytest.fixture
def errors(launch: Launch) -> Errors:
    return Errors(launch)


@pytest.fixture
def ctx(npu: VnpuQtest) -> Context:
    return npu.context(1)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """For files that QEMU maps; in memory where the system has a place for that."""
    path = rundir.new("shared-", rundir.MEMORY if rundir.MEMORY.is_dir() else None)
    yield path
    shutil.rmtree(path)


def shared_memory(path: Path, size: int) -> list[str]:
    """Arguments of a memory backend ``vram`` in a file."""
    return ["-object", f"memory-backend-file,id=vram,size={size},mem-path={path},share=on"]


@pytest.fixture
def mapped(launch: Launch, shared_folder: Path) -> tuple[VnpuQtest, np.memmap]:
    """The device, and all its VRAM (memdev) as an array: for large data."""
    file = shared_folder / "vram"
    machine = launch([device(memdev="vram")], shared_memory(file, VRAM))
    return VnpuQtest(machine), np.memmap(file, np.uint8, "r+")
