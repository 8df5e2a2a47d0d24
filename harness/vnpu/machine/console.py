# SPDX-License-Identifier: MIT
"""The guest's console as QEMU writes it to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from vnpu.base import deadline, private

_POLL_S = 0.002


class Console:
    """The log of one guest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, start: int = 0) -> str:
        """What the guest has written, from a byte position on."""
        try:
            with open(private.opened(self.path, os.O_RDONLY), "rb") as file:
                file.seek(start)
                return file.read().decode(errors="replace").replace("\r\n", "\n")
        except FileNotFoundError:
            return ""

    def size(self) -> int:
        """Position behind what is written so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def clear(self) -> None:
        """Forget what was written; QEMU appends, so it goes on at the start."""
        handle = private.opened(self.path, os.O_WRONLY)
        os.ftruncate(handle, 0)
        os.close(handle)

    def tail(self, lines: int = 25) -> str:
        """The last lines."""
        return "\n".join(self.text().splitlines()[-lines:])

    def wait_for(
        self, text: str, timeout_s: float, alive: Callable[[], bool] = lambda: True
    ) -> bool:
        """Wait until ``text`` shows; False after the deadline or when the guest died without it."""
        end = time.monotonic() + deadline.scaled(timeout_s)
        while True:
            was_alive = alive()
            if text in self.text():
                return True
            if not was_alive or time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
