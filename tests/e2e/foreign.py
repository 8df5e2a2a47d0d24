# SPDX-License-Identifier: MIT
"""A fence of another driver, for jobs that wait for what vnpu has no say in."""

from __future__ import annotations

import contextlib
import os
import struct

from vnpu.guest import Guest, Process
from vnpu.uapi import abi

_CREATE_DUMB = 0xC020_64B2
_FENCE_ATTACH = 0xC010_6441
_FENCE_SIGNAL = 0x4008_6442
_EXPORT_SYNC_FILE = 0xC008_6202


class ForeignFence:
    """A fence of vgem, held by a process of its own: signalled on demand, or after ten seconds.

    ``sync_file`` is a descriptor of :attr:`holder`; processes forked from it have it too.
    """

    def __init__(self, guest: Guest) -> None:
        with contextlib.suppress(OSError):  # it may be there already
            guest.insmod("vgem")
        self.holder: Process = guest.spawn()
        self._fd = self._open(guest)
        handle = self._create()
        dma_buf = abi.prime_handle_to_fd(
            self.holder, self._fd, handle=handle, flags=abi.DRM_RDWR, fd=-1
        ).fd
        # flags 1: a fence of a writer
        self._fence = self._call(self._fd, _FENCE_ATTACH, "IIII", handle, 1, 0, 0)[2]
        self.sync_file = self._call(dma_buf, _EXPORT_SYNC_FILE, "Ii", 3, -1)[1]
        self.holder.close(dma_buf)

    def signal(self) -> None:
        """Signal it now."""
        self._call(self._fd, _FENCE_SIGNAL, "II", self._fence, 0)

    def _open(self, guest: Guest) -> int:
        # vnpu is an accel device, so the only node here is that of vgem
        (name,) = [name for name in guest.listdir("/dev/dri") if name.startswith("card")]
        return self.holder.open(f"/dev/dri/{name}", os.O_RDWR)

    def _create(self) -> int:
        return self._call(self._fd, _CREATE_DUMB, "IIIIIIQ", 32, 32, 32, 0, 0, 0, 0)[4]

    def _call(self, fd: int, number: int, layout: str, *values: int) -> tuple[int, ...]:
        place = self.holder.alloc(4096)
        place.write(struct.pack(layout, *values))
        self.holder.syscall("ioctl", fd, number, place.addr)
        result = struct.unpack(layout, place.read(struct.calcsize(layout)))
        place.unmap()
        return result
