# SPDX-License-Identifier: MIT
"""A guest whose DMA goes through bounce buffers."""

import time

import pytest
from support import MIB

from vnpu.base.deadline import scaled

PORT = ("-device", "pcie-root-port,id=rp0,bus=pcie.0,chassis=1,pref64-reserve=128M")


@pytest.mark.allow_kernel_log("device does not come up|probe with driver vnpu failed")
@pytest.mark.expect_kernel_log("bounce buffers")
@pytest.mark.machine(tested=False, append="swiotlb=force", extra=PORT)
def test_bounce_buffers_are_refused(machine, guest):
    """The driver keeps memory mapped for long: no client shall get copies of it to see."""
    if "vnpu" not in guest.modules():
        guest.insmod("vnpu")
    machine.qmp.cmd(
        "object-add",
        {"qom-type": "memory-backend-ram", "id": "vram", "size": 64 * MIB},
    )
    machine.qmp.cmd(
        "device_add",
        {"driver": "vnpu", "id": "npu0", "bus": "rp0", "memdev": "vram", "aperture": 64 * MIB},
    )
    deadline = time.monotonic() + scaled(60)
    while b"bounce buffers" not in guest.shell("dmesg").stdout:
        assert time.monotonic() < deadline, "the driver said nothing"
        time.sleep(0.05)
    assert not guest.exists("/dev/accel/accel0")
    guest.rmmod("vnpu")
