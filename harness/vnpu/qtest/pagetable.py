# SPDX-License-Identifier: MIT
"""Builder of the device's page tables, in VRAM through the aperture."""

from __future__ import annotations

from collections.abc import Callable

from vnpu.hw import const, pte


class PageTable:
    """Four levels of tables; each entry is written as it is set, nothing is cached.

    *read64* and *write64* reach VRAM by offset, *alloc* returns the offset of a zeroed page.
    """

    def __init__(
        self,
        read64: Callable[[int], int],
        write64: Callable[[int, int], None],
        alloc: Callable[[], int],
    ) -> None:
        self._read, self._write, self._alloc = read64, write64, alloc
        self.root = alloc()

    def slot(self, va: int, level: int, create: bool = True) -> int:
        """VRAM offset of the entry of *va* in its table of *level*.

        Missing tables on the way are made, or LookupError is raised.
        """
        table = self.root
        for upper in range(const.PT_LEVELS - 1, level, -1):
            at = table + 8 * pte.index(va, upper)
            entry = pte.decode(self._read(at))
            if not entry.valid:
                if not create:
                    raise LookupError(f"{va:#x} has no table of level {upper - 1}")
                entry = pte.decode(pte.table(self._alloc()))
                self._write(at, int(entry))
            table = entry.addr
        return table + 8 * pte.index(va, level)

    def get(self, va: int, level: int = 0) -> int:
        return self._read(self.slot(va, level))

    def set(self, va: int, value: int, level: int = 0) -> None:
        self._write(self.slot(va, level), value)

    def map(
        self,
        va: int,
        addr: int,
        size: int,
        *,
        vram: bool,
        write: bool = True,
        huge: bool | None = None,
    ) -> None:
        """Map contiguous memory: 2 MiB leaves where both sides allow it, unless *huge* is False.

        With *huge* True, ValueError where they do not.
        """
        if va % const.PAGE_SIZE or addr % const.PAGE_SIZE or size % const.PAGE_SIZE:
            raise ValueError("not page aligned")
        while size:
            fits = size >= const.HUGE_SIZE and not (va | addr) % const.HUGE_SIZE
            if huge and not fits:
                raise ValueError(f"no 2 MiB leaf can map {va:#x} to {addr:#x}")
            big = fits and huge is not False
            self.set(va, pte.leaf(addr, vram=vram, write=write), const.PT_HUGE_LEVEL * big)
            step = const.HUGE_SIZE if big else const.PAGE_SIZE
            va, addr, size = va + step, addr + step, size - step

    def unmap(self, va: int, size: int) -> None:
        """Clear the entries of a range, whatever their size."""
        end = va + size
        while va < end:
            huge = pte.decode(self.get(va, const.PT_HUGE_LEVEL))
            if huge.valid and huge.leaf:
                self.set(va, 0, const.PT_HUGE_LEVEL)
                va += const.HUGE_SIZE - va % const.HUGE_SIZE
            else:
                self.set(va, 0)
                va += const.PAGE_SIZE
