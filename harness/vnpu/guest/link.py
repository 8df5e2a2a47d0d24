# SPDX-License-Identifier: MIT
"""The connection to the agent: requests out, replies and events in.

There is no thread: whoever waits for something reads the socket meanwhile and
hands out what arrives, so a reply costs no switch between host threads.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
from collections.abc import Callable

from vnpu.guest import protocol
from vnpu.guest.protocol import REPLY, Frame, FrameReader, FrameType, ProtocolError

_CHUNK = 1 << 18


class LinkClosed(Exception):
    """The other side is gone."""


class Request:
    """A request under way. ``reply`` is set when it was answered, ``gone`` when it never will."""

    def __init__(self, target: int, seq: int) -> None:
        self.target = target
        self.seq = seq
        self.reply: Frame | None = None
        self.gone = False

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.reply is not None or self.gone


class Link:
    """Frames over a connected socket. Threads may share it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._reader = FrameReader()
        self._seq = itertools.count(1)
        self._open: dict[int, Request] = {}
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._receiving = False
        self._detached: set[int] = set()
        self._exited: dict[int, int] = {}
        self._first_hello: Frame | None = None
        self.closed = False

    def close(self) -> None:
        """Close the socket; waiting threads see LinkClosed."""
        self.closed = True
        self._sock.close()

    def move_to(self, sock: socket.socket) -> None:
        """Go on over another socket, after what has arrived on the old one.

        For a guest that was moved: its agent goes on in the middle of its stream.
        """
        with self._changed:
            while self._receive_unlocked(0):
                pass
            self._sock.close()
            self._sock = sock
            self._sock.setblocking(False)

    def start_over(self) -> Link:
        """A new link on this one's socket, without what has arrived so far.

        For a stopped guest that was taken back to where it had said nothing yet.
        """
        with self._changed:
            while self._receive_unlocked(0):
                pass
        self.closed = True
        return Link(self._sock)

    def request(self, target: int, kind: int, payload: bytes = b"") -> Request:
        """Send a request. Raises LinkClosed."""
        request = Request(target, next(self._seq))
        with self._changed:
            request.gone = target in self._detached
            if not request.gone:
                self._open[request.seq] = request
        if not request.gone:
            self._send(bytes(Frame(target, request.seq, kind, payload)))
        return request

    def wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Receive until ``done()``; False if that took too long. Raises LinkClosed."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not done():
                left = deadline - time.monotonic()
                if self._receiving:
                    self._changed.wait(max(left, 0))
                elif not self._receive_unlocked(max(left, 0)) and left <= 0:
                    return done()
                if left <= 0 and not done():
                    return False
        return True

    def poll(self) -> None:
        """Take in what has arrived, without waiting. Raises LinkClosed."""
        with self._changed:
            if not self._receiving:
                self._receive_unlocked(0)

    def is_detached(self, target: int) -> bool:
        """Whether no more replies can come from ``target``."""
        return target in self._detached

    def status_of(self, target: int) -> int | None:
        """The exit status of an ended process."""
        return self._exited.get(target)

    def unasked_hello(self) -> Frame | None:
        """The greeting that the agent sends when it starts."""
        return self._first_hello

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        with self._sending:
            while view:
                try:
                    view = view[self._sock.send(view) :]
                except BlockingIOError:
                    # The guest may be waiting for us to take its output first.
                    self._wait_writable()
                except OSError as error:
                    raise self._lost() from error

    def _wait_writable(self) -> None:
        readable, _, _ = select.select([self._sock], [self._sock], [], 1.0)
        if readable:
            self.poll()

    def _receive_unlocked(self, timeout_s: float) -> bool:
        """Read once, with the lock dropped meanwhile; whether anything came."""
        self._receiving = True
        self._changed.release()
        data = None
        try:
            data = self._read(timeout_s)
        finally:
            self._changed.acquire()
            self._receiving = False
            # Also if this fails: another thread has to see that, or read itself.
            self._changed.notify_all()
        if data:
            self._take_in(data)
            self._changed.notify_all()
        return data is not None

    def _take_in(self, data: bytes) -> None:
        """Raises ProtocolError; nothing that comes after garbage can be believed."""
        try:
            for frame in self._reader.feed(data):
                self._dispatch(frame)
        except ProtocolError:
            self.closed = True
            self._sock.close()
            raise

    def _read(self, timeout_s: float) -> bytes | None:
        try:
            poller = select.poll()
            poller.register(self._sock, select.POLLIN)
            if not poller.poll(timeout_s * 1000):
                return None
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return None
        except (OSError, ValueError) as error:
            raise self._lost() from error
        if not data:
            raise self._lost()
        return data

    def _lost(self) -> LinkClosed:
        self.closed = True
        return LinkClosed("the connection to the guest agent is closed")

    def _dispatch(self, frame: Frame) -> None:
        if frame.type & REPLY:
            self._answer(frame)
        elif frame.type == FrameType.DETACHED:
            self._detach(frame.target)
        elif frame.type == FrameType.EXITED:
            self._exited[frame.target] = protocol.parse_int(frame.payload)

    def _answer(self, frame: Frame) -> None:
        request = self._open.pop(frame.seq, None)
        if request is not None:
            request.reply = frame
        elif frame.seq == 0:
            self._first_hello = frame

    def _detach(self, target: int) -> None:
        self._detached.add(target)
        for request in [item for item in self._open.values() if item.target == target]:
            del self._open[request.seq]
            request.gone = True
