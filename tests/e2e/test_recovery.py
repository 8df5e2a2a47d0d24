# SPDX-License-Identifier: MIT
"""Faults and hangs: who is punished, what their fences say, what goes on."""

import errno

import pytest
from support import PAGE, Copier, Gate, fails, raises_errno

from vnpu.accel import COPY, TENSOR
from vnpu.hw.codes import Dtype, Fault
from vnpu.hw.packets import Copy, Fill, Gemm, Nop
from vnpu.uapi import abi

NOWHERE = 0x7000_0000_0000
TIMEOUT_PARAM = "/sys/module/vnpu/parameters/job_timeout_ms"

BANNED = abi.DRM_VNPU_QUEUE_STATE_BANNED
FAULT = abi.DRM_VNPU_QUEUE_STATE_FAULT
TIMEOUT = abi.DRM_VNPU_QUEUE_STATE_TIMEOUT


@pytest.fixture
def copier(npu):
    return Copier(npu)


@pytest.fixture
def short_timeout(guest):
    """Jobs of queues made from here on may take 300 ms."""
    guest.write_file(TIMEOUT_PARAM, b"300")


def raw_packet(opcode, dwords, *words, flags=0):
    head = opcode | flags << 8 | dwords << 16
    body = b"".join(w.to_bytes(4, "little") for w in (head, *words))
    return body.ljust(4 * dwords, b"\0")


MALFORMED = {
    "opcode": (raw_packet(0xEE, 2), Fault.OPCODE),
    "opcode zero": (bytes(8), Fault.OPCODE),
    "length short": (raw_packet(0x20, 6), Fault.LENGTH),
    "length zero": (raw_packet(0x20, 0) + bytes(8), Fault.LENGTH),
    "length beyond the buffer": (raw_packet(0x10, 32)[:16], Fault.LENGTH),
    "flags": (raw_packet(0x20, 8, flags=0x80), Fault.RESERVED),
    "reserved field": (bytes(Copy(reserved=1, src=PAGE, dst=PAGE, size=8)), Fault.RESERVED),
    "other engine": (bytes(Gemm(dtype=Dtype.F32, m=1, n=1, k=1)), Fault.ENGINE),
    "size zero": (bytes(Copy(src=NOWHERE, dst=NOWHERE, size=0)), Fault.PARAM),
    "range wraps": (bytes(Copy(src=2**64 - 8, dst=NOWHERE, size=64)), Fault.ADDRESS),
    "fill misaligned": (bytes(Fill(dst=NOWHERE + 2, size=8)), Fault.ALIGNMENT),
}


