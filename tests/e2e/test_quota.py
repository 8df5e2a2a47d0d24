# SPDX-License-Identifier: MIT
"""How much one client can have: jobs in queues, and page tables."""

import errno

import pytest
from support import MIB, PAGE, Copier, Gate, Windows, pause, raises_errno

from vnpu.accel import SYSTEM, VRAM, Device
from vnpu.hw.packets import Nop
from vnpu.uapi import abi


def submit_until_refused(npu, copier):
    """Jobs without commands: how many there were when the kernel had enough."""
    job = abi.SubmitJob(queue_id=copier.queue.id)
    most, count = npu.limits().max_submit_jobs, 0
    for size in (most, 1):
        with raises_errno(errno.EDQUOT):
            while count <= npu.limits().max_jobs:
                abi.submit(npu.proc, npu.fd, jobs=[job] * size)
                count += size
    return count


def end(npu, condition):
    """What is over is freed a little later."""
    while not condition():
        pause(npu, 10)


def accepts_a_job(copier):
    try:
        copier.queue.submit([]).wait()
    except OSError as error:
        assert error.errno == errno.EDQUOT
        return False
    return True


def test_most_jobs_of_a_client(npu, other):
    """Behind one that waits; binds that wait are jobs as well, and other clients go on."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    bo, va = c.buffer(PAGE)
    held = c.queue.submit(gate.packets())
    c.vm.unbind(va, PAGE, waits=[held], asynchronous=True)
    limit = npu.limits().max_jobs
    assert submit_until_refused(npu, c) == limit - 2
    vm = npu.vm_create()
    with raises_errno(errno.EDQUOT):
        vm.bind(bo, asynchronous=True)
    vm.bind(bo)
    Copier(other).queue.submit([Nop()]).wait()
    gate.open()
    held.wait()
    end(npu, lambda: accepts_a_job(c))
    assert c.queue.query().jobs_submitted == limit
    vm.bind(bo, asynchronous=True)


def test_most_binds_of_a_client(npu):
    """All behind one job, in the address space of another queue."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    held = c.queue.submit(gate.packets())
    vm = npu.vm_create()
    vm.bind_ops([], waits=[held], asynchronous=True)
    arg = bytes(abi.VmBind(vm_id=vm.id, flags=abi.VmBindFlag.ASYNC))
    batch = npu.proc.batch()
    batch.syscall("ioctl", npu.fd, abi.VM_BIND.nr, batch.scratch(arg))
    batch.run(repeat=npu.limits().max_jobs - 2)
    for call in (lambda: vm.bind_ops([], asynchronous=True), lambda: c.queue.submit([])):
        with raises_errno(errno.EDQUOT):
            call()
    gate.open()
    held.wait()
    end(npu, lambda: accepts_a_job(c))


class Tables:
    """Maps one page at places that have two or three tables each for themselves."""

    STEP = 1 << 30
    BATCH = 512

    def __init__(self, npu):
        self.npu = npu
        self.vm = npu.vm_create()
        self.bo = npu.bo_create(PAGE, placement=SYSTEM)

    def bind(self, first, count):
        op = abi.VmBindOp(op=abi.VmBindOpType.MAP, handle=self.bo.handle, size=PAGE)
        self.vm.bind_ops([op.replace(va=(1 + first + i) * self.STEP) for i in range(count)])

    def fill(self):
        """Until the client is refused; the number of binds."""
        count = 0
        for step in (self.BATCH, 1):
            with raises_errno(errno.EDQUOT):
                while True:
                    self.bind(count, step)
                    count += step
        return count

    def has_room(self):
        """For more than half of what there is for a client."""
        count = self.npu.limits().max_table_bytes // PAGE // 3
        try:
            self.bind(0, count)
        except OSError as error:
            assert error.errno == errno.EDQUOT
            return False
        return True


def check_no_room(npu):
    """A client that was refused two tables may have room for one."""
    with raises_errno(errno.EDQUOT):
        for _ in range(3):
            npu.vm_create()


small_vram = pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)


@small_vram
def test_page_tables_of_a_client_have_a_limit(npu, other):
    """One page, mapped all over the place: the rest of VRAM is for others."""
    before = npu.query_memory()
    limit = npu.limits().max_table_bytes
    assert limit == before.visible_total // 4
    tables = Tables(npu)
    count = tables.fill()
    assert count * 2 * PAGE <= limit <= (count + 2) * 3 * PAGE
    used = npu.query_memory().vram_used - before.vram_used
    assert limit - MIB <= used <= limit + MIB
    check_no_room(npu)
    # nothing more is needed where there are tables
    tables.bind(0, count)
    c = Copier(other)
    bo, _ = c.buffer(24 * MIB, VRAM)
    Windows(other.proc, bo.size).fill(bo, 0)
    c.queue.submit([Nop()]).wait()


@small_vram
def test_page_tables_are_given_back(npu):
    """By an unmap, and with the VM, after their jobs; not by closing the BO."""
    tables = Tables(npu)
    count = tables.fill()
    tables.bo.close()
    check_no_room(npu)
    tables.vm.unbind(tables.STEP, count * tables.STEP)
    end(npu, lambda: can_create_vm(npu))
    tables = Tables(npu)
    end(npu, tables.has_room)
    tables.fill()
    tables.vm.destroy()
    end(npu, lambda: can_create_vm(npu))
    tables = Tables(npu)
    end(npu, tables.has_room)


@small_vram
def test_page_tables_of_a_client_that_is_gone(guest, npu):
    """Several come and fill what they may, one after the other."""
    before = npu.query_memory().vram_used
    for _ in range(5):
        client = Device.open(guest.spawn())
        Tables(client).fill()
        client.proc.kill()
        client.proc.wait()
    end(npu, lambda: npu.query_memory().vram_used <= before + MIB)


def can_create_vm(npu):
    try:
        npu.vm_create().destroy()
    except OSError as error:
        assert error.errno == errno.EDQUOT
        return False
    return True
