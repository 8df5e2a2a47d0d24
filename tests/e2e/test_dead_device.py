# SPDX-License-Identifier: MIT
"""A device that does not answer any more, and what it said too late."""

import errno

import pytest
from support import (
    DRIVER,
    GIVEN_UP,
    MIB,
    PAGE,
    STUCK,
    Copier,
    Gate,
    Interrupts,
    debugfs,
    pause,
    pci_address,
    raises_errno,
    stop_answering,
)

from vnpu.accel import VRAM, Device
from vnpu.guest import GuestFault
from vnpu.hw.packets import Fill, Nop
from vnpu.uapi import abi

EVENT_VECTOR = 0


@GIVEN_UP
@pytest.mark.allow_kernel_log(STUCK)
def test_device_that_does_not_answer_is_given_up(guest, npu):
    """All ones look like a device that is ready; a reset of it must not count as one."""
    c = Copier(npu)
    hung = c.queue.submit(Gate(npu, c.vm).packets())
    stop_answering(guest)
    with raises_errno(errno.EIO):
        guest.write_file(f"{debugfs(guest)}/reset", b"1")
    hung.wait(check=False)
    assert hung.error() == errno.ENODEV
    with raises_errno(errno.ENODEV):
        c.queue.submit([])


@GIVEN_UP
@pytest.mark.expect_kernel_log(STUCK)
def test_hang_of_a_device_that_does_not_answer(guest):
    guest.write_file("/sys/module/vnpu/parameters/job_timeout_ms", b"300")
    c = Copier(Device.open(guest.spawn()))
    c.queue.submit([Nop()]).wait()
    stop_answering(guest)
    hung = c.queue.submit([Nop()])
    hung.wait(timeout_ms=20000, check=False)
    assert hung.error() == errno.ENODEV


@GIVEN_UP
@pytest.mark.allow_kernel_log(STUCK)
@pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)
def test_content_that_cannot_be_saved_is_lost(guest, npu):
    """The CPU evicts what no engine can: ones of a device that is not there are no content."""
    old = npu.bo_create(40 * MIB, placement=VRAM)
    old.write(b"content")
    stop_answering(guest)
    with raises_errno(errno.EIO):
        guest.write_file(f"{debugfs(guest)}/reset", b"1")
    with raises_errno(errno.ENODEV):
        npu.bo_create(40 * MIB, placement=VRAM)
    with pytest.raises(GuestFault, match="SIGBUS"):
        old.read(8)


def finish_unheard(guest, npu):
    """A job that the device has finished, while nobody has heard of it."""
    c = Copier(npu)
    c.queue.submit([Nop()]).wait()
    word, va = c.buffer(PAGE)
    interrupts = Interrupts(guest)
    held = interrupts.held(interrupts.of_queue("vnpu-copy"))
    held.__enter__()
    fence = c.queue.submit([Fill(pattern=1, dst=va, size=PAGE), Nop()])
    while word.map().read_u32() != 1:
        pass
    pause(npu, 20)
    assert not fence.done(), "the interrupt was not held"
    return fence


@GIVEN_UP
@pytest.mark.allow_kernel_log(STUCK)
def test_finished_job_succeeds_though_the_device_is_given_up(guest, npu):
    fence = finish_unheard(guest, npu)
    stop_answering(guest)
    with raises_errno(errno.EIO):
        guest.write_file(f"{debugfs(guest)}/reset", b"1")
    fence.wait()
    with raises_errno(errno.ENODEV):
        Copier(npu)


def test_finished_job_succeeds_though_the_driver_goes(guest, npu):
    fence = finish_unheard(guest, npu)
    fd = fence.syncobj.export_sync_file()
    guest.write_file(f"{DRIVER}/unbind", pci_address(guest).encode())
    _, info = npu.proc.ioctl(fd, abi.SYNC_IOC_FILE_INFO.nr, bytes(abi.SyncFileInfo()))
    assert abi.SyncFileInfo.from_bytes(info).status == 1


def test_late_fault_is_not_that_of_the_next_owner(guest, npu):
    """The interrupt of a fault is held until another client has the hardware queue."""
    with Interrupts(guest).held(EVENT_VECTOR):
        first = Device.open(guest.spawn())
        c = Copier(first)
        fence = c.queue.submit([Fill(pattern=1, dst=0x7000_0000_0000, size=PAGE)])
        pause(npu, 50)
        assert not fence.done(), "the interrupt was not held"
        number = [line.split()[0] for line in queues(guest) if " state=faulted " in line]
        first.proc.kill(9)
        first.proc.wait()

        c = Copier(npu)
        gate = Gate(npu, c.vm)
        innocent = c.queue.submit(gate.packets())
        assert number == [line.split()[0] for line in queues(guest) if " state=waiting " in line]
    pause(npu, 50)
    gate.open()
    innocent.wait()
    assert innocent.error() == 0
    assert c.queue.query().state == 0


def queues(guest):
    return guest.read_file(f"{debugfs(guest)}/queues").decode().splitlines()
