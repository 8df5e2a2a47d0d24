# SPDX-License-Identifier: MIT
"""Loading, binding, unplugging: with nobody there and with work in flight."""

import errno

import pytest
from support import DRIVER, MIB, PAGE, Copier, Gate, pattern, pci_address, raises_errno

from vnpu.accel import COPY, SYSTEM, VRAM, Device
from vnpu.hw.packets import Fill, Nop


def check_works(guest):
    # a mapping that lives on keeps the minor number of a device that is gone
    (name,) = guest.listdir("/dev/accel")
    c = Copier(Device.open(guest.spawn(), path=f"/dev/accel/{name}"))
    bo, va = c.buffer(PAGE)
    c.queue.submit([Fill(pattern=1, dst=va, size=PAGE)]).wait()
    assert bo.read(4) == b"\1\0\0\0"
    c.npu.close()


def vectors(guest):
    return len(guest.listdir(f"{DRIVER}/{pci_address(guest)}/msi_irqs"))


def test_queues_share_a_vector_on_one_processor(guest):
    """64 queues: one vector for their fences, one for events."""
    assert vectors(guest) == 1 + 1


@pytest.mark.machine(smp=2)
def test_queues_have_a_vector_for_each_processor(guest):
    assert vectors(guest) == 2 + 1


def test_reload_many_times(guest):
    for _ in range(5):
        guest.rmmod("vnpu")
        assert not guest.exists("/dev/accel/accel0")
        guest.insmod("vnpu")
    check_works(guest)


def test_unbind_and_bind(guest):
    address = pci_address(guest)
    for _ in range(3):
        guest.write_file(f"{DRIVER}/unbind", address.encode())
        assert not guest.exists("/dev/accel/accel0")
        guest.write_file(f"{DRIVER}/bind", address.encode())
        check_works(guest)


def test_module_in_use_cannot_unload(guest):
    proc = guest.spawn()
    dev = Device.open(proc)
    with raises_errno(errno.EAGAIN, errno.EBUSY):
        guest.rmmod("vnpu")
    dev.close()
    guest.rmmod("vnpu")


def test_unbind_with_an_open_file(guest):
    dev = Device.open(guest.spawn())
    address = pci_address(guest)
    guest.write_file(f"{DRIVER}/unbind", address.encode())
    for call in (dev.query_device, dev.vm_create, lambda: dev.bo_create(PAGE)):
        with raises_errno(errno.ENODEV):
            call()
    dev.close()
    guest.write_file(f"{DRIVER}/bind", address.encode())
    check_works(guest)


def test_unbind_with_work_in_flight(guest):
    """All fences signal, with ENODEV; nobody waits for ever."""
    proc = guest.spawn()
    dev = Device.open(proc)
    c = Copier(dev)
    gate = Gate(dev, c.vm)
    syncs = [dev.syncobj_create() for _ in range(4)]
    for sync in syncs:
        c.queue.submit(gate.packets(), signals=[sync])
    files = [sync.export_sync_file() for sync in syncs]
    guest.write_file(f"{DRIVER}/unbind", pci_address(guest).encode())
    for fd in files:
        assert proc.poll({fd: 1}, timeout_ms=10000), "a fence was left behind"
    dev.close()


@pytest.mark.parametrize("placement", [VRAM, SYSTEM], ids=["vram", "system"])
def test_mapping_after_unbind_does_not_kill(guest, placement):
    proc = guest.spawn()
    dev = Device.open(proc)
    bo = dev.bo_create(MIB, placement=placement)
    mapping = bo.map()
    mapping[:PAGE] = pattern(PAGE)
    guest.write_file(f"{DRIVER}/unbind", pci_address(guest).encode())
    mapping[PAGE : PAGE + 4] = b"late"
    assert mapping[PAGE : PAGE + 4] == b"late"
    if placement == VRAM:
        # The driver that comes next may give it to somebody else.
        assert mapping[8:64] != pattern(PAGE)[8:64]
    proc.syscall("getpid")
    dev.close()


def test_late_close(guest):
    """The file of the old device is closed after a new one was bound."""
    old = Device.open(guest.spawn())
    vm = old.vm_create()
    old.queue_create(vm, engine=COPY).submit([Nop()]).wait()
    address = pci_address(guest)
    guest.write_file(f"{DRIVER}/unbind", address.encode())
    guest.write_file(f"{DRIVER}/bind", address.encode())
    new = next(n for n in guest.listdir("/dev/accel"))
    fresh = Device.open(guest.spawn(), path=f"/dev/accel/{new}")
    Copier(fresh).queue.submit([Nop()]).wait()
    with raises_errno(errno.ENODEV):
        old.query_device()
    old.close()
    Copier(fresh).queue.submit([Nop()]).wait()


def test_remove_and_rescan(guest):
    address = pci_address(guest)
    guest.write_file(f"/sys/bus/pci/devices/{address}/remove", b"1")
    assert not guest.exists("/dev/accel/accel0")
    guest.write_file("/sys/bus/pci/rescan", b"1")
    check_works(guest)


def test_remove_with_an_open_file_and_rescan(guest):
    dev = Device.open(guest.spawn())
    bo = dev.bo_create(PAGE, placement=VRAM)
    bo.write(b"x")
    address = pci_address(guest)
    guest.write_file(f"/sys/bus/pci/devices/{address}/remove", b"1")
    with raises_errno(errno.ENODEV):
        dev.query_memory()
    dev.close()
    guest.write_file("/sys/bus/pci/rescan", b"1")
    check_works(guest)


def test_function_level_reset_while_unbound(guest):
    address = pci_address(guest)
    guest.write_file(f"{DRIVER}/unbind", address.encode())
    guest.write_file(f"/sys/bus/pci/devices/{address}/reset", b"1")
    guest.write_file(f"{DRIVER}/bind", address.encode())
    check_works(guest)
