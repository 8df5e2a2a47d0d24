# SPDX-License-Identifier: MIT
"""Errors on the bus: who is told of them, and how."""

from __future__ import annotations

import pytest

from vnpu.hw import const
from vnpu.hw.codes import Access, EngineType, Fault
from vnpu.hw.packets import Copy, Fill, Gemm, RingFence, RingNop, Signal
from vnpu.hw.regs import Reg
from vnpu.qtest import VnpuQtest, pci
from vnpu.qtest.npu import PHYS_VRAM

NOWHERE = 0x70000000


def master_abort(npu: VnpuQtest) -> bool:
    return bool(npu.pci.read(pci.COMMAND) & pci.STATUS_REC_MASTER_ABORT)


# Writes are posted


@pytest.mark.parametrize("size", [4, 4096, 20 << 20], ids=["word", "page", "much"])
def test_write_to_nowhere_is_lost(npu, size):
    """The device has sent it, and that is all it knows."""
    queue = npu.queue(2)
    queue.run(Fill(pattern=1, dst=NOWHERE, size=size), Copy(src=PHYS_VRAM, dst=NOWHERE, size=size))
    assert not master_abort(npu)


def test_write_that_is_half_in_memory(npu):
    end = npu.machine.memory
    npu.queue(2).run(Fill(pattern=0x5A5A5A5A, dst=end - 4096, size=8192))
    assert npu.load(False, end - 4096, 4096) == b"\x5a" * 4096


def test_registers_are_not_written(npu):
    npu.queue(2).run(Fill(pattern=7, dst=npu.regs + Reg.SCRATCH, size=4))
    assert npu.read32(Reg.SCRATCH) == 0


def test_result_of_a_gemm_that_goes_nowhere(npu):
    queue = npu.queue(2, kind=EngineType.TENSOR)
    queue.run(
        Gemm(dtype="F32", a=PHYS_VRAM, b=PHYS_VRAM, c=NOWHERE, m=3, n=5, k=2, lda=2, ldb=5, ldc=5)
    )


def test_fence_that_goes_nowhere(npu):
    """It counts as written, and the interrupt comes."""
    queue = npu.queue(2)
    queue.put(RingFence(flags="IRQ", addr=NOWHERE, value=7), RingNop())
    queue.doorbell()
    npu.until(lambda: queue.head == 2, "the end of the ring")
    assert npu.interrupted(queue.vector)
    assert queue.fault == Fault.NONE


def test_event_that_goes_nowhere(npu):
    npu.write64(Reg.EVENT_BASE, NOWHERE)
    npu.write32(Reg.EVENT_CONFIG, 1 << 31 | 5)
    queue = npu.queue(2)
    queue.put(RingNop(opcode=0))
    queue.doorbell()
    npu.until(lambda: queue.fault, "the fault")
    assert (npu.read32(Reg.EVENT_TAIL), npu.read32(Reg.EVENT_DROPPED)) == (1, 0)
    npu.until(lambda: npu.interrupted(const.EVENT_VECTOR), "the interrupt")


@pytest.mark.device(posted_errors="on")
def test_write_to_nowhere_that_is_told(npu):
    event = npu.queue(2).faults(Fill(pattern=1, dst=NOWHERE, size=4))
    assert (event.code, event.access, event.addr) == (Fault.DMA, Access.WRITE, NOWHERE)


def test_without_bus_mastering_writes_are_not_sent(npu):
    """That the device knows by itself."""
    queue = npu.queue(2, vram=True, fence_vram=True)
    npu.pci.command(master=False)
    queue.put(RingFence(addr=NOWHERE, value=1))
    queue.doorbell()
    npu.until(lambda: queue.fault == Fault.DMA, "the DMA fault")


# Reads are not


@pytest.mark.parametrize(
    "packet",
    [Copy(src=NOWHERE, dst=PHYS_VRAM, size=4), Signal(op="ADD", addr=NOWHERE, value=1)],
    ids=["operand", "word"],
)
def test_read_of_nothing_is_told(npu, packet):
    event = npu.queue(2).faults(packet)
    assert (event.code, event.addr) == (Fault.DMA, NOWHERE)
    assert master_abort(npu)
    npu.pci.write(pci.COMMAND, npu.pci.read(pci.COMMAND) & 0xFFFF | pci.STATUS_REC_MASTER_ABORT)
    assert not master_abort(npu)


def test_read_without_bus_mastering_is_not_on_the_bus(npu):
    queue = npu.queue(2)
    npu.pci.command(master=False)
    queue.doorbell(1)
    npu.until(lambda: queue.fault == Fault.DMA, "the DMA fault")
    assert not master_abort(npu)


