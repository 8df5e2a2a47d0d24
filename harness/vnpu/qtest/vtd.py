# SPDX-License-Identifier: MIT
"""intel-iommu, driven by hand: one domain, its mappings, and how they are flushed."""

from __future__ import annotations

from vnpu.base.errors import RigError
from vnpu.qtest.machine import QtestMachine

BASE = 0xFED90000
_GLOBAL_COMMAND, _GLOBAL_STATUS, _ROOT, _CONTEXT_COMMAND = 0x18, 0x1C, 0x20, 0x28
_FLUSH_ADDRESS, _FLUSH = 0xF0, 0xF8
_TRANSLATE, _SET_ROOT = 1 << 31, 1 << 30
_INVALIDATE = 1 << 63
_GLOBAL, _DOMAIN, _PAGE = 1, 2, 3
_DOMAIN_ID = 1
#: of a context entry: tables of four levels
_FOUR_LEVELS = 2
_PRESENT, _READ_WRITE, _LARGE = 1, 3, 1 << 7
LARGE_PAGE = 2 << 20
_PAGE_BYTES = 4096


class Vtd:
    """The IOMMU of q35; its tables are in the guest memory at *memory* (64 KiB).

    All functions of bus 0 are in its one domain.
    """

    def __init__(self, machine: QtestMachine, memory: int) -> None:
        self.qtest = machine.qtest
        self._free = memory
        self._end = memory + 0x10000
        root, context, self._top = (self._table() for _ in range(3))
        self._write64(root, context | _PRESENT)
        for function in range(256):
            self._write64(context + 16 * function, self._top | _PRESENT)
            self._write64(context + 16 * function + 8, _DOMAIN_ID << 8 | _FOUR_LEVELS)
        self._set(_ROOT, root)
        self._command(_SET_ROOT)
        self._set(_CONTEXT_COMMAND, _INVALIDATE | _GLOBAL << 61)
        self.flush()
        self._command(_TRANSLATE)

    def translate(self, on: bool) -> None:
        """Switch translation, which is on at first."""
        self._command(_TRANSLATE if on else 0)

    def map(self, virtual: int, size: int, physical: int) -> None:
        """For reading and writing; in units of LARGE_PAGE."""
        for offset in range(0, size, LARGE_PAGE):
            self._set_leaf(virtual + offset, physical + offset | _READ_WRITE | _LARGE)

    def clear(self, virtual: int, size: int) -> None:
        """Take mappings out of the tables; the IOMMU learns of it by a flush."""
        for offset in range(0, size, LARGE_PAGE):
            self._set_leaf(virtual + offset, 0)

    def flush(self) -> None:
        """Forget all translations."""
        self._flush(_GLOBAL)

    def flush_domain(self) -> None:
        self._flush(_DOMAIN)

    def flush_range(self, virtual: int, size: int) -> None:
        """*size* is a power of two, and *virtual* a multiple of it."""
        order = (size // _PAGE_BYTES).bit_length() - 1
        self._set(_FLUSH_ADDRESS, virtual | order)
        self._flush(_PAGE)

    def _flush(self, what: int) -> None:
        self._set(_FLUSH, _INVALIDATE | what << 60 | _DOMAIN_ID << 32)
        if self.qtest.read_int(BASE + _FLUSH, 8) & _INVALIDATE:
            raise RigError("intel-iommu did not flush")

    def _command(self, bits: int) -> None:
        self.qtest.write_int(BASE + _GLOBAL_COMMAND, bits, 4)
        if bits and not self.qtest.read_int(BASE + _GLOBAL_STATUS, 4) & bits:
            raise RigError(f"intel-iommu did not take command {bits:#x}")

    def _set(self, register: int, value: int) -> None:
        self.qtest.write_int(BASE + register, value, 8)

    def _write64(self, at: int, value: int) -> None:
        self.qtest.write_int(at, value, 8)

    def _table(self) -> int:
        at, self._free = self._free, self._free + _PAGE_BYTES
        if self._free > self._end:
            raise RigError("no memory for another table of the IOMMU")
        self.qtest.fill(at, _PAGE_BYTES, 0)
        return at

    def _set_leaf(self, virtual: int, entry: int) -> None:
        table = self._top
        for shift in (39, 30):
            at = table + 8 * (virtual >> shift & 0x1FF)
            table = self.qtest.read_int(at, 8) & ~0xFFF
            if not table:
                table = self._table()
                self._write64(at, table | _READ_WRITE)
        self._write64(table + 8 * (virtual >> 21 & 0x1FF), entry)
