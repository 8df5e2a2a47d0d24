# SPDX-License-Identifier: MIT
"""BAR0: identity, reset values, access rules."""

from __future__ import annotations

import pytest

from vnpu.hw import const, regs
from vnpu.hw.codes import EngineType
from vnpu.hw.packets import RingNop
from vnpu.hw.regs import REGISTERS, CtxReg, EngineReg, QueueReg, Reg
from vnpu.qtest.npu import VRAM

#: registers of the device that are not zero after reset
NONZERO = {"ID", "VERSION", "CAPS", "QUEUES", "CONTEXTS", "ENGINES", "VECTORS", "STATUS",
           "VRAM_SIZE_LO", "APERTURE_SIZE_LO", "ENGINE.TYPE"}  # fmt: skip


def address(key: str, index: int) -> int:
    reg = REGISTERS[key]
    return (regs.BLOCKS[reg.block].at(index) if reg.block else 0) + reg.offset


def test_identity(npu):
    assert npu.read32(Reg.ID) == const.MAGIC
    assert npu.qtest.read(npu.regs + Reg.ID, 4) == b"VNPU"
    version = regs.unpack("VERSION", npu.read32(Reg.VERSION))
    assert version == {"MAJOR": const.VERSION_MAJOR, "MINOR": const.VERSION_MINOR}


@pytest.mark.device(queues=5, copy_engines=2, tensor_engines=3)
def test_counts_follow_properties(npu):
    assert npu.read32(Reg.QUEUES) == 5
    assert npu.read32(Reg.CONTEXTS) == const.MAX_CONTEXTS
    assert npu.read32(Reg.ENGINES) == 5
    assert npu.read32(Reg.VECTORS) >= 2
    assert len(npu.engines(EngineType.COPY)) == 2
    assert len(npu.engines(EngineType.TENSOR)) == 3


def test_sizes(npu):
    assert npu.read64(Reg.VRAM_SIZE) == VRAM
    assert npu.read64(Reg.APERTURE_SIZE) == VRAM
    assert npu.pci.bar_size(const.BAR_VRAM) == VRAM


@pytest.mark.parametrize("sync", ["on", "off"])
def test_caps_tell_sync(launch, sync):
    from vnpu.qtest import VnpuQtest
    from vnpu.qtest.npu import device

    npu = VnpuQtest(launch([device(sync=sync)]))
    assert regs.unpack("CAPS", npu.read32(Reg.CAPS))["SYNC"] == (sync == "on")


def test_ready_and_not_busy(npu):
    assert regs.unpack("STATUS", npu.read32(Reg.STATUS)) == {"READY": 1, "BUSY": 0}


@pytest.mark.parametrize(
    "key", [key for key, reg in REGISTERS.items() if key not in NONZERO and reg.block != "CTX"]
)
def test_reset_value_is_zero(npu, key):
    for index in (0, 1) if REGISTERS[key].block else (0,):
        assert npu.read32(address(key, index)) == 0


@pytest.mark.parametrize("key", [key for key, reg in REGISTERS.items() if reg.access == "ro"])
def test_read_only(npu, key):
    index = 1 if REGISTERS[key].block else 0
    before = npu.read32(address(key, index))
    for value in (0xFFFFFFFF, 0, ~before & 0xFFFFFFFF):
        npu.write32(address(key, index), value)
        assert npu.read32(address(key, index)) == before


@pytest.mark.parametrize(
    "offset", [0x01C, 0x03C, 0x048, 0x068, 0x1FC, 0x300, 0x5000, 0x7FFC, 0xA000, 0xFFFC, 0x50000]
)
def test_unused_offsets_read_zero_and_ignore_writes(npu, offset):
    npu.write32(offset, 0xFFFFFFFF)
    assert npu.read32(offset) == 0
    assert npu.read32(Reg.ID) == const.MAGIC


def test_doorbells_read_zero(npu):
    npu.queue(3)
    assert npu.read32(regs.doorbell(3)) == 0


def test_engine_types(npu):
    types = [npu.engine(i, EngineReg.TYPE) for i in range(const.MAX_ENGINES)]
    assert types == [EngineType.COPY, EngineType.TENSOR, *[EngineType.NONE] * 6]


@pytest.mark.parametrize("size", [1, 2])
def test_narrow_access_has_no_effect(npu, size):
    npu.write32(Reg.SCRATCH, 0x12345678)
    npu.qtest.write_int(npu.regs + Reg.SCRATCH, 0xFF, size)
    npu.qtest.write_int(npu.regs + Reg.SCRATCH + 2, 0xFF, size)
    npu.qtest.read_int(npu.regs + Reg.SCRATCH, size)
    assert npu.read32(Reg.SCRATCH) == 0x12345678


def test_unaligned_access_does_not_crash(npu):
    for offset in (1, 2, 3, Reg.SCRATCH + 1, const.DOORBELL_BASE + 2, const.BAR_REGS_SIZE - 2):
        for size in (2, 4, 8):
            npu.qtest.read_int(npu.regs + offset, size)
            npu.qtest.write_int(npu.regs + offset, 0, size)
    assert npu.read32(Reg.ID) == const.MAGIC


