# SPDX-License-Identifier: MIT
"""Memory that nobody refers to any more, after a bit of everything.

The machine's own check at the end of a test looks for it, once the driver is unloaded.
"""

import errno

import pytest
from support import MIB, PAGE, Copier, Gate, fill_bo, raises_errno, submit

from vnpu.accel import SYSTEM, VRAM, Device
from vnpu.uapi import abi

pytestmark = [
    pytest.mark.lane("debug"),
    pytest.mark.machine(append="kmemleak=on"),
]


def test_nothing_is_lost(guest):
    """One test, because a scan takes its time."""
    objects_of_all_kinds(guest)
    failures_half_way(Device.open(guest.spawn()))
    close_with_work_in_flight(guest)


def objects_of_all_kinds(guest):
    for _ in range(2):
        npu = Device.open(guest.spawn())
        copier = Copier(npu)
        bo, src = copier.buffer(2 * MIB, VRAM)
        data = fill_bo(bo, 7)
        other, dst = copier.buffer(2 * MIB, SYSTEM)
        copier.copy(src, dst, 2 * MIB).wait()
        assert other.read() == data
        copier.vm.unbind(src + PAGE, PAGE)
        fd = bo.export()
        Device.open(npu.proc).prime_import(fd).close()
        npu.syncobj_create(signaled=True)
        npu.proc.kill()
        guest.kill_all()


def failures_half_way(npu):
    copier = Copier(npu)
    gate = Gate(npu, copier.vm)
    blocked = copier.queue.submit(gate.packets())
    with raises_errno(errno.EINVAL):
        submit(npu, abi.SubmitJob(queue_id=copier.queue.id), cmds=[abi.Cmd(va=1, size=8)])
    with raises_errno(errno.ENOSPC, errno.E2BIG):
        npu.bo_create(1 << 50, placement=VRAM)
    gate.open()
    blocked.wait()
    fault = copier.copy(1 << 40, 1 << 41, PAGE)
    fault.wait(check=False)
    assert fault.error() == errno.EIO


def close_with_work_in_flight(guest):
    for _ in range(3):
        npu = Device.open(guest.spawn())
        copier = Copier(npu)
        copier.queue.submit(Gate(npu, copier.vm).packets())
        guest.kill_all()
