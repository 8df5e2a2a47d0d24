# SPDX-License-Identifier: MIT
"""The main job in a few lines each: start reading here."""

import numpy as np
from support import PAGE

from vnpu.accel import COPY, SYSTEM, TENSOR, VRAM
from vnpu.hw.codes import Dtype
from vnpu.hw.packets import Copy, Gemm, Nop


def test_nop(npu):
    vm = npu.vm_create()
    queue = npu.queue_create(vm, engine=COPY)
    queue.submit([Nop()]).wait(timeout_ms=5000)
    assert queue.query().jobs_completed == 1


def test_empty_job_only_synchronizes(npu):
    queue = npu.queue_create(npu.vm_create(), engine=COPY)
    fence = queue.submit([])
    fence.wait(timeout_ms=5000)
    assert fence.error() == 0


def test_bo_round_trip(npu):
    bo = npu.bo_create(1 << 20, placement=VRAM)
    bo.map()[:5] = b"hello"
    out = npu.bo_create(1 << 20, placement=SYSTEM)
    vm = npu.vm_create()
    a, b = vm.bind(bo), vm.bind(out)
    fence = npu.queue_create(vm, engine=COPY).submit([Copy(src=a, dst=b, size=5)])
    fence.wait(timeout_ms=5000)
    assert bytes(out.map()[:6]) == b"hello\0"


def test_matrix_product_equals_numpy(npu):
    rng = np.random.default_rng(7)
    a = rng.standard_normal((96, 160), dtype=np.float32)
    b = rng.standard_normal((160, 64), dtype=np.float32)
    vm = npu.vm_create()
    bos = [npu.bo_create(size, placement=VRAM) for size in (a.nbytes, b.nbytes, 96 * 64 * 4)]
    bos[0].put(a)
    bos[1].put(b)
    va = [vm.bind(bo) for bo in bos]
    packet = Gemm(
        dtype=Dtype.F32, a=va[0], b=va[1], c=va[2], m=96, n=64, k=160, lda=160, ldb=64, ldc=64
    )
    npu.queue_create(vm, engine=TENSOR).submit([packet]).wait(timeout_ms=10000)
    np.testing.assert_allclose(bos[2].array(np.float32, (96, 64)), a @ b, rtol=1e-4, atol=1e-4)


def test_data_crosses_pages(npu):
    """A copy that begins and ends inside pages touches nothing else."""
    vm = npu.vm_create()
    src, dst = (npu.bo_create(4 * PAGE, placement=p) for p in (SYSTEM, VRAM))
    src.write(bytes(range(256)) * (4 * PAGE // 256))
    a, b = vm.bind(src), vm.bind(dst)
    queue = npu.queue_create(vm, engine=COPY)
    queue.submit([Copy(src=a + 100, dst=b + 4000, size=8000)]).wait()
    data = dst.read(4 * PAGE)
    assert data[4000:12000] == src.read(8000, 100)
    assert not any(data[:4000]) and not any(data[12000:])
