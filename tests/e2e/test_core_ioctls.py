# SPDX-License-Identifier: MIT
"""The ioctls of DRM core on this node, called by number with whatever comes."""

import errno

import pytest
from calls import Calls
from core_ioctls import number, sweep

from vnpu.accel import Device
from vnpu.uapi import abi

GET_UNIQUE, GET_MAGIC = 0x01, 0x02
NOBODY = 65534
BITS = pytest.mark.parametrize("bits", [64, 32])


@pytest.fixture(params=["root", "nobody"])
def anybody(request, guest):
    """The device, opened by a process with all rights or with none."""
    guest.shell("chmod 666 /dev/accel/accel0")
    nobody = {"uid": NOBODY, "gid": NOBODY}
    return Device.open(guest.spawn(**nobody if request.param == "nobody" else {}))


@BITS
def test_every_number_of_drm_core(anybody, bits):
    """Each call comes back with a result, and the client can still work."""
    results = sweep(anybody.proc, anybody.fd, bits)
    assert all(0 <= result < 4096 for found in results.values() for result in found)
    assert results[abi.VERSION.nr & 0xFF] & {0, errno.EFAULT}
    assert results[0xFF] == {errno.EINVAL}, "there is no such ioctl"
    Calls(anybody).check_usable()


@BITS
@pytest.mark.parametrize("nr", [GET_UNIQUE, GET_MAGIC], ids=["unique", "magic"])
def test_there_is_no_master(anybody, nr, bits):
    """These are about the DRM master, which a compute accelerator does not have."""
    low = anybody.proc.alloc(4096, low=True)
    call = anybody.proc.syscall32 if bits == 32 else anybody.proc.syscall
    for size in (0, 4, 16, 4096):
        with pytest.raises(OSError) as info:
            call("ioctl", anybody.fd, number(nr) & ~(0x3FFF << 16) | size << 16, low.addr)
        assert info.value.errno == errno.EINVAL
