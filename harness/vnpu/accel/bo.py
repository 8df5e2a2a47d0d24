# SPDX-License-Identifier: MIT
"""Buffer objects."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vnpu.guest.memory import Mapping
from vnpu.uapi import abi

if TYPE_CHECKING:
    from vnpu.accel.device import Device
    from vnpu.guest.batch import Batch, Scratch, Step

READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE


class Bo:
    """A buffer object. Sizes and offsets are in bytes."""

    def __init__(self, device: Device, handle: int, size: int) -> None:
        self.device = device
        self.handle = handle
        self.size = size
        self._mapping: Mapping | None = None

    def mmap_offset(self) -> int:
        """What to pass to mmap() of the device file."""
        return abi.bo_mmap_offset(self.device.proc, self.device.fd, handle=self.handle).offset

    def map(self) -> Mapping:
        """The whole buffer, mapped read-write and shared; the same mapping each time."""
        if self._mapping is None:
            self._mapping = Mapping(self.device.proc, self._map_at(), self.size)
        return self._mapping

    def _map_at(self) -> int:
        """Ask for the offset and map there, in one round trip; the address."""
        device, at = self.device, abi.BoMmapOffset.field("offset").offset
        mapped: list[Step] = []

        def then(batch: Batch, arg: Scratch) -> None:
            place = batch.load64(arg + at)
            where = (0, self.size, READ_WRITE, mmap.MAP_SHARED, device.fd, place)
            mapped.append(batch.syscall("mmap", *where))

        arg = abi.BoMmapOffset(handle=self.handle)
        abi.call(device.proc, device.fd, abi.BO_MMAP_OFFSET, arg, then=then)
        return mapped[0].value

    def unmap(self) -> None:
        """Undo map(); nothing happens if it was not called."""
        if self._mapping is not None:
            mapping, self._mapping = self._mapping, None
            mapping.unmap()

    def read(self, size: int | None = None, offset: int = 0) -> bytes:
        """Bytes as the CPU sees them; all from *offset* on without *size*."""
        count = self.size - offset if size is None else size
        self._check(offset, count)
        return self.device.proc.read_mem(self.map().addr + offset, count)

    def write(self, data: bytes | bytearray | memoryview, offset: int = 0) -> None:
        """Store bytes with the CPU."""
        self._check(offset, len(data))
        self.device.proc.write_mem(self.map().addr + offset, bytes(data))

    def array(self, dtype: Any, shape: int | Sequence[int], offset: int = 0) -> np.ndarray:
        """A copy of the contents as an array."""
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        data = self.read(count * kind.itemsize, offset)
        return np.frombuffer(data, kind).reshape(shape).copy()

    def put(self, values: np.ndarray, offset: int = 0) -> None:
        """Store the elements of an array, row major."""
        self.write(np.ascontiguousarray(values).tobytes(), offset)

    def export(self, flags: int = abi.DRM_CLOEXEC | abi.DRM_RDWR) -> int:
        """A dma-buf file descriptor in the process."""
        device = self.device
        return abi.prime_handle_to_fd(device.proc, device.fd, handle=self.handle, flags=flags).fd

    def close(self) -> None:
        """Undo map() and close the handle; bindings and other mappings keep the memory."""
        self.unmap()
        abi.gem_close(self.device.proc, self.device.fd, handle=self.handle)

    def _check(self, offset: int, count: int) -> None:
        if offset < 0 or count < 0 or offset + count > self.size:
            raise ValueError(f"{count} bytes at {offset} are not in a BO of {self.size}")
