# SPDX-License-Identifier: MIT
"""Moving and multiplying: the engines against the host, and eviction."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import numpy as np
from measure import Result, side_by_side
from submit import FOREVER

from vnpu.accel import COPY, SYSTEM, TENSOR, VRAM, Device, Queue
from vnpu.accel.queue import lasting_submit
from vnpu.accel.sync import sync_ops
from vnpu.guest import Guest
from vnpu.hw.codes import Dtype
from vnpu.hw.packets import Copy, Fill, Gemm
from vnpu.uapi import abi

MIB = 1 << 20
#: runs that the best is taken of; the first ones of a restored guest translate its code
RUNS = 10


def job_seconds(queue: Queue, cmds: list, waits: int = 1) -> float:
    """Guest time from submit to fence, in s, of a job that is written ahead."""
    device, proc = queue.device, queue.device.proc
    raw = b"".join(bytes(c) for c in cmds)
    bo = device.bo_create(max(len(raw), 4096), placement=SYSTEM, vm=queue.vm)
    bo.write(raw)
    va = queue.vm.bind(bo)
    sync = device.syncobj_create()
    cmds = [abi.Cmd(va=va, size=len(raw))]
    submit = lasting_submit(proc, queue.id, cmds, sync_ops([], [sync]))
    handles = proc.alloc(8)
    handles.write(sync.handle.to_bytes(4, "little") + bytes(4))
    wait = abi.SyncobjWait(handles=handles.addr, timeout_nsec=FOREVER, count_handles=1)
    batch = proc.batch()
    batch.syscall("ioctl", device.fd, abi.SUBMIT.nr, bytes(submit))
    batch.syscall("ioctl", device.fd, abi.SYNCOBJ_WAIT.nr, bytes(wait))
    return min(batch.run(repeat=waits, timed=True, timeout_s=120).durations) / 1e9


def _host_copy(size: int) -> float:
    src, dst = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        np.copyto(dst, src)
        best = min(best, time.perf_counter() - start)
    return best


def copy(guest: Guest) -> list[Result]:
    """COPY against memcpy of the host, the same bytes."""
    npu = Device.open(guest.spawn())
    vm = npu.vm_create()
    queue = npu.queue_create(vm, engine=COPY)
    results = []
    for size in (16 * MIB, 64 * MIB):
        for name, placement in (("VRAM", VRAM), ("system", SYSTEM)):
            src = npu.bo_create(size, placement=placement)
            dst = npu.bo_create(size, placement=VRAM)
            packet = Copy(src=vm.bind(src), dst=vm.bind(dst), size=size)
            job_seconds(queue, [packet])
            device, host = side_by_side(
                lambda q=queue, p=packet: job_seconds(q, [p], RUNS), lambda s=size: _host_copy(s)
            )
            title = f"COPY {size // MIB} MiB, {name} to VRAM"
            results.append(
                Result(
                    f"{title}, against memcpy",
                    host / device,
                    "×",
                    goal=0.85,
                    more_is_better=True,
                    note=f"{size / device / 1e9:.1f} against {size / host / 1e9:.1f} GB/s",
                )
            )
            for bo in (src, dst):
                bo.close()
            vm.unbind(packet.src, size)
            vm.unbind(packet.dst, size)
    return results


def small(guest: Guest) -> list[Result]:
    """Packets of 4 KiB back to back, as the driver's moves of single pages are."""
    count = 1000
    npu = Device.open(guest.spawn())
    vm = npu.vm_create()
    queue = npu.queue_create(vm, engine=COPY)
    src, dst = (vm.bind(npu.bo_create(4096, placement=VRAM)) for _ in range(2))
    packets = [Copy(src=src, dst=dst, size=4096)] * count
    seconds = job_seconds(queue, packets, 50)
    return [Result("COPY 4 KiB, back to back", seconds / count * 1e6, "µs", 2.0, False)]


_NUMPY = """
import time, sys, numpy as np
a = np.random.default_rng(1).standard_normal((1024, 1024), dtype=np.float32)
a @ a
best = 1e9
for _ in range(5):
    t = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - t)
print(best)
"""


def _numpy_gemm() -> float:
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _NUMPY], env=env, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def gemm(guest: Guest) -> list[Result]:
    """An f32 product of 1024³ against NumPy with one thread, as an engine has."""
    n = 1024
    npu = Device.open(guest.spawn())
    vm = npu.vm_create()
    queue = npu.queue_create(vm, engine=TENSOR)
    a = np.random.default_rng(1).standard_normal((n, n), dtype=np.float32)
    bos = [npu.bo_create(a.nbytes, placement=VRAM) for _ in range(3)]
    bos[0].put(a)
    bos[1].put(a)
    va = [vm.bind(bo) for bo in bos]
    packet = Gemm(dtype=Dtype.F32, a=va[0], b=va[1], c=va[2], m=n, n=n, k=n, lda=n, ldb=n, ldc=n)
    job_seconds(queue, [packet])
    np.testing.assert_allclose(bos[2].array(np.float32, (n, n)), a @ a, rtol=1e-2, atol=1e-2)
    device, host = side_by_side(lambda: job_seconds(queue, [packet], 5), _numpy_gemm, rounds=5)
    note = f"{2 * n**3 / device / 1e9:.0f} against {2 * n**3 / host / 1e9:.0f} GFLOP/s"
    return [
        Result("f32 GEMM 1024³ against NumPy", host / device, "×", 0.95, True, note),
    ]


def eviction(guest: Guest) -> list[Result]:
    """Two VMs whose memory does not fit together take turns: 96 MiB move each time.

    For a machine with 64 MiB of VRAM.
    """
    size = 48 * MIB
    npu = Device.open(guest.spawn())
    queues = []
    for _ in range(2):
        vm = npu.vm_create()
        bo = npu.bo_create(size, placement=VRAM, vm=vm)
        va = vm.bind(bo)
        queues.append((npu.queue_create(vm, engine=COPY), va))
    times = []
    for i in range(10):
        queue, va = queues[i % 2]
        times.append(job_seconds(queue, [Fill(pattern=i, dst=va, size=4096)]))
    rate = 2 * size / statistics.median(times[2:]) / 1e9
    return [Result("eviction and return", rate, "GB/s", note="48 MiB out, 48 MiB in")]
