# SPDX-License-Identifier: MIT
"""Syncobjs, and the fences that submits return."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from vnpu.base.deadline import scaled
from vnpu.uapi import abi

if TYPE_CHECKING:
    from vnpu.accel.device import Device
    from vnpu.guest import Pending, Process
    from vnpu.guest.batch import Batch, Scratch

SyncItem: TypeAlias = Union["Syncobj", "Fence", "tuple[Syncobj, int]"]


class Syncobj:
    """A syncobj. Point 0 means its binary use, any other a point of its timeline."""

    def __init__(self, device: Device, handle: int) -> None:
        self.device = device
        self.handle = handle

    def __enter__(self) -> Syncobj:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    def wait(self, timeout_ms: float, point: int = 0, flags: int = 0) -> None:
        """Wait in the kernel; OSError with ETIME when the time is over.

        *flags* are DRM_SYNCOBJ_WAIT_FLAGS_*; without WAIT_FOR_SUBMIT a syncobj
        that has no fence is EINVAL.
        """
        proc = self.device.proc
        buffer = abi.scratch(proc, 16)
        deadline = deadline_ns(proc, timeout_ms)
        abi.call(
            proc,
            self.device.fd,
            *self._wait_arg(buffer.addr, deadline, point, flags),
            writes=[(buffer.addr, self._wait_arrays(point))],
            timeout_s=timeout_ms / 1000 + proc.timeout_s,
        )

    def wait_async(self, timeout_ms: float, point: int = 0, flags: int = 0) -> Pending[int]:
        """wait() that leaves the process in the kernel and comes back at once."""
        proc = self.device.proc
        deadline = deadline_ns(proc, timeout_ms)
        buffer = proc.alloc(16)  # not the scratch memory: it has to stay as it is
        buffer.write(self._wait_arrays(point))
        ioctl, arg = self._wait_arg(buffer.addr, deadline, point, flags)
        return proc.syscall_async("ioctl", self.device.fd, ioctl.nr, bytes(arg))

    def _wait_arrays(self, point: int) -> bytes:
        return point.to_bytes(8, "little") + self.handle.to_bytes(4, "little")

    def _wait_arg(
        self, arrays: int, deadline: int, point: int, flags: int
    ) -> tuple[abi.Ioctl, abi.SyncobjWait | abi.SyncobjTimelineWait]:
        if not point:
            return abi.SYNCOBJ_WAIT, abi.SyncobjWait(
                handles=arrays + 8, count_handles=1, timeout_nsec=deadline, flags=flags
            )
        return abi.SYNCOBJ_TIMELINE_WAIT, abi.SyncobjTimelineWait(
            handles=arrays + 8, points=arrays, count_handles=1, timeout_nsec=deadline, flags=flags
        )

    def signal(self, point: int = 0) -> None:
        """Signal from the CPU."""
        proc, fd = self.device.proc, self.device.fd
        buffer = abi.scratch(proc, 16)
        buffer.write(self._wait_arrays(point))
        if point:
            abi.syncobj_timeline_signal(
                proc, fd, handles=buffer.addr + 8, points=buffer.addr, count_handles=1
            )
        else:
            abi.syncobj_signal(proc, fd, handles=buffer.addr + 8, count_handles=1)

    def query(self, flags: int = 0) -> int:
        """The last point of the timeline that has signalled."""
        proc = self.device.proc
        buffer = abi.scratch(proc, 16)
        buffer.write(self._wait_arrays(0))
        abi.syncobj_query(
            proc,
            self.device.fd,
            handles=buffer.addr + 8,
            points=buffer.addr,
            count_handles=1,
            flags=flags,
        )
        return int.from_bytes(proc.read_mem(buffer.addr, 8), "little")

    def reset(self) -> None:
        """Take the fence away."""
        proc = self.device.proc
        buffer = abi.scratch(proc, 16)
        buffer.write(self._wait_arrays(0))
        abi.syncobj_reset(proc, self.device.fd, handles=buffer.addr + 8, count_handles=1)

    def export_sync_file(self) -> int:
        """File descriptor of a sync file with the fence that it holds now."""
        arg = self.export_arg()
        return abi.call(self.device.proc, self.device.fd, abi.SYNCOBJ_HANDLE_TO_FD, arg).fd

    def export_arg(self) -> abi.SyncobjHandle:
        """What the ioctl that exports a sync file is given."""
        return abi.SyncobjHandle(
            handle=self.handle,
            flags=abi.DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
            fd=-1,
        )

    def import_sync_file(self, fd: int) -> None:
        """Take the fence of a sync file."""
        abi.syncobj_fd_to_handle(
            self.device.proc,
            self.device.fd,
            handle=self.handle,
            flags=abi.DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
            fd=fd,
        )

    def destroy(self) -> None:
        """Give the handle back."""
        abi.syncobj_destroy(self.device.proc, self.device.fd, handle=self.handle)


class JobFailed(OSError):
    """A job is over and did not do what it should; ``errno`` tells why."""


class Fence:
    """The end of a submitted job, held by a syncobj of its own.

    The handle lasts until close() or the end of the device file; a loop with
    many jobs uses ``with queue.submit(...) as fence``.
    """

    def __init__(self, syncobj: Syncobj) -> None:
        self.syncobj = syncobj
        #: what _status() said when the job was over; 0 as long as nobody has seen that
        self._end = 0

    def __enter__(self) -> Fence:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the handle back; the job goes on. A second call does nothing.

        What was known about the job's end by then can still be asked for.
        """
        if not self.closed:
            self.syncobj.destroy()
            self.syncobj.handle = 0

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self.syncobj.handle == 0

    @property
    def seen_over(self) -> bool:
        """Whether somebody has already seen that the job is over. Asks nobody."""
        return self._end != 0

    def wait(self, timeout_ms: float | None = None, check: bool = True) -> None:
        """Wait until the job is over; OSError with ETIME when the time is.

        That is 10 s of the guest's, stretched as all deadlines are; a time that is
        given is not, because then it is a part of what is tested.
        Raises JobFailed if the job failed; not if ``check`` is false, and then
        error() tells.
        """
        status = self._status()  # most are over by now, and that takes one round trip only
        if status == 0:
            self.syncobj.wait(1000 * scaled(10) if timeout_ms is None else timeout_ms)
            status = self._status() if check else 1
        if check and status < 0:
            raise JobFailed(-status, f"the job failed: {os.strerror(-status)}")

    def done(self) -> bool:
        """Whether the job is over, in whatever way."""
        return self._status() != 0

    def error(self) -> int:
        """The errno that the job ended with; 0 for success, and while it is not over."""
        return max(0, -self._status())

    def _status(self) -> int:
        """1 after success, a negative errno after failure, 0 while the job is not over."""
        if not self._end:
            self._end = self._ask()
        return self._end

    def _ask(self) -> int:
        if self.closed:
            raise ValueError("the fence is closed")
        device = self.syncobj.device
        info = []

        def ask(batch: Batch, arg: Scratch) -> None:
            fd = batch.load64(arg + abi.SyncobjHandle.field("fd").offset)
            place = batch.scratch(bytes(abi.SyncFileInfo()))
            batch.syscall("ioctl", fd, abi.SYNC_IOC_FILE_INFO.nr, place)
            info.append(batch.read(place, abi.SyncFileInfo._size_))
            batch.syscall("close", fd)

        abi.call(
            device.proc,
            device.fd,
            abi.SYNCOBJ_HANDLE_TO_FD,
            self.syncobj.export_arg(),
            then=ask,
        )
        return abi.SyncFileInfo.from_bytes(info[0].data).status


