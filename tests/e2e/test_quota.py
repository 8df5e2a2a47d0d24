# SPDX-License-Identifier: MIT
"""How much one client can have queued, however long the first of it waits."""

import errno

from support import PAGE, Copier, Gate, pause, raises_errno

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
