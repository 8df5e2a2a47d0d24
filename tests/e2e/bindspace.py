# SPDX-License-Identifier: MIT
"""An address space with two bind queues, and jobs that its binds wait for."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from support import PAGE, Copier, Gate, fails, pattern

from vnpu.accel import BIND, COPY, SYSTEM, Device, Fence, Queue
from vnpu.accel.sync import SyncItem
from vnpu.hw.packets import Copy


class Held:
    """A job that waits, for binds that wait for it."""

    def __init__(self, npu: Device) -> None:
        self.copier = Copier(npu)
        self.gate = Gate(npu, self.copier.vm)
        self.fence = self.copier.queue.submit(self.gate.packets())

    def let_go(self) -> None:
        self.gate.open()
        self.fence.wait()


class Space:
    """An address space with nothing in it, and a second bind queue."""

    def __init__(self, npu: Device) -> None:
        self.npu = npu
        self.vm = npu.vm_create()
        self.queue = npu.queue_create(self.vm, engine=BIND)
        self.bo = npu.bo_create(16 * PAGE, placement=SYSTEM)
        self.bo.write(pattern(self.bo.size))

    def map(
        self,
        va: int,
        page: int = 0,
        pages: int = 1,
        queue: Queue | None = None,
        waits: Sequence[SyncItem] = (),
    ) -> Fence:
        """Asynchronously; the fence."""
        done = self.npu.syncobj_create()
        args: dict[str, Any] = {"offset": page * PAGE, "size": pages * PAGE, "queue": queue}
        self.vm.bind(self.bo, va=va, waits=waits, signals=[done], asynchronous=True, **args)
        return Fence(done)

    def unmap(
        self, va: int, pages: int = 1, queue: Queue | None = None, waits: Sequence[SyncItem] = ()
    ) -> Fence:
        done = self.npu.syncobj_create()
        args: dict[str, Any] = {"signals": [done], "asynchronous": True, "queue": queue}
        self.vm.unbind(va, pages * PAGE, waits=waits, **args)
        return Fence(done)

    def expect(self, va: int, page: int | None) -> None:
        """What the device reads there; None for nothing. Maps what it needs at other addresses."""
        jobs = self.npu.queue_create(self.vm, engine=COPY)
        out = self.npu.bo_create(PAGE, placement=SYSTEM)
        to = self.vm.bind(out, va=1 << 44, queue=self.queue)
        # its command memory is mapped by way of the VM's own queue, which may be stuck
        packet = bytes(Copy(src=va, dst=to, size=PAGE))
        cmds = self.npu.bo_create(PAGE, placement=SYSTEM)
        cmds.write(packet)
        at = self.vm.bind(cmds, va=(1 << 44) + PAGE, queue=self.queue)
        fence = jobs.submit([(at, len(packet))])
        if page is None:
            fails(fence, errno.EIO)
        else:
            fence.wait()
            assert out.read() == self.bo.read(PAGE, page * PAGE)
        jobs.destroy()
