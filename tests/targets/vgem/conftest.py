# SPDX-License-Identifier: MIT
"""Tests of vgem, a driver of the kernel that has no device: ``vnpu test --target vgem``."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from vnpu import target
from vnpu.guest import Mapping, Process
from vnpu.uapi import abi

#: linux: include/uapi/drm/drm_mode.h
MAP_DUMB = 0xC01064B3
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only the session's target is unloaded and judged, so these need it to be theirs."""
    if target.current().name == "vgem":
        return
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.skip(reason="for --target vgem"))


class Vgem:
    """The device, opened by a process."""

    def __init__(self, proc: Process) -> None:
        self.proc = proc
        self.fd = proc.open(target.current().node, os.O_RDWR | os.O_CLOEXEC)

    def create(self, size: int) -> abi.ModeCreateDumb:
        """A buffer of at least ``size`` bytes."""
        return abi.mode_create_dumb(self.proc, self.fd, width=size // 4, height=1, bpp=32)

    def map(self, handle: int, size: int) -> Mapping:
        """The buffer's memory. Raises OSError."""
        _, out = self.proc.ioctl(self.fd, MAP_DUMB, struct.pack("<IIQ", handle, 0, 0))
        offset = struct.unpack("<IIQ", out)[2]
        return self.proc.mmap(size, fd=self.fd, offset=offset)

    def close(self, handle: int) -> None:
        """Drop a handle. Raises OSError."""
        abi.gem_close(self.proc, self.fd, handle=handle)

    def export(self, handle: int) -> int:
        """The dma-buf of a buffer. Raises OSError."""
        flags = abi.DRM_CLOEXEC | abi.DRM_RDWR
        return abi.prime_handle_to_fd(self.proc, self.fd, handle=handle, flags=flags).fd

    def take(self, fd: int) -> int:
        """The handle of a dma-buf. Raises OSError."""
        return abi.prime_fd_to_handle(self.proc, self.fd, fd=fd).handle


@pytest.fixture
def vgem(proc: Process) -> Vgem:
    """The device, opened in ``proc``."""
    return Vgem(proc)


@pytest.fixture
def again(proc: Process) -> Vgem:
    """The same process opens the device a second time."""
    return Vgem(proc)
