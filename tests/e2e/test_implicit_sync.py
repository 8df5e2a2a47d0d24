# SPDX-License-Identifier: MIT
"""Implicit synchronisation: there is none but what sync files carry over."""

import pytest
from support import PAGE, PLACEMENTS, Copier, Gate, pattern
from vgem import Vgem

from vnpu.accel import SYSTEM
from vnpu.hw.packets import Copy, Fill
from vnpu.uapi import abi

READ, WRITE = abi.DMA_BUF_SYNC_READ, abi.DMA_BUF_SYNC_WRITE
POLLIN, POLLOUT = 1, 4


def export_sync_file(proc, fd, flags=READ | WRITE):
    """The fences of a dma-buf, for a reader or a writer to come."""
    return abi.dma_buf_export_sync_file(proc, fd, flags=flags, fd=-1).fd


def import_sync_file(proc, fd, sync_file, flags=WRITE):
    """Make readers (and writers) of a dma-buf wait for a fence."""
    abi.dma_buf_import_sync_file(proc, fd, flags=flags, fd=sync_file)


def ready(proc, fd, events=POLLIN):
    """What poll() says at once."""
    return proc.poll({fd: events}, timeout_ms=0).get(fd, 0)


class Writer:
    """A job that writes to a buffer when its gate opens."""

    def __init__(self, npu, bo):
        self.copier = Copier(npu)
        self.gate = Gate(npu, self.copier.vm)
        va = self.copier.vm.bind(bo)
        self.fence = self.copier.queue.submit(
            [*self.gate.packets(), Fill(pattern=0x5A5A5A5A, dst=va, size=PAGE)]
        )

    def finish(self):
        self.gate.open()
        self.fence.wait()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_exported_buffer_does_not_tell_of_jobs(npu, placement):
    """Neither poll() nor a sync file of it waits for a job that writes to the BO."""
    bo = npu.bo_create(PAGE, placement=placement)
    fd = bo.export()
    writer = Writer(npu, bo)
    assert ready(npu.proc, fd, POLLIN | POLLOUT) == POLLIN | POLLOUT
    for flags in (READ, WRITE, READ | WRITE):
        assert ready(npu.proc, export_sync_file(npu.proc, fd, flags))
    assert not writer.fence.done()
    writer.finish()
    assert bo.read() == b"\x5a" * PAGE


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_sync_file_of_a_job_makes_others_wait(npu, placement):
    """The way out: a job's fence, imported into the dma-buf, is there for everybody."""
    bo = npu.bo_create(PAGE, placement=placement)
    fd = bo.export()
    writer = Writer(npu, bo)
    import_sync_file(npu.proc, fd, writer.fence.syncobj.export_sync_file())
    assert not ready(npu.proc, fd, POLLIN)
    assert not ready(npu.proc, fd, POLLOUT)
    sync_file = export_sync_file(npu.proc, fd, READ)
    assert not ready(npu.proc, sync_file)
    writer.gate.open()
    assert npu.proc.poll({fd: POLLIN, sync_file: POLLIN}, timeout_ms=5000)
    writer.fence.wait()
    assert ready(npu.proc, fd, POLLIN | POLLOUT) == POLLIN | POLLOUT
    assert ready(npu.proc, sync_file)


def test_reader_of_a_dma_buf_holds_up_writers_only(npu):
    bo = npu.bo_create(PAGE)
    fd = bo.export()
    writer = Writer(npu, bo)
    import_sync_file(npu.proc, fd, writer.fence.syncobj.export_sync_file(), READ)
    assert ready(npu.proc, fd, POLLIN)
    assert not ready(npu.proc, fd, POLLOUT)
    writer.finish()
    assert ready(npu.proc, fd, POLLOUT)


class Import:
    """A buffer of vgem that somebody writes to, and a queue that can read it."""

    def __init__(self, npu):
        self.npu = npu
        self.vgem = Vgem(npu.proc)
        handle, self.fd = self.vgem.buffer(PAGE)
        self.fence = self.vgem.write_begins(handle)
        self.copier = Copier(npu)
        self.va = self.copier.vm.bind(npu.prime_import(self.fd))
        self.out, self.out_va = self.copier.buffer(PAGE, SYSTEM)

    def read(self, **kwargs):
        return self.copier.queue.submit([Copy(src=self.va, dst=self.out_va, size=PAGE)], **kwargs)


def test_job_does_not_wait_for_a_foreign_writer(npu):
    imported = Import(npu)
    assert not ready(npu.proc, imported.fd, POLLIN), "the write has begun"
    imported.out.write(pattern(PAGE))
    imported.read().wait(timeout_ms=5000)
    assert not ready(npu.proc, imported.fd, POLLIN), "and has not ended"
    assert imported.out.read() == bytes(PAGE)
    imported.vgem.write_ends(imported.fence)
    assert ready(npu.proc, imported.fd, POLLIN)


def test_sync_file_of_a_foreign_writer_makes_a_job_wait(npu):
    """The way in: what is on the dma-buf, as a wait of the job."""
    imported = Import(npu)
    sync = npu.syncobj_create()
    sync.import_sync_file(export_sync_file(npu.proc, imported.fd, READ))
    job = imported.read(waits=[sync])
    npu.proc.poll({}, timeout_ms=100)
    assert not job.done()
    imported.vgem.write_ends(imported.fence)
    job.wait()
    assert job.error() == 0


def test_foreign_writer_of_an_exported_buffer(npu):
    """The same for a BO of our own that another driver uses."""
    vgem = Vgem(npu.proc)
    bo = npu.bo_create(PAGE)
    bo.write(pattern(PAGE))
    fd = bo.export()
    fence = vgem.write_begins(vgem.take(fd))
    c = Copier(npu)
    va = c.vm.bind(bo)
    out, out_va = c.buffer(PAGE)
    c.copy(va, out_va, PAGE).wait(timeout_ms=5000)
    assert out.read() == pattern(PAGE)
    assert not ready(npu.proc, fd, POLLIN)
    sync = npu.syncobj_create()
    sync.import_sync_file(export_sync_file(npu.proc, fd, READ))
    job = c.copy(va, out_va, PAGE, waits=[sync])
    npu.proc.poll({}, timeout_ms=100)
    assert not job.done()
    vgem.write_ends(fence)
    job.wait()
