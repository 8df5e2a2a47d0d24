# SPDX-License-Identifier: MIT
"""What has to wait for what: one is held, the other must not happen; let go, it must.

Work of the device is held by the device (see docs/holds.md), so that nothing here
depends on how fast anything is.
"""

from __future__ import annotations

import contextlib
import errno
import signal
from dataclasses import dataclass

import pytest
from support import (
    MIB,
    PAGE,
    Copier,
    debugfs,
    map_op,
    pattern,
    pause,
    raises_errno,
    start_bind,
    unmap_op,
)

from vnpu.accel import COPY, SYSTEM, VRAM, Bo, Device
from vnpu.hw.codes import Opcode
from vnpu.hw.holds import BINDS, CLIENTS, PAGING, Hold
from vnpu.hw.packets import Copy, Fill
from vnpu.uapi import abi

SMALL = 64 * MIB
small_vram = pytest.mark.machine(vram=SMALL, aperture=SMALL)
#: a word that memory does not have by itself
WORD = 0x5EC2E75A


def time_passes(other):
    """Long enough for what does not wait."""
    pause(other, 30)


@pytest.fixture
def clears(holds):
    return holds.add("packet", queue=PAGING, opcode=Opcode.FILL)


@pytest.fixture
def drops(holds):
    """Translations that binds have the hardware forget."""
    return holds.add("entry", queue=BINDS, opcode=Opcode.RING_INVALIDATE)


def client_packets(holds):
    """All packets of clients: none is held, but they are counted."""
    return holds.add("packet", queue=CLIENTS, count=0)


def load_async(bo, size=8):
    """A read by the CPU in a thread of its own."""
    address = bo.map().addr
    return bo.device.proc.thread()._start_read(address, size)


def bind_async(npu, vm, op):
    """A synchronous VM_BIND in a thread of its own."""
    return start_bind(npu.proc.thread(), npu, vm, [op])


def check_others_work(other):
    """Another client's jobs neither wait nor go wrong."""
    c = Copier(other)
    src, a = c.buffer(PAGE)
    dst, b = c.buffer(PAGE)
    src.write(pattern(PAGE))
    c.copy(a, b, PAGE).wait()
    assert dst.read() == pattern(PAGE)


