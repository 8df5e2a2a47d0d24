# SPDX-License-Identifier: MIT
"""Clients that want the same VRAM: nobody waits for another's job with a lock that all need."""

import errno
import os
import signal

import pytest
from support import (
    MIB,
    PAGE,
    Copier,
    Gate,
    Windows,
    check_words,
    map_op,
    pause,
    raises_errno,
    start_bind,
)
from vgem import Vgem

from vnpu.accel import COPY, SYSTEM, VRAM, Device
from vnpu.accel.queue import lasting_submit
from vnpu.guest.errors import GuestTimeout
from vnpu.uapi import abi

VRAM_SIZE = 64 * MIB

pytestmark = pytest.mark.machine(vram=VRAM_SIZE, aperture=VRAM_SIZE)


def client(guest):
    return Device.open(guest.spawn())


def start_create(dev, size, placement=VRAM):
    """BO_CREATE that may block."""
    arg = abi.BoCreate(size=size, placements=int(placement))
    return dev.proc.syscall_async("ioctl", dev.fd, abi.DRM_IOCTL_VNPU_BO_CREATE, bytes(arg))


def start_loop(dev, calls, repeat):
    """Ioctls (number, argument bytes), over and over; errors do not end it."""
    batch = dev.proc.batch()
    for number, raw in calls:
        buffer = dev.proc.alloc(len(raw))
        batch.write(buffer.addr, raw)
        batch.syscall("ioctl", dev.fd, number, buffer.addr, check=False)
    return batch.start(repeat)


class Hog:
    """A client whose job hangs while it uses VRAM, until the gate opens."""

    def __init__(self, guest):
        self.dev = client(guest)
        self.copier = Copier(self.dev)
        self.gate = Gate(self.dev, self.copier.vm)
        # command memory and the like are there before VRAM is full
        self.second = self.dev.queue_create(self.copier.vm, engine=COPY)
        self.second.submit([]).wait()
        self.copier.queue.submit([]).wait()

    def hang(self):
        self.job = self.copier.queue.submit(self.gate.packets())

    def fill_vram(self):
        """With BOs that its jobs may use, to less than what a chunk of page tables takes."""
        memory = self.dev.query_memory()
        left = memory.vram_total - memory.vram_used
        while left >= 64 * 1024:
            size = min(1 << (left.bit_length() - 1), 8 * MIB)
            self.copier.buffer(size, VRAM)
            left -= size

    def release(self):
        assert not self.job.done(), "the job was given up: all of it came too late"
        self.gate.open()
        self.job.wait()


def check_nobody_is_held_up(guest):
    """Memory of another kind at once, and an honest answer to who asks for too much."""
    dev = client(guest)
    assert start_create(dev, PAGE, SYSTEM).result(timeout_s=5) == 0


@pytest.mark.machine(smp=2)
@pytest.mark.parametrize("what", ["create", "bind"])
def test_two_clients_beyond_what_fits(guest, what):
    """Each evicts the other's memory, on two processors, and neither is told that there is none."""
    one, two = client(guest), client(guest)
    c = Copier(one)
    for _ in range(14):
        c.buffer(4 * MIB, VRAM)
    submit = [(abi.DRM_IOCTL_VNPU_SUBMIT, bytes(lasting_submit(one.proc, c.queue.id)))]
    if what == "create":
        calls = [
            (abi.DRM_IOCTL_VNPU_BO_CREATE, bytes(abi.BoCreate(size=16 * MIB, placements=1))),
            (abi.DRM_IOCTL_GEM_CLOSE, bytes(abi.GemClose(handle=1))),
        ]
    else:
        vm = two.vm_create()
        bos = [two.bo_create(16 * MIB, placement=VRAM) for _ in range(2)]
        ops = two.proc.alloc(40)
        ops.write(bytes(abi.VmBindOp(handle=bos[0].handle, va=0x5000_0000, size=16 * MIB)))
        arg = abi.drm_vnpu_vm_bind(
            vm_id=vm.id, ops=abi.drm_vnpu_array(stride=40, count=1, array=ops.addr)
        )
        calls = [(abi.DRM_IOCTL_VNPU_VM_BIND, bytes(arg))]
    for pending in [start_loop(one, submit, 200), start_loop(two, calls, 200)]:
        pending.result(timeout_s=100)
    c.queue.submit([]).wait()


