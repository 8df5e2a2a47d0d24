# SPDX-License-Identifier: MIT
"""Sharing buffers by dma-buf: between files, processes and other drivers."""

import contextlib
import errno
import fcntl
import mmap
import os
import signal

import pytest
from support import MIB, PAGE, PLACEMENTS, Copier, pattern, raises_errno

from vnpu.accel import SYSTEM, VRAM, Device
from vnpu.guest import GuestFault
from vnpu.hw.packets import Fill
from vnpu.uapi import abi

RW = mmap.PROT_READ | mmap.PROT_WRITE
SHARED = mmap.MAP_SHARED
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2
MFD_ALLOW_SEALING = 2


@contextlib.contextmanager
def cpu_access(proc, fd, flags=abi.DMA_BUF_SYNC_READ | abi.DMA_BUF_SYNC_WRITE):
    """What a program has to do around touching a mapped dma-buf."""
    abi.dma_buf_sync(proc, fd, flags=abi.DMA_BUF_SYNC_START | flags)
    yield
    abi.dma_buf_sync(proc, fd, flags=abi.DMA_BUF_SYNC_END | flags)


class Foreign:
    """A dma-buf of another driver: pages of a memfd, by udmabuf."""

    def __init__(self, proc, size):
        self.proc = proc
        memfd = proc.syscall("memfd_create", "foreign", MFD_ALLOW_SEALING)
        proc.syscall("ftruncate", memfd, size)
        proc.syscall("fcntl", memfd, F_ADD_SEALS, F_SEAL_SHRINK)
        self.memory = proc.mmap(size, RW, SHARED, memfd, 0)
        udmabuf = proc.open("/dev/udmabuf", os.O_RDWR)
        arg = bytes(abi.UdmabufCreate(memfd=memfd, offset=0, size=size))
        self.fd = proc.syscall("ioctl", udmabuf, abi.UDMABUF_CREATE.nr, arg)


@pytest.fixture
def foreign(proc):
    return Foreign(proc, 4 * PAGE)


def test_own_file_gets_its_handle_back(npu):
    bo = npu.bo_create(PAGE)
    assert npu.prime_import(bo.export()).handle == bo.handle


def test_each_export_is_the_same_dma_buf(npu):
    bo = npu.bo_create(PAGE)
    inodes = set()
    for _ in range(2):
        stat = npu.proc.alloc(144)
        npu.proc.syscall("fstat", bo.export(), stat.addr)
        inodes.add(stat[8:16])
    assert len(inodes) == 1


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_other_file_sees_the_same_memory(npu, placement):
    bo = npu.bo_create(2 * PAGE, placement=placement)
    bo.write(pattern(2 * PAGE))
    twin = Device.open(npu.proc).prime_import(bo.export())
    assert twin.size == 2 * PAGE
    assert twin.read() == pattern(2 * PAGE)
    twin.write(b"back", PAGE)
    assert bo.read(4, PAGE) == b"back"


def test_importing_twice_gives_one_handle(npu):
    bo = npu.bo_create(PAGE)
    second = Device.open(npu.proc)
    assert second.prime_import(bo.export()).handle == second.prime_import(bo.export()).handle


def test_imported_handle_can_be_exported_again(npu):
    bo = npu.bo_create(PAGE)
    bo.write(b"around")
    second, third = Device.open(npu.proc), Device.open(npu.proc)
    twin = second.prime_import(bo.export())
    bo.close()
    last = third.prime_import(twin.export())
    twin.close()
    assert last.read(6) == b"around"


def test_dma_buf_keeps_the_memory(npu):
    before = npu.query_memory().vram_used
    bo = npu.bo_create(MIB)
    bo.write(b"kept")
    fd = bo.export()
    bo.close()
    assert npu.query_memory().vram_used >= before + MIB
    twin = npu.prime_import(fd)
    assert twin.read(4) == b"kept"
    twin.close()
    npu.proc.close(fd)
    assert npu.query_memory().vram_used <= before + PAGE


