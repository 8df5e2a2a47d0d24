# SPDX-License-Identifier: MIT
"""Another process looks at a mapping, through /proc/PID/mem."""

import os

import pytest
from support import MIB, PAGE, Copier, Gate, pattern

from vnpu.accel import VRAM, Device

pytestmark = pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)


def test_memory_that_is_still_being_evicted(guest, npu):
    """The eviction waits for a job: what is read meanwhile is what was there."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    bo, _ = c.buffer(24 * MIB, VRAM)
    data = pattern(PAGE)
    bo.write(data, MIB)
    debugger = guest.spawn()
    fd = debugger.open(f"/proc/{npu.proc.pid}/mem", os.O_RDWR)
    assert debugger.pread(fd, PAGE, bo.map().addr + MIB) == data
    job = c.queue.submit(gate.packets())
    Device.open(guest.spawn()).bo_create(48 * MIB, placement=VRAM)
    buffer = debugger.alloc(PAGE)
    read = debugger.syscall_async("pread64", fd, buffer.addr, PAGE, bo.map().addr + MIB)
    read.wait_blocked(timeout_s=5)
    assert not job.done()
    gate.open()
    assert read.result() == PAGE
    assert buffer.read() == data
    buffer.write(data[::-1])
    assert debugger.syscall("pwrite64", fd, buffer.addr, PAGE, bo.map().addr + MIB) == PAGE
    assert bo.read(PAGE, MIB) == data[::-1]
