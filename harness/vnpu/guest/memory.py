# SPDX-License-Identifier: MIT
"""Memory of a remote process, as seen from the host."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vnpu.guest.process import Process


class Buffer:
    """``size`` bytes at ``addr`` of a remote process.

    Slices read and write; an access that the guest cannot do raises GuestFault,
    one outside of the buffer IndexError before anything is sent.
    """

    def __init__(self, proc: Process, addr: int, size: int) -> None:
        self.proc = proc
        self.addr = addr
        self.size = size

    def __repr__(self) -> str:
        return f"{type(self).__name__}(pid={self.proc.pid}, addr={self.addr:#x}, size={self.size})"

    def __len__(self) -> int:
        return self.size

    def __int__(self) -> int:
        return self.addr

    __index__ = __int__

    def __bytes__(self) -> bytes:
        return self.read()

    def read(self, size: int | None = None, offset: int = 0) -> bytes:
        """``size`` bytes (all by default) from ``offset``."""
        size = self.size - offset if size is None else size
        self._check(offset, size)
        return self.proc.read_mem(self.addr + offset, size)

    def write(self, data: bytes, offset: int = 0) -> None:
        """Put ``data`` at ``offset``."""
        self._check(offset, len(data))
        self.proc.write_mem(self.addr + offset, data)

    def view(self, offset: int, size: int | None = None) -> Buffer:
        """A part of the buffer."""
        size = self.size - offset if size is None else size
        self._check(offset, size)
        return Buffer(self.proc, self.addr + offset, size)

    def read_u32(self, offset: int = 0) -> int:
        """A little-endian word, by one 4-byte access."""
        return int(struct.unpack("<I", self.read(4, offset))[0])

    def read_u64(self, offset: int = 0) -> int:
        """A little-endian double word, by one 8-byte access."""
        return int(struct.unpack("<Q", self.read(8, offset))[0])

    def write_u32(self, value: int, offset: int = 0) -> None:
        """Store a word by one 4-byte access."""
        self.write(struct.pack("<I", value), offset)

    def write_u64(self, value: int, offset: int = 0) -> None:
        """Store a double word by one 8-byte access."""
        self.write(struct.pack("<Q", value), offset)

    def __getitem__(self, index: int | slice) -> int | bytes:
        if isinstance(index, slice):
            start, stop, step = index.indices(self.size)
            return self.read(max(stop - start, 0), start)[:: self._plain(step)]
        at = self._position(index)
        return self.read(1, at)[0]

    def __setitem__(self, index: int | slice, value: int | bytes) -> None:
        if isinstance(index, int):
            assert isinstance(value, int)
            self.write(bytes([value]), self._position(index))
            return
        start, stop, step = index.indices(self.size)
        self._plain(step)
        assert not isinstance(value, int)
        if len(value) != max(stop - start, 0):
            raise ValueError(f"{len(value)} bytes for a slice of {max(stop - start, 0)}")
        self.write(bytes(value), start)

    def _plain(self, step: int) -> int:
        if step != 1:
            raise ValueError("only slices with step 1")
        return step

    def _position(self, index: int) -> int:
        at = index + self.size if index < 0 else index
        self._check(at, 1)
        return at

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise IndexError(f"{size} bytes at {offset} of a buffer of {self.size}")


class Mapping(Buffer):
    """A Buffer made by mmap()."""

    def unmap(self) -> None:
        """munmap() the whole of it; another call does nothing."""
        if self.size:
            self.proc.syscall("munmap", self.addr, self.size)
            self.size = 0

    def __enter__(self) -> Mapping:
        return self

    def __exit__(self, *exc: object) -> None:
        self.unmap()
