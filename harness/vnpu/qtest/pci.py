# SPDX-License-Identifier: MIT
"""A function of q35: configuration space, BARs and capabilities; and a port to plug one into."""

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

BRIDGE_CONTROL = 0x3E
BRIDGE_SERR = 1 << 1

CAP_PM = 0x01
CAP_EXPRESS = 0x10
CAP_MSIX = 0x11
EXT_CAP_AER = 0x0001

PM_CONTROL = 4
EXPRESS_DEVCAP = 4
EXPRESS_DEVCTL = 8
EXPRESS_DEVSTA = 10
EXPRESS_LNKCAP = 12
DEVCAP_FLR = 1 << 28
DEVCTL_FLR = 1 << 15
#: report correctable, nonfatal, fatal errors and unsupported requests
DEVCTL_REPORT = 0xF
STATUS_REC_MASTER_ABORT = 1 << 29
AER_UNCORRECTABLE = 0x04
AER_CORRECTABLE = 0x10
AER_CORRECTABLE_MASK = 0x14
AER_CONTROL = 0x18
AER_HEADER = 0x1C
AER_ROOT_COMMAND = 0x2C
AER_ROOT_STATUS = 0x30
AER_ROOT_SOURCE = 0x34
AER_PREFIX = 0x38
AER_UNSUPPORTED = 1 << 20
AER_ADVISORY = 1 << 13
#: of AER_CONTROL: there is a log of prefixes as well
AER_PREFIX_LOGGED = 1 << 11
MSIX_ENABLE = 1 << 31
MSIX_MASK_ALL = 1 << 30

EXPRESS_SLTCTL = 0x18
SLTCTL_POWER_OFF = 0x0700
SLTCTL_POWER_ON = 0x0100

_CONFIG_BYTES = 4096
_ECAM = 0xB0000000
_MCH_PCIEXBAR = 0x60


class PciFunction:
    """Device *slot*, function 0, of a bus."""

    def __init__(self, qtest: QtestProtocol, slot: int, bus: int = 0) -> None:
        self.qtest = qtest
        self.slot = slot
        self.bus = bus

    @property
    def requester(self) -> int:
        """What its accesses are marked with."""
        return self.bus << 8 | self.slot << 3

    def _select(self, offset: int) -> None:
        self.qtest.outl(_CONFIG_ADDRESS, 1 << 31 | self.requester << 8 | offset & 0xFC)

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

    def mapped(self, offset: int) -> int:
        """Where in memory this place of its configuration space is."""
        PciFunction(self.qtest, 0).write(_MCH_PCIEXBAR, _ECAM | 1)
        return _ECAM + (self.requester << 12) + offset

    def read_extended(self, offset: int) -> int:
        """A dword above 0x100, through the memory-mapped configuration space."""
        return self.qtest.read_int(self.mapped(offset), 4)

    def write_extended(self, offset: int, value: int) -> None:
        self.qtest.write_int(self.mapped(offset), value, 4)

    def space(self) -> list[int]:
        """All dwords of its configuration space."""
        return [self.read_extended(offset) for offset in range(0, _CONFIG_BYTES, 4)]

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
        """Begin an FLR, which takes device time."""
        express = self.capability(CAP_EXPRESS)
        self.write16(express + EXPRESS_DEVCTL, DEVCTL_FLR)

    def power_state(self, state: int) -> None:
        """Enter D0 or D3hot (3)."""
        self.write16(self.capability(CAP_PM) + PM_CONTROL, state)


class RootPort(PciFunction):
    """A pcie-root-port with bus 1 behind it, all that ``VnpuQtest`` uses forwarded to it."""

    #: arguments of QEMU: the slot is switched off by its own register
    NATIVE = ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
    BUS = 1

    def __init__(self, qtest: QtestProtocol, slot: int) -> None:
        super().__init__(qtest, slot)
        self.write(0x18, self.BUS << 16 | self.BUS << 8)
        self.write(0x20, 0xE010E000)  # memory: 2 MiB at 0xE0000000
        self.write(0x24, 0x0FF10001)  # prefetchable: 256 MiB at 0x10_0000_0000
        self.write(0x28, 0x10)
        self.write(0x2C, 0x10)
        self.command()

    @staticmethod
    def device(slot: int) -> str:
        """The argument of -device for a port ``rp``."""
        return f"pcie-root-port,id=rp,chassis=1,slot=1,addr={slot:#x}"

    @property
    def slot_control(self) -> int:
        """Where in memory the register is that switches the slot off."""
        return self.mapped(self.capability(CAP_EXPRESS) + EXPRESS_SLTCTL)

    def power_off(self) -> None:
        """Unplug what is in the slot; done when this returns."""
        self.qtest.write_int(self.slot_control, SLTCTL_POWER_OFF, 2)

    def power_on(self) -> None:
        """Let what has been plugged in be seen."""
        self.qtest.write_int(self.slot_control, SLTCTL_POWER_ON, 2)
