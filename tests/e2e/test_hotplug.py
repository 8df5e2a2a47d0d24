# SPDX-License-Identifier: MIT
"""The slot of the device: taken out and put back while the guest runs."""

import errno
import time

from support import MIB, PAGE, UNPLUG_S, Copier, Gate, raises_errno, unplug

from vnpu.accel import VRAM, Device
from vnpu.base.deadline import scaled
from vnpu.hw.packets import Fill


def plug(machine):
    machine.qmp.cmd(
        "device_add",
        {"driver": "vnpu", "id": "npu0", "bus": "rp0", "memdev": "vram", "aperture": 256 * MIB},
    )


def wait_for_device(guest):
    deadline = time.monotonic() + scaled(UNPLUG_S)
    while not (guest.exists("/dev/accel") and guest.listdir("/dev/accel")):
        assert time.monotonic() < deadline, "the guest did not find the device"
        time.sleep(0.05)
    (name,) = guest.listdir("/dev/accel")
    return Device.open(guest.spawn(), path=f"/dev/accel/{name}")


def test_out_and_in(machine, guest):
    unplug(machine)
    assert not guest.exists("/dev/accel/accel0")
    plug(machine)
    copier = Copier(wait_for_device(guest))
    bo, va = copier.buffer(PAGE)
    copier.queue.submit([Fill(pattern=1, dst=va, size=PAGE)]).wait()
    assert bo.read(4) == b"\1\0\0\0"


def test_out_with_work_in_flight(machine, guest):
    """Fences signal, mappings stay harmless, calls say ENODEV, and the file can be closed."""
    npu = Device.open(guest.spawn())
    copier = Copier(npu)
    bo = npu.bo_create(MIB, placement=VRAM)
    mapping = bo.map()
    mapping[:4] = b"here"
    sync = npu.syncobj_create()
    copier.queue.submit(Gate(npu, copier.vm).packets(), signals=[sync])
    fd = sync.export_sync_file()
    unplug(machine)
    assert npu.proc.poll({fd: 1}, timeout_ms=10000), "the fence was left behind"
    with raises_errno(errno.ENODEV):
        npu.query_device()
    # What the slot's addresses show belongs to nobody now, so this is a page of its own.
    mapping[PAGE : PAGE + 4] = b"late"
    assert mapping[PAGE : PAGE + 4] == b"late"
    npu.close()


def test_removal_needs_no_driver(machine, guest):
    guest.rmmod("vnpu")
    unplug(machine)
    plug(machine)
    guest.insmod("vnpu")
    assert wait_for_device(guest).query_memory().vram_total
