# SPDX-License-Identifier: MIT
"""A QEMU process without a guest, spoken to by qtest and QMP."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from vnpu.base.errors import RigError
from vnpu.qtest.protocol import QtestProtocol

#: guest memory of a test machine
MEMORY = 64 << 20


@cache
def qemu_command() -> list[str]:
    """QEMU and where its firmware is; builds it first if need be."""
    from vnpu.artifacts.qemu import build as qemu

    artifact = qemu.ensure()
    command = [str(artifact.binary)]
    for folder in artifact.firmware:
        command += ["-L", str(folder)]
    return command


def arguments(devices: Sequence[str], extra: Sequence[str] = (), memory: int = MEMORY) -> list[str]:
    """The command line of a machine with *devices*, each an argument of -device."""
    line = [
        *qemu_command(),
        *("-machine", "q35", "-accel", "qtest", "-m", f"{memory >> 20}M"),
        *("-display", "none", "-nodefaults", "-no-user-config", "-S"),
        *extra,
    ]
    for device in devices:
        line += ["-device", device]
    return line


def failing_start(devices: Sequence[str], extra: Sequence[str] = ()) -> str:
    """What QEMU says when it refuses this configuration; RigError if it does not.

    It is given no more than to realize its devices (-machine none would not have a PCI bus).
    """
    line = [*arguments(devices, extra), "-qmp", "stdio"]
    run = subprocess.run(
        line, input='{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n',
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if run.returncode == 0:
        raise RigError("QEMU accepted this configuration", " ".join(line))
    if run.returncode < 0:
        raise RigError(f"QEMU died of signal {-run.returncode}", console_tail=run.stderr)
    return run.stderr


class QtestMachine:
    """A running QEMU; a context manager. Its virtual clock stands still unless stepped.

    *devices* are arguments of -device, *extra* further arguments, *incoming* makes it wait for
    a migration (see ``load``).
    """

    def __init__(
        self,
        devices: Sequence[str] = (),
        extra: Sequence[str] = (),
        *,
        memory: int = MEMORY,
        incoming: bool = False,
    ) -> None:
        self.memory = memory
        self._qmp: QEMUMonitorProtocol | None = None
        ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
        # a plain file: QEMU must not block on a pipe that nobody reads
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        line = arguments(devices, extra, memory)
        for name, sock in zip(("qtest", "qmp"), theirs, strict=True):
            line += ["-chardev", f"socket,id={name},fd={sock.fileno()}"]
        line += ["-qtest", "chardev:qtest", "-qtest-log", "none", "-mon", "qmp,mode=control"]
        if incoming:
            line += ["-incoming", "defer"]
        self.command_line = line
        self._process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            pass_fds=[sock.fileno() for sock in theirs],
        )
        for sock in theirs:
            sock.close()
        self._qmp_socket = ours[1]
        self.qtest = QtestProtocol(ours[0])
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
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command; RigError when it fails."""
        try:
            return self._monitor().cmd(command, **arguments)
        except (QMPError, OSError, EOFError) as error:
            raise RigError(f"QMP {command} failed: {error}", console_tail=self.log) from error

    def wait_event(self, name: str, timeout_s: float = 60.0, **match: Any) -> dict[str, Any]:
        """The data of the next QMP event of this name whose data has these values."""
        while True:
            try:
                event = self._monitor().pull_event(wait=timeout_s)
            except (QMPError, OSError, EOFError) as error:
                raise RigError(f"no QMP event {name}: {error}", console_tail=self.log) from error
            data = event.get("data", {}) if event else {}
            if event and event["event"] == name and match.items() <= data.items():
                return data

    def _monitor(self) -> QEMUMonitorProtocol:
        if self._qmp is None:
            self._qmp = QEMUMonitorProtocol(self._qmp_socket)
            self._qmp.settimeout(60)
            self._qmp.connect()
        return self._qmp

    def _capabilities(self, names: Sequence[str]) -> None:
        wanted = [{"capability": name, "state": True} for name in ("events", *names)]
        self.qmp("migrate-set-capabilities", capabilities=wanted)

    def save(self, path: Path, capabilities: Sequence[str] = ()) -> None:
        """Stop the machine and write its state to a file."""
        self.qmp("stop")
        self._capabilities(capabilities)
        self.qmp("migrate", uri=f"file:{path}")
        self._migrated()

    def load(self, path: Path, capabilities: Sequence[str] = ()) -> None:
        """Take over a saved state (machine started with *incoming*) and run."""
        self._capabilities(capabilities)
        self.qmp("migrate-incoming", uri=f"file:{path}")
        self._migrated()
        self.qmp("cont")

    def _migrated(self) -> None:
        while True:
            status = self.wait_event("MIGRATION")["status"]
            if status == "completed":
                return
            if status == "failed":
                raise RigError("the migration failed", console_tail=self.log)

    def close(self) -> int:
        """Quit QEMU and wait for it; its exit status. Sanitizer reports are in ``log``."""
        if self._process.poll() is None:
            with contextlib.suppress(RigError):
                self.qmp("quit")
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._qmp is not None:
            with contextlib.suppress(QMPError, OSError, EOFError):
                self._qmp.close()
        self.qtest.close()
        self._qmp_socket.close()
        return self._process.returncode

    def __enter__(self) -> QtestMachine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
        self._stderr.close()