@pytest.mark.parametrize(
    "offset", [Reg.EVENT_BASE, regs.ctx(7) + CtxReg.PT, regs.queue(9) + QueueReg.BASE]
)
def test_64bit_access(npu, offset):
    npu.write64(offset, 0x0123456789ABC000)
    assert npu.read64(offset) == 0x0123456789ABC000
    assert (npu.read32(offset), npu.read32(offset + 4)) == (0x89ABC000, 0x01234567)
    npu.write32(offset + 4, 5)
    assert npu.read64(offset) == 0x589ABC000


def test_scratch(npu):
    for value in (0xFFFFFFFF, 0, 0xA5A5A5A5):
        npu.write32(Reg.SCRATCH, value)
        assert npu.read32(Reg.SCRATCH) == value
    npu.reset()
    assert npu.read32(Reg.SCRATCH) == 0


def test_timestamp_follows_the_clock(npu):
    start = npu.read64(Reg.TIMESTAMP)
    npu.qtest.clock_step(1_000_000)
    assert npu.read64(Reg.TIMESTAMP) == start + 1_000_000


def test_timestamp_low_latches_high(npu):
    npu.qtest.clock_step(3 << 32)
    now = npu.read64(Reg.TIMESTAMP)
    low = npu.read32(Reg.TIMESTAMP_LO)
    npu.qtest.clock_step(5 << 32)
    assert npu.read32(Reg.TIMESTAMP_HI) << 32 | low == now
    assert npu.read64(Reg.TIMESTAMP) == now + (5 << 32)


def test_event_base_is_fixed_while_enabled(npu):
    base = npu.events.base
    npu.write64(Reg.EVENT_BASE, 0x100000)
    assert npu.read64(Reg.EVENT_BASE) == base
    npu.events.enable(False)
    npu.write64(Reg.EVENT_BASE, 0x100000)
    assert npu.read64(Reg.EVENT_BASE) == 0x100000


@pytest.mark.parametrize("log2", [0, const.EVENT_LOG2_MIN - 1, const.EVENT_LOG2_MAX + 1, 31])
def test_impossible_event_ring_is_not_enabled(npu, log2):
    npu.write64(Reg.EVENT_BASE, npu.alloc(4096, vram=False))
    npu.write32(Reg.EVENT_CONFIG, regs.pack("EVENT_CONFIG", LOG2=log2, ENABLE=1))
    assert regs.unpack("EVENT_CONFIG", npu.read32(Reg.EVENT_CONFIG))["ENABLE"] == 0


def test_context_zero_ignores_writes(npu):
    block = regs.ctx(const.PHYS_CONTEXT)
    before = [npu.read32(block + reg) for reg in (0, 4, 8)]
    for reg in (0, 4, 8):
        npu.write32(block + reg, 0xFFFFFFFF)
        npu.write32(block + reg, 0)
    assert [npu.read32(block + reg) for reg in (0, 4, 8)] == before
    npu.queue(2).run_entries(RingNop())


def test_contexts_are_invalid_after_reset(npu):
    for index in (1, 2, const.MAX_CONTEXTS - 1):
        assert npu.read32(regs.ctx(index) + CtxReg.CONTROL) == 0


def test_queue_configuration_is_fixed_while_enabled(npu):
    queue = npu.queue(4)
    registers = (QueueReg.BASE_LO, QueueReg.BASE_HI, QueueReg.CONFIG, QueueReg.CONTEXT,
                 QueueReg.VECTOR)  # fmt: skip
    before = [queue.read32(reg) for reg in registers]
    priority = queue.config & REGISTERS["QUEUE.CONFIG"].fields["PRIORITY"].mask
    for reg in registers:
        queue.write32(reg, 0x7 | priority)
    assert [queue.read32(reg) for reg in registers] == before
    queue.enable(False)
    queue.write32(QueueReg.CONTEXT, 7)
    assert queue.read32(QueueReg.CONTEXT) == 7


def test_reserved_configuration_bits_stay_zero(npu):
    offset = regs.queue(4) + QueueReg.CONFIG
    npu.write32(offset, 0xFFFFFFFF)
    mask = sum(field.mask for field in REGISTERS["QUEUE.CONFIG"].fields.values())
    assert npu.read32(offset) == mask


@pytest.mark.device(queues=3)
def test_queues_that_do_not_exist(npu):
    for index in (3, const.MAX_QUEUES - 1):
        block = regs.queue(index)
        for reg in range(0, 0x80, 4):
            npu.write32(block + reg, 0xFFFFFFFF)
            assert npu.read32(block + reg) == 0
        npu.write32(regs.doorbell(index), 1)
    assert regs.unpack("STATUS", npu.read32(Reg.STATUS))["BUSY"] == 0
