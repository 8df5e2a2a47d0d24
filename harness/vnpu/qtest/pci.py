# SPDX-License-Identifier: MIT
"""A function on the root bus of q35: configuration space, BARs and capabilities."""

from __future__ import annotations

from vnpu.qtest.protocol import QtestProtocol

_CONFIG_ADDRESS = 0xCF8
_CONFIG_DATA = 0xCFC

COMMAND = 0x04
COMMAND_MEMORY = 1 << 1
COMMAND_MASTER = 1 << 2
STATUS_CAPABILITIES = 1 << 20
BAR0 = 0x10
CAP_POINTER = 0x34

CAP_PM = 0x01
CAP_EXPRESS = 0x10
CAP_MSIX = 0x11
EXT_CAP_AER = 0x0001

PM_CONTROL = 4
EXPRESS_DEVCAP = 4
EXPRESS_DEVCTL = 8
DEVCAP_FLR = 1 << 28
DEVCTL_FLR = 1 << 15
MSIX_ENABLE = 1 << 31
MSIX_MASK_ALL = 1 << 30

_ECAM = 0xB0000000
_MCH_PCIEXBAR = 0x60


class PciFunction:
    """Device *slot*, function 0, of bus 0."""

    def __init__(self, qtest: QtestProtocol, slot: int) -> None:
        self.qtest = qtest
        self.slot = slot

    def _select(self, offset: int, slot: int | None = None) -> None:
        slot = self.slot if slot is None else slot
        self.qtest.outl(_CONFIG_ADDRESS, 1 << 31 | slot << 11 | offset & 0xFC)

    def read(self, offset: int) -> int:
        """A dword of configuration space."""
        self._select(offset)
        return self.qtest.inl(_CONFIG_DATA)

    def write(self, offset: int, value: int) -> None:
        self._select(offset)
        self.qtest.outl(_CONFIG_DATA, value)

    def write16(self, offset: int, value: int) -> None:
        self._select(offset)
        self.qtest.outw(_CONFIG_DATA + (offset & 2), value)

    def read_extended(self, offset: int) -> int:
        """A dword above 0x100, through the memory-mapped configuration space."""
        self._select(_MCH_PCIEXBAR, 0)
        self.qtest.outl(_CONFIG_DATA, _ECAM | 1)
        return self.qtest.read_int(_ECAM + (self.slot << 15) + offset, 4)

    def bar_size(self, bar: int) -> int:
        """Bytes of a BAR, zero if there is none. Leaves it as it was."""
        at = BAR0 + 4 * bar
        before = self.read(at)
        wide = before & 0b111 == 0b100
        high = self.read(at + 4) if wide else 0
        self.write(at, 0xFFFFFFFF)
        mask = self.read(at) & ~0xF
        if wide:
            self.write(at + 4, 0xFFFFFFFF)
            mask |= self.read(at + 4) << 32
            self.write(at + 4, high)
        else:
            mask |= 0xFFFFFFFF << 32
        self.write(at, before)
        return -mask & 0xFFFFFFFFFFFFFFFF if mask & 0xFFFFFFFF or wide else 0

    def bar_is_64bit_prefetchable(self, bar: int) -> bool:
        return self.read(BAR0 + 4 * bar) & 0xF == 0xC

    def assign(self, bar: int, address: int) -> None:
        at = BAR0 + 4 * bar
        wide = self.read(at) & 0b111 == 0b100
        self.write(at, address & 0xFFFFFFFF)
        if wide:
            self.write(at + 4, address >> 32)

    def command(self, *, memory: bool = True, master: bool = True) -> None:
        self.write16(COMMAND, memory * COMMAND_MEMORY | master * COMMAND_MASTER)

    def capability(self, identity: int) -> int:
        """Offset of a capability, zero if there is none."""
        at = self.read(CAP_POINTER) & 0xFC
        while at:
            header = self.read(at)
            if header & 0xFF == identity:
                return at
            at = header >> 8 & 0xFC
        return 0

    def extended_capability(self, identity: int) -> int:
        """Offset of an extended capability, zero if there is none."""
        at = 0x100
        while at:
            header = self.read_extended(at)
            if header & 0xFFFF == identity:
                return at
            at = header >> 20 & 0xFFC
        return 0

    def function_reset(self) -> None:
        """FLR. The configuration space is as after power-on; complete when this returns."""
        express = self.capability(CAP_EXPRESS)
        self.write16(express + EXPRESS_DEVCTL, DEVCTL_FLR)

    def power_state(self, state: int) -> None:
        """Enter D0 or D3hot (3)."""
        self.write16(self.capability(CAP_PM) + PM_CONTROL, state)
