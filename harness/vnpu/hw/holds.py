# SPDX-License-Identifier: MIT
"""Work of the device that a test holds, to see what waits for it and what does not.

    with holds.add("packet", opcode=Opcode.FILL, queue=PAGING) as held:
        ...                     # whatever needs the fill
        held.wait(1)            # a FILL is held now
        ...                     # nothing that needs it may have happened
        held.release()

Queues, engines, contexts and opcodes are the device's. A test that does not know
the queue of a client takes ``queue=CLIENTS``. The time of the guest goes on, and
with it the patience of the driver's watchdog.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.hw import const

#: executes a command of QEMU's monitor and gives its result
Monitor = Callable[[str, Mapping[str, Any]], Any]
#: a number, or the least and the most
Limits = int | tuple[int, int] | None

#: queues of the driver itself: clears and moves; binds
PAGING = 0
BINDS = 1
#: queues of clients
CLIENTS = (2, const.MAX_QUEUES - 1)

_LOOK_S = 0.002


class Hold:
    """A rule that holds work; a context manager that ends it. See docs/holds.md.

    Every method may raise RigError: the monitor does not answer.
    """

    def __init__(self, holds: Holds, number: int, text: str) -> None:
        self._holds = holds
        self._number = number
        self._text = text

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Hold({self._text})"

    @property
    def seen(self) -> int:
        """How much work has matched, held or not."""
        return int(self._state()["seen"])

    @property
    def queues(self) -> list[int]:
        """The device's queues whose work is held, in the order in which it came."""
        return list(self._state()["queues"])

    def wait(self, count: int = 1, timeout_s: float = 10.0) -> list[int]:
        """Wait until work of so many queues is held; gives these. RigError if it does not come."""
        end = time.monotonic() + deadline.scaled(timeout_s)
        while len(queues := self.queues) < count:
            if time.monotonic() > end:
                raise RigError(f"{self!r}: work of {len(queues)} queues instead of {count} came")
            time.sleep(_LOOK_S)
        return queues

    def release(self, count: int | None = None, *, queue: int | None = None) -> None:
        """Let go all that is held; or the oldest ``count``; or what ``queue`` waits with.

        What comes later is held as before.
        """
        choice = {"count": count, "queue": queue}
        given = {name: value for name, value in choice.items() if value is not None}
        self._holds.set("hold-release", {"id": self._number, **given})

    def close(self) -> None:
        """End the rule and let go what it holds; fine to repeat."""
        self._holds.remove(self._number)

    def _state(self) -> dict[str, Any]:
        return self._holds.state(self._number)


class Holds:
    """The rules of one device, whose path in QEMU is ``path``."""

    def __init__(self, monitor: Monitor, path: str = "/machine/peripheral/npu0") -> None:
        self._monitor = monitor
        self._path = path
        self._numbers = itertools.count(1)
        self._active: set[int] = set()

    def add(
        self,
        site: str,
        *,
        queue: Limits = None,
        engine: Limits = None,
        context: Limits = None,
        opcode: Limits = None,
        addr: Limits = None,
        skip: int = 0,
        count: int | None = None,
    ) -> Hold:
        """A new rule.

        ``site``: ``entry`` holds an entry of a ring before it is done (``addr`` is the
        address that it names, ``context`` for an INVALIDATE what it names, too),
        ``packet`` a packet before an engine has it, ``part`` a part of one that
        occupies its engine then (``addr`` is the packet's own). Lets the first
        ``skip`` matches pass, holds ``count`` of those that follow, default all.
        Raises RigError if the device refuses it.
        """
        limits = {
            "queue": queue, "engine": engine, "context": context, "opcode": opcode, "addr": addr,
        }  # fmt: skip
        rule: dict[str, Any] = {"site": site}
        for name, value in limits.items():
            if value is not None:
                least, most = value if isinstance(value, tuple) else (value, value)
                rule[name] = [int(least), int(most)]
        if skip:
            rule["skip"] = skip
        if count is not None:
            rule["count"] = count
        number = next(self._numbers)
        self.set("hold", {"id": number, **rule})
        self._active.add(number)
        return Hold(self, number, ", ".join(f"{name}={value}" for name, value in rule.items()))

    def set(self, name: str, value: Any) -> None:
        """Set one of the device's properties for this. Raises RigError."""
        self._monitor("qom-set", {"path": self._path, "property": name, "value": value})

    def state(self, number: int) -> dict[str, Any]:
        """What the device says of a rule. RigError if there is none of this number."""
        rules = self._monitor("qom-get", {"path": self._path, "property": "holds"})
        for rule in rules:
            if rule["id"] == number:
                return dict(rule)
        raise RigError(f"there is no hold {number}: it has been closed, or the device is gone")

    def remove(self, number: int) -> None:
        """End a rule, if it has not been ended."""
        if number in self._active:
            self._active.remove(number)
            self.set("hold-remove", number)

    def clear(self) -> None:
        """End all rules."""
        for number in sorted(self._active):
            self.remove(number)