def ready(npu):
    """A Copier that has memory for commands, a buffer that says "old!", and its address.

    Whoever binds something has to wait for what his address space is in the middle of.
    """
    c = Copier(npu)
    out, to = c.buffer(PAGE)
    c.copy(to, to + 64, 64).wait()
    out.write(b"old!" * (PAGE // 4))
    return c, out, to


def secret(npu, size=SMALL // 4):
    """VRAM that is about to be free and holds what nobody else may see."""
    with contextlib.closing(npu.bo_create(size, placement=VRAM)) as bo:
        bo.write(WORD.to_bytes(4, "little") * (size // 4))


class TestClear:
    """X: memory of a new BO is being cleared."""

    @pytest.mark.parametrize("private", [True, False])
    def test_a_job_waits(self, npu, other, clears, private):
        c, out, to = ready(npu)
        bo = npu.bo_create(PAGE, placement=VRAM, vm=c.vm if private else None)
        assert clears.wait() == [PAGING]
        bound = npu.syncobj_create()
        at = c.vm.bind(bo, signals=[bound], asynchronous=True)
        job = c.copy(at, to, PAGE, waits=[bound])
        time_passes(other)
        assert not job.done()
        assert out.read(4) == b"old!"
        clears.close()
        job.wait()
        assert out.read() == bytes(PAGE)

    def test_a_synchronous_bind_waits(self, npu, other, clears):
        vm = npu.vm_create()
        bo = npu.bo_create(PAGE, placement=VRAM)
        clears.wait()
        call = bind_async(npu, vm, map_op(bo, 1 << 30))
        time_passes(other)
        assert not call.done()
        clears.close()
        assert call.result() == 0

    def test_an_asynchronous_bind_does_not(self, npu, other, clears):
        vm = npu.vm_create()
        bo = npu.bo_create(PAGE, placement=VRAM)
        clears.wait()
        bound = npu.syncobj_create()
        vm.bind(bo, signals=[bound], asynchronous=True)
        with raises_errno(errno.ETIME):
            bound.wait(timeout_ms=30)
        clears.close()
        bound.wait(timeout_ms=10000)

    def test_the_cpu_waits(self, npu, other, holds):
        secret(npu)
        clears = holds.add("packet", queue=PAGING, opcode=Opcode.FILL)
        bo = npu.bo_create(PAGE, placement=VRAM)
        clears.wait()
        load = load_async(bo)
        time_passes(other)
        assert not load.done()
        clears.close()
        assert load.result() == bytes(8)

    def test_a_killed_process_does_not_wait(self, npu, guest, clears):
        victim = Device.open(guest.spawn())
        bo = victim.bo_create(PAGE, placement=VRAM)
        clears.wait()
        load_async(bo)
        victim.proc.kill(signal.SIGKILL)
        victim.proc.wait(5)
        clears.close()

    def test_memory_is_not_free_before(self, npu, other, clears):
        used = npu.query_memory().vram_used
        bo = npu.bo_create(MIB, placement=VRAM)
        clears.wait()
        bo.close()
        time_passes(other)
        assert npu.query_memory().vram_used >= used + MIB
        clears.close()
        until_vram_is(npu, other, used)

    def test_work_of_others_does_not_wait(self, npu, other, clears):
        npu.bo_create(PAGE, placement=VRAM)
        clears.wait()
        check_others_work(other)


def until_vram_is(npu, other, used):
    """Until so much is in use; freed memory is given back a moment after the last fence."""
    for _ in range(100):
        if npu.query_memory().vram_used <= used:
            return
        time_passes(other)
    assert npu.query_memory().vram_used <= used


@small_vram
class TestJob:
    """X: a job of a client is on its way, and uses a buffer."""

    def held_job(self, npu, holds, **kwargs):
        """A job that is about to write WORD to all of a BO in VRAM."""
        c = Copier(npu)
        bo, at = c.buffer(8 * MIB, VRAM, **({"vm": c.vm} if kwargs.get("private") else {}))
        bo.write(b"old!")
        held = holds.add("packet", queue=CLIENTS, opcode=Opcode.FILL)
        job = c.queue.submit([Fill(pattern=WORD, dst=at, size=bo.size)])
        held.wait()
        return c, bo, at, job, held

    @pytest.mark.parametrize("private", [True, False])
    def test_its_buffer_is_not_moved_before_its_end(self, npu, other, holds, private):
        """Eviction copies what the job has written, not what was there before."""
        _, bo, _, job, held = self.held_job(npu, holds, private=private)
        copies = holds.add("packet", queue=PAGING, opcode=Opcode.COPY, count=0)
        others = other_fills_vram(other, holds)
        time_passes(other)
        assert copies.seen == 0
        assert not job.done()
        held.close()
        job.wait()
        others.result()
        assert bo.read(4) == WORD.to_bytes(4, "little")
        assert bo.read(4, offset=bo.size - 4) == WORD.to_bytes(4, "little")

    def test_its_memory_is_not_given_to_others_before_its_end(self, npu, other, holds):
        used = npu.query_memory().vram_used
        c, bo, at, job, held = self.held_job(npu, holds)
        c.vm.unbind(at, bo.size)
        bo.close()
        time_passes(other)
        assert npu.query_memory().vram_used >= used + 8 * MIB
        held.close()
        job.wait(check=False)

    def test_its_address_space_outlives_its_handle(self, npu, other, holds):
        c, bo, _, job, held = self.held_job(npu, holds)
        c.queue.destroy()
        c.vm.destroy()
        time_passes(other)
        assert not job.done()
        held.close()
        job.wait()
        assert bo.read(4) == WORD.to_bytes(4, "little")

    def test_the_cpu_does_not_wait(self, npu, holds):
        """Who wants the result waits for the fence."""
        _, bo, _, _, held = self.held_job(npu, holds)
        assert bo.read(4) == b"old!"
        held.close()

    def test_binds_of_other_memory_do_not_wait(self, npu, holds):
        c, _, _, job, held = self.held_job(npu, holds)
        c.vm.bind(npu.bo_create(PAGE, placement=SYSTEM))
        assert not job.done()
        held.close()

    def test_jobs_of_others_do_not_wait(self, npu, other, holds):
        *_, held = self.held_job(npu, holds)
        check_others_work(other)
        held.close()

    def test_close_of_the_file_ends_it(self, npu, guest, holds):
        victim = Device.open(guest.spawn())
        *_, held = self.held_job(victim, holds)
        victim.proc.kill(signal.SIGKILL)
        victim.proc.wait(5)
        assert held.queues == []


def other_fills_vram(other, holds):
    """Another client makes BOs until others have to give way; a pending BO_CREATE of it."""
    memory = other.query_memory()
    size = memory.vram_total - memory.vram_used - 2 * MIB
    other.bo_create(size, placement=VRAM)
    arg = bytes(abi.BoCreate(size=4 * MIB, placements=other.placements(VRAM)))
    return other.proc.thread().syscall_async(
        "ioctl", other.fd, abi.DRM_IOCTL_VNPU_BO_CREATE, bytearray(arg)
    )


@dataclass
class Evicted:
    """A BO of client ``c`` whose copy out of VRAM is held, and what pushed it out."""

    c: Copier
    bo: Bo
    at: int
    data: bytes
    moves: Hold
    newcomer: Bo
    out: Bo
    to: int


@small_vram
class TestMove:
    """X: a buffer is being copied out of VRAM."""

    def evicted(self, npu, other, holds, private=False):
        """A BO with content that is being evicted; its copy is held."""
        c, out, to = ready(npu)
        bo, at = c.buffer(8 * MIB, VRAM, **({"vm": c.vm} if private else {}))
        data = pattern(bo.size)
        bo.write(data)
        moves = holds.add("packet", queue=PAGING, opcode=Opcode.COPY)
        newcomer = other_takes_the_place(other)
        moves.wait()
        return Evicted(c, bo, at, data, moves, newcomer, out, to)

    def test_the_cpu_waits(self, npu, other, guest, holds):
        e = self.evicted(npu, other, holds)
        load = load_async(e.bo)
        time_passes(Device.open(guest.spawn()))
        assert not load.done()
        e.moves.close()
        assert load.result() == e.data[:8]
        assert e.bo.read() == e.data

    @pytest.mark.parametrize("private", [True, False])
    def test_a_job_that_uses_it_waits(self, npu, other, guest, holds, private):
        e = self.evicted(npu, other, holds, private)
        packets = client_packets(holds)
        job = e.c.copy(e.at, e.to, PAGE)
        time_passes(Device.open(guest.spawn()))
        assert not job.done()
        assert packets.seen == 0
        e.moves.close()
        job.wait()
        assert e.out.read() == e.data[:PAGE]

    def test_the_next_owner_of_its_place_waits(self, npu, other, holds):
        """Its clear comes after the copy, or the content is lost."""
        e = self.evicted(npu, other, holds)
        load = load_async(e.newcomer)
        time_passes(npu)
        assert not load.done()
        e.moves.close()
        assert load.result() == bytes(8)
        assert e.bo.read() == e.data

    def test_its_memory_is_not_free_before(self, npu, other, guest, holds):
        e = self.evicted(npu, other, holds)
        e.c.vm.unbind(e.at, e.bo.size)
        e.bo.close()
        load = load_async(e.newcomer)
        time_passes(Device.open(guest.spawn()))
        assert not load.done()
        e.moves.close()
        assert load.result() == bytes(8)


def other_takes_the_place(other):
    """BOs of another client until one pushes another client's out; that BO."""
    memory = other.query_memory()
    other.bo_create(memory.vram_total - memory.vram_used - MIB, placement=VRAM)
    return other.bo_create(4 * MIB, placement=VRAM)


class TestUnmap:
    """X: the hardware has not forgotten a translation yet."""

    def unmapped(self, npu, drops, size=MIB):
        c = Copier(npu)
        bo, at = c.buffer(size, VRAM)
        done = npu.syncobj_create()
        c.vm.unbind(at, size, signals=[done], asynchronous=True)
        drops.wait()
        return c, bo, at, done

    def test_a_synchronous_unmap_waits(self, npu, other, drops):
        c = Copier(npu)
        _, at = c.buffer(PAGE)
        call = bind_async(npu, c.vm, unmap_op(at, PAGE))
        drops.wait()
        time_passes(other)
        assert not call.done()
        drops.close()
        assert call.result() == 0

    def test_its_out_sync_waits(self, npu, drops):
        *_, done = self.unmapped(npu, drops)
        with raises_errno(errno.ETIME):
            done.wait(timeout_ms=30)
        drops.close()
        done.wait(timeout_ms=10000)

    def test_memory_is_not_free_before(self, npu, other, drops):
        used = npu.query_memory().vram_used
        _, bo, _, done = self.unmapped(npu, drops)
        bo.close()
        time_passes(other)
        assert npu.query_memory().vram_used >= used + MIB
        drops.close()
        done.wait(timeout_ms=10000)

    def test_page_tables_are_not_used_again_before(self, npu, other, guest, drops):
        c, _, _, done = self.unmapped(npu, drops, 4 * MIB)
        used = pages_in_use(guest)
        time_passes(other)
        assert pages_in_use(guest) == used
        drops.close()
        done.wait(timeout_ms=10000)
        assert pages_in_use(guest) < used
        c.vm.destroy()

    def test_later_binds_of_the_address_space_wait(self, npu, other, drops):
        c, bo, _, _ = self.unmapped(npu, drops)
        later = npu.syncobj_create()
        c.vm.bind(bo, signals=[later], asynchronous=True)
        with raises_errno(errno.ETIME):
            later.wait(timeout_ms=30)
        drops.close()
        later.wait(timeout_ms=10000)

    def test_a_job_waits_for_a_synchronous_bind_of_another_thread(self, npu, other, holds, drops):
        """MAP over a mapping: until the old translation is gone the job might see it."""
        c = Copier(npu)
        old, at = c.buffer(PAGE)
        new = npu.bo_create(PAGE, placement=SYSTEM)
        old.write(b"o" * PAGE)
        new.write(b"n" * PAGE)
        out, to = c.buffer(PAGE)
        c.copy(at, to, PAGE).wait()
        packets = client_packets(holds)
        call = bind_async(npu, c.vm, map_op(new, at))
        drops.wait()
        job = c.copy(at, to, PAGE)
        time_passes(other)
        assert not job.done()
        assert packets.seen == 0
        drops.close()
        assert call.result() == 0
        job.wait()
        assert out.read() == b"n" * PAGE

    def test_the_address_space_goes_after_it(self, npu, other, drops):
        c, _, _, done = self.unmapped(npu, drops)
        c.queue.destroy()
        c.vm.destroy()
        time_passes(other)
        drops.close()
        done.wait(timeout_ms=10000)


def pages_in_use(guest):
    """Page-table pages of the device."""
    line = guest.read_file(f"{debugfs(guest)}/page_tables").decode()
    return int(line.split()[2])


class TestSync:
    """X: a job that others were told to wait for."""

    def held_jobs(self, npu, holds, count=1):
        c = Copier(npu)
        held = holds.add("packet", queue=CLIENTS, opcode=Opcode.FILL)
        jobs = []
        for _ in range(count):
            bo = npu.bo_create(PAGE, placement=SYSTEM)
            at = c.vm.bind(bo)
            queue = npu.queue_create(c.vm, engine=COPY)
            jobs.append(queue.submit([Fill(pattern=WORD, dst=at, size=PAGE)]))
        held.wait(count)
        return c, jobs, held

    def test_a_job_waits_for_its_in_syncs(self, npu, other, holds):
        c, jobs, held = self.held_jobs(npu, holds, 3)
        src, a = c.buffer(PAGE)
        out, b = c.buffer(PAGE)
        src.write(b"s" * PAGE)
        late = c.copy(a, b, PAGE, waits=jobs)
        for _ in range(3):
            time_passes(other)
            assert not late.done()
            assert out.read(1) == b"\0"
            held.release(1)
        late.wait()
        assert out.read(1) == b"s"

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    def test_in_whatever_order_they_come(self, npu, other, holds, order):
        c, jobs, held = self.held_jobs(npu, holds, 3)
        queues = held.queues
        out, at = c.buffer(PAGE)
        late = c.queue.submit([Copy(src=at, dst=at + 64, size=64)], waits=jobs)
        for i in order:
            time_passes(other)
            assert not late.done()
            held.release(queue=queues[i])
        late.wait()

    def test_a_point_of_a_timeline_waits_for_its_own_job(self, npu, other, holds):
        c, _, held = self.held_jobs(npu, holds, 0)
        held.close()
        line = npu.syncobj_create()
        bo, at = c.buffer(PAGE)
        held = holds.add("packet", queue=CLIENTS, opcode=Opcode.FILL)
        queues = [npu.queue_create(c.vm, engine=COPY) for _ in range(2)]
        for point, queue in enumerate(queues, 1):
            queue.submit([Fill(pattern=point, dst=at, size=64)], signals=[(line, point)])
        held.wait(2)
        one = c.copy(at, at + 128, 64, waits=[(line, 1)])
        two = npu.queue_create(c.vm, engine=COPY).submit(
            [Copy(src=at, dst=at + 256, size=64)], waits=[(line, 2)]
        )
        held.release(1)
        one.wait()
        time_passes(other)
        assert not two.done()
        assert line.query() == 1
        held.close()
        two.wait()
        assert line.query() == 2

    def test_a_bind_waits_for_its_in_sync(self, npu, holds):
        c, (job,), held = self.held_jobs(npu, holds)
        bound = npu.syncobj_create()
        c.vm.bind(
            npu.bo_create(PAGE, placement=SYSTEM),
            waits=[job], signals=[bound], asynchronous=True,
        )  # fmt: skip
        with raises_errno(errno.ETIME):
            bound.wait(timeout_ms=30)
        held.close()
        bound.wait(timeout_ms=10000)

    def test_jobs_of_a_queue_run_in_order(self, npu, other, holds):
        c = Copier(npu)
        out, at = c.buffer(PAGE)
        held = holds.add("packet", queue=CLIENTS, opcode=Opcode.FILL)
        first = c.queue.submit([Fill(pattern=WORD, dst=at, size=64)])
        second = c.queue.submit([Copy(src=at, dst=at + 64, size=64)])
        held.wait()
        time_passes(other)
        assert not second.done()
        held.close()
        second.wait()
        assert first.done()
        assert out.read(4, offset=64) == WORD.to_bytes(4, "little")


class TestFence:
    """X: a job has done its work, and the hardware has not said so yet."""

    def held_fence(self, npu, holds, placement=VRAM):
        c = Copier(npu)
        bo, at = c.buffer(MIB, placement)
        held = holds.add("entry", queue=CLIENTS, opcode=Opcode.RING_FENCE)
        job = c.queue.submit([Fill(pattern=WORD, dst=at, size=bo.size)])
        held.wait()
        return c, bo, at, job, held

    def test_it_is_not_over(self, npu, other, holds):
        _, bo, _, job, held = self.held_fence(npu, holds)
        assert bo.read(4) == WORD.to_bytes(4, "little")
        time_passes(other)
        assert not job.done()
        held.close()
        job.wait()

    def test_memory_is_not_free_before(self, npu, other, holds):
        used = npu.query_memory().vram_used
        c, bo, at, job, held = self.held_fence(npu, holds)
        c.vm.unbind(at, bo.size)
        bo.close()
        time_passes(other)
        assert npu.query_memory().vram_used >= used + MIB
        held.close()
        job.wait()

    def test_the_queue_counts_it_as_under_way(self, npu, other, holds):
        c, _, _, job, held = self.held_fence(npu, holds)
        counters = c.queue.query()
        assert (counters.jobs_submitted, counters.jobs_completed) == (1, 0)
        held.close()
        job.wait()
        assert c.queue.query().jobs_completed == 1


@small_vram
class TestRebind:
    """X: the entries of a buffer that came back are not written yet, or old ones not dropped."""

    def test_a_job_waits_for_it(self, npu, other, guest, holds):
        c = Copier(npu)
        bo, at = c.buffer(8 * MIB, VRAM)
        data = pattern(bo.size)
        bo.write(data)
        out, to = c.buffer(PAGE)
        c.copy(at, to, PAGE).wait()
        memory = npu.query_memory()
        with contextlib.closing(
            other.bo_create(memory.vram_total - memory.vram_used + 4 * MIB, placement=VRAM)
        ) as big:
            big.read(1)
        drops = holds.add("entry", queue=BINDS, opcode=Opcode.RING_INVALIDATE)
        packets = client_packets(holds)
        out.write(bytes(PAGE))
        job = c.copy(at, to, PAGE)
        drops.wait()
        time_passes(Device.open(guest.spawn()))
        assert packets.seen == 0
        assert not job.done()
        drops.close()
        job.wait()
        assert out.read() == data[:PAGE]
