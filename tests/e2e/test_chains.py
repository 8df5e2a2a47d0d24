# SPDX-License-Identifier: MIT
"""Chains of things that wait for one that is held: jobs, binds, and the end of who made them."""

import errno

import pytest
from foreign import KeptFiles, take
from support import MIB, PAGE, Copier, Gate, check_words, pause

from vnpu.accel import SYSTEM, VRAM, Bo, Device, Fence
from vnpu.hw.packets import Copy, Fill, Nop
from vnpu.uapi import abi


class Chain:
    """Map when another driver says so, then write there, then unmap, with nothing kept for it."""

    def __init__(self, foreign, holder):
        self.dev = dev = Device.open(foreign.holder.fork())
        sync = dev.syncobj_create()
        sync.import_sync_file(foreign.sync_file)
        c = Copier(dev)
        c.queue.submit([Nop()]).wait()  # has memory for commands by now
        bo = dev.bo_create(PAGE, placement=SYSTEM)
        va = c.vm.reserve(PAGE)
        bound, unbound = dev.syncobj_create(), dev.syncobj_create()
        c.vm.bind(bo, va=va, waits=[sync], signals=[bound], asynchronous=True)
        job = c.queue.submit([Fill(pattern=7, dst=va, size=PAGE)], waits=[bound])
        c.vm.unbind(va, PAGE, waits=[job], signals=[unbound], asynchronous=True)
        self.word = holder.mmap(PAGE, fd=take(holder, dev.proc, bo.export()))
        files = [s.export_sync_file() for s in (bound, job.syncobj, unbound)]
        self.files = KeptFiles(holder, dev.proc, files)
        bo.close()
        c.queue.destroy()
        c.vm.destroy()


def test_map_write_unmap_behind_another_driver(guest, npu, foreign):
    chain = Chain(foreign, guest.spawn())
    pause(npu, 100)
    assert chain.files.statuses() == [0, 0, 0] and chain.word.read_u32() == 0
    foreign.signal()
    chain.files.wait()
    assert chain.files.statuses() == [1, 1, 1] and chain.word.read_u32() == 7


def test_map_write_unmap_of_who_is_gone(guest, npu, foreign):
    """The job never runs; what it was to write to is whole, and the binds are carried out."""
    chain = Chain(foreign, guest.spawn())
    chain.dev.proc.kill(9)
    chain.dev.proc.wait()
    pause(npu, 100)
    assert chain.files.statuses()[0] == 0 and chain.word.read_u32() == 0
    foreign.signal()
    chain.files.wait()
    assert chain.files.statuses() == [1, -errno.ECANCELED, 1] and chain.word.read_u32() == 0


@pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)
@pytest.mark.parametrize("private", [False, True], ids=["external", "private"])
def test_memory_is_nobody_elses_until_its_job_is_over(guest, npu, other, private):
    """A job is about to write to memory that its owner has given up; others want it."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    bo = npu.bo_create(40 * MIB, placement=VRAM, vm=c.vm if private else None)
    va = c.vm.bind(bo)
    job = c.queue.submit([*gate.packets(), Fill(pattern=0x5EC4E7, dst=va, size=bo.size)])
    c.vm.unbind(va, bo.size, waits=[job], asynchronous=True)
    bo.close()
    c.vm.destroy()
    arg = abi.BoCreate(size=40 * MIB, placements=other.placements(int(VRAM)))
    buffer = other.proc.alloc(len(bytes(arg)))
    buffer.write(bytes(arg))
    create = other.proc.thread().syscall_async(
        "ioctl", other.fd, abi.DRM_IOCTL_VNPU_BO_CREATE, buffer.addr
    )
    create.wait_blocked()
    pause(npu, 100)
    assert not create.done()
    gate.open()
    assert create.result() == 0
    job.wait()
    made = abi.BoCreate.from_bytes(other.proc.read_mem(buffer.addr, len(bytes(arg))))
    check_words(Bo(other, made.handle, made.size), 0)


def test_unmap_waits_with_its_memory(npu):
    """Until it is carried out the device finds what was there, whatever the CPU let go of."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    held = npu.queue_create(c.vm).submit(gate.packets())
    bo, va = c.buffer(PAGE, VRAM)
    bo.write(b"before")
    out, to = c.buffer(PAGE)
    c.queue.submit([Nop()]).wait()  # has memory for commands by now
    gone = npu.syncobj_create()
    c.vm.unbind(va, PAGE, waits=[held], signals=[gone], asynchronous=True)
    bo.close()
    c.copy(va, to, PAGE).wait()
    assert out.read(6) == b"before"
    assert not Fence(gone).done()
    gate.open()
    gone.wait(timeout_ms=10000)
    late = c.copy(va, to, PAGE)
    late.wait(check=False)
    assert late.error() == errno.EIO


@pytest.mark.parametrize("other_client", [False, True], ids=["same-file", "other-file"])
def test_job_waits_for_all_it_was_told_to(npu, other, other_client):
    """Two waits, of another queue and of another client; either alone is not enough."""
    source = other if other_client else npu
    held = [Copier(source), Copier(npu)]
    gates = [Gate(c.npu, c.vm) for c in held]
    fences = [c.queue.submit(g.packets()) for c, g in zip(held, gates, strict=True)]
    c = Copier(npu)
    (src, a), (dst, b) = c.buffer(PAGE), c.buffer(PAGE)
    src.write(b"late")
    waits = [fences[1]]
    imported = npu.syncobj_create()
    sync_file = fences[0].syncobj.export_sync_file()
    if other_client:
        sync_file = take(npu.proc, other.proc, sync_file)
    imported.import_sync_file(sync_file)
    job = c.queue.submit([Copy(src=a, dst=b, size=PAGE)], waits=[*waits, imported])
    for gate in gates:
        pause(npu, 50)
        assert not job.done() and dst.read(4) == bytes(4)
        gate.open()
    job.wait()
    assert dst.read(4) == b"late"
