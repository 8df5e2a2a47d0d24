# SPDX-License-Identifier: MIT
"""In which order binds take effect and say so, across address spaces and queues."""

from support import PAGE, Copier, Gate, Interrupts, pause

from vnpu.accel import Fence


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
