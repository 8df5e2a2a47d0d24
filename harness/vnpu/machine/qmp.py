# SPDX-License-Identifier: MIT
"""QEMU's monitor without async: a facade over qemu.qmp."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from qemu.qmp import ConnectError, EventListener, ExecInterruptedError, QMPClient, QMPError

from vnpu.base import deadline
from vnpu.base.errors import RigError

T = TypeVar("T")

#: any monitor command that takes longer means that QEMU hangs
TIMEOUT_S = 30.0

#: what QEMU said before its end is in the socket and only has to be read
_LAST_EVENTS_S = 1.0

# A killed QEMU closes its socket; that is no news.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class QmpError(RigError):
    """QEMU refused a command or is gone."""


class Qmp:
    """A monitor on a connected socket; one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient()
        self._events = EventListener()
        self._client.register_listener(self._events)
        self.connected = False
        self._end: str | None = None
        #: how many commands were executed
        self.commands = 0

    def connect(self) -> None:
        """Shake hands; waits for QEMU to come up. Raises QmpError."""
        try:
            self._run(self._client.connect(self._sock), TIMEOUT_S)
        except ConnectError as error:
            raise QmpError(f"QEMU's monitor does not answer: {error}") from error
        self.connected = True

    def cmd(self, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Execute a command and return its result. Raises QmpError."""
        self.commands += 1
        try:
            return self._run(self._client.execute(name, arguments), TIMEOUT_S)
        except ExecInterruptedError as error:
            raise QmpError(f"QEMU went away during {name}") from error
        except QMPError as error:
            raise QmpError(f"QEMU refused {name}: {error}") from error

    def wait_event(self, name: str, timeout_s: float = TIMEOUT_S, **data: Any) -> dict[str, Any]:
        """The next event of this name whose data hold these values; others are dropped."""
        return self._run(self._next_event(name, data), timeout_s)

    def why_it_ended(self) -> str | None:
        """The reason that a QEMU that has ended gave last, such as "guest-reset"; None without one.

        See ShutdownCause in QEMU's documentation. Never fails.
        """
        if self._end is None and self.connected:
            with contextlib.suppress(RigError, QMPError, EOFError, OSError):
                found = self.wait_event("SHUTDOWN", _LAST_EVENTS_S)
                self._end = str(found.get("data", {}).get("reason"))
        return self._end

    def close(self) -> None:
        """Disconnect; never fails, and is fine to repeat."""
        connected, self.connected = self.connected, False
        try:
            if connected:
                self._run(self._client.disconnect(), TIMEOUT_S)
        except (QMPError, EOFError, OSError, RigError):
            pass
        finally:
            self._sock.close()
            self._loop.close()

    async def _next_event(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        while True:
            event: dict[str, Any] = dict(await self._events.get())
            found: dict[str, Any] = event.get("data", {})
            if event["event"] == name and all(found.get(k) == v for k, v in data.items()):
                return event

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        patience = deadline.scaled(timeout_s)
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, patience))
        except TimeoutError as error:
            raise QmpError(f"QEMU's monitor was silent for {patience:g} s") from error
