# SPDX-License-Identifier: MIT
"""Framing and batches of the agent's protocol, without a guest."""

import re
import socket
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpu.guest import protocol
from vnpu.guest.batch import Batch
from vnpu.guest.link import Link, LinkClosed
from vnpu.guest.protocol import (
    REPLY,
    Arg,
    ArgKind,
    Frame,
    FrameReader,
    FrameType,
    Op,
    ProtocolError,
    RunReply,
    Status,
    StepSpec,
)

PROTO_H = Path(__file__).parents[2] / "userspace/agent/proto.h"

frames = st.builds(
    Frame,
    target=st.integers(0, 2**32 - 1),
    seq=st.integers(0, 2**32 - 1),
    type=st.integers(0, 2**16 - 1),
    payload=st.binary(max_size=300),
    error=st.integers(-4095, 0),
)


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 50), min_size=1))
def test_frames_survive_any_cutting(sent, cuts):
    stream = b"".join(map(bytes, sent))
    reader, got, at, turn = FrameReader(), [], 0, 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        got += reader.feed(stream[at : at + step])
        at += step
        turn += 1
    assert got == sent


def test_garbage_is_refused():
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(b"x" * protocol.HEADER_SIZE))


def test_absurd_length_is_refused():
    head = struct.pack("<IIIIHHi", protocol.MAGIC, protocol.MAX_PAYLOAD + 1, 0, 0, 0, 0, 0)
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(head))


def c_constants():
    text = PROTO_H.read_text()
    found = re.findall(r"^\s*(\w+) = (0x[0-9a-f]+|\d+),", text, re.M)
    found += re.findall(r"^#define\s+(\w+)\s+(0x[0-9a-f]+|\d+)u?\b", text, re.M)
    return {name: int(value, 0) for name, value in found}


def test_numbers_are_those_of_the_agent():
    c = c_constants()
    for prefix, enum in (
        ("FRAME_", FrameType),
        ("STEP_", Op),
        ("ARG_", ArgKind),
        ("STATUS_", Status),
        ("RUN_", protocol.RunFlag),
    ):
        for member in enum:
            assert c[prefix + member.name] == member.value
    assert c["FRAME_REPLY"] == REPLY
    assert c["AGENT_MAGIC"] == protocol.MAGIC
    assert c["AGENT_VERSION"] == protocol.VERSION
    assert c["STEP_MAX_ARGS"] == protocol.MAX_ARGS
    assert c["STEP_STOP_ON_ERROR"] == protocol.STOP_ON_ERROR
    assert c["RUN_MAX_STEPS"] == protocol.MAX_STEPS
    assert "(4u << 20)" in PROTO_H.read_text() and protocol.MAX_PAYLOAD == 4 << 20
    assert f'"{protocol.PORT_NAME}"' in PROTO_H.read_text()


def test_step_layout():
    spec = StepSpec(Op.SYSCALL, 39, (Arg(-1), Arg(8, ArgKind.SCRATCH)), stop_on_error=True)
    data = bytes(spec)
    assert len(data) == 8 + 6 * 16
    assert struct.unpack_from("<HHI", data) == (1, 1, 39)
    assert struct.unpack_from("<QII", data, 8) == (2**64 - 1, 0, 0)
    assert struct.unpack_from("<QII", data, 24) == (8, 2, 0)


def test_too_many_arguments_and_too_much_data():
    with pytest.raises(ProtocolError):
        bytes(StepSpec(Op.SYSCALL, 0, tuple(Arg(i) for i in range(7))))
    with pytest.raises(ProtocolError):
        protocol.pack_run([], b"", protocol.MAX_PAYLOAD + 1)


def test_run_reply():
    results = [(5, 0, Status.DONE, 0, 3), (-14, 0x1000, Status.FAULT, 11, 0)]
    packed = b"".join(struct.pack("<qQHHI", *item) for item in results)
    payload = struct.pack("<4I", 2, 2, 2, 3) + packed + struct.pack("<2Q", 10, 20) + b"abc"
    reply = RunReply.parse(payload)
    assert reply.durations == (10, 20)
    assert reply.steps[0].data == b"abc"
    assert (reply.steps[1].signal, reply.steps[1].fault_address) == (11, 0x1000)
    with pytest.raises(ProtocolError):
        RunReply.parse(payload + b"x")


