# SPDX-License-Identifier: MIT
"""State of a machine into a file and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vnpu.base.errors import RigError
from vnpu.machine.qmp import Qmp

#: memory in shared files stays where it is; private memory goes with the state
IGNORE_SHARED = ("x-ignore-shared",)
_TIMEOUT_S = 120.0


def save(qmp: Qmp, path: Path, capabilities: Sequence[str] = IGNORE_SHARED) -> None:
    """Write the state of a stopped machine; ``path`` as QEMU sees it. Raises RigError."""
    _prepare(qmp, capabilities)
    qmp.cmd("migrate", {"uri": f"file:{path}"})
    _await_end(qmp)


def load(qmp: Qmp, path: Path, capabilities: Sequence[str] = IGNORE_SHARED) -> None:
    """Fill a QEMU that waits for a state; the machine is stopped after that. Raises RigError."""
    _prepare(qmp, capabilities)
    qmp.cmd("migrate-incoming", {"uri": f"file:{path}"})
    _await_end(qmp)


def _prepare(qmp: Qmp, capabilities: Sequence[str]) -> None:
    wanted = [{"capability": name, "state": True} for name in ("events", *capabilities)]
    qmp.cmd("migrate-set-capabilities", {"capabilities": wanted})


def _await_end(qmp: Qmp) -> None:
    while True:
        status = qmp.wait_event("MIGRATION", _TIMEOUT_S)["data"]["status"]
        if status == "completed":
            return
        if status == "failed":
            why = qmp.cmd("query-migrate").get("error-desc", "it does not say why")
            raise RigError(f"QEMU could not move the machine's state: {why}")
