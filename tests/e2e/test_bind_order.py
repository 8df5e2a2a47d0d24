# SPDX-License-Identifier: MIT
"""In which order binds take effect and say so, and with what result."""

import errno

from support import (
    PAGE,
    RESET,
    Copier,
    Gate,
    Interrupts,
    PciConfig,
    fails,
    pause,
    reload_impatient,
)

from vnpu.accel import Device, Fence


def test_bind_that_waits_for_a_bind_of_another_vm(guest, npu):
    """The first has translations to drop, which takes a while; the second has none."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    held = c.queue.submit(gate.packets())
    other = npu.vm_create()
    bo, va = c.buffer(PAGE)
    first, second = npu.syncobj_create(), npu.syncobj_create()
    c.vm.unbind(va, PAGE, waits=[held], signals=[first], asynchronous=True)
    other.bind(bo, waits=[first], signals=[second], asynchronous=True)

    interrupts = Interrupts(guest)
    with interrupts.held(interrupts.of_queue("vnpu-mmu")):
        gate.open()
        held.wait()
        pause(npu, 100)
        late = Fence(second).done()
        assert Fence(first).done() or not late
    second.wait(timeout_ms=10000)
    assert Fence(first).done()


@RESET
def test_bind_succeeds_though_its_queue_stops(guest):
    """The device does not reach the queue that drops translations, until it is reset."""
    path = reload_impatient(guest)
    config = PciConfig(guest)
    c = Copier(Device.open(guest.spawn(), path=path))
    (_, sync), (_, later), (_, to) = (c.buffer(PAGE) for _ in range(3))
    c.copy(later, to, PAGE).wait()
    config.set_master(False)
    c.vm.unbind(sync, PAGE)
    done = c.npu.syncobj_create()
    c.vm.unbind(later, PAGE, signals=[done], asynchronous=True)
    done.wait(timeout_ms=20000)
    assert Fence(done).error() == 0
    config.set_master(True)
    fails(c.copy(later, to, PAGE), errno.EIO)
