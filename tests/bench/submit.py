# SPDX-License-Identifier: MIT
"""Submits and binds: how many a second, and what they depend on.

The loops run inside the guest; the agent's round trip is in none of the numbers.
"""

from __future__ import annotations

import statistics

from measure import Result, side_by_side

from vnpu.accel import COPY, SYSTEM, Device, Queue, Vm
from vnpu.accel.queue import lasting_submit
from vnpu.accel.sync import sync_ops
from vnpu.guest import Guest
from vnpu.hw.packets import Nop
from vnpu.uapi import abi

PAGE = 4096
FOREVER = 2**62
RAW_RING = "ring_latency"


class Submitter:
    """Ioctl arguments in the process's memory, to be used again and again."""

    def __init__(self, npu: Device, vm: Vm, queue: Queue) -> None:
        self.npu, self.proc = npu, npu.proc
        cmds = npu.bo_create(PAGE, placement=SYSTEM, vm=vm)
        raw = bytes(Nop())
        cmds.write(raw)
        va = vm.bind(cmds)
        self.sync = npu.syncobj_create()
        self._handles = self._put(self.sync.handle.to_bytes(4, "little") + bytes(4))
        cmd, syncs = abi.Cmd(va=va, size=len(raw)), sync_ops([], [self.sync])
        self.submit = self._put(bytes(lasting_submit(self.proc, queue.id, [cmd], syncs)))
        self.wait = self._put(
            bytes(abi.SyncobjWait(handles=self._handles, timeout_nsec=FOREVER, count_handles=1))
        )

    def _put(self, raw: bytes) -> int:
        buffer = self.proc.alloc(len(raw))
        buffer.write(raw)
        return buffer.addr

    def times(self, count: int, wait: bool) -> tuple[int, ...]:
        """Durations in ns of ``count`` submits, each with a wait for its fence if asked for."""
        batch = self.proc.batch()
        batch.syscall("ioctl", self.npu.fd, abi.SUBMIT.nr, self.submit)
        if wait:
            batch.syscall("ioctl", self.npu.fd, abi.SYNCOBJ_WAIT.nr, self.wait)
        return batch.run(repeat=count, timed=True, timeout_s=120).durations


def round_trip(guest: Guest) -> list[Result]:
    """A NOP job from the ioctl to its fence, against the ring and interrupt alone."""
    npu = Device.open(guest.spawn())
    vm = npu.vm_create()
    work = Submitter(npu, vm, npu.queue_create(vm, engine=COPY))
    raw_file = _debugfs(guest)
    work.times(50, wait=True)

    def full() -> float:
        return statistics.median(work.times(300, wait=True))

    def raw() -> float:
        text = guest.read_file(raw_file).decode()
        values = dict(line.split(":") for line in text.splitlines())
        return float(values["median_ns"])

    job, ring = side_by_side(full, raw)
    return [
        Result("NOP round trip", job / 1000, "µs"),
        Result("raw ring round trip", ring / 1000, "µs", note="entry, doorbell, interrupt"),
        Result("NOP against raw ring", job / ring, "×", goal=3),
    ]


def _debugfs(guest: Guest) -> str:
    root = "/sys/kernel/debug/accel"
    return f"{root}/{guest.listdir(root)[0]}/{RAW_RING}"


def pipelined(guest: Guest) -> list[Result]:
    """Submits that do not wait for each other."""
    npu = Device.open(guest.spawn())
    vm = npu.vm_create()
    work = Submitter(npu, vm, npu.queue_create(vm, engine=COPY))
    work.times(200, wait=False)
    durations = work.times(3000, wait=False)
    work.times(1, wait=True)
    return [Result("pipelined submits", 1e9 * len(durations) / sum(durations), "1/s")]


def many_bos(guest: Guest, few: int = 10, many: int = 10_000) -> list[Result]:
    """The cost of a submit in a VM with few and with many private BOs."""
    npu = Device.open(guest.spawn())
    sizes = []
    for count in (few, many):
        vm = npu.vm_create()
        bos = [npu.bo_create(PAGE, placement=SYSTEM, vm=vm) for _ in range(count)]
        ops = [
            abi.VmBindOp(handle=bo.handle, va=0x10_0000_0000 + i * 2 * PAGE, size=PAGE)
            for i, bo in enumerate(bos)
        ]
        for i in range(0, count, 4096):
            vm.bind_ops(ops[i : i + 4096])
        sizes.append(Submitter(npu, vm, npu.queue_create(vm, engine=COPY)))

    def cost(work: Submitter) -> float:
        return statistics.median(work.times(200, wait=True))

    small, large = side_by_side(lambda: cost(sizes[0]), lambda: cost(sizes[1]))
    return [
        Result(f"submit with {few} BOs", small / 1000, "µs"),
        Result(f"submit with {many:,} BOs", large / 1000, "µs"),
        Result(f"submit, {many:,} BOs against {few}", large / small, "×", goal=1.2),
    ]


def binds(guest: Guest, counts: tuple[int, ...] = (10, 1_000, 100_000)) -> list[Result]:
    """A map and an unmap of one page, in a VM that holds so many mappings already."""
    results = []
    for count in counts:
        npu = Device.open(guest.spawn())
        vm = npu.vm_create()
        bo = npu.bo_create(PAGE, placement=SYSTEM, vm=vm)
        base = 0x10_0000_0000
        # every other page, so that no mapping can be merged with its neighbour
        for start in range(0, count, 4096):
            vm.bind_ops(
                [
                    abi.VmBindOp(handle=bo.handle, va=base + i * 2 * PAGE, size=PAGE)
                    for i in range(start, min(start + 4096, count))
                ]
            )
        results.append(_bind_rate(npu, vm, bo.handle, base + (count | 1) * PAGE, count))
        npu.close()
    return results


def _bind_rate(npu: Device, vm: Vm, handle: int, va: int, count: int) -> Result:
    proc = npu.proc
    batch = proc.batch()
    for op in (
        abi.VmBindOp(op=abi.VmBindOpType.MAP, handle=handle, va=va, size=PAGE),
        abi.VmBindOp(op=abi.VmBindOpType.UNMAP, va=va, size=PAGE),
    ):
        array = proc.alloc(64)
        array.write(bytes(op))
        call = proc.alloc(64)
        ops = abi.Array(stride=40, count=1, array=array.addr)
        call.write(bytes(abi.VmBind(vm_id=vm.id, ops=ops)))
        batch.syscall("ioctl", npu.fd, abi.VM_BIND.nr, call.addr)
    durations = batch.run(repeat=300, timed=True, timeout_s=120).durations
    rate = 2e9 / statistics.median(durations)
    return Result(f"binds with {count:,} mappings", rate, "1/s", note="map and unmap, synchronous")