def test_memory_that_is_still_being_evicted(guest):
    """A BO that has to come back while its eviction waits for a job."""
    hog = Hog(guest)
    dev, vm = hog.dev, hog.copier.vm
    x = dev.bo_create(24 * MIB, placement=VRAM, vm=vm)
    vm.bind(x)
    windows = Windows(dev.proc, x.size)
    windows.fill(x, 0)
    vm.bind(dev.bo_create(24 * MIB, placement=VRAM, vm=vm))
    hog.hang()
    # x is first in the list: it goes, as soon as the job lets it
    client(guest).bo_create(24 * MIB, placement=VRAM)
    arg = bytes(lasting_submit(dev.proc, hog.second.id))
    thread = dev.proc.thread()
    submit = thread.syscall_async("ioctl", dev.fd, abi.DRM_IOCTL_VNPU_SUBMIT, arg)
    third = client(guest)
    create = start_create(third, 32 * MIB)
    check_nobody_is_held_up(guest)
    assert submit.result(timeout_s=5) == 0
    assert create.result(timeout_s=5) == 0
    hog.release()
    windows.check(x, 0)


def test_memory_that_was_freed_while_a_job_uses_it(guest):
    """Who needs it waits for the job: alone, and not longer than it wants to."""
    hog = Hog(guest)
    bo, va = hog.copier.buffer(48 * MIB, VRAM)
    hog.hang()
    hog.copier.vm.unbind(va, bo.size)
    bo.close()
    patient, killed = client(guest), client(guest)
    creates = [start_create(dev, 32 * MIB) for dev in (patient, killed)]
    for pending in creates:
        pending.wait_blocked(timeout_s=5)
    check_nobody_is_held_up(guest)
    with raises_errno(errno.ENOSPC, errno.E2BIG):
        start_create(client(guest), 80 * MIB).result(timeout_s=5)
    killed.proc.kill(signal.SIGKILL)
    killed.proc.wait(5)
    assert not creates[0].done()
    hog.release()
    assert creates[0].result() == 0


def test_page_tables_where_memory_is_still_being_evicted(guest):
    """A bind that waits for a job, and someone who must not wait for the bind."""
    hog = Hog(guest)
    dev = client(guest)
    vm = dev.vm_create()
    word = dev.bo_create(PAGE, placement=SYSTEM)
    hog.fill_vram()
    hog.hang()
    bind = start_bind(dev.proc, dev, vm, [map_op(word, (1 + i) << 39) for i in range(128)])
    bind.wait_blocked(timeout_s=5)
    check_nobody_is_held_up(guest)
    other = client(guest)
    assert start_create(other, 16 * MIB).result(timeout_s=5) == 0
    assert not bind.done()
    hog.release()
    assert bind.result() == 0


def test_new_address_spaces_where_memory_is_still_being_evicted(guest):
    """More root tables than are left: the one too many waits for the job, and is made then."""
    hog = Hog(guest)
    hog.fill_vram()
    hog.hang()
    dev = client(guest)
    arg = dev.proc.alloc(64)
    for _ in range(100):
        arg.write(bytes(abi.drm_vnpu_vm_create()))
        create = dev.proc.syscall_async("ioctl", dev.fd, abi.DRM_IOCTL_VNPU_VM_CREATE, arg.addr)
        try:
            assert create.result(timeout_s=2) == 0
        except GuestTimeout:
            break
    check_nobody_is_held_up(guest)
    assert not create.done()
    hog.release()
    assert create.result() == 0


class Shared(Hog):
    """The hog has a BO that is being evicted, and that others may have, too."""

    def __init__(self, guest):
        super().__init__(guest)
        self.bo, self.va = self.copier.buffer(24 * MIB, VRAM)
        self.windows = Windows(self.dev.proc, self.bo.size)
        self.windows.fill(self.bo, 0)
        self.thread = self.dev.proc.thread()
        self.thread.syscall("getpid")
        raw = bytes(lasting_submit(self.dev.proc, self.second.id))
        self.submit = self.dev.proc.alloc(len(raw))
        self.submit.write(raw)
        self.hang()

    def start_submit(self):
        """Needs the reservation of the BO. Maps nothing: a debugger holds the mmap lock."""
        addr = self.submit.addr
        return self.thread.syscall_async("ioctl", self.dev.fd, abi.DRM_IOCTL_VNPU_SUBMIT, addr)


