# SPDX-License-Identifier: MIT
"""Several jobs in one submit: all or none."""

import errno

import pytest
from support import PAGE, Copier, Gate, fails, raises_errno

from vnpu.accel import COPY, SYSTEM, TENSOR, Job, submit_jobs
from vnpu.hw.codes import SignalOp
from vnpu.hw.packets import Fill, Nop, Signal
from vnpu.uapi import abi

MAX_JOBS = 64
NOWHERE = 0x7000_0000_0000


@pytest.fixture
def copier(npu):
    return Copier(npu)


def add(va, value=1):
    return [Signal(op=SignalOp.ADD, addr=va, value=value)]


def word(bo):
    return int.from_bytes(bo.read(8), "little")


def test_jobs_of_several_queues(npu, copier):
    bo, va = copier.buffer(PAGE)
    queues = [copier.queue, *(npu.queue_create(copier.vm, engine=e) for e in (COPY, TENSOR))]
    fences = submit_jobs(npu, [Job(q, add(va, 10**i)) for i, q in enumerate(queues)])
    for fence in fences:
        fence.wait()
        assert fence.error() == 0
    assert word(bo) == 111
    assert [q.query().jobs_submitted for q in queues] == [1, 1, 1]


def test_jobs_of_one_queue_run_in_order(npu, copier):
    bo, va = copier.buffer(PAGE)
    values = range(1, MAX_JOBS + 1)
    packets = [[Signal(op=SignalOp.SET, addr=va, value=value)] for value in values]
    fences = submit_jobs(npu, [Job(copier.queue, packet) for packet in packets])
    fences[-1].wait()
    assert all(fence.done() for fence in fences)
    assert word(bo) == MAX_JOBS


def test_each_job_has_its_own_syncs(npu, copier):
    """The second does not wait for what the first waits for."""
    bo, va = copier.buffer(PAGE)
    gate = Gate(npu, copier.vm)
    other = npu.queue_create(copier.vm, engine=TENSOR)
    held = npu.queue_create(copier.vm, engine=COPY).submit(gate.packets())
    out = npu.syncobj_create()
    jobs = [
        Job(copier.queue, add(va, 1), waits=[held]),
        Job(other, add(va, 2), signals=[(out, 7)]),
    ]
    first, second = submit_jobs(npu, jobs)
    second.wait()
    out.wait(timeout_ms=5000, point=7)
    assert not first.done()
    assert word(bo) == 2
    gate.open()
    first.wait()
    assert word(bo) == 3


def bad_last_jobs(npu, copier, banned):
    """What is wrong with the last of several jobs, and its errno."""
    vm = npu.vm_create()
    return {
        "unknown queue": (abi.SubmitJob(queue_id=0x7FFF), errno.ENOENT),
        "flags": (abi.SubmitJob(queue_id=copier.queue.id, flags=1), errno.EINVAL),
        "queue of another VM": (abi.SubmitJob(queue_id=npu.queue_create(vm).id), errno.EINVAL),
        "banned queue": (abi.SubmitJob(queue_id=banned.id), errno.ECANCELED),
        "commands": (
            abi.SubmitJob(queue_id=copier.queue.id, cmds=abi.Array(stride=16, count=17)),
            errno.E2BIG,
        ),
        "syncs": (
            abi.SubmitJob(queue_id=copier.queue.id, syncs=abi.Array(stride=24, count=1)),
            errno.EFAULT,
        ),
    }


@pytest.mark.parametrize(
    "kind", ["unknown queue", "flags", "queue of another VM", "banned queue", "commands", "syncs"]
)
def test_all_or_none(npu, copier, kind):
    """An error in the last job: no job has run, nothing is signalled, nothing counted."""
    bo, va = copier.buffer(PAGE)
    banned = npu.queue_create(copier.vm)
    fails(banned.submit([Fill(pattern=1, dst=NOWHERE, size=PAGE)]), errno.EIO)
    last, error = bad_last_jobs(npu, copier, banned)[kind]
    cmds = npu.bo_create(PAGE, placement=SYSTEM)
    packet = bytes(add(va)[0])
    cmds.write(packet)
    cmd = abi.Cmd(va=copier.vm.bind(cmds), size=len(packet))
    out = npu.syncobj_create()
    signal = abi.Sync(type=abi.SyncType.BINARY, op=abi.SyncOp.SIGNAL, handle=out.handle)
    good = [
        abi.Nested(abi.SubmitJob(queue_id=copier.queue.id), {"cmds": [cmd], "syncs": [signal]})
        for _ in range(3)
    ]
    with raises_errno(error):
        abi.call(npu.proc, npu.fd, abi.SUBMIT, abi.Submit(), arrays={"jobs": [*good, last]})
    with raises_errno(errno.EINVAL):
        out.wait(timeout_ms=0)
    assert copier.queue.query().jobs_submitted == 0
    copier.queue.submit([Nop()]).wait()
    assert word(bo) == 0
    abi.call(npu.proc, npu.fd, abi.SUBMIT, abi.Submit(), arrays={"jobs": good})
    copier.queue.submit([Nop()]).wait()
    assert word(bo) == 3


def test_most_jobs_of_one_submit(npu, copier):
    job = abi.SubmitJob(queue_id=copier.queue.id)
    with raises_errno(errno.E2BIG):
        abi.submit(npu.proc, npu.fd, jobs=[job] * (MAX_JOBS + 1))
    abi.submit(npu.proc, npu.fd, jobs=[job] * MAX_JOBS)
    copier.queue.submit([Nop()]).wait()
    assert copier.queue.query().jobs_completed == MAX_JOBS + 1


def test_failure_of_one_job_is_not_that_of_the_others(npu, copier):
    """Jobs of a submit are as independent as those of several."""
    bo, va = copier.buffer(PAGE)
    other = npu.queue_create(copier.vm, engine=TENSOR)
    jobs = [
        Job(copier.queue, [Fill(pattern=1, dst=NOWHERE, size=PAGE)]),
        Job(other, add(va)),
        Job(copier.queue, add(va, 100)),
    ]
    fences = submit_jobs(npu, jobs)
    for fence in fences:
        fence.wait(check=False)
    assert [fence.error() for fence in fences] == [errno.EIO, 0, errno.ECANCELED]
    assert word(bo) == 1
