# SPDX-License-Identifier: MIT
"""Buffers of vgem on their way to others and back."""

import errno
import os
import select

import pytest

from vnpu.uapi import abi

PAGE = 4096


def test_both_sides_see_the_same_memory(vgem, again):
    made = vgem.create(2 * PAGE)
    memory = vgem.map(made.handle, 2 * PAGE)
    taken = again.take(vgem.export(made.handle))
    data = os.urandom(2 * PAGE)
    memory.write(data)
    assert again.map(taken, 2 * PAGE).read() == data


def test_own_export_comes_back_as_the_same_handle(vgem):
    made = vgem.create(PAGE)
    assert vgem.take(vgem.export(made.handle)) == made.handle


def test_dma_buf_is_mapped_by_itself_and_knows_its_size(vgem):
    made = vgem.create(3 * PAGE)
    fd = vgem.export(made.handle)
    vgem.map(made.handle, PAGE)[:5] = b"hello"
    assert vgem.proc.mmap(PAGE, fd=fd)[:5] == b"hello"
    assert vgem.proc.syscall("lseek", fd, 0, os.SEEK_END) == 3 * PAGE


def test_dma_buf_outlives_handle_and_file(vgem, again):
    made = vgem.create(PAGE)
    vgem.map(made.handle, PAGE)[:4] = b"kept"
    fd = vgem.export(made.handle)
    vgem.close(made.handle)
    vgem.proc.close(vgem.fd)
    assert again.map(again.take(fd), PAGE)[:4] == b"kept"


def test_what_is_no_dma_buf_is_refused(vgem):
    with pytest.raises(OSError) as info:
        vgem.take(vgem.fd)
    assert info.value.errno == errno.EINVAL


def test_fence_of_a_write_holds_readers_until_it_signals(vgem):
    made = vgem.create(PAGE)
    fd = vgem.export(made.handle)
    attached = abi.vgem_fence_attach(
        vgem.proc, vgem.fd, handle=made.handle, flags=abi.VGEM_FENCE_WRITE
    )
    assert not vgem.proc.poll({fd: select.POLLIN})
    abi.vgem_fence_signal(vgem.proc, vgem.fd, fence=attached.out_fence)
    assert vgem.proc.poll({fd: select.POLLIN}) == {fd: select.POLLIN}
