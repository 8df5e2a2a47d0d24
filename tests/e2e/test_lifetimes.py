# SPDX-License-Identifier: MIT
"""What outlives its owner: jobs that wait for another driver, and what they hold."""

import os
import time

import pytest
from foreign import ForeignFence
from support import DRIVER, PAGE, Copier, pci_address

from vnpu.accel import SYSTEM, Device
from vnpu.hw.packets import Nop
from vnpu.uapi import abi


@pytest.fixture
def foreign(guest):
    return ForeignFence(guest)


def open_beside(foreign):
    """The device in a process that has the sync file, and a syncobj with its fence."""
    dev = Device.open(foreign.holder.fork())
    sync = dev.syncobj_create()
    sync.import_sync_file(foreign.sync_file)
    return dev, sync


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill(proc):
    proc.kill(9)
    proc.wait()


def test_module_exit_while_a_job_waits_for_another_driver(guest, foreign):
    """No file is open, so the module may go; the job and its queue still have to."""
    dev, sync = open_beside(foreign)
    Copier(dev).queue.submit([Nop()], waits=[sync])
    kill(dev.proc)
    remover = guest.spawn()
    removal = remover.syscall_async("delete_module", "vnpu", os.O_NONBLOCK)
    wait_until(lambda: not guest.exists(DRIVER))
    removal.wait_blocked()
    foreign.signal()
    removal.result()
    guest.insmod("vnpu")


def test_module_exit_while_a_bind_waits_for_another_driver(guest, foreign):
    """The page tables that the bind job frees come back when nothing else is left."""
    dev, sync = open_beside(foreign)
    vm = dev.vm_create()
    bo = dev.bo_create(PAGE, placement=SYSTEM)
    count = 512
    vm.bind_ops(
        [
            abi.VmBindOp(
                op=abi.VmBindOpType.MAP, handle=bo.handle, va=(1 << 32) + (i << 30), size=PAGE
            )
            for i in range(count)
        ]
    )
    vm.bind(bo, va=1 << 31)  # so that the BO is not what is waited for
    vm.unbind(1 << 32, count << 30, waits=[sync], asynchronous=True)
    kill(dev.proc)
    guest.write_file(f"{DRIVER}/unbind", pci_address(guest).encode())
    foreign.signal()
    guest.rmmod("vnpu")
    guest.insmod("vnpu")
