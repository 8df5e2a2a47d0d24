# SPDX-License-Identifier: MIT
"""What outlives its owner: jobs that wait for another driver, and what they hold."""

import errno
import os
import time

import pytest
from foreign import KeptFiles, open_beside, take
from support import (
    DRIVER,
    MIB,
    PAGE,
    Copier,
    Gate,
    kill,
    pause,
    pci_address,
    raises_errno,
    uptime,
)

from vnpu.accel import COPY, SYSTEM, VRAM, Device
from vnpu.base.deadline import scaled
from vnpu.hw.packets import Fill, Nop
from vnpu.uapi import abi


def wait_until(condition):
    deadline = time.monotonic() + scaled(30)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def unbind_soon(guest):
    start = uptime(guest)
    guest.write_file(f"{DRIVER}/unbind", pci_address(guest).encode())
    assert uptime(guest) - start < 3, "vgem signals by itself after ten seconds"


def test_unbind_does_not_wait_for_another_driver(guest, foreign):
    """A BO that is no longer used by anybody but a job that waits."""
    dev, sync = open_beside(foreign)
    c = Copier(dev)
    bo, _ = c.buffer(PAGE)
    c.queue.submit([Nop()], waits=[sync])
    bo.close()
    kill(dev.proc)
    unbind_soon(guest)
    foreign.signal()
    guest.rmmod("vnpu")
    guest.insmod("vnpu")


@pytest.mark.machine(vram=64 << 20, aperture=64 << 20)
def test_unbind_does_not_wait_for_a_move_that_waits_for_another_driver(guest, foreign):
    """An eviction waits for a job that waits."""
    dev, sync = open_beside(foreign)
    c = Copier(dev)
    c.buffer(40 * MIB, placement=VRAM)
    c.queue.submit([Nop()], waits=[sync])
    other = Device.open(guest.spawn())
    other.bo_create(40 * MIB, placement=VRAM)
    unbind_soon(guest)
    foreign.signal()
    for proc in (dev.proc, other.proc):
        kill(proc)
    guest.rmmod("vnpu")
    guest.insmod("vnpu")


def test_close_does_not_wait_for_another_driver(guest, foreign):
    """A job that waits for a foreign fence keeps its queue, not the process that is killed."""
    dev, sync = open_beside(foreign)
    c = Copier(dev)
    c.queue.submit([Nop()], waits=[sync])
    start = uptime(guest)
    kill(dev.proc)
    assert uptime(guest) - start < 1
    foreign.signal()


def test_end_of_a_file_ends_jobs_of_destroyed_queues(guest, npu):
    """What is on an engine is stopped, what is behind it does not begin, and all fences say so."""
    holder = guest.spawn()
    dev = Device.open(guest.spawn())
    c = Copier(dev)
    word, va = c.buffer(PAGE)
    fences = [
        c.queue.submit(Gate(dev, c.vm).packets()),
        c.queue.submit([Fill(pattern=1, dst=va, size=PAGE)]),
    ]
    files = KeptFiles(holder, dev.proc, [fence.syncobj.export_sync_file() for fence in fences])
    memory = holder.mmap(PAGE, fd=take(holder, dev.proc, word.export()))
    c.queue.destroy()
    pause(npu, 100)
    assert files.statuses() == [0, 0], "they do not end with the queue"
    start = uptime(guest)
    kill(dev.proc)
    files.wait(timeout_ms=5000)
    assert files.statuses() == [-errno.ECANCELED] * 2
    assert uptime(guest) - start < 1.5, "somebody waited for the time that a job may take"
    assert memory.read_u32() == 0


class Leaver:
    """A client that is killed with all queues and a VM that wait for another driver."""

    def __init__(self, foreign):
        dev, sync = open_beside(foreign)
        c = Copier(dev)
        _, va = c.buffer(PAGE)
        queues = [c.queue]
        while len(queues) < dev.limits().max_queues:
            queues.append(dev.queue_create(c.vm, engine=COPY))
        for queue in queues:
            queue.submit([Nop()], waits=[sync])
        c.vm.unbind(va, PAGE, waits=[sync], asynchronous=True)
        kill(dev.proc)


def occupy(dev):
    """All hardware queues that a client can have, with a job each that waits; and its end."""
    vm = dev.vm_create()
    gate = Gate(dev, vm)
    queues = [dev.queue_create(vm, engine=COPY) for _ in range(dev.limits().max_queues)]
    return gate, [queue.submit(gate.packets()) for queue in queues]


