# SPDX-License-Identifier: MIT
"""Address spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vnpu.accel.sync import SyncItem, sync_ops
from vnpu.uapi import abi

if TYPE_CHECKING:
    from vnpu.accel.bo import Bo
    from vnpu.accel.device import Device
    from vnpu.accel.queue import Queue

_AUTO_START = 0x0100_0000_0000  # addresses that bind() chooses; tests use lower ones
_HUGE = 2 << 20
_GUARD = 64 << 10  # left unmapped behind each buffer, to catch what runs over


class Vm:
    """An address space. Addresses and sizes are in bytes."""

    def __init__(self, device: Device, vm_id: int) -> None:
        self.device = device
        self.id = vm_id
        self._next = _AUTO_START

    def reserve(self, size: int) -> int:
        """An address that bind() without *va* does not hand out again.

        Aligned so that large buffers can use large pages.
        """
        align = _HUGE if size >= _HUGE else _GUARD
        va = -(-self._next // align) * align
        self._next = va + size + _GUARD
        return va

    def bind(
        self,
        bo: Bo,
        va: int | None = None,
        offset: int = 0,
        size: int | None = None,
        readonly: bool = False,
        waits: Sequence[SyncItem] = (),
        signals: Sequence[SyncItem] = (),
        asynchronous: bool = False,
        queue: Queue | None = None,
    ) -> int:
        """Map a range of *bo* and return its address, chosen here without *va*."""
        length = bo.size - offset if size is None else size
        address = self.reserve(length) if va is None else va
        op = abi.VmBindOp(
            op=abi.VmBindOpType.MAP,
            flags=abi.VmBindMapFlag.READONLY if readonly else 0,
            handle=bo.handle,
            bo_offset=offset,
            va=address,
            size=length,
        )
        self.bind_ops([op], waits, signals, asynchronous, queue)
        return address

    def unbind(
        self,
        va: int,
        size: int,
        waits: Sequence[SyncItem] = (),
        signals: Sequence[SyncItem] = (),
        asynchronous: bool = False,
        queue: Queue | None = None,
    ) -> None:
        """Unmap a range of addresses."""
        op = abi.VmBindOp(op=abi.VmBindOpType.UNMAP, va=va, size=size)
        self.bind_ops([op], waits, signals, asynchronous, queue)

    def bind_ops(
        self,
        ops: Sequence[abi.VmBindOp],
        waits: Sequence[SyncItem] = (),
        signals: Sequence[SyncItem] = (),
        asynchronous: bool = False,
        queue: Queue | None = None,
    ) -> None:
        """VM_BIND with several operations, all or none, in a bind queue or the VM's own."""
        abi.vm_bind(
            self.device.proc,
            self.device.fd,
            vm_id=self.id,
            flags=abi.VmBindFlag.ASYNC if asynchronous else 0,
            bind_queue_id=queue.id if queue else 0,
            ops=ops,
            syncs=sync_ops(waits, signals),
        )

    def destroy(self) -> None:
        """Give the ID back; the space lives until its queues are done."""
        abi.vm_destroy(self.device.proc, self.device.fd, id=self.id)
