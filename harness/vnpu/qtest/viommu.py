# SPDX-License-Identifier: MIT
"""virtio-iommu, driven by hand: domains, mappings, and where its fault reports go."""

from __future__ import annotations

import struct

from vnpu.base.errors import RigError
from vnpu.qtest import pci
from vnpu.qtest.machine import QtestMachine

READ, WRITE = 1, 2

_CAP_VENDOR = 0x09
#: what a capability of virtio says where to find
_COMMON, _NOTIFY = 1, 2
#: registers of the common configuration
_FEATURE_SELECT, _FEATURES, _DRIVER_SELECT, _DRIVER_FEATURES = 0x00, 0x04, 0x08, 0x0C
_STATUS, _QUEUE, _QUEUE_SIZE, _QUEUE_VECTOR = 0x14, 0x16, 0x18, 0x1A
_QUEUE_ENABLE, _QUEUE_NOTIFY, _QUEUE_DESC = 0x1C, 0x1E, 0x20
_ACKNOWLEDGE_DRIVER, _FEATURES_OK, _DRIVER_OK = 3, 8, 4
#: all features of the device itself but MMIO ranges and what came later
_FEATURE_MASK = 0x7F
_ATTACH, _MAP, _UNMAP = 1, 3, 4
_NO_VECTOR = 0xFFFF
_ENTRIES = 16
_REQUESTS, _EVENTS = 0, 1
#: bytes of a fault report
REPORT_BYTES = 24
#: where in it the address is
REPORT_ADDRESS = 16


class Viommu:
    """The device in *slot*; its queues are in the guest memory at *memory* (64 KiB)."""

    def __init__(
        self, machine: QtestMachine, slot: int, memory: int, bar: int = 0xE8000000
    ) -> None:
        self.qtest = machine.qtest
        self.memory = memory
        function = pci.PciFunction(machine.qtest, slot)
        places = self._places(function)
        function.assign(places[_COMMON][0], bar)
        function.command()
        self._common = bar + places[_COMMON][1]
        self._notify = bar + places[_NOTIFY][1]
        self._multiplier = places[_NOTIFY][2]
        self._count = [0, 0]
        self._start()

    @staticmethod
    def _places(function: pci.PciFunction) -> dict[int, tuple[int, int, int]]:
        """BAR, offset and multiplier by type of virtio's capabilities."""
        places = {}
        at = function.read(pci.CAP_POINTER) & 0xFC
        while at:
            header = function.read(at)
            if header & 0xFF == _CAP_VENDOR:
                words = [function.read(at + 4 * i) for i in range(1, 5)]
                places[header >> 24] = words[0] & 0xFF, words[1], words[3]
            at = header >> 8 & 0xFC
        return places

    def _set(self, register: int, value: int, size: int) -> None:
        self.qtest.write_int(self._common + register, value, size)

    def _start(self) -> None:
        self._set(_STATUS, 0, 1)
        self._set(_STATUS, _ACKNOWLEDGE_DRIVER, 1)
        for word, mask in ((0, _FEATURE_MASK), (1, 1)):
            self._set(_FEATURE_SELECT, word, 4)
            offered = self.qtest.read_int(self._common + _FEATURES, 4)
            self._set(_DRIVER_SELECT, word, 4)
            self._set(_DRIVER_FEATURES, offered & mask, 4)
        self._set(_STATUS, _ACKNOWLEDGE_DRIVER | _FEATURES_OK, 1)
        for queue in (_REQUESTS, _EVENTS):
            self._set(_QUEUE, queue, 2)
            self._set(_QUEUE_SIZE, _ENTRIES, 2)
            self._set(_QUEUE_VECTOR, _NO_VECTOR, 2)
            self.qtest.fill(self._ring(queue), 0x4000, 0)
            for part in range(3):
                at = self._ring(queue) + 0x1000 * part
                self._set(_QUEUE_DESC + 8 * part, at, 4)
                self._set(_QUEUE_DESC + 8 * part + 4, at >> 32, 4)
            self._set(_QUEUE_ENABLE, 1, 2)
        self._set(_STATUS, _ACKNOWLEDGE_DRIVER | _FEATURES_OK | _DRIVER_OK, 1)

    def _ring(self, queue: int) -> int:
        """Descriptors, then the available ring, the used ring and buffers, a page each."""
        return self.memory + 0x4000 * queue

    def _offer(self, queue: int, descriptor: int) -> None:
        available = self._ring(queue) + 0x1000
        self.qtest.write_int(available + 4 + 2 * (self._count[queue] % _ENTRIES), descriptor, 2)
        self._count[queue] += 1
        self.qtest.write_int(available + 2, self._count[queue], 2)

    def _request(self, body: bytes) -> None:
        ring = self._ring(_REQUESTS)
        buffer = ring + 0x3000
        self.qtest.write(buffer, body + b"\xff" * 4)
        chain = struct.pack("<QIHH", buffer, len(body), 1, 1)
        self.qtest.write(ring, chain + struct.pack("<QIHH", buffer + len(body), 4, 2, 0))
        self._offer(_REQUESTS, 0)
        self._set(_QUEUE, _REQUESTS, 2)
        offset = self.qtest.read_int(self._common + _QUEUE_NOTIFY, 2) * self._multiplier
        self.qtest.write_int(self._notify + offset, _REQUESTS, 2)
        status = self.qtest.read(buffer + len(body), 1)[0]
        if status:
            raise RigError(f"virtio-iommu refused a request with {status}")

    def attach(self, domain: int, requester: int) -> None:
        """Have the accesses of a function translated."""
        self._request(struct.pack("<B3xIII4x", _ATTACH, domain, requester, 0))

    def map(self, domain: int, virtual: int, size: int, physical: int, access: int) -> None:
        """``access``: READ and WRITE."""
        last = virtual + size - 1
        self._request(struct.pack("<B3xIQQQI", _MAP, domain, virtual, last, physical, access))

    def unmap(self, domain: int, virtual: int, size: int) -> None:
        self._request(struct.pack("<B3xIQQ4x", _UNMAP, domain, virtual, virtual + size - 1))

    def report_to(self, address: int) -> None:
        """Where the next fault report is written, REPORT_BYTES long. One for each call."""
        slot = self._count[_EVENTS] % _ENTRIES
        descriptor = struct.pack("<QIHH", address, REPORT_BYTES, 2, 0)
        self.qtest.write(self._ring(_EVENTS) + 16 * slot, descriptor)
        self._offer(_EVENTS, slot)

    @property
    def reports(self) -> int:
        """How many faults have been reported."""
        return self.qtest.read_int(self._ring(_EVENTS) + 0x2002, 2)
