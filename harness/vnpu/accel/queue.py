# SPDX-License-Identifier: MIT
"""Queues, and the memory that their command buffers live in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vnpu.accel.sync import Fence, SyncItem, sync_ops
from vnpu.uapi import abi

if TYPE_CHECKING:
    from vnpu.accel.bo import Bo
    from vnpu.accel.device import Device
    from vnpu.accel.vm import Vm

# a packet (anything that bytes() turns into one), or a range of addresses
Command: TypeAlias = "Any | tuple[int, int]"

_CHUNK_BYTES = 256 << 10


@dataclass
class _Chunk:
    """A command BO, filled from its start; reused when its last job is over."""

    bo: Bo
    va: int
    used: int = 0
    last: Fence | None = None

    @property
    def room(self) -> int:
        return self.bo.size - self.used


@dataclass
class CommandMemory:
    """Memory of an address space for command buffers."""

    vm: Vm
    chunks: list[_Chunk] = field(default_factory=list)

    def place(self, blobs: Sequence[bytes]) -> tuple[list[abi.Cmd], _Chunk, tuple[int, bytes]]:
        """Find memory that no job uses; the caller writes the bytes to the address."""
        chunk = self._with_room(sum(len(blob) for blob in blobs))
        start = chunk.used
        cmds = []
        for blob in blobs:
            cmds.append(abi.Cmd(va=chunk.va + chunk.used, size=len(blob)))
            chunk.used += len(blob)
        return cmds, chunk, (chunk.bo.map().addr + start, b"".join(blobs))

    def _with_room(self, size: int) -> _Chunk:
        if self.chunks and self.chunks[-1].room >= size:
            return self.chunks[-1]
        oldest = self.chunks[0] if self.chunks else None
        if oldest and oldest.bo.size >= size and (oldest.last is None or oldest.last.done()):
            self.chunks.append(self.chunks.pop(0))
            oldest.used = 0
            return oldest
        bo = self.vm.device.bo_create(
            max(size, _CHUNK_BYTES), placement=abi.PlacementFlag.SYSTEM, vm=self.vm
        )
        self.chunks.append(_Chunk(bo, self.vm.bind(bo)))
        return self.chunks[-1]


class Queue:
    """A queue of jobs."""

    def __init__(self, device: Device, vm: Vm, queue_id: int) -> None:
        self.device = device
        self.vm = vm
        self.id = queue_id
        self._memory = CommandMemory(vm)

    def submit(
        self,
        cmds: Sequence[Command],
        waits: Sequence[SyncItem] = (),
        signals: Sequence[SyncItem] = (),
    ) -> Fence:
        """Submit one job and return its fence.

        *cmds* are packets, which are placed in memory of this queue, and (va,
        size) pairs of command buffers that are in memory already.
        """
        fence = Fence(self.device.syncobj_create())
        try:
            self._submit(cmds, waits, signals, fence)
        except BaseException:
            fence.syncobj.destroy()
            raise
        return fence

    def _submit(
        self,
        cmds: Sequence[Command],
        waits: Sequence[SyncItem],
        signals: Sequence[SyncItem],
        fence: Fence,
    ) -> None:
        packets = any(not isinstance(command, tuple) for command in cmds)
        parts = group(cmds, self.device.limits().max_cmd_bytes if packets else 0)
        own: list[abi.Cmd] = []
        writes: list[tuple[int, bytes]] = []
        chunk = None
        if blobs := [part for part in parts if isinstance(part, bytes)]:
            own, chunk, write = self._memory.place(blobs)
            writes.append(write)
        made = iter(own)
        array = [next(made) if isinstance(p, bytes) else abi.Cmd(va=p[0], size=p[1]) for p in parts]
        abi.call(
            self.device.proc,
            self.device.fd,
            abi.SUBMIT,
            abi.Submit(queue_id=self.id),
            arrays={"cmds": array, "syncs": sync_ops(waits, [*signals, fence])},
            writes=writes,
        )
        if chunk:
            chunk.last = fence

    def query(self) -> abi.QueueQuery:
        """State, fault and counters."""
        return abi.queue_query(self.device.proc, self.device.fd, id=self.id)

    def destroy(self) -> None:
        """Give the ID back; what was submitted still runs."""
        abi.queue_destroy(self.device.proc, self.device.fd, id=self.id)


def group(cmds: Sequence[Command], limit: int) -> list[bytes | tuple[int, int]]:
    """Join neighbouring packets into command buffers of at most *limit* bytes."""
    parts: list[bytes | tuple[int, int]] = []
    for command in cmds:
        if isinstance(command, tuple):
            va, size = command
            parts.append((va, size))
            continue
        raw = bytes(command)
        last = parts[-1] if parts else None
        if isinstance(last, bytes) and len(last) + len(raw) <= limit:
            parts[-1] = last + raw
        else:
            parts.append(raw)
    return parts
