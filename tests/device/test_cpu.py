# SPDX-License-Identifier: MIT
"""The device beside a processor that runs, which the other tests do without.

The processor's program is a few instructions that a test writes to memory.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from vnpu.hw import const, regs
from vnpu.hw.packets import Copy
from vnpu.hw.regs import CtxReg, QueueReg, Reg
from vnpu.qtest import QtestMachine, VnpuQtest, pci
from vnpu.qtest.npu import PHYS_VRAM, device

#: the processor waits for an address here, and goes on there
ENTRY = 0x600
#: words that it counts in, and its program
COUNT, OTHER_COUNT, PROGRAM = 0x500, 0x504, 0x7000
ROM_BASE = 0xF0000
#: below 4 GiB, where it can go without page tables
APERTURE = 0xD0000000
PORT_SLOT = 5


def rom() -> bytes:
    """Enter protected mode, flat, and jump to the address that appears at ENTRY."""
    gdt = 0x40
    start = b"".join(
        [
            b"\xfa",  # cli
            b"\x2e\x66\x0f\x01\x16" + struct.pack("<H", gdt + 24),  # lgdt cs:[..]
            b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0",  # cr0 |= 1
            b"\x66\xea" + struct.pack("<IH", ROM_BASE + 0x20, 8),  # jmp 8:main
        ]
    )
    main = b"".join(
        [
            b"\x66\xb8\x10\x00\x8e\xd8\x8e\xd0",  # ds = ss = 16
            b"\xbc" + struct.pack("<I", 0x80000),  # esp
            b"\x8b\x1d" + struct.pack("<I", ENTRY),  # wait: ebx = [ENTRY]
            b"\x85\xdb\x74\xf6",  # jz wait
            b"\xff\xe3",  # jmp ebx
        ]
    )
    table = struct.pack("<QQQHI", 0, 0xCF9A000000FFFF, 0xCF92000000FFFF, 23, ROM_BASE + gdt)
    assert len(start) <= 0x20 and len(main) <= 0x20
    image = bytearray(0x10000)
    image[: len(start)] = start
    image[0x20 : 0x20 + len(main)] = main
    image[gdt : gdt + len(table)] = table
    image[0xFFF0:0xFFF5] = bytes.fromhex("EA000000F0")  # jmp F000:0000
    return bytes(image)


def count_in(word: int) -> bytes:
    return b"\xff\x05" + struct.pack("<I", word)  # inc dword [word]


@pytest.fixture
def bios(tmp_path: Path) -> list[str]:
    path = tmp_path / "rom"
    path.write_bytes(rom())
    return ["-bios", str(path)]


def begin(machine: QtestMachine, program: bytes) -> None:
    machine.qtest.write(PROGRAM, program)
    machine.qtest.write_int(ENTRY, PROGRAM, 4)


def counted(npu: VnpuQtest, word: int) -> int:
    return npu.qtest.read_int(word, 4)


def test_code_in_vram_that_the_device_overwrites(launch, bios):
    """The processor runs what is there now, not what it was translated from."""
    npu = VnpuQtest(launch([device()], bios, accel="tcg"))
    npu.pci.command(memory=False)
    npu.aperture = APERTURE
    npu.assign()
    old, new = (count_in(word) + b"\xc3\x90" for word in (COUNT, OTHER_COUNT))
    npu.store(True, 0x10000, old)
    source = npu.alloc(64, vram=False)
    npu.store(False, source, new)
    target = b"\xbb" + struct.pack("<I", APERTURE + 0x10000)
    begin(npu.machine, target + b"\xff\xd3\xeb\xfc")  # again: call ebx, jmp again
    npu.until(lambda: counted(npu, COUNT), "the old code")
    npu.queue(2).run(Copy(src=source, dst=PHYS_VRAM | 0x10000, size=len(new)))
    npu.until(lambda: counted(npu, OTHER_COUNT), "the new code")
    before = counted(npu, COUNT)
    time.sleep(0.05)
    assert counted(npu, COUNT) == before


#: registers whose writes start something, with what starts it
RACES = [
    (regs.ctx(1) + CtxReg.CONTROL, 0),
    (Reg.CONTROL, 1),
    (regs.queue(2) + QueueReg.CONTROL, regs.pack("QUEUE.CONTROL", RESET=1)),
]


@pytest.mark.parametrize("attempt", range(2))
@pytest.mark.parametrize(("register", "value"), RACES, ids=["tlb", "reset", "queue"])
def test_write_that_is_late_for_an_unplug(launch, bios, register, value, attempt):
    """A processor that has found the register waits for the lock while the slot goes off."""
    devices = [pci.RootPort.device(PORT_SLOT), device(bus="rp", addr="0")]
    machine = launch(devices, [*pci.RootPort.NATIVE, *bios], accel="tcg")
    port = pci.RootPort(machine.qtest, PORT_SLOT)
    npu = VnpuQtest(machine, 0, bus=port.BUS)
    # QEMU looks the write's region up again, in a map that may have changed: it can end in the
    # MSI-X table, which asserts that there still is one
    npu.pci.assign(const.BAR_MSIX, 0)
    store = b"\xbb" + struct.pack("<I", npu.regs + register)
    store += b"\xb9" + struct.pack("<I", value)
    # again: [ebx] = ecx, count, jmp again
    begin(machine, store + b"\x89\x0b" + count_in(COUNT) + b"\xeb\xf6")
    npu.until(lambda: counted(npu, COUNT), "the first write")
    port.power_off()
    assert npu.pci.read(0) == 0xFFFFFFFF
    after = counted(npu, COUNT)
    npu.until(lambda: counted(npu, COUNT) > after + 100, "writes to nothing")
