# SPDX-License-Identifier: MIT
"""A fence of another driver, for jobs that wait for what vnpu has no say in."""

from __future__ import annotations

from collections.abc import Sequence

from vgem import Vgem

from vnpu.accel import Device, Syncobj
from vnpu.guest import Guest, Process
from vnpu.uapi import abi


class ForeignFence:
    """A fence of vgem, held by a process of its own: signalled on demand, or after ten seconds.

    ``sync_file`` is a descriptor of ``holder``; processes forked from it have it too.
    """

    def __init__(self, guest: Guest) -> None:
        self.holder = guest.spawn()
        self._vgem = Vgem(self.holder)
        handle, dma_buf = self._vgem.buffer(4096)
        self._fence = self._vgem.write_begins(handle)
        flags = abi.DMA_BUF_SYNC_READ | abi.DMA_BUF_SYNC_WRITE
        exported = abi.dma_buf_export_sync_file(self.holder, dma_buf, flags=flags, fd=-1)
        self.sync_file = exported.fd
        self.holder.close(dma_buf)

    def signal(self) -> None:
        """Signal it now."""
        self._vgem.write_ends(self._fence)


def open_beside(foreign: ForeignFence) -> tuple[Device, Syncobj]:
    """The device in a process that has the sync file, and a syncobj with its fence."""
    dev = Device.open(foreign.holder.fork())
    sync = dev.syncobj_create()
    sync.import_sync_file(foreign.sync_file)
    return dev, sync


def take(holder: Process, proc: Process, fd: int) -> int:
    """A descriptor of another process."""
    pidfd = holder.syscall("pidfd_open", proc.pid, 0)
    return holder.syscall("pidfd_getfd", pidfd, fd, 0)


class KeptFiles:
    """Sync files of a process, kept by another one beyond its end."""

    def __init__(self, holder: Process, proc: Process, files: Sequence[int]) -> None:
        self._holder = holder
        self._files = [take(holder, proc, fd) for fd in files]

    def statuses(self) -> list[int]:
        """Of each; see ``status``."""
        return [status(self._holder, fd) for fd in self._files]

    def wait(self, timeout_ms: int = 20000) -> None:
        """Until all have signalled."""
        for fd in self._files:
            assert self._holder.poll({fd: 1}, timeout_ms=timeout_ms)


def status(proc: Process, sync_file: int) -> int:
    """1 for success, a negative errno, 0 as long as it has not signalled."""
    return abi.sync_ioc_file_info(proc, sync_file).status