def test_dma_buf_outlives_the_exporting_process(guest, npu):
    proc = guest.spawn()
    bo = Device.open(proc).bo_create(PAGE)
    bo.write(b"legacy")
    fd = bo.export()
    child = proc.fork()
    proc.exit()
    heir = Device.open(child)
    assert heir.prime_import(fd).read(6) == b"legacy"


def test_size_of_the_dma_buf(npu):
    assert npu.proc.syscall("lseek", npu.bo_create(5 * PAGE).export(), 0, os.SEEK_END) == 5 * PAGE


@pytest.mark.parametrize("flags", [4, 0x800, 1 << 31])
def test_unknown_export_flag(npu, flags):
    with raises_errno(errno.EINVAL):
        npu.bo_create(PAGE).export(flags)


@pytest.mark.parametrize("cloexec", [0, abi.DRM_CLOEXEC])
def test_close_on_exec(npu, cloexec):
    fd = npu.bo_create(PAGE).export(abi.DRM_RDWR | cloexec)
    flags = npu.proc.syscall("fcntl", fd, fcntl.F_GETFD, 0)
    assert bool(flags & fcntl.FD_CLOEXEC) == bool(cloexec)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_dma_buf_can_be_mapped(npu, placement):
    bo = npu.bo_create(2 * PAGE, placement=placement)
    bo.write(b"direct", PAGE)
    fd = bo.export()
    mapping = npu.proc.mmap(2 * PAGE, RW, SHARED, fd, 0)
    with cpu_access(npu.proc, fd):
        assert mapping[PAGE : PAGE + 6] == b"direct"
        mapping[:3] = b"two"
    assert bo.read(3) == b"two"


def test_dma_buf_exported_for_reading_only(npu):
    bo = npu.bo_create(PAGE)
    bo.write(b"look")
    fd = bo.export(abi.DRM_CLOEXEC)
    with raises_errno(errno.EACCES):
        npu.proc.mmap(PAGE, RW, SHARED, fd, 0)
    mapping = npu.proc.mmap(PAGE, mmap.PROT_READ, SHARED, fd, 0)
    assert mapping[:4] == b"look"
    with pytest.raises(GuestFault) as fault:
        mapping.write(b"no")
    assert fault.value.signal == signal.SIGSEGV


@pytest.mark.parametrize(("length", "offset"), [(2 * PAGE, 0), (PAGE, PAGE), (PAGE, 2**63 - PAGE)])
def test_mapping_outside_of_the_dma_buf(npu, length, offset):
    fd = npu.bo_create(PAGE).export()
    with raises_errno(errno.EINVAL, errno.EOVERFLOW):
        npu.proc.mmap(length, RW, SHARED, fd, offset)


def test_private_buffer_cannot_be_exported(npu):
    vm = npu.vm_create()
    bo = npu.bo_create(PAGE, vm=vm)
    for _ in range(3):
        with raises_errno(errno.EPERM):
            bo.export()
    vm.bind(bo)
    bo.write(b"x")


@pytest.mark.parametrize("handle", [0, 99, 0xFFFFFFFF])
def test_export_of_no_handle(npu, handle):
    with raises_errno(errno.ENOENT):
        abi.prime_handle_to_fd(npu.proc, npu.fd, handle=handle, flags=abi.DRM_CLOEXEC)


@pytest.mark.parametrize("fd", [-1, 999])
def test_import_of_no_descriptor(npu, fd):
    with raises_errno(errno.EBADF):
        abi.prime_fd_to_handle(npu.proc, npu.fd, fd=fd)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/accel/accel0", "/"])
def test_import_of_another_file(npu, path):
    fd = npu.proc.open(path, os.O_RDONLY)
    with raises_errno(errno.EINVAL):
        abi.prime_fd_to_handle(npu.proc, npu.fd, fd=fd)


