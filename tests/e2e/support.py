# SPDX-License-Identifier: MIT
"""Small helpers that several end-to-end tests share."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from vnpu.accel import COPY, SYSTEM, VRAM, Bo, Device, Fence, JobFailed, Queue, Vm
from vnpu.guest import Guest, Pending, Process
from vnpu.hw.codes import Compare, SignalOp
from vnpu.hw.packets import Copy, Signal, Wait
from vnpu.uapi import abi

PAGE = 4096
MIB = 1 << 20
#: what the driver says when a test has it reset the device
RESET = pytest.mark.expect_kernel_log(r"\[drm\] resetting the device")
#: and when the device does not answer any more
GIVEN_UP = pytest.mark.expect_kernel_log(
    r"\[drm\] resetting the device",
    r"\[drm\] \*ERROR\* the device does not come back from a reset",
)
#: as it says, unless the queue had stopped by itself before anybody looked
STUCK = r"\[drm\] queue \d+ does not stop"
#: for ACPI to tell the guest and the guest to let go
UNPLUG_S = 60.0
DRIVER = "/sys/bus/pci/drivers/vnpu"


@contextlib.contextmanager
def raises_errno(*numbers: int) -> Iterator[None]:
    """Expect an OSError whose errno is one of ``numbers``."""
    with pytest.raises(OSError) as info:
        yield
    names = [errno.errorcode[n] for n in numbers]
    got = errno.errorcode.get(info.value.errno, info.value.errno)
    assert info.value.errno in numbers, f"errno is {got}, expected {' or '.join(names)}"


def fails(fence: Fence, number: int, timeout_ms: float = 10000) -> None:
    """Wait for the end of the job, and expect this errno of it."""
    with pytest.raises(JobFailed) as info:
        fence.wait(timeout_ms)
    got = errno.errorcode.get(info.value.errno, info.value.errno)
    assert info.value.errno == number, (
        f"the job ended with {got}, expected {errno.errorcode[number]}"
    )


def pci_address(guest: Guest) -> str:
    """Of the device that the driver has."""
    (address,) = [name for name in guest.listdir(DRIVER) if name.count(":") == 2]
    return address


def debugfs(guest: Guest) -> str:
    """Directory of the device."""
    root = "/sys/kernel/debug/accel"
    (path,) = [f"{root}/{n}" for n in guest.listdir(root) if guest.exists(f"{root}/{n}/queues")]
    return path


def reset_device(guest: Guest) -> None:
    """As if the device had to be reset for the sake of one client."""
    guest.write_file(f"{debugfs(guest)}/reset", b"1")


class PciConfig:
    """The configuration space of the device, written behind the driver's back."""

    COMMAND, MASTER, MEMORY = 4, 4, 2

    def __init__(self, guest: Guest) -> None:
        self.proc = guest.spawn()
        path = f"/sys/bus/pci/devices/{pci_address(guest)}/config"
        self.fd = self.proc.open(path, os.O_RDWR)

    def set_master(self, on: bool) -> None:
        """Without it the device reaches no memory of the host: queues there fault."""
        (word,) = self.proc.pread(self.fd, 1, self.COMMAND)
        word = word | self.MASTER if on else word & ~self.MASTER
        buffer = self.proc.alloc(1)
        buffer.write(bytes([word]))
        assert self.proc.syscall("pwrite64", self.fd, buffer.addr, 1, self.COMMAND) == 1


class Interrupts:
    """The MSI-X table of the device: interrupts that are held come when they are let go."""

    ENTRY, CONTROL, MASKED = 16, 12, 1

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        proc = guest.spawn()
        fd = proc.open(f"/sys/bus/pci/devices/{pci_address(guest)}/resource4", os.O_RDWR)
        self._table = proc.mmap(PAGE, fd=fd)

    def of_queue(self, name: str) -> int:
        """The vector of the driver's queue with this name."""
        text = self._guest.read_file(f"{debugfs(self._guest)}/queues").decode()
        (line,) = [line for line in text.splitlines() if f" {name} " in line]
        found = re.search(r"vector=(\d+)", line)
        assert found
        return int(found[1])

    @contextlib.contextmanager
    def held(self, vector: int) -> Iterator[None]:
        """Nothing is heard of this vector inside; the driver looks by itself after seconds."""
        control = vector * self.ENTRY + self.CONTROL
        self._table.write_u32(self.MASKED, control)
        yield
        self._table.write_u32(0, control)


def reset_function(guest: Guest, method: str = "flr") -> None:
    """By the PCI core, as root can ask for. A method that the port refuses resets all the same."""
    device = f"/sys/bus/pci/devices/{pci_address(guest)}"
    guest.write_file(f"{device}/reset_method", method.encode())
    with contextlib.suppress(OSError):
        guest.write_file(f"{device}/reset", b"1")


def stop_answering(guest: Guest) -> None:
    """The function decodes no address any more: reads are all ones, as if it were not there."""
    path = f"/sys/bus/pci/devices/{pci_address(guest)}/config"
    proc = guest.spawn()
    fd = proc.open(path, os.O_RDWR)
    command = int.from_bytes(proc.pread(fd, 2, PciConfig.COMMAND), "little") & ~PciConfig.MEMORY
    proc.syscall("pwrite64", fd, command.to_bytes(2, "little"), 2, PciConfig.COMMAND)


def unplug(machine: Any) -> None:
    """Take the device out; the guest has let go of it when this returns."""
    machine.qmp.cmd("device_del", {"id": "npu0"})
    machine.qmp.wait_event("DEVICE_DELETED", UNPLUG_S, device="npu0")


