# SPDX-License-Identifier: MIT
"""A request whose answer is still to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from vnpu.guest.link import Request
from vnpu.guest.protocol import Frame

if TYPE_CHECKING:
    from vnpu.guest.process import Process

T = TypeVar("T")
U = TypeVar("U")


class Pending(Generic[T]):
    """The future result of something that a remote process does."""

    def __init__(self, proc: Process, request: Request, finish: Callable[[Frame], T]) -> None:
        self._proc = proc
        self._request = request
        self._finish = finish

    def done(self) -> bool:
        """Whether result() would return (or raise) at once."""
        self._proc.session.poll()
        return self._request.settled

    def result(self, timeout_s: float | None = None) -> T:
        """Wait for the outcome, by default as long as the guest's deadline.

        Raises GuestTimeout (and can be called again), ProcessGone, or what the
        request itself raises.
        """
        frame = self._proc._settle(self._request, timeout_s)
        return self._finish(frame)

    def wait_blocked(self, timeout_s: float | None = None) -> None:
        """Wait until the process sleeps in a system call other than its loop's own.

        Raises GuestTimeout if it does not, or if the request is done before.
        """
        self._proc._wait_blocked(self._request, timeout_s)

    def then(self, convert: Callable[[T], U]) -> Pending[U]:
        """The same request with another kind of result."""
        finish = self._finish
        return Pending(self._proc, self._request, lambda frame: convert(finish(frame)))
