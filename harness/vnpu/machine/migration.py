# SPDX-License-Identifier: MIT
"""State of a machine into a file and back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.machine.qmp import Qmp

#: memory in shared files stays where it is; private memory goes with the state
IGNORE_SHARED = ("x-ignore-shared",)
_TIMEOUT_S = 120.0
_PAUSE_S = 0.001


def save(qmp: Qmp, path: Path, capabilities: Sequence[str] = IGNORE_SHARED) -> None:
    """Write the state of a stopped machine; ``path`` as QEMU sees it. Raises RigError."""
    _prepare(qmp, capabilities)
    qmp.cmd("migrate", {"uri": f"file:{path}"})
    _await_end(qmp)
    # Until then QEMU takes no command that has the machine go on.
    ends = time.monotonic() + deadline.scaled(_TIMEOUT_S)
    while qmp.cmd("query-status")["status"] == "finish-migrate":
        if time.monotonic() > ends:
            raise RigError("QEMU has written the machine's state and does not come to an end")
        time.sleep(_PAUSE_S)


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