def sync_ops(waits: Sequence[SyncItem], signals: Sequence[SyncItem]) -> list[abi.Sync]:
    """The sync array of a submit or bind."""
    return [_sync(item, abi.SyncOp.WAIT) for item in waits] + [
        _sync(item, abi.SyncOp.SIGNAL) for item in signals
    ]


def _sync(item: SyncItem, op: abi.SyncOp) -> abi.Sync:
    if isinstance(item, Fence):
        item = item.syncobj
    if isinstance(item, Syncobj):
        return abi.Sync(type=abi.SyncType.BINARY, op=op, handle=item.handle)
    syncobj, point = item
    return abi.Sync(type=abi.SyncType.TIMELINE, op=op, handle=syncobj.handle, timeline_value=point)


def deadline_ns(proc: Process, timeout_ms: float) -> int:
    """Now plus *timeout_ms* on the guest's CLOCK_MONOTONIC, in ns; 0 for no wait at all."""
    if timeout_ms <= 0:
        return 0
    batch = proc.batch()
    place = batch.scratch(16)
    batch.syscall("clock_gettime", time.CLOCK_MONOTONIC, place)
    now = batch.read(place, 16)
    batch.run()
    seconds, nanoseconds = (int.from_bytes(now.data[i : i + 8], "little") for i in (0, 8))
    return seconds * 10**9 + nanoseconds + int(timeout_ms * 10**6)
