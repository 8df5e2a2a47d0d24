# SPDX-License-Identifier: MIT
"""Requests to the agent of one guest: their answers, their deadlines, and the end of it all.

It knows processes by their numbers only, so that they can be built on it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.guest.errors import GuestTimeout
from vnpu.guest.link import Link, LinkClosed, Request
from vnpu.guest.protocol import AGENT_TARGET, Frame, FrameType, Hello, ProcessInfo

DEFAULT_TIMEOUT_S = 10.0
_PATIENCE_S = 1.0
#: for the agent to tell how a process ended whose socket is closed
_STATUS_S = 0.05


class Session:
    """The agent of a guest, as whoever has requests for it sees it.

    ``explain`` makes the exception for a guest that is suddenly gone: the
    machine knows why. ``timeout_s`` is the deadline of every call, in seconds, which
    $VNPU_TIMEOUT_SCALE stretches as it does those that a call names;
    time for which a busy host did not let the guest run (a growing count, by
    ``starved_s``) does not use it up. Threads may share it.
    """

    def __init__(
        self,
        link: Link,
        explain: Callable[[], Exception] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        starved_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._link = link
        self._explain = explain or (lambda: RigError("the guest agent is gone"))
        self._starved_s = starved_s
        self.timeout_s = timeout_s
        #: the processes and threads that were made and not waited for, by handle
        self.members: dict[int, ProcessInfo] = {}
        #: what a process does in the guest's kernel, for messages
        self.where_is: Callable[[ProcessInfo], str] = lambda _info: "no more is known"
        #: whether a process sleeps in a system call of a request
        self.is_blocked: Callable[[ProcessInfo], bool] = lambda _info: False

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._link.closed

    def greet(self, timeout_s: float, booting: bool = False) -> Hello:
        """Greet the agent; of a booting guest, wait for the agent's own greeting."""
        if not booting:
            return Hello.parse(self.ask(AGENT_TARGET, FrameType.HELLO, timeout_s=timeout_s).payload)
        if not self.wait(lambda: self._link.unasked_hello() is not None, timeout_s):
            raise RigError(f"the guest agent did not start in {deadline.scaled(timeout_s):g} s")
        frame = self._link.unasked_hello()
        assert frame is not None
        return Hello.parse(frame.payload)

    # Requests, with a lost connection explained

    def request(self, target: int, kind: FrameType, payload: bytes = b"") -> Request:
        """Send a request without waiting for the answer."""
        try:
            return self._link.request(target, kind, payload)
        except LinkClosed as error:
            raise self._explain() from error

    def ask(
        self, target: int, kind: FrameType, payload: bytes = b"", timeout_s: float | None = None
    ) -> Frame:
        """A request that the agent itself answers, so it is always quick.

        Raises OSError as it says, and GuestTimeout.
        """
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        request = self.request(target, kind, payload)
        if not self.wait(lambda: request.settled, timeout_s):
            raise GuestTimeout(
                f"the guest agent did not answer in {deadline.scaled(timeout_s):g} s"
            )
        if request.reply is None:
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        if request.reply.error:
            number = -request.reply.error
            raise OSError(number, os.strerror(number))
        return request.reply

    def wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Take in answers until ``done()``; whether that came within the deadline."""
        timeout_s = deadline.scaled(timeout_s)
        try:
            # Most answers come at once, and nobody has to look at the clock for them.
            at_once = min(timeout_s, _PATIENCE_S)
            if self._link.wait(done, at_once):
                return True
            return timeout_s > at_once and self._wait_longer(done, timeout_s - at_once)
        except LinkClosed as error:
            raise self._explain() from error

    def _wait_longer(self, done: Callable[[], bool], timeout_s: float) -> bool:
        before = self._starved_s()
        granted = 0.0
        while True:
            if self._link.wait(done, timeout_s):
                return True
            timeout_s = self._starved_s() - before - granted
            if timeout_s <= 0:
                return False
            granted += timeout_s

    def poll(self) -> None:
        """Take in what has arrived, without waiting."""
        try:
            self._link.poll()
        except LinkClosed as error:
            raise self._explain() from error

    # The end of processes

    def is_detached(self, info: ProcessInfo) -> bool:
        """Whether no more answers can come from it."""
        return self._link.is_detached(info.handle)

    def wait_exit(self, info: ProcessInfo, timeout_s: float | None = None) -> int:
        """Its status as from waitpid(); 0 for threads. Raises GuestTimeout."""
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        if not self.wait(lambda: self._ended(info), timeout_s):
            raise GuestTimeout(
                f"{info} did not end in {deadline.scaled(timeout_s):g} s; {self.where_is(info)}"
            )
        self.members.pop(info.handle, None)
        return self._link.status_of(info.handle) or 0

    def status_soon(self, info: ProcessInfo) -> int | None:
        """The status of a process that has just gone, unless it executes another program."""
        self.wait(lambda: self._ended(info), _STATUS_S)
        return self._link.status_of(info.handle)

    def _ended(self, info: ProcessInfo) -> bool:
        if not self.is_detached(info):
            return False
        return info.pid != info.tid or self._link.status_of(info.handle) is not None
