# SPDX-License-Identifier: MIT
"""TTM is short of pages: what jobs use stays, and nobody waits for them."""

import os

from support import MIB, PAGE, Copier, Gate, Windows

from vnpu.accel import SYSTEM, Device
from vnpu.uapi import abi

SHRINK = "/sys/kernel/debug/ttm/tt_shrink"
PAGES_LIMIT = "/sys/module/ttm/parameters/pages_limit"


def swap_out(proc):
    """Have TTM swap out one buffer of any device; the number of pages."""
    fd = proc.open(SHRINK, os.O_RDONLY)
    buffer = proc.alloc(64)
    size = proc.syscall_async("read", fd, buffer.addr, 64).result(timeout_s=5)
    proc.close(fd)
    return int(buffer[:size])


def resident(npu):
    """Bytes of the client's buffers in system memory."""
    number, *unit = npu.fdinfo()["drm-resident-system"].split()
    return int(number) * {"": 1, "KiB": 1024, "MiB": MIB}["".join(unit)]


class Busy:
    """A client whose job uses system memory until the gate opens."""

    def __init__(self, npu, size):
        self.c = Copier(npu)
        self.gate = Gate(npu, self.c.vm)
        self.bo, _ = self.c.buffer(size, SYSTEM)
        self.job = self.c.queue.submit(self.gate.packets())

    def release(self):
        assert not self.job.done(), "the job was given up: all of it came too late"
        self.gate.open()
        self.job.wait()


def test_swap_out_leaves_alone_what_a_job_uses(guest, npu):
    """It is first in the list; what is idle goes, with its content, and comes back."""
    busy = Busy(npu, 8 * MIB)
    idle = Device.open(guest.spawn())
    bo = idle.bo_create(4 * MIB, placement=SYSTEM)
    windows = Windows(idle.proc, bo.size)
    windows.fill(bo, 0)
    assert (resident(npu) >= 8 * MIB, resident(idle)) == (True, 4 * MIB)
    shrinker = guest.spawn()
    while swap_out(shrinker):
        pass
    assert (resident(npu) >= 8 * MIB, resident(idle)) == (True, 0)
    windows.check(bo, 0)
    assert resident(idle) == 4 * MIB
    busy.release()
    while swap_out(shrinker):
        pass
    assert resident(npu) == 0


def test_allocation_beyond_the_limit_waits_for_no_job(guest, npu):
    """Pages of a job are all that could be swapped out for it."""
    busy = Busy(npu, 8 * MIB)
    guest.write_file(PAGES_LIMIT, str(8 * MIB // PAGE))
    other = Device.open(guest.spawn())
    arg = abi.BoCreate(size=4 * MIB, placements=int(SYSTEM))
    create = other.proc.syscall_async("ioctl", other.fd, abi.DRM_IOCTL_VNPU_BO_CREATE, bytes(arg))
    assert create.result(timeout_s=5) == 0
    busy.release()