def reload_impatient(guest: Guest) -> str:
    """Have the driver look at its own queues every 250 ms; the path of the device."""
    guest.rmmod("vnpu")
    guest.insmod("vnpu", "job_timeout_ms=1000")
    (name,) = guest.listdir("/dev/accel")
    return f"/dev/accel/{name}"


def uptime(guest: Guest) -> float:
    """Seconds on the guest's clock."""
    return float(guest.read_file("/proc/uptime").split()[0])


def kill(proc: Process) -> None:
    """As if it had crashed; it is gone when this returns."""
    proc.kill(9)
    proc.wait()


def pause(npu: Device, ms: float) -> None:
    """Let time pass on the guest's clock: a wait for a syncobj that nobody signals."""
    sync = npu.syncobj_create()
    with raises_errno(errno.ETIME):
        sync.wait(timeout_ms=ms, flags=abi.DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT)
    sync.destroy()


def pattern(size: int, seed: int = 1) -> bytes:
    """``size`` bytes that differ from seed to seed and from place to place."""
    return np.random.default_rng(seed).bytes(size)


def submit(npu: Device, job: abi.SubmitJob, **arrays: Any) -> None:
    """SUBMIT of one job as it is, with *arrays* (cmds, syncs) of structs or descriptors."""
    abi.call(npu.proc, npu.fd, abi.SUBMIT, abi.Submit(), arrays={"jobs": [abi.Nested(job, arrays)]})


def map_op(bo: Bo, va: int, size: int | None = None, offset: int = 0, flags: int = 0) -> Any:
    """An operation of VM_BIND that maps a BO, or *size* bytes of it from *offset* on."""
    return abi.VmBindOp(
        op=abi.VmBindOpType.MAP,
        flags=flags,
        handle=bo.handle,
        bo_offset=offset,
        va=va,
        size=size or bo.size,
    )


def unmap_op(va: int, size: int) -> Any:
    """An operation of VM_BIND that unmaps a range."""
    return abi.VmBindOp(op=abi.VmBindOpType.UNMAP, va=va, size=size)


def start_bind(
    proc: Process, dev: Device, vm: Vm, ops: Sequence[Any], queue: Queue | None = None
) -> Pending[int]:
    """A synchronous VM_BIND that *proc*, which has the file of *dev* too, may block in."""
    memory = proc.alloc(len(ops) * abi.VmBindOp._size_)
    memory.write(abi.concat(ops))
    array = abi.Array(stride=abi.VmBindOp._size_, count=len(ops), array=memory.addr)
    arg = bytes(abi.VmBind(vm_id=vm.id, bind_queue_id=queue.id if queue else 0, ops=array))
    return proc.syscall_async("ioctl", dev.fd, abi.DRM_IOCTL_VNPU_VM_BIND, arg)


class Copier:
    """A VM with a copy queue, and the buffers that its tests copy between."""

    def __init__(self, npu: Device) -> None:
        self.npu = npu
        self.vm: Vm = npu.vm_create()
        self.queue: Queue = npu.queue_create(self.vm, engine=COPY)

    def buffer(self, size: int, placement: Any = SYSTEM, **kwargs: Any) -> tuple[Bo, int]:
        bo = self.npu.bo_create(size, placement=placement, **kwargs)
        return bo, self.vm.bind(bo)

    def copy(self, src: int, dst: int, size: int, **kwargs: Any) -> Fence:
        return self.queue.submit([Copy(src=src, dst=dst, size=size)], **kwargs)


class Gate:
    """A word that a job waits for, opened by the CPU or by another queue."""

    def __init__(self, npu: Device, vm: Vm) -> None:
        self.bo = npu.bo_create(PAGE, placement=SYSTEM)
        self.va = vm.bind(self.bo)
        self.word = self.bo.map()

    def packets(self, value: int = 1) -> list[Any]:
        return [Wait(compare=Compare.EQ, addr=self.va, value=value, mask=2**64 - 1)]

    def signal(self, value: int = 1) -> Signal:
        return Signal(op=SignalOp.SET, addr=self.va, value=value)

    def open(self, value: int = 1) -> None:
        self.word[:8] = value.to_bytes(8, "little")


class Windows:
    """Random bytes in a process, to fill BOs with and to compare them with afterwards.

    Both happen inside the guest, where bytes move faster than over the agent's
    line. Window ``i`` starts ``64 * i`` bytes further than the first, so no page
    of one is equal to any page of another.
    """

    STRIDE = 64
    COUNT = PAGE // STRIDE

    def __init__(self, proc: Process, size: int) -> None:
        self.proc = proc
        self.memory = proc.alloc(size + PAGE)
        self.memory.write(pattern(self.memory.size))

    def fill(self, bo: Bo, i: int) -> None:
        """By the CPU."""
        self.proc.copy_mem(bo.map().addr, self._at(i), bo.size)

    def check(self, bo: Bo, i: int) -> None:
        """Each byte of the BO, as the CPU sees it."""
        at = self.proc.compare_mem(bo.map().addr, self._at(i), bo.size)
        assert at is None, f"BO {i} differs at {at:#x}"

    def _at(self, i: int) -> int:
        assert i < self.COUNT
        return self.memory.addr + i * self.STRIDE


def check_words(bo: Bo, word: int) -> None:
    """Each 32-bit word of the BO, as the CPU sees it, is this one."""
    addr = bo.map().addr
    assert bo.map().read_u32() == word
    at = bo.device.proc.compare_mem(addr, addr + 4, bo.size - 4)
    assert at is None, f"not {word:#x} at {at + 4:#x}"


def fill_bo(bo: Bo, seed: int) -> bytes:
    data = pattern(bo.size, seed)
    bo.write(data)
    return data


PLACEMENTS = [pytest.param(VRAM, id="vram"), pytest.param(SYSTEM, id="system")]