@pytest.mark.machine(queues=8)
def test_who_is_gone_keeps_no_hardware_queue(guest, npu, other, foreign):
    """Two others can have all there are, and keep them when the first one's wait ends."""
    Leaver(foreign)
    taken = [occupy(dev) for dev in (npu, other)]
    foreign.signal()
    pause(npu, 200)
    for gate, fences in taken:
        gate.open()
        for fence in fences:
            fence.wait()
    for dev in (npu, other):
        kill(dev.proc)
    guest.rmmod("vnpu")
    guest.insmod("vnpu")


@pytest.mark.machine(queues=8)
@pytest.mark.parametrize("again", [False, True], ids=["gone", "back"])
def test_unbind_after_who_is_gone(guest, foreign, again):
    """What waits belongs to a device that is gone, not to the one that comes in its place."""
    Leaver(foreign)
    address = pci_address(guest).encode()
    unbind_soon(guest)
    if not again:
        foreign.signal()
        guest.rmmod("vnpu")
        guest.insmod("vnpu")
        return
    guest.write_file(f"{DRIVER}/bind", address)
    (name,) = guest.listdir("/dev/accel")
    dev = Device.open(guest.spawn(), path=f"/dev/accel/{name}")
    gate, fences = occupy(dev)
    foreign.signal()
    pause(dev, 200)
    gate.open()
    for fence in fences:
        fence.wait()


def test_who_is_gone_keeps_no_context(guest, npu, foreign):
    """The number of its VM is free though its bind waits, and another VM that has it is whole."""
    dev, sync = open_beside(foreign)
    bo = dev.bo_create(PAGE, placement=SYSTEM)
    for _ in range(dev.limits().max_vms):
        vm = dev.vm_create()
        va = vm.bind(bo)
        vm.unbind(va, PAGE, waits=[sync], asynchronous=True)
    kill(dev.proc)
    copiers = [
        Copier(npu),
        *(npu.vm_create() for _ in range(npu.limits().max_vms - 2)),
        Copier(npu),
    ]
    foreign.signal()
    for c in (copiers[0], copiers[-1]):
        (src, a), (dst, b) = c.buffer(PAGE), c.buffer(PAGE)
        src.write(b"whole")
        c.copy(a, b, PAGE).wait()
        assert dst.read(5) == b"whole"


def touch_what_waits(dev, gate, vm):
    """A mapping of VRAM that the CPU does not see: a touch waits until the gate is opened."""
    dev.bo_create(16 * MIB, vm=vm)  # what the CPU sees is taken last
    bo = dev.bo_create(MIB, placement=VRAM)
    vm.bind(bo)
    dev.queue_create(vm, engine=COPY).submit(gate.packets())
    return bo.map()


@pytest.mark.machine(vram=64 << 20, aperture=16 << 20)
def test_destroy_does_not_wait_for_a_submit_in_another_thread(guest, npu):
    """The other thread is inside SUBMIT, where it reads memory that is not there yet."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    memory = touch_what_waits(npu, gate, c.vm)
    c.queue.submit([Nop()]).wait()
    job = npu.proc.alloc(PAGE)
    syncs = abi.drm_vnpu_array(stride=24, count=1, array=memory.addr)
    job.write(bytes(abi.drm_vnpu_submit_job(queue_id=c.queue.id, syncs=syncs)))
    submit = abi.drm_vnpu_submit(jobs=abi.drm_vnpu_array(stride=40, count=1, array=job.addr))
    thread = npu.proc.thread()
    pending = thread.syscall_async("ioctl", npu.fd, abi.DRM_IOCTL_VNPU_SUBMIT, bytes(submit))
    pending.wait_blocked()
    start = uptime(guest)
    c.queue.destroy()
    assert uptime(guest) - start < 1
    assert not pending.done()
    gate.open()
    with raises_errno(errno.EINVAL):  # no such type of a sync
        pending.result()


@pytest.mark.machine(vram=64 << 20, aperture=16 << 20)
def test_unbind_while_a_page_fault_waits_for_a_job_that_hangs(guest):
    """Recovery goes on until the fault, which unbinding waits for, has ended."""
    guest.write_file("/sys/module/vnpu/parameters/job_timeout_ms", b"2000")
    proc = guest.spawn()
    dev = Device.open(proc)
    c = Copier(dev)
    memory = touch_what_waits(dev, Gate(dev, c.vm), c.vm)
    sink = proc.syscall("memfd_create", "sink", 0)
    touch = proc.thread().syscall_async("write", sink, memory.addr, 8)
    touch.wait_blocked()
    start = uptime(guest)
    guest.write_file(f"{DRIVER}/unbind", pci_address(guest).encode())
    assert uptime(guest) - start < 8
    touch.result()
