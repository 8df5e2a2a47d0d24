# SPDX-License-Identifier: MIT
"""A QEMU process without a guest, spoken to by qtest and QMP."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.machine import migration, rundir
from vnpu.machine.process import QemuProcess, environment
from vnpu.machine.qmp import Qmp
from vnpu.qtest.protocol import QtestProtocol

#: guest memory of a test machine
MEMORY = 64 << 20
#: for QEMU to end by itself, which takes longer with sanitizers
_QUIT_S = 20.0


@cache
def qemu_command() -> list[str]:
    """QEMU and where its firmware is; builds it first if need be."""
    from vnpu.artifacts.qemu import build as qemu

    artifact = qemu.ensure()
    command = [str(artifact.binary)]
    for folder in artifact.firmware:
        command += ["-L", str(folder)]
    return command


def arguments(
    devices: Sequence[str], extra: Sequence[str] = (), memory: int = MEMORY, accel: str = "qtest"
) -> list[str]:
    """QEMU's arguments for a machine with *devices*, each an argument of -device."""
    line = [
        *qemu_command()[1:],
        *("-machine", "q35", "-accel", accel, "-m", f"{memory >> 20}M"),
        *("-display", "none", "-nodefaults", "-no-user-config", "-S"),
        *extra,
    ]
    for device in devices:
        line += ["-device", device]
    return line


def failing_start(devices: Sequence[str], extra: Sequence[str] = (), accel: str = "qtest") -> str:
    """What QEMU says when it refuses this configuration; RigError if it does not.

    It is given no more than to realize its devices (-machine none would not have a PCI bus).
    """
    line = [*qemu_command()[:1], *arguments(devices, extra, accel=accel), "-qmp", "stdio"]
    run = subprocess.run(
        line, input='{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n',
        capture_output=True, text=True, env=environment(), timeout=deadline.scaled(60), check=False,
    )  # fmt: skip
    if run.returncode == 0:
        raise RigError("QEMU accepted this configuration", " ".join(line))
    if run.returncode < 0:
        raise RigError(f"QEMU died of signal {-run.returncode}", console_tail=run.stderr)
    return run.stderr


class QtestMachine:
    """A running QEMU; a context manager. Its virtual clock stands still unless stepped.

    *devices* are arguments of -device, *extra* further arguments, *incoming* makes it wait for
    a migration (see ``load``). With *accel* "tcg" there is a processor, whose program comes
    with -bios, and the clock runs.
    """

    def __init__(
        self,
        devices: Sequence[str] = (),
        extra: Sequence[str] = (),
        *,
        memory: int = MEMORY,
        incoming: bool = False,
        accel: str = "qtest",
    ) -> None:
        self.memory = memory
        #: whether device time passes by itself
        self.clock_runs = accel != "qtest"
        self._directory = rundir.new("qtest-")
        line = arguments(devices, extra, memory, accel)
        for name in ("qtest", "monitor"):
            line += ["-chardev", f"socket,id={name},fd={{{name}}}"]
        line += ["-qtest", "chardev:qtest", "-qtest-log", "none", "-mon", "monitor,mode=control"]
        if incoming:
            line += ["-incoming", "defer"]
        # No guest runs in it, and tests name files that only they can reach.
        self._process = QemuProcess(
            Path(qemu_command()[0]),
            line,
            log=self._directory / "qemu.log",
            sockets=("qtest", "monitor"),
            confined=False,
        )
        self.command_line = self._process.command_line
        self.qtest = QtestProtocol(self._process.sockets["qtest"])
        self._qmp = Qmp(self._process.sockets["monitor"])
        try:
            self.qtest.command("endianness")
            if not incoming:
                self.qmp("cont")
        except RigError as error:
            self.close()
            raise RigError(f"QEMU did not start: {error.message}", console_tail=self.log) from error

    @property
    def log(self) -> str:
        """What QEMU printed so far."""
        return self._process.messages

    @property
    def pid(self) -> int:
        """Of QEMU."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether QEMU has not ended."""
        return self._process.running

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command; RigError when it fails."""
        try:
            return self._monitor().cmd(command, arguments)
        except RigError as error:
            raise RigError(f"QMP {command} failed: {error}", console_tail=self.log) from error

    def wait_event(self, name: str, timeout_s: float = 60.0, **match: Any) -> dict[str, Any]:
        """The data of the next QMP event of this name whose data has these values."""
        try:
            return dict(self._monitor().wait_event(name, timeout_s, **match).get("data", {}))
        except RigError as error:
            raise RigError(f"no QMP event {name}: {error}", console_tail=self.log) from error

    def _monitor(self) -> Qmp:
        if not self._qmp.connected:
            self._qmp.connect()
        return self._qmp

    def save(self, path: Path, capabilities: Sequence[str] = ()) -> None:
        """Stop the machine and write its state to a file."""
        self.qmp("stop")
        migration.save(self._monitor(), path, capabilities)

    def load(self, path: Path, capabilities: Sequence[str] = ()) -> None:
        """Take over a saved state (machine started with *incoming*) and run."""
        migration.load(self._monitor(), path, capabilities)
        self.qmp("cont")

    def close(self) -> int:
        """Quit QEMU and wait for it; its exit status. Sanitizer reports are in ``log``."""
        if self._process.running:
            with contextlib.suppress(RigError):
                self.qmp("quit")
        status = self._process.wait(_QUIT_S)
        self._process.kill()
        self._qmp.close()
        return -9 if status is None else status

    def __enter__(self) -> QtestMachine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
        shutil.rmtree(self._directory, ignore_errors=True)
