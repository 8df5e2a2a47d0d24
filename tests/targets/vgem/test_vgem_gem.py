# SPDX-License-Identifier: MIT
"""Buffers of vgem: made, mapped, closed, and gone with their file."""

import errno
import os

import pytest

PAGE = 4096


def errno_of(call, *arguments):
    with pytest.raises(OSError) as info:
        call(*arguments)
    return info.value.errno


def test_driver_is_the_tested_one(guest, vgem):
    link = guest.shell(f"readlink /proc/{vgem.proc.pid}/fd/{vgem.fd}", check=True).stdout
    assert link == b"/dev/dri/card0\n"
    assert "vgem" in guest.modules()


def test_size_is_whole_pages(vgem):
    made = vgem.create(PAGE + 4)
    assert made.handle and made.size == 2 * PAGE and made.pitch == PAGE + 4


def test_new_memory_is_zero_and_keeps_what_is_written(vgem):
    memory = vgem.map(vgem.create(4 * PAGE).handle, 4 * PAGE)
    assert memory.read() == bytes(4 * PAGE)
    data = os.urandom(4 * PAGE)
    memory.write(data)
    assert memory.read() == data


def test_mapping_outlives_the_handle(vgem):
    made = vgem.create(PAGE)
    memory = vgem.map(made.handle, PAGE)
    memory[:4] = b"kept"
    vgem.close(made.handle)
    assert memory[:4] == b"kept"
    assert errno_of(vgem.map, made.handle, PAGE) == errno.ENOENT


def test_handle_is_closed_once_and_belongs_to_its_file(vgem, again):
    made = vgem.create(PAGE)
    assert errno_of(again.close, made.handle) == errno.EINVAL
    vgem.close(made.handle)
    assert errno_of(vgem.close, made.handle) == errno.EINVAL


def test_nothing_is_no_size(vgem):
    assert errno_of(vgem.create, 0) == errno.EINVAL


def test_open_file_keeps_the_module(guest, vgem):
    """The check at the end of each test can fail: it is this call."""
    assert errno_of(guest.rmmod, "vgem") == errno.EAGAIN
    vgem.proc.close(vgem.fd)
    guest.rmmod("vgem")
    assert not guest.exists("/dev/dri/card0")
