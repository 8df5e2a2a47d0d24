# SPDX-License-Identifier: MIT
"""Who is given up when something hangs: the one whose packet is on the engine."""

import errno

import pytest
from support import MIB, PAGE, Copier, Gate, pause, raises_errno, uptime

from vnpu.accel import COPY, SYSTEM, TENSOR, VRAM, Device, Fence, Priority
from vnpu.hw.codes import Dtype, SignalOp
from vnpu.hw.packets import Copy, Copy2d, Gemm, Nop, Signal
from vnpu.uapi import abi

TIMEOUT_PARAM = "/sys/module/vnpu/parameters/job_timeout_ms"
BANNED_TIMEOUT = abi.DRM_VNPU_QUEUE_STATE_BANNED | abi.DRM_VNPU_QUEUE_STATE_TIMEOUT


def reload(guest, kernel_ms, client_ms):
    """Other times that a job may take on queues of the kernel, and on those of clients."""
    guest.rmmod("vnpu")
    guest.insmod("vnpu", f"job_timeout_ms={kernel_ms}")
    guest.write_file(TIMEOUT_PARAM, str(client_ms).encode())


def open_device(guest):
    (name,) = guest.listdir("/dev/accel")
    return Device.open(guest.spawn(), path=f"/dev/accel/{name}")


class Bystander:
    """A client whose job has begun, and would show it if it began again."""

    def __init__(self, guest):
        self.c = Copier(open_device(guest))
        self.gate = Gate(self.c.npu, self.c.vm)
        self.word, va = self.c.buffer(PAGE)
        add = Signal(op=SignalOp.ADD, addr=va, value=1)
        self.fence = self.c.queue.submit([add, *self.gate.packets()])
        while not self.word.map().read_u64():
            pass

    def check(self):
        assert self.c.npu.query_device().reset_count == 0
        # it waited for longer than a job may, so it is given up by itself, or still there
        assert self.word.map().read_u64() == 1
        assert self.c.queue.query().state in (0, BANNED_TIMEOUT)


def submit_long_gemm(npu, vm):
    """About a second on the tensor engine, in one packet."""
    m, n, k = 4096, 4096, 4096
    a = vm.bind(npu.bo_create(m * k, vm=vm))
    c = vm.bind(npu.bo_create(m * n * 4, vm=vm))
    queue = npu.queue_create(vm, engine=TENSOR)
    queue.submit([Nop()]).wait()
    gemm = Gemm(flags="TRANS_B", dtype=Dtype.I8, a=a, b=a, c=c, m=m, n=n, k=k, lda=k, ldb=k, ldc=n)
    return queue, queue.submit([gemm])


def test_invalidation_waits_for_a_packet(guest):
    """INVALIDATE waits for packets of the context, which is not its own fault."""
    reload(guest, kernel_ms=200, client_ms=5000)
    npu = open_device(guest)
    vm = npu.vm_create()
    extra = vm.bind(npu.bo_create(PAGE, placement=SYSTEM))
    queue, long = submit_long_gemm(npu, vm)
    bystander = Bystander(guest)
    sync = npu.syncobj_create()
    vm.unbind(extra, PAGE, signals=[sync], asynchronous=True)
    long.wait(timeout_ms=30000, check=False)
    sync.wait(timeout_ms=30000)
    # a slow machine may need more than the client has
    assert (long.error(), queue.query().state) in ((0, 0), (errno.ETIME, BANNED_TIMEOUT))
    assert Fence(sync).error() == 0
    bystander.check()


def test_clear_waits_for_a_packet(guest):
    """The copy engine is taken by one packet, for long, while a new BO is to be cleared."""
    reload(guest, kernel_ms=100, client_ms=4000)
    npu = open_device(guest)
    c = Copier(npu)
    half = 2 * MIB
    a, b = (npu.bo_create(half, placement=SYSTEM, vm=c.vm) for _ in range(2))
    src, dst, rows = 1 << 42, 1 << 43, 1 << 27
    for base, bo in ((src, a), (dst, b)):
        c.vm.bind_ops(
            [
                abi.VmBindOp(
                    op=abi.VmBindOpType.MAP, handle=bo.handle, va=base + i * half, size=half
                )
                for i in range(rows * 8 // half)
            ]
        )
    c.queue.submit([Nop()]).wait()
    bystander = Bystander(guest)
    hog = c.queue.submit(
        [Copy2d(rows=rows, src=src, dst=dst, src_stride=8, dst_stride=8, row_bytes=1)]
    )
    pause(npu, 50)
    new = npu.bo_create(MIB, placement=VRAM)
    assert new.map().read_u32() == 0
    assert not hog.done() or hog.error() == errno.ETIME
    bystander.check()


@pytest.mark.parametrize("begun", [False, True], ids=["waits", "begun"])
def test_starved_queue_gets_its_engine(guest, npu, begun):
    """Others of higher priority always have work; that is no fault of the one that waits."""
    size, most = 16 * MIB, 6000
    c = Copier(npu)
    (_, src), (_, dst) = c.buffer(size), c.buffer(size)
    packet = Copy(src=src, dst=dst, size=size)
    hogs = [npu.queue_create(c.vm, engine=COPY) for _ in range(npu.query_engines()[COPY])]
    for queue in hogs:
        queue.submit([Nop()]).wait()
    guest.write_file(TIMEOUT_PARAM, b"300")
    low = npu.queue_create(c.vm, engine=COPY, priority=Priority.LOW)
    low.submit([Nop()]).wait()
    if begun:
        starved = low.submit([packet] * 200)
    flood = [queue.submit([packet] * most) for queue in hogs]
    if not begun:
        starved = low.submit([packet] * 10)
    starved.wait(timeout_ms=60000)
    assert not any(fence.done() for fence in flood)
    assert low.query().state == 0


def test_later_jobs_do_not_put_a_timeout_off(guest, npu):
    """A job that hangs, and one without commands behind it every 50 ms."""
    guest.write_file(TIMEOUT_PARAM, b"400")
    c = Copier(npu)
    start = uptime(guest)
    hung = c.queue.submit(Gate(npu, c.vm).packets())
    while not hung.done():
        pause(npu, 50)
        if not hung.done():
            try:
                c.queue.submit([])
            except OSError as error:
                assert error.errno == errno.ECANCELED
    elapsed = uptime(guest) - start
    assert hung.error() == errno.ETIME
    assert 0.4 <= elapsed < 1.5 * 0.4 + 1, "when it is noticed, and a second for a slow machine"


def test_trickle_on_another_queue_does_not_put_a_timeout_off(guest, npu):
    guest.write_file(TIMEOUT_PARAM, b"400")
    c = Copier(npu)
    other = npu.queue_create(c.vm, engine=COPY)
    start = uptime(guest)
    hung = c.queue.submit(Gate(npu, c.vm).packets())
    while not hung.done():
        other.submit([Nop()]).wait()
    assert hung.error() == errno.ETIME
    assert 0.4 <= uptime(guest) - start < 1.5 * 0.4 + 1
    with raises_errno(errno.ECANCELED):
        c.queue.submit([])