# Advanced error reporting


def test_no_errors_without_a_cause(errors):
    errors.npu.queue(2).run_entries(RingNop())
    assert (errors.status(pci.AER_UNCORRECTABLE), errors.at_root()) == (0, 0)


@pytest.mark.parametrize(("offset", "size", "enables"), [(0, 1, 1), (2, 2, 0xC), (1, 4, 0xE)])
def test_write_that_registers_do_not_have(errors, offset, size, enables):
    """Nobody else knows of it: an error of its own, told to the root."""
    npu = errors.npu
    npu.write32(Reg.SCRATCH, 0x12345678)
    npu.qtest.write_int(npu.regs + Reg.SCRATCH + offset, 0xFF, size)
    assert npu.read32(Reg.SCRATCH) == 0x12345678
    assert errors.status(pci.AER_UNCORRECTABLE) == pci.AER_UNSUPPORTED
    assert not errors.status(pci.AER_CORRECTABLE)
    header = [errors.status(pci.AER_HEADER + 4 * i) for i in range(3)]
    assert header == [0x40000001, enables, npu.regs + Reg.SCRATCH]
    assert errors.at_root() & 0x24 == 0x24, "an uncorrectable error, nonfatal"
    source = errors.port.read_extended(errors.root + pci.AER_ROOT_SOURCE) >> 16
    assert source == npu.pci.requester


@pytest.mark.parametrize(("offset", "size"), [(0, 1), (3, 1), (2, 2), (2, 4), (2, 8)])
def test_read_that_registers_do_not_have(errors, offset, size):
    """Its requester is told, so that it is an advice only."""
    npu = errors.npu
    npu.write32(Reg.SCRATCH, 0x12345678)
    value = npu.qtest.read_int(npu.regs + Reg.SCRATCH + offset, size)
    assert value == (1 << 8 * size) - 1
    assert errors.status(pci.AER_CORRECTABLE) == pci.AER_ADVISORY
    # masked, as after power-on
    assert (errors.status(pci.AER_UNCORRECTABLE), errors.at_root()) == (0, 0)
    npu.pci.write_extended(errors.aer + pci.AER_CORRECTABLE_MASK, 0)
    npu.qtest.read_int(npu.regs, 1)
    assert errors.status(pci.AER_UNCORRECTABLE) == pci.AER_UNSUPPORTED
    assert errors.at_root() & 1, "a correctable error"


@pytest.mark.parametrize("name", ["", "COMP_TIME", "DLP"], ids=["own", "nonfatal", "fatal"])
def test_an_error_changes_nothing_but_what_tells_of_it(errors, name):
    """The link's capabilities are beside the status, and are as wide as they were."""
    function = errors.npu.pci
    before = function.space()
    if name:
        errors.inject(name)
    else:
        errors.npu.qtest.write_int(errors.npu.regs, 0, 1)
    log = {errors.aer + pci.AER_HEADER + 4 * i for i in range(4)}
    telling = {pci.COMMAND, errors.express + pci.EXPRESS_DEVCTL, *log,
               errors.aer + pci.AER_UNCORRECTABLE, errors.aer + pci.AER_CONTROL}  # fmt: skip
    after = function.space()
    changed = {4 * i for i in range(len(before)) if before[i] != after[i]}
    assert changed <= telling
    assert before[errors.express + pci.EXPRESS_LNKCAP >> 2] & 0xFFFF


def test_errors_are_told_only_if_wanted(errors):
    npu = errors.npu
    npu.pci.write16(errors.express + pci.EXPRESS_DEVCTL, 0)
    npu.qtest.write_int(npu.regs, 0, 1)
    assert errors.status(pci.AER_UNCORRECTABLE) == pci.AER_UNSUPPORTED
    assert errors.at_root() == 0


@pytest.mark.parametrize("name", ["POISON_TLP", "COMP_TIME", "COMP_ABORT"])
def test_errors_that_a_tester_injects(errors, name):
    """By QEMU's own command, for what the device never does by itself."""
    errors.inject(name)
    assert errors.status(pci.AER_UNCORRECTABLE)
    assert errors.at_root() & 4


@pytest.mark.parametrize("value", range(2))
def test_wide_and_narrow_accesses_that_there_are(npu, value):
    npu.write64(Reg.EVENT_BASE, 0x123456789A00 + value)
    assert npu.read32(Reg.EVENT_BASE_LO) == 0x56789A00 + value
    assert npu.read64(Reg.EVENT_BASE) == 0x123456789A00 + value
    # aligned to its halves only
    assert npu.qtest.read_int(npu.regs + Reg.EVENT_BASE_HI, 8) & 0xFFFFFFFF == 0x1234