def test_device_writes_to_an_exported_buffer(npu):
    """One file's queue fills what another file's queue copies."""
    one, two = Copier(npu), Copier(Device.open(npu.proc))
    bo, va = one.buffer(PAGE, VRAM)
    twin = two.npu.prime_import(bo.export())
    twin_va = two.vm.bind(twin)
    out, out_va = two.buffer(PAGE, SYSTEM)
    one.queue.submit([Fill(pattern=0x01020304, dst=va, size=PAGE)]).wait()
    two.copy(twin_va, out_va, PAGE).wait()
    assert out.read() == bytes([4, 3, 2, 1]) * (PAGE // 4)


# buffers of another driver


def test_foreign_buffer_is_read_by_the_device(npu, foreign):
    c = Copier(npu)
    foreign.memory.write(pattern(4 * PAGE))
    bo = npu.prime_import(foreign.fd)
    assert bo.size == 4 * PAGE
    va = c.vm.bind(bo)
    out, out_va = c.buffer(4 * PAGE, VRAM)
    c.copy(va, out_va, 4 * PAGE).wait()
    assert out.read() == pattern(4 * PAGE)


def test_foreign_buffer_is_written_by_the_device(npu, foreign):
    c = Copier(npu)
    source, va_source = c.buffer(4 * PAGE, VRAM)
    source.write(pattern(4 * PAGE))
    va = c.vm.bind(npu.prime_import(foreign.fd))
    c.copy(va_source, va, 4 * PAGE).wait()
    with cpu_access(npu.proc, foreign.fd):
        assert foreign.memory.read() == pattern(4 * PAGE)


def test_part_of_a_foreign_buffer(npu, foreign):
    c = Copier(npu)
    va = c.vm.bind(npu.prime_import(foreign.fd), offset=PAGE, size=2 * PAGE)
    c.queue.submit([Fill(pattern=0xFFFFFFFF, dst=va, size=2 * PAGE)]).wait()
    got = foreign.memory.read()
    assert got == bytes(PAGE) + b"\xff" * (2 * PAGE) + bytes(PAGE)


def test_foreign_buffer_bound_read_only(npu, foreign):
    c = Copier(npu)
    va = c.vm.bind(npu.prime_import(foreign.fd), readonly=True)
    fence = c.queue.submit([Fill(pattern=1, dst=va, size=PAGE)])
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    assert not any(foreign.memory.read())


def test_foreign_buffer_cannot_be_mapped_here(npu, foreign):
    bo = npu.prime_import(foreign.fd)
    with raises_errno(errno.EINVAL):
        bo.mmap_offset()


def test_foreign_buffer_keeps_its_dma_buf_when_exported(npu, foreign):
    bo = npu.prime_import(foreign.fd)
    fd = bo.export()
    foreign.memory[:4] = b"same"
    assert npu.proc.mmap(PAGE, RW, SHARED, fd, 0)[:4] == b"same"


def test_foreign_buffer_outlives_its_descriptor(npu, foreign):
    c = Copier(npu)
    foreign.memory.write(b"still", 0)
    bo = npu.prime_import(foreign.fd)
    npu.proc.close(foreign.fd)
    va = c.vm.bind(bo)
    bo.close()
    out, out_va = c.buffer(PAGE, SYSTEM)
    c.copy(va, out_va, PAGE).wait()
    assert out.read(5) == b"still"


def test_foreign_buffer_is_not_counted_as_vram(npu, proc):
    before = npu.query_memory().vram_used
    bo = npu.prime_import(Foreign(proc, 4 * MIB).fd)
    va_space = npu.vm_create()
    va_space.bind(bo)
    assert npu.query_memory().vram_used - before < MIB


def test_foreign_buffer_does_not_become_private(npu, foreign):
    """Bound to two address spaces: an import belongs to none of them."""
    bo = npu.prime_import(foreign.fd)
    for _ in range(2):
        c = Copier(npu)
        va = c.vm.bind(bo)
        c.queue.submit([Fill(pattern=7, dst=va, size=PAGE)]).wait()
    assert foreign.memory[:4] == b"\7\0\0\0"


def test_many_imports_and_releases(npu, proc):
    handles = set()
    for i in range(20):
        foreign = Foreign(proc, PAGE * (i + 1))
        bo = npu.prime_import(foreign.fd)
        handles.add(bo.handle)
        bo.close()
        proc.close(foreign.fd)
        foreign.memory.unmap()
    assert len(handles) == 1, "a handle that was given back is used again"
