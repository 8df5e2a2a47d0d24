# SPDX-License-Identifier: MIT
"""What a synchronous bind waits for, and who can end the wait."""

import errno
import signal

import pytest
from support import MIB, PAGE, map_op, raises_errno, start_bind, unmap_op

from vnpu.accel import SYSTEM, TENSOR, VRAM, Device
from vnpu.hw.codes import Dtype
from vnpu.hw.packets import Gemm

pytestmark = pytest.mark.machine(vram=512 * MIB, aperture=512 * MIB, memory=512 * MIB)


class Hog:
    """A client with a packet that is on an engine for long, and an unmap that waits for it."""

    def __init__(self, guest):
        self.dev = Device.open(guest.spawn())
        vm = self.dev.vm_create()
        k, m, n = 16384, 8192, 8192
        a = self.dev.bo_create(m * k, placement=VRAM, vm=vm)
        c = self.dev.bo_create(m * n * 4, placement=VRAM, vm=vm)
        va, vc = vm.bind(a), vm.bind(c)
        page = self.dev.bo_create(PAGE, placement=SYSTEM)
        at = vm.bind(page)
        packet = Gemm(
            flags="TRANS_B",
            dtype=Dtype.I8,
            **{"a": va, "b": va, "c": vc, "m": m, "n": n, "k": k, "lda": k, "ldb": k, "ldc": n},
        )
        self.job = self.dev.queue_create(vm, engine=TENSOR).submit([packet])
        with raises_errno(errno.ETIME):
            self.job.wait(timeout_ms=100)
        done = self.dev.syncobj_create()
        vm.unbind(at, PAGE, signals=[done], asynchronous=True)

    def stop(self):
        assert not self.job.done()
        self.dev.proc.kill(signal.SIGKILL)
        self.dev.proc.wait(20)


class Binder:
    """Another client, whose binds may block."""

    def __init__(self, guest):
        self.dev = Device.open(guest.spawn())
        self.vm = self.dev.vm_create()
        self.bo = self.dev.bo_create(PAGE, placement=SYSTEM)
        self.vm.bind(self.bo, va=1 << 30)

    def start(self, op):
        return start_bind(self.dev.proc, self.dev, self.vm, [op])


def test_map_does_not_wait_for_another_client(guest):
    """Nothing was mapped there, so there is nothing that the hardware has to drop."""
    binder = Binder(guest)
    hog = Hog(guest)
    assert binder.start(map_op(binder.bo, 1 << 31, PAGE)).result(timeout_s=5) == 0
    hog.stop()


def test_unmap_waits_for_a_part_of_a_packet_only(guest):
    """The hardware drops a translation between two parts of what others have on an engine."""
    binder = Binder(guest)
    hog = Hog(guest)
    unmap = unmap_op(1 << 30, PAGE)
    assert binder.start(unmap).result(timeout_s=20) == 0
    hog.stop()
