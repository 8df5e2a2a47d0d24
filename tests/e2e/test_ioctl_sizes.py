# SPDX-License-Identifier: MIT
"""Ioctl numbers and argument sizes that are not those of the header.

The size is a part of the number, so programs built against an earlier or a
later header make the same ioctl with a shorter or longer argument.
"""

import errno
import random

import pytest
from calls import Calls, name
from support import PAGE, raises_errno

from vnpu.uapi import abi

pytestmark = pytest.mark.exhaustive

IOCTLS = pytest.mark.parametrize("ioctl", abi.IOCTLS, ids=name)

# the shortest argument that still says something, and what may be left out
SHORTEST = {
    abi.DEV_QUERY: (4, abi.DevQuery()),  # without room: asks for size and number
    abi.BO_CREATE: (16, None),
    abi.BO_MMAP_OFFSET: (4, None),
    abi.VM_CREATE: (4, None),
    abi.VM_DESTROY: (4, None),
    abi.VM_BIND: (32, None),
    abi.QUEUE_CREATE: (12, None),
    abi.QUEUE_DESTROY: (4, None),
    abi.QUEUE_QUERY: (4, None),
    abi.SUBMIT: (24, None),
}
LONGEST = 0x3FFF


def test_shortest_covers_all():
    assert set(SHORTEST) == set(abi.IOCTLS)


@IOCTLS
@pytest.mark.parametrize("extra", [1, 8, 4096 - 64, None])
def test_longer_with_zero_tail(calls, ioctl, extra):
    size = ioctl.size + extra if extra else LONGEST
    data = bytes(calls.valid(ioctl.struct)).ljust(size, b"\0")
    out = calls.send_bytes(ioctl, data, ioctl.resized(size))
    assert not any(out[ioctl.size :])
    calls.check_usable()


@IOCTLS
def test_longer_with_something_in_its_tail(calls, ioctl):
    for size, at in ((ioctl.size + 1, -1), (ioctl.size + 64, ioctl.size), (LONGEST, -1)):
        data = bytearray(bytes(calls.valid(ioctl.struct)).ljust(size, b"\0"))
        data[at] = 0x80
        with raises_errno(errno.E2BIG):
            calls.send_bytes(ioctl, bytes(data), ioctl.resized(size))
    calls.check_usable()


@IOCTLS
def test_shorter_is_completed_with_zeros(calls, ioctl):
    size, instead = SHORTEST[ioctl]
    arg = instead or calls.valid(ioctl.struct)
    poison = b"\xaa" * 64
    out = calls.send_bytes(ioctl, bytes(arg)[:size] + poison, ioctl.resized(size))
    assert out[size:] == poison, "the kernel wrote more than the number allows"
    calls.check_usable()


@IOCTLS
def test_no_argument_at_all(calls, ioctl):
    """Size zero is an argument of zeros, and nothing is written."""
    expected = {
        abi.DEV_QUERY: 0,
        abi.BO_CREATE: errno.EINVAL,
        abi.BO_MMAP_OFFSET: errno.ENOENT,
        abi.VM_CREATE: 0,
        abi.VM_DESTROY: errno.ENOENT,
        abi.VM_BIND: errno.EINVAL,
        abi.QUEUE_CREATE: errno.ENOENT,
        abi.QUEUE_DESTROY: errno.ENOENT,
        abi.QUEUE_QUERY: errno.ENOENT,
        abi.SUBMIT: errno.EINVAL,
    }[ioctl]
    poison = b"\xaa" * 128
    if expected:
        with raises_errno(expected):
            calls.send_bytes(ioctl, poison, ioctl.resized(0))
    else:
        assert calls.send_bytes(ioctl, poison, ioctl.resized(0)) == poison
    calls.check_usable()


@IOCTLS
def test_number_without_directions(calls, ioctl):
    """_IO(): the kernel neither reads nor writes the argument, zeros are used."""
    data = bytes(calls.valid(ioctl.struct))
    if ioctl in (abi.DEV_QUERY, abi.VM_CREATE):
        assert calls.send_bytes(ioctl, data, ioctl.nr & 0x3FFFFFFF) == data
        return
    empty = (abi.BO_CREATE, abi.VM_BIND, abi.SUBMIT)
    with raises_errno(errno.EINVAL if ioctl in empty else errno.ENOENT):
        calls.send_bytes(ioctl, data, ioctl.nr & 0x3FFFFFFF)


@IOCTLS
def test_argument_where_nothing_is_mapped(calls, ioctl):
    hole = calls.proc.alloc(PAGE)
    calls.proc.syscall("munmap", hole.addr, PAGE)
    for addr in (0, hole.addr, 1 << 47, 0xFFFF_8880_0000_0000, 2**64 - 8):
        with raises_errno(errno.EFAULT):
            calls.npu.ioctl(ioctl.nr, addr)
    calls.check_usable()


