# SPDX-License-Identifier: MIT
"""Requests to an agent, with the other end of the socket in the test's hands."""

import errno
import itertools
import socket
import struct
import time

import pytest

from vnpu.base import deadline
from vnpu.base.errors import RigError
from vnpu.guest import session as rooms
from vnpu.guest.errors import GuestTimeout
from vnpu.guest.link import Link
from vnpu.guest.process import Process
from vnpu.guest.protocol import REPLY, Frame, FrameReader, FrameType, ProcessInfo

INFO = ProcessInfo(7, 100, 100)


class Agent:
    """The guest's side."""

    def __init__(self, sock):
        self.sock = sock
        self.reader = FrameReader()

    def take(self):
        (frame,) = self.reader.feed(self.sock.recv(1 << 16))
        return frame

    def say(self, *frames):
        self.sock.sendall(b"".join(map(bytes, frames)))

    def ended(self, info, status):
        self.say(
            Frame(info.handle, 0, FrameType.DETACHED),
            Frame(info.handle, 0, FrameType.EXITED, struct.pack("<i", status)),
        )


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(rooms, "_PATIENCE_S", 0.01)
    ours, theirs = socket.socketpair()

    def make(**arguments):
        return rooms.Session(Link(ours), **arguments), Agent(theirs)

    yield make
    ours.close()
    theirs.close()


def test_error_of_the_agent_is_an_errno(made):
    session, agent = made()
    agent.say(Frame(0, 1, FrameType.SPAWN | REPLY, error=-errno.EMFILE))
    with pytest.raises(OSError) as info:
        session.ask(0, FrameType.SPAWN)
    assert info.value.errno == errno.EMFILE
    assert agent.take().type == FrameType.SPAWN


def test_silence_is_a_timeout(made):
    session, _ = made(timeout_s=0.05)
    with pytest.raises(GuestTimeout, match=r"0\.05 s"):
        session.ask(0, FrameType.SPAWN)


def test_time_without_a_processor_does_not_count(made):
    """Each look finds the guest starved for longer, until an answer comes."""
    starved = itertools.chain([0.0, 0.1, 0.2, 0.3], itertools.repeat(0.3))
    session, _ = made(starved_s=lambda: next(starved))
    started = time.monotonic()
    assert not session.wait(lambda: False, 0.05)
    assert time.monotonic() - started >= 0.34


def test_deadlines_stretch(made, monkeypatch):
    monkeypatch.setenv(deadline.VARIABLE, "10")
    session, _ = made()
    started = time.monotonic()
    assert not session.wait(lambda: False, 0.05)
    assert time.monotonic() - started >= 0.4


def test_lost_connection_is_explained(made):
    session, agent = made(explain=lambda: RigError("the guest fell over"))
    agent.sock.close()
    for call in (session.poll, lambda: session.wait(lambda: False, 1)):
        with pytest.raises(RigError, match="fell over"):
            call()


def test_end_of_a_process_is_waited_for(made):
    session, agent = made(timeout_s=0.05)
    session.where_is = lambda info: f"where {info.pid} is"
    proc = Process.born(session, INFO)
    with pytest.raises(GuestTimeout, match="did not end.*where 100 is"):
        proc.wait()
    agent.ended(INFO, 3 << 8)
    assert proc.wait() == 3 << 8
    assert session.members == {}
    assert not proc.alive


def test_processes_are_equal_by_what_they_are(made):
    session, _ = made()
    one, same = Process(session, INFO), Process(session, INFO)
    other = Process(session, ProcessInfo(8, 100, 101))
    assert one == same and hash(one) == hash(same)
    assert one != other and str(other) == "Thread(pid=100, tid=101)"
