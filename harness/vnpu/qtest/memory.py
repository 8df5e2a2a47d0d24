# SPDX-License-Identifier: MIT
"""Memory of a test: allocators, and buffers that a context sees as one range."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vnpu.hw import const


class Arena:
    """Hands out addresses of a range once; nothing is given back but by ``scratch``."""

    def __init__(self, start: int, end: int) -> None:
        self._next, self._end = start, end

    def alloc(self, size: int, align: int = const.PAGE_SIZE) -> int:
        """An aligned address; MemoryError when the range is used up."""
        at = -(-self._next // align) * align
        if at + size > self._end:
            raise MemoryError(f"no {size:#x} bytes left below {self._end:#x}")
        self._next = at + size
        return at

    @contextlib.contextmanager
    def scratch(self) -> Iterator[None]:
        """What is allocated inside is free again afterwards."""
        before = self._next
        try:
            yield
        finally:
            self._next = before


@dataclass(frozen=True)
class Frame:
    """A contiguous piece of VRAM (offset) or guest memory (DMA address)."""

    vram: bool
    addr: int
    size: int


Access = Callable[[bool, int, int], bytes]
Store = Callable[[bool, int, bytes], None]


class Buffer:
    """Memory mapped at *va*: *size* bytes from *offset* on in the frames, taken end to end.

    Read and written by the CPU, behind the device's back.
    """

    def __init__(
        self, va: int, size: int, offset: int, frames: list[Frame], load: Access, store: Store
    ) -> None:
        self.va, self.size, self.frames = va, size, frames
        self._offset, self._load, self._store = offset, load, store

    def __len__(self) -> int:
        return self.size

    def _pieces(self, offset: int, size: int) -> list[Frame]:
        if offset < 0 or offset + size > self.size:
            raise IndexError(f"[{offset:#x}, {offset + size:#x}) leaves the {self.size:#x} bytes")
        out: list[Frame] = []
        skip = self._offset + offset
        for frame in self.frames:
            if skip >= frame.size:
                skip -= frame.size
                continue
            n = min(size, frame.size - skip)
            if n <= 0:
                break
            out.append(Frame(frame.vram, frame.addr + skip, n))
            size -= n
            skip = 0
        return out

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        size = self.size - offset if size is None else size
        return b"".join(self._load(p.vram, p.addr, p.size) for p in self._pieces(offset, size))

    def write(self, data: bytes, offset: int = 0) -> None:
        at = 0
        for piece in self._pieces(offset, len(data)):
            self._store(piece.vram, piece.addr, data[at : at + piece.size])
            at += piece.size