@IOCTLS
def test_argument_that_runs_into_unmapped_memory(calls, ioctl):
    pages = calls.proc.alloc(2 * PAGE)
    calls.proc.syscall("munmap", pages.addr + PAGE, PAGE)
    start = PAGE - ioctl.size + 4
    pages.write(bytes(calls.valid(ioctl.struct))[:-4], start)
    with raises_errno(errno.EFAULT):
        calls.npu.ioctl(ioctl.nr, pages.addr + start)
    calls.check_usable()


@IOCTLS
def test_argument_in_read_only_memory(calls, ioctl):
    """It can be read, but the result cannot be written."""
    page = calls.proc.alloc(PAGE)
    page.write(bytes(calls.valid(ioctl.struct)))
    calls.proc.syscall("mprotect", page.addr, PAGE, 1)
    with raises_errno(errno.EFAULT):
        calls.npu.ioctl(ioctl.nr, page.addr)
    calls.check_usable()


@IOCTLS
def test_misaligned_argument(calls, ioctl):
    page = calls.proc.alloc(PAGE)
    page.write(bytes(calls.valid(ioctl.struct)), 3)
    calls.npu.ioctl(ioctl.nr, page.addr + 3)
    calls.check_usable()


@IOCTLS
def test_32_bit_entry(calls, ioctl):
    """The same bytes by the system call of 32-bit programs."""
    low = calls.proc.alloc(PAGE, low=True)
    low.write(bytes(calls.valid(ioctl.struct)))
    assert calls.proc.syscall32("ioctl", calls.npu.fd, ioctl.nr, low.addr) == 0
    calls.check_usable()


@IOCTLS
def test_random_arguments(calls, ioctl):
    """Garbage gets an errno of the documentation or works, and harms nothing."""
    allowed = {
        0, errno.EINVAL, errno.ENOENT, errno.EFAULT, errno.E2BIG, errno.ENOSPC, errno.EBUSY,
        errno.ENOMEM, errno.EACCES, errno.EOPNOTSUPP, errno.EDQUOT,
    }  # fmt: skip
    generator = random.Random(ioctl.nr)
    batch = calls.proc.batch()
    steps = []
    for _ in range(200):
        raw = bytearray(ioctl.size)
        for field in ioctl.struct._fields_:
            choice = generator.choice((0, 1, 2, 0xFFFFFFFF, generator.getrandbits(32)))
            raw[field.offset : field.offset + 4] = choice.to_bytes(4, "little")
        place = batch.scratch(bytes(raw))
        steps.append(batch.syscall("ioctl", calls.npu.fd, ioctl.nr, place, check=False))
    batch.run()
    assert {-min(step.value, 0) for step in steps} <= allowed
    Calls(calls.npu).check_usable()  # the first objects may have been destroyed


@pytest.mark.parametrize("index", [len(abi.IOCTLS), 0x20, 0x5F])
def test_driver_number_that_does_not_exist(npu, index):
    nr = abi.VM_CREATE.nr & ~0xFF | abi.DRM_COMMAND_BASE + index
    with raises_errno(errno.EINVAL):
        npu.ioctl(nr, bytes(64))


@pytest.mark.parametrize("index", [0xD8, 0xFF])
def test_core_number_that_does_not_exist(npu, index):
    with raises_errno(errno.EINVAL):
        npu.ioctl(abi.VM_CREATE.nr & ~0xFF | index, bytes(64))


@pytest.mark.parametrize("letter", ["x", "T", "\0", "D"])
def test_number_of_another_kind_of_device(npu, letter):
    nr = abi.VM_CREATE.nr & ~0xFF00 | ord(letter) << 8
    with raises_errno(errno.ENOTTY):
        npu.ioctl(nr, bytes(64))


def test_high_half_of_the_number_is_ignored(npu):
    """ioctl() takes an unsigned int; a sign-extended one must work as well."""
    place = npu.proc.alloc(64)
    nr = abi.VM_CREATE.nr
    assert npu.proc.syscall("ioctl", npu.fd, nr, place.addr) == 0
    assert npu.proc.syscall("ioctl", npu.fd, nr - (1 << 32), place.addr) == 0


@pytest.mark.parametrize("nr", [0xA0, 0xA7, 0xB2], ids=["resources", "connector", "dumb"])
def test_mode_setting_is_not_offered(npu, nr):
    with raises_errno(errno.EOPNOTSUPP, errno.EACCES, errno.ENOSYS, errno.EINVAL):
        npu.ioctl(abi.BO_CREATE.nr & ~(0xFF | 0x3FFF << 16) | 64 << 16 | nr, bytes(64))
