# SPDX-License-Identifier: MIT
"""A device goes while memory of others is being imported, or given back."""

import os

import pytest
from support import DRIVER, MIB, PAGE, Copier, Gate, pci_address
from vgem import Vgem

from vnpu.accel import VRAM, Device
from vnpu.uapi import abi

#: less than a job may take, and less than a fence of vgem lasts
SOON_S = 5.0

SECOND = (
    "-device",
    "pcie-root-port,id=rp1,bus=pcie.0,chassis=2",
    "-device",
    "vnpu,id=npu1,bus=rp1,vram=64M,aperture=64M",
)


def unbind(guest, address):
    """Take the device from the driver, which must not take long."""
    proc = guest.spawn()
    fd = proc.open(f"{DRIVER}/unbind", os.O_WRONLY)
    buffer = proc.alloc(32)
    buffer.write(address.encode())
    write = proc.syscall_async("write", fd, buffer.addr, len(address))
    assert write.result(timeout_s=SOON_S) == len(address)


def address_of(guest, name):
    return os.path.basename(
        guest.shell(f"readlink -f /sys/class/accel/{name}/device").stdout.decode().strip()
    )


@pytest.mark.machine(extra=SECOND)
def test_exporter_goes_while_an_importer_waits(guest):
    """The importer, which is another device, waits for a job; that ends with its device."""
    first = Device.open(guest.spawn(), path="/dev/accel/accel0")
    c = Copier(first)
    bo, _ = c.buffer(MIB, VRAM)
    c.queue.submit([]).wait()
    job = c.queue.submit(Gate(first, c.vm).packets())
    fd = bo.export()
    second = Device.open(first.proc.fork(), path="/dev/accel/accel1")
    arg = bytes(abi.PrimeHandle(fd=fd))
    importing = second.proc.syscall_async("ioctl", second.fd, abi.DRM_IOCTL_PRIME_FD_TO_HANDLE, arg)
    importing.wait_blocked(timeout_s=SOON_S)
    assert not job.done()
    unbind(guest, address_of(guest, "accel0"))
    with pytest.raises(OSError):
        importing.result(timeout_s=SOON_S)


def test_import_that_waits_to_be_freed(guest, npu):
    """Its memory has a fence of its owner; the device does not wait for that."""
    vgem = Vgem(npu.proc)
    handle, fd = vgem.buffer(16 * PAGE)
    Copier(npu).vm.bind(npu.prime_import(fd))
    fence = vgem.write_begins(handle)
    twin = Device.open(npu.proc)
    twin.prime_import(fd).close()
    unbind(guest, pci_address(guest))
    vgem.write_ends(fence)
