# SPDX-License-Identifier: MIT
"""Queues, and the memory that their command buffers live in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vnpu.accel.placement import Placement
from vnpu.accel.sync import Fence, SyncItem, sync_ops
from vnpu.uapi import abi

if TYPE_CHECKING:
    from vnpu.accel.bo import Bo
    from vnpu.accel.device import Device
    from vnpu.accel.vm import Vm
    from vnpu.guest import Process

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
    held: bool = False  # by a submit that is being put together

    @property
    def room(self) -> int:
        return self.bo.size - self.used

    def free(self) -> bool:
        """Whether nothing uses it, as far as the fence of its last job can still be asked."""
        last = self.last
        if self.held:
            return False
        return last is None or last.seen_over or (not last.closed and last.done())


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
        if oldest and oldest.bo.size >= size and oldest.free():
            self.chunks.append(self.chunks.pop(0))
            oldest.used = 0
            return oldest
        bo = self.vm.device.bo_create(
            max(size, _CHUNK_BYTES), placement=Placement.SYSTEM, vm=self.vm
        )
        self.chunks.append(_Chunk(bo, self.vm.bind(bo)))
        return self.chunks[-1]


@dataclass(frozen=True)
class Job:
    """What submit_jobs() submits; see Queue.submit()."""

    queue: Queue
    cmds: Sequence[Command] = ()
    waits: Sequence[SyncItem] = ()
    signals: Sequence[SyncItem] = ()


@dataclass(frozen=True)
class _Described:
    """A job as the ioctl takes it, and the packets that have to be written for it."""

    element: abi.Nested
    fence: Fence
    write: tuple[int, bytes] | None = None
    chunk: _Chunk | None = None


def submit_jobs(device: Device, jobs: Sequence[Job], flags: int = 0) -> list[Fence]:
    """Submit several jobs, all or none, and return a fence for each."""
    fences = [Fence(device.syncobj_create()) for _ in jobs]
    described: list[_Described] = []
    try:
        for job, fence in zip(jobs, fences, strict=True):
            described.append(job.queue._describe(job, fence))
        abi.call(
            device.proc,
            device.fd,
            abi.SUBMIT,
            abi.Submit(flags=flags),
            arrays={"jobs": [one.element for one in described]},
            writes=[one.write for one in described if one.write],
        )
    except BaseException:
        _release(described)
        for fence in fences:
            fence.syncobj.destroy()
        raise
    _release(described, submitted=True)
    return fences


def lasting_submit(
    proc: Process, queue_id: int, cmds: Sequence[abi.Cmd] = (), syncs: Sequence[abi.Sync] = ()
) -> abi.Submit:
    """The argument of a submit of one job, for batches that repeat it.

    Its arrays are in memory of their own, which stays as it is.
    """
    size, cmd_bytes = abi.SubmitJob._size_, abi.concat(cmds)
    addr = proc.alloc(size + len(cmd_bytes) + len(syncs) * abi.Sync._size_).addr
    job = abi.SubmitJob(
        queue_id=queue_id,
        cmds=abi.Array(stride=abi.Cmd._size_, count=len(cmds), array=addr + size),
        syncs=abi.Array(
            stride=abi.Sync._size_, count=len(syncs), array=addr + size + len(cmd_bytes)
        ),
    )
    proc.write_mem(addr, bytes(job) + cmd_bytes + abi.concat(syncs))
    return abi.Submit(jobs=abi.Array(stride=size, count=1, array=addr))


def _release(described: Sequence[_Described], submitted: bool = False) -> None:
    for one in described:
        if one.chunk:
            one.chunk.held = False
            if submitted:
                one.chunk.last = one.fence


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
        (fence,) = submit_jobs(self.device, [Job(self, cmds, waits, signals)])
        return fence

    def _describe(self, job: Job, fence: Fence) -> _Described:
        """The job with its packets placed in memory of this queue."""
        packets = any(not isinstance(command, tuple) for command in job.cmds)
        parts = group(job.cmds, self.device.limits().max_cmd_bytes if packets else 0)
        own: list[abi.Cmd] = []
        chunk, write = None, None
        if blobs := [part for part in parts if isinstance(part, bytes)]:
            own, chunk, write = self._memory.place(blobs)
            chunk.held = True
        made = iter(own)
        array = [next(made) if isinstance(p, bytes) else abi.Cmd(va=p[0], size=p[1]) for p in parts]
        syncs = sync_ops(job.waits, [*job.signals, fence])
        element = abi.SubmitJob(queue_id=self.id)
        nested = abi.Nested(element, {"cmds": array, "syncs": syncs})
        return _Described(nested, fence, write, chunk)

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
