# SPDX-License-Identifier: MIT
"""The PCI core resets the function while the driver has it."""

import errno
import os

import pytest
from support import MIB, PAGE, Copier, Gate, pci_address, reset_function, uptime

from vnpu.accel import SYSTEM, TENSOR, VRAM, Device
from vnpu.hw.codes import SignalOp
from vnpu.hw.packets import Fill, Nop, Signal
from vnpu.uapi import abi

LOST = abi.DRM_VNPU_QUEUE_STATE_LOST

#: of what the suite gives a job without progress, ten seconds: nobody waited for that
SOON_S = 5.0


@pytest.fixture(params=["flr", "bus"])
def method(request):
    return request.param


def test_idle_client_notices_nothing(guest, npu, method):
    c = Copier(npu)
    bo, va = c.buffer(PAGE)
    c.queue.submit([Fill(pattern=1, dst=va, size=PAGE)]).wait()
    tensor = npu.queue_create(c.vm, engine=TENSOR)
    start = uptime(guest)
    reset_function(guest, method)
    for queue in (c.queue, tensor):
        fence = queue.submit([Nop()])
        fence.wait()
        assert fence.error() == 0
        assert queue.query().state == 0
    fence = c.queue.submit([Fill(pattern=2, dst=va, size=PAGE)])
    fence.wait()
    assert (fence.error(), bo.map().read_u32()) == (0, 2)
    assert npu.query_device().reset_count == 1
    assert uptime(guest) - start < SOON_S


def test_memory_survives(guest, npu, method):
    """In VRAM and through the page tables; a process that has it mapped goes on."""
    c = Copier(npu)
    bo, va = c.buffer(MIB, placement=VRAM)
    out, out_va = c.buffer(MIB, placement=SYSTEM)
    mapping = bo.map()
    mapping[:4] = b"kept"
    reset_function(guest, method)
    assert mapping[:4] == b"kept"
    mapping[4:8] = b"late"
    c.copy(va, out_va, MIB).wait()
    assert out.map()[:8] == b"keptlate"


def test_new_clients_work(guest, npu, method):
    """Memory is cleared, moved and mapped for a client that comes after the reset."""
    reset_function(guest, method)
    other = Device.open(guest.spawn())
    c = Copier(other)
    bo, va = c.buffer(MIB, placement=VRAM)
    assert bo.map().read_u32() == 0
    c.queue.submit([Fill(pattern=3, dst=va, size=MIB)]).wait()
    assert bo.map().read_u32() == 3


def test_work_in_flight(guest, npu, method):
    """What the device had begun is lost and says so; what it had not begun runs."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    word, word_va = c.buffer(PAGE)
    bo, va = c.buffer(PAGE)
    add = Signal(op=SignalOp.ADD, addr=word_va, value=1)
    begun = c.queue.submit([add, *gate.packets()])
    behind = c.queue.submit([Fill(pattern=7, dst=va, size=PAGE)])
    other = npu.queue_create(c.vm, engine=TENSOR)
    waiting = other.submit([Signal(op=SignalOp.ADD, addr=word_va + 8, value=1)], waits=[behind])
    while not word.map().read_u64():
        pass
    start = uptime(guest)
    reset_function(guest, method)
    for fence in (begun, behind, waiting):
        fence.wait(check=False)
    assert uptime(guest) - start < SOON_S
    assert [f.error() for f in (begun, behind, waiting)] == [errno.ECANCELED, 0, 0]
    assert word.map().read_u64() == 1
    assert word.map().read_u64(8) == 1
    assert bo.map().read_u32() == 7
    assert (c.queue.query().state, other.query().state) == (LOST, 0)


@pytest.mark.machine(smp=2)
def test_clients_at_work(guest):
    """Resets while two clients submit, bind, create and touch: no call fails, no fence is lost."""
    resetter = guest.spawn()
    path = f"/sys/bus/pci/devices/{pci_address(guest)}/reset"
    fd = resetter.open(path, os.O_WRONLY)
    clients = [Copier(Device.open(guest.spawn())) for _ in range(2)]
    buffers = [c.buffer(MIB, placement=VRAM) for c in clients]
    for _ in range(5):
        pending = resetter.syscall_async("write", fd, b"1", 1)
        fences = []
        while True:
            for c, (bo, va) in zip(clients, buffers, strict=True):
                fences.append((c.queue.submit([Fill(pattern=5, dst=va, size=MIB)]), bo))
                new, new_va = c.buffer(PAGE, placement=VRAM)
                assert new.map().read_u32() == 0
                c.vm.unbind(new_va, PAGE)
            if pending.done():
                break
        pending.result()
        for fence, _ in fences:
            fence.wait(check=False)
            assert fence.error() in (0, errno.ECANCELED)
        for bo, va in buffers:
            c = clients[0] if bo is buffers[0][0] else clients[1]
            c.queue.submit([Fill(pattern=6, dst=va, size=MIB)]).wait()
            assert bo.map().read_u32() == 6
    assert all(c.queue.query().state in (0, LOST) for c in clients)