def test_debugger_that_waits_for_content(guest):
    """Reads what is being evicted, and keeps nobody from anything."""
    hog = Shared(guest)
    debugger = guest.spawn()
    fd = debugger.open(f"/proc/{hog.dev.proc.pid}/mem", os.O_RDWR)
    buffer = debugger.alloc(PAGE)
    client(guest).bo_create(48 * MIB, placement=VRAM)
    read = debugger.syscall_async("pread64", fd, buffer.addr, PAGE, hog.bo.map().addr)
    read.wait_blocked(timeout_s=5)
    submit = hog.start_submit()
    check_nobody_is_held_up(guest)
    assert submit.result(timeout_s=5) == 0
    assert not read.done()
    hog.release()
    assert read.result() == PAGE


def test_importer_that_waits_for_content(guest):
    """A driver attaches to a BO that a job uses; the BO stays in use, and is moved."""
    hog = Shared(guest)
    fd = hog.bo.export()
    importer = Vgem(hog.dev.proc.fork())
    arg = bytes(abi.PrimeHandle(fd=fd))
    attach = importer.proc.syscall_async(
        "ioctl", importer.fd, abi.DRM_IOCTL_PRIME_FD_TO_HANDLE, arg
    )
    attach.wait_blocked(timeout_s=5)
    submit = hog.start_submit()
    check_nobody_is_held_up(guest)
    assert submit.result(timeout_s=5) == 0
    assert not attach.done()
    hog.release()
    assert attach.result() == 0
    hog.windows.check(hog.bo, 0)


def test_importer_that_is_killed_while_it_waits(guest):
    hog = Shared(guest)
    fd = hog.bo.export()
    importer = Vgem(hog.dev.proc.fork())
    arg = bytes(abi.PrimeHandle(fd=fd))
    importer.proc.syscall_async(
        "ioctl", importer.fd, abi.DRM_IOCTL_PRIME_FD_TO_HANDLE, arg
    ).wait_blocked(timeout_s=5)
    importer.proc.kill(signal.SIGKILL)
    importer.proc.wait(5)
    hog.release()
    hog.windows.check(hog.bo, 0)


def test_free_memory_while_other_memory_is_being_evicted(guest):
    """A client that gets nothing of what a job of another still uses goes on."""
    hog = Shared(guest)
    dev = client(guest)
    c = Copier(dev)
    src, va_src = c.buffer(8 * MIB, SYSTEM)
    windows = Windows(dev.proc, src.size)
    windows.fill(src, 0)
    own, va = c.buffer(8 * MIB, VRAM)
    c.copy(va_src, va, PAGE).wait()
    taker = client(guest)
    memory = taker.query_memory()
    # all that is free, and what the job uses, which is the first that goes
    size = memory.vram_total - memory.vram_used + hog.bo.size
    assert start_create(taker, size).result(timeout_s=5) == 0
    c.vm.unbind(va, own.size)
    own.close()
    new, va = c.buffer(8 * MIB, VRAM)
    c.copy(va_src, va, new.size).wait(timeout_ms=5000)
    windows.check(new, 0)
    hog.release()
    hog.windows.check(hog.bo, 0)


def test_memory_that_is_taken_before_it_is_vacant(guest):
    """Its new owner's jobs wait, and find zeros; the old content is where it belongs."""
    hog = Shared(guest)
    c = Copier(client(guest))
    out, va_out = c.buffer(PAGE, SYSTEM)
    c.copy(va_out, va_out, PAGE).wait()
    memory = c.npu.query_memory()
    size = memory.vram_total - memory.vram_used + 16 * MIB
    bo = c.npu.bo_create(size, placement=VRAM)
    sync = c.npu.syncobj_create()
    va = c.vm.bind(bo, signals=[sync], asynchronous=True)
    job = c.copy(va + size - PAGE, va_out, PAGE, waits=[sync])
    pause(c.npu, 200)
    assert not job.done()
    hog.release()
    job.wait()
    check_words(bo, 0)
    hog.windows.check(hog.bo, 0)
