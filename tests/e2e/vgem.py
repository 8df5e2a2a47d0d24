# SPDX-License-Identifier: MIT
"""Buffers and fences of another driver: vgem, whose fences signal when told."""

from __future__ import annotations

import contextlib
import os

from vnpu.guest import Process
from vnpu.uapi import abi


class Vgem:
    """The vgem device, open in a process."""

    def __init__(self, proc: Process) -> None:
        self.proc = proc
        self.fd = _open(proc)

    def buffer(self, size: int) -> tuple[int, int]:
        """A buffer of *size* bytes: its handle and its dma-buf."""
        dumb = abi.mode_create_dumb(self.proc, self.fd, width=size // 4, height=1, bpp=32)
        flags = abi.DRM_CLOEXEC | abi.DRM_RDWR
        made = abi.prime_handle_to_fd(self.proc, self.fd, handle=dumb.handle, flags=flags)
        return dumb.handle, made.fd

    def take(self, fd: int) -> int:
        """The handle of somebody's dma-buf."""
        return abi.prime_fd_to_handle(self.proc, self.fd, fd=fd).handle

    def write_begins(self, handle: int) -> int:
        """Put a fence on a buffer, as for a write. It signals by itself after ten seconds."""
        flags = abi.VGEM_FENCE_WRITE
        return abi.vgem_fence_attach(self.proc, self.fd, handle=handle, flags=flags).out_fence

    def write_ends(self, fence: int) -> None:
        """Signal a fence."""
        abi.vgem_fence_signal(self.proc, self.fd, fence=fence)


def _open(proc: Process) -> int:
    for number in range(8):
        with contextlib.suppress(OSError):
            return proc.open(f"/dev/dri/card{number}", os.O_RDWR | os.O_CLOEXEC)
    raise LookupError("no card in /dev/dri")
