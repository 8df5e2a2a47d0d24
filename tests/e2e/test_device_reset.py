# SPDX-License-Identifier: MIT
"""Resets of the whole device: what clients lose who had nothing to do with the reason."""

import errno

from support import PAGE, RESET, Copier, Gate, fails, reset_device

from vnpu.accel import SYSTEM
from vnpu.hw.codes import SignalOp
from vnpu.hw.packets import Fill, Signal
from vnpu.uapi import abi

pytestmark = RESET

LOST = abi.DRM_VNPU_QUEUE_STATE_LOST


def read_word(bo):
    return bo.map().read_u64()


def test_begun_job_is_lost_and_not_repeated(guest, npu):
    """An addition that was made before the reset is not made again, and the job says so."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    word, va = c.buffer(PAGE)
    other, other_va = c.buffer(PAGE)
    before = npu.query_device().reset_count
    begun = c.queue.submit([Signal(op=SignalOp.ADD, addr=va, value=1), *gate.packets()])
    behind = c.queue.submit([Fill(pattern=7, dst=other_va, size=PAGE)])
    while not read_word(word):
        pass
    reset_device(guest)
    fails(begun, errno.ECANCELED)
    assert read_word(word) == 1
    behind.wait()
    assert other.map().read_u32() == 7
    assert c.queue.query().state == LOST
    assert npu.query_device().reset_count == before + 1


def test_queue_that_lost_a_job_takes_work(guest, npu):
    c = Copier(npu)
    lost = c.queue.submit(Gate(npu, c.vm).packets())
    reset_device(guest)
    fails(lost, errno.ECANCELED)
    bo, va = c.buffer(PAGE)
    c.queue.submit([Fill(pattern=9, dst=va, size=PAGE)]).wait()
    assert bo.map().read_u32() == 9


def test_idle_queue_loses_nothing(guest, npu):
    c = Copier(npu)
    bo, va = c.buffer(PAGE, placement=SYSTEM)
    c.queue.submit([Fill(pattern=1, dst=va, size=PAGE)]).wait()
    reset_device(guest)
    fence = c.queue.submit([Fill(pattern=2, dst=va, size=PAGE)])
    fence.wait()
    assert fence.error() == 0
    assert bo.map().read_u32() == 2
    assert c.queue.query().state == 0
