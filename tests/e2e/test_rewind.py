# SPDX-License-Identifier: MIT
"""Going back to the snapshot in the same process: everything returns, and only if it can."""

import io
import os
import time

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from support import DRIVER, Copier, fill_bo, pci_address

from vnpu.accel import VRAM, Device
from vnpu.base.errors import RigError
from vnpu.machine import MachineConfig, confine, describe
from vnpu.machine.cmdline import Backing
from vnpu.machine.machine import Machine
from vnpu.machine.pool import Pool
from vnpu.machine.template import STATE

MIB = 1 << 20
LOW = MIB  # below lie the BIOS and its shadow, which are no plain memory


@pytest.fixture
def pool(lab):
    with Pool(lab.template(MachineConfig())) as made:
        yield made


def work(machine):
    """Leave traces in files, processes, modules, VRAM and the device."""
    guest = machine.guest
    proc = guest.spawn()
    proc.open("/tmp/trace", os.O_CREAT | os.O_RDWR)
    npu = Device.open(proc)
    copier = Copier(npu)
    bo, src = copier.buffer(4 * MIB, VRAM)
    data = fill_bo(bo, 3)
    other, dst = copier.buffer(4 * MIB)
    copier.copy(src, dst, 4 * MIB).wait()
    assert other.read() == data
    guest.write_file("/dev/kmsg", "a trace in the log")
    machine.sync_console()


def aperture(guest):
    """Where the processor finds VRAM: the address of BAR 2."""
    bars = guest.read_file(f"{DRIVER}/{pci_address(guest)}/resource").decode().splitlines()
    return int(bars[2].split()[0], 16)


def assert_memory_is(machine, start, size, want):
    """``size`` bytes from a physical address are the same as in an array."""
    path = machine.directory / "memory"
    machine.qmp.cmd("pmemsave", {"val": start, "size": size, "filename": str(path)})
    got = np.memmap(path, np.uint8, "r")
    assert got.size == want.size == size
    # In parts: each comparison makes an array as large as what it compares.
    for at in range(0, size, 4 * MIB):
        part = slice(at, at + 4 * MIB)
        assert np.array_equal(got[part], want[part]), f"4 MiB from {start + at:#x} differ"


def test_traces_are_gone(pool):
    machine = pool.take()
    pid, hello = machine.process.pid, machine.guest.hello
    work(machine)
    pool.give_back(machine)
    again = pool.take()
    try:
        assert again.process.pid == pid, "it was meant to be the same process"
        assert again.guest.hello == hello
        assert not again.guest.exists("/tmp/trace")
        assert "a trace in the log" not in again.console.text()
        assert again.guest.processes == []
        work(again)
    finally:
        again.close()


def test_memory_is_that_of_the_snapshot(pool):
    saved = pool.template.directory
    ram, vram = (np.memmap(saved / name, np.uint8, "r") for name in ("ram", "vram"))
    assert ram[: 64 * MIB].any()
    with pool.take() as machine:
        window = aperture(machine.guest)
        work(machine)
        machine.rewind(STATE)
        assert_memory_is(machine, LOW, ram.size - LOW, ram[LOW:])
        assert_memory_is(machine, window, vram.size, vram)


def entry_offset(headers):
    """Where in the file of a program its first instruction lies, from the start of the file."""
    elf = ELFFile(io.BytesIO(headers))
    (at,) = elf.address_offsets(elf["e_entry"])
    return at


def test_changed_code_is_translated_again(pool):
    """Code that was other code until the rewind, in the same place of the memory."""
    busybox = "/bin/busybox"
    exit_42 = bytes.fromhex("bf2a000000b83c0000000f05")
    for _ in range(3):
        machine = pool.take()
        guest = machine.guest
        assert guest.shell("true").returncode == 0
        proc = guest.spawn()
        fd = proc.open(busybox)
        at = entry_offset(proc.pread(fd, 4096, 0))
        assert proc.syscall("pwrite64", fd, exit_42, len(exit_42), at) == len(exit_42)
        proc.close(fd)
        assert guest.shell("true").returncode == 42
        pool.give_back(machine)


def test_every_rewind_is_the_same(pool):
    seen = []
    for _ in range(5):
        machine = pool.take()
        work(machine)
        seen.append(
            (
                machine.process.pid,
                machine.guest.read_file("/proc/modules"),
                machine.guest.spawn().pid,
            )
        )
        pool.give_back(machine)
    assert len(set(seen)) == 1


def test_time_goes_back_too(pool):
    """Else the guest would find that it had slept for as long as all tests before it took."""
    seen = []
    for pause_s in (1.5, 1.5, 0):
        machine = pool.take()
        seen.append(float(machine.guest.read_file("/proc/uptime").split()[0]))
        time.sleep(pause_s)
        pool.give_back(machine)
    assert max(seen) - min(seen) < 1


def test_used_monitor_means_another_process(pool):
    machine = pool.take()
    machine.qmp.cmd("query-status")
    pid = machine.process.pid
    pool.give_back(machine)
    assert not machine.process.running
    with pool.take() as other:
        assert other.process.pid != pid


def test_ended_machine_means_another_process(pool):
    machine = pool.take()
    machine.process.kill()
    pool.give_back(machine)
    with pool.take() as other:
        assert other.guest.spawn().syscall("getpid") > 1


def test_failed_rewind_is_told_and_costs_a_process(pool):
    machine = pool.take()
    pool.give_back(machine)
    machine.process.kill()
    with pytest.warns(UserWarning, match="a new process instead"), pool.take() as other:
        assert other.process.pid != machine.process.pid


def test_no_state_to_go_back_to(pool):
    with pool.take() as machine, pytest.raises(RigError, match="No such file"):
        machine.rewind("nothing")


def test_shared_memory_is_not_rewound(lab, tmp_path):
    """Its file holds what the guest did last, which is no saved state."""
    config = MachineConfig(tested=False)
    confine.hand_over(tmp_path)
    description = describe(lab.images, config)
    waiting = Machine(description, Backing.TEMPLATE, tmp_path, incoming=True)
    with waiting as machine:
        machine.connect_monitor()
        with pytest.raises(RigError, match="ram is shared"):
            machine.rewind(STATE)