@pytest.mark.parametrize(("raw", "code"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_packet(copier, raw, code):
    bo, va = copier.buffer(PAGE)
    bo.write(raw)
    fence = copier.queue.submit([(va, (len(raw) + 7) // 8 * 8)])
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    query = copier.queue.query()
    assert query.state == BANNED | FAULT
    assert query.fault_code == code
    assert query.fault_ip == va


def test_fault_says_where(copier):
    bo, va = copier.buffer(PAGE)
    good, bad = Nop(), Fill(pattern=1, dst=NOWHERE, size=PAGE)
    bo.write(bytes(good) + bytes(bad))
    fails(copier.queue.submit([(va, 40)]), errno.EIO)
    query = copier.queue.query()
    assert query.fault_addr == NOWHERE
    assert query.fault_ip == va + 8
    assert query.fault_access == 2


def test_banned_queue_refuses_work(copier):
    fails(copier.queue.submit([Fill(pattern=1, dst=NOWHERE, size=PAGE)]), errno.EIO)
    for _ in range(3):
        with raises_errno(errno.ECANCELED):
            copier.queue.submit([Nop()])


def test_other_queues_of_the_client_go_on(npu, copier):
    fails(copier.queue.submit([Fill(pattern=1, dst=NOWHERE, size=PAGE)]), errno.EIO)
    npu.queue_create(copier.vm, engine=COPY).submit([Nop()]).wait()
    npu.queue_create(copier.vm, engine=TENSOR).submit([Nop()]).wait()


def test_jobs_behind_a_fault_are_cancelled(copier):
    gate = Gate(copier.npu, copier.vm)
    bo, va = copier.buffer(PAGE)
    bad = copier.queue.submit([*gate.packets(), Fill(pattern=1, dst=NOWHERE, size=PAGE)])
    behind = [copier.queue.submit([Fill(pattern=7, dst=va, size=PAGE)]) for _ in range(5)]
    gate.open()
    fails(bad, errno.EIO)
    for fence in behind:
        fails(fence, errno.ECANCELED)
    assert not any(bo.read(PAGE)), "a cancelled job ran"


def test_jobs_before_a_fault_have_finished(copier):
    bo, va = copier.buffer(PAGE)
    good = copier.queue.submit([Fill(pattern=7, dst=va, size=PAGE)])
    bad = copier.queue.submit([Fill(pattern=1, dst=NOWHERE, size=PAGE)])
    fails(bad, errno.EIO)
    good.wait(timeout_ms=0)
    assert bo.read(4) == b"\7\0\0\0"


def test_hang_is_timed_out(short_timeout, npu):
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    hung = c.queue.submit(gate.packets())
    behind = c.queue.submit([Nop()])
    fails(hung, errno.ETIME)
    fails(behind, errno.ECANCELED)
    assert c.queue.query().state == BANNED | TIMEOUT
    with raises_errno(errno.ECANCELED):
        c.queue.submit([Nop()])


def test_hang_spares_other_queues(short_timeout, npu):
    c, other = Copier(npu), Copier(npu)
    gate = Gate(npu, c.vm)
    hung = c.queue.submit(gate.packets())
    bo, va = other.buffer(PAGE)
    fences = []
    while not hung.done():
        fences.append(other.queue.submit([Fill(pattern=3, dst=va, size=PAGE)]))
        fences[-1].wait()
    assert hung.error() == errno.ETIME
    assert fences and not any(f.error() for f in fences)


def test_progress_is_not_a_hang(short_timeout, npu):
    """A job that takes several timeouts but moves on is left alone."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    packets = [p for i in range(1, 8) for p in gate.packets(i)]
    fence = c.queue.submit(packets)
    pause = npu.syncobj_create()
    for i in range(1, 8):
        with raises_errno(errno.ETIME):
            # the wait of a syncobj nobody signals paces the steps in guest time
            pause.wait(timeout_ms=150, flags=abi.DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT)
        gate.open(i)
    fence.wait(timeout_ms=10000)
    assert fence.error() == 0


def test_hardware_queue_works_again_after_recovery(npu):
    """Faults on more queues than the device has: each recovers its hardware."""
    c = Copier(npu)
    for _ in range(npu.query_device().max_queues + 5):
        queue = npu.queue_create(c.vm, engine=COPY)
        fails(queue.submit([Fill(pattern=1, dst=NOWHERE, size=PAGE)]), errno.EIO)
        queue.destroy()
    bo, va = c.buffer(PAGE)
    c.queue.submit([Fill(pattern=9, dst=va, size=PAGE)]).wait()
    assert bo.read(4) == b"\x09\0\0\0"


def test_failed_dependency_does_not_block(npu):
    """A job that waits for a failed one runs all the same, and behind it."""
    c = Copier(npu)
    sync = npu.syncobj_create()
    gate = Gate(npu, c.vm)
    bo, va = c.buffer(PAGE)
    bad = [*gate.packets(), Fill(pattern=1, dst=NOWHERE, size=PAGE)]
    first = c.queue.submit(bad, signals=[sync])
    queue = npu.queue_create(c.vm, engine=COPY)
    after = queue.submit([Fill(pattern=7, dst=va, size=PAGE)], waits=[sync])
    assert not after.done()
    gate.open()
    after.wait()
    assert bo.read(4) == b"\7\0\0\0"
    fails(first, errno.EIO, timeout_ms=0)


def test_destroy_a_hung_queue(short_timeout, npu):
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    fence = c.queue.submit(gate.packets())
    c.queue.destroy()
    fence.wait(timeout_ms=10000, check=False)
    assert fence.error() == errno.ETIME
    Copier(npu).queue.submit([Nop()]).wait()


def test_close_with_a_hung_queue(short_timeout, guest):
    from vnpu.accel import Device

    proc = guest.spawn()
    dev = Device.open(proc)
    c = Copier(dev)
    c.queue.submit(Gate(dev, c.vm).packets())
    proc.kill(9)
    proc.wait()
    again = Device.open(guest.spawn())
    Copier(again).queue.submit([Nop()]).wait()