class FakeProcess:
    """Catches what a batch sends."""

    def _start(self, kind, payload, finish):
        self.payload = payload


def test_zeros_go_behind_data_and_are_not_sent():
    proc = FakeProcess()
    batch = Batch(proc)
    zeros = batch.scratch(100)
    batch.syscall("read", 0, zeros, 100)
    batch.syscall("write", 1, b"abc", 3)
    batch.start()
    steps, _, repeat, length, scratch, _ = struct.unpack_from("<6I", proc.payload)
    assert (steps, repeat, length, scratch) == (2, 1, 16, 16 + 112)
    # The second argument of both: the zeros after the 16 bytes of data, then the data.
    first = struct.unpack_from("<QII", proc.payload, 24 + 8 + 16)
    second = struct.unpack_from("<QII", proc.payload, 24 + 104 + 8 + 16)
    assert first == (16, ArgKind.SCRATCH, 0)
    assert second == (0, ArgKind.SCRATCH, 0)


@pytest.fixture
def ends():
    host, guest = socket.socketpair()
    link = Link(host)
    yield link, guest
    link.close()
    guest.close()


def test_replies_find_their_requests_in_any_order(ends):
    link, guest = ends
    first, second = link.request(1, FrameType.RUN), link.request(2, FrameType.RUN)
    for request in (second, first):
        guest.sendall(bytes(Frame(request.target, request.seq, FrameType.RUN | REPLY, b"r")))
    assert link.wait(lambda: first.settled and second.settled, 1)
    assert first.reply.target == 1 and second.reply.target == 2


def test_wait_has_a_deadline(ends):
    link, _ = ends
    request = link.request(1, FrameType.RUN)
    assert not link.wait(lambda: request.settled, 0.05)


def test_detaching_settles_what_is_open(ends):
    link, guest = ends
    mine, other = link.request(1, FrameType.RUN), link.request(2, FrameType.RUN)
    guest.sendall(bytes(Frame(1, 0, FrameType.DETACHED)))
    guest.sendall(bytes(Frame(1, 0, FrameType.EXITED, protocol.pack_int(9))))
    assert link.wait(lambda: link.status_of(1) is not None, 1)
    assert mine.gone and not other.settled
    assert link.request(1, FrameType.RUN).gone


def test_lost_connection_is_an_error(ends):
    link, guest = ends
    request = link.request(1, FrameType.RUN)
    guest.close()
    with pytest.raises(LinkClosed):
        link.wait(lambda: request.settled, 1)


def test_threads_share_a_link(ends):
    link, guest = ends
    requests = [link.request(i, FrameType.RUN) for i in range(1, 9)]
    outcomes = []
    threads = [
        threading.Thread(target=lambda r=r: outcomes.append(link.wait(lambda: r.settled, 5)))
        for r in requests
    ]
    for thread in threads:
        thread.start()
    for request in requests:
        guest.sendall(bytes(Frame(request.target, request.seq, FrameType.RUN | REPLY)))
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 8


def test_moved_link_keeps_what_arrived_before(ends):
    link, guest = ends
    request, late = link.request(1, FrameType.RUN), link.request(2, FrameType.RUN)
    whole = bytes(Frame(2, late.seq, FrameType.RUN | REPLY, b"cut in two"))
    guest.sendall(bytes(Frame(1, request.seq, FrameType.RUN | REPLY)) + whole[:20])
    new_host, new_guest = socket.socketpair()
    link.move_to(new_host)
    assert request.settled and not late.settled
    new_guest.sendall(whole[20:])
    assert link.wait(lambda: late.settled, 1)
    assert late.reply.payload == b"cut in two"
    new_guest.close()
