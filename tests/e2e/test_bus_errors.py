# SPDX-License-Identifier: MIT
"""Errors that the device reports on the bus arrive at Linux (PCI Express AER)."""

import mmap
import os
import re
import time

import pytest
from support import PAGE, Copier, pci_address

from vnpu.base.deadline import scaled
from vnpu.hw import const
from vnpu.hw.packets import Fill
from vnpu.hw.regs import Reg

#: newer kernels tell the layer with the name of the error
LAYER = r"(\| \w+ +\| Transaction Layer )?"
#: to the interrupt of the port and the thread that reads who it was
REPORT_S = 10


def report(test):
    """What Linux says of an error that is not fatal, and that no driver asked to be told."""
    for text in (
        r"AER: .*\(Non-Fatal\) [eE]rror message received",
        r"PCIe Bus Error: severity=Uncorrect\w+ \(Non-Fatal\)(, type=Transaction Layer|(?m:$))",
        r"device \[1234:4e50\] error status/mask=",
    ):
        test = pytest.mark.expect_kernel_log(text)(test)
    return test


def counted(guest, device, name):
    """How many errors of this name Linux has been told of."""
    text = guest.read_file(f"{device}/aer_dev_nonfatal").decode()
    return int(re.search(rf"^{name} (\d+)$", text, re.MULTILINE)[1])


def wait_for_report(guest, device, name):
    deadline = time.monotonic() + scaled(REPORT_S)
    while not counted(guest, device, name):
        assert time.monotonic() < deadline, "Linux was not told"
        time.sleep(0.02)
    assert counted(guest, device, "TOTAL_ERR_NONFATAL") == 1


@pytest.fixture
def device(guest):
    """Its directory."""
    return f"/sys/bus/pci/devices/{pci_address(guest)}"


@pytest.fixture
def registers(guest, device):
    """A process, and where it has the registers mapped, with no driver bound."""
    guest.rmmod("vnpu")
    guest.write_file(f"{device}/enable", b"1")
    proc = guest.spawn()
    fd = proc.open(f"{device}/resource0", os.O_RDWR | os.O_SYNC)
    access = mmap.PROT_READ | mmap.PROT_WRITE
    return proc, proc.syscall("mmap", 0, const.BAR_REGS_SIZE, access, mmap.MAP_SHARED, fd, 0)


def test_good_accesses_are_no_errors(guest, device, registers):
    proc, at = registers
    proc.write_mem(at + Reg.SCRATCH, b"1234")
    assert proc.read_mem(at + Reg.SCRATCH, 4) == b"1234"
    assert proc.read_mem(at + Reg.ID, 4) == const.MAGIC.to_bytes(4, "little")
    assert counted(guest, device, "TOTAL_ERR_NONFATAL") == 0


@report
@pytest.mark.expect_kernel_log(rf"\[20\] UnsupReq +{LAYER}\(First\)")
@pytest.mark.expect_kernel_log(r"TLP Header: (0x)?40000001 (0x)?00000001 \w+38 (0x)?00000000")
def test_write_that_registers_do_not_have(guest, device, registers):
    """Linux says who it was and what was written, and the register keeps its value."""
    proc, at = registers
    proc.write_mem(at + Reg.SCRATCH, b"1234")
    proc.write_mem(at + Reg.SCRATCH, b"x")
    wait_for_report(guest, device, "UnsupReq")
    assert proc.read_mem(at + Reg.SCRATCH, 4) == b"1234"


@report
@pytest.mark.expect_kernel_log(rf"\[14\] CmpltTO +{LAYER}\(First\)")
def test_clients_go_on_after_an_error_that_is_not_fatal(machine, guest, npu, device):
    c = Copier(npu)
    bo, va = c.buffer(PAGE)
    machine.qmp.cmd(
        "human-monitor-command", {"command-line": "pcie_aer_inject_error npu0 COMP_TIME"}
    )
    wait_for_report(guest, device, "CmpltTO")
    fence = c.queue.submit([Fill(pattern=5, dst=va, size=PAGE)])
    fence.wait()
    assert (fence.error(), bo.map().read_u32()) == (0, 5)
    assert npu.query_device().reset_count == 0
