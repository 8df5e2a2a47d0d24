# SPDX-License-Identifier: MIT
"""Queues and engines: order, concurrency, arithmetic, limits of a submit."""

import errno

import numpy as np
import pytest
from support import MIB, PAGE, PLACEMENTS, Copier, Gate, pattern, raises_errno

from vnpu.accel import COPY, SYSTEM, TENSOR, VRAM, Device, Priority
from vnpu.hw.codes import Activation, Dtype, EltwiseOp, ReduceOp, SignalOp
from vnpu.hw.packets import Copy, Copy2d, Eltwise, Fill, Gemm, Nop, Reduce, Signal


@pytest.fixture
def copier(npu):
    return Copier(npu)


def put_operands(npu, vm, *arrays, placement=VRAM):
    """Place arrays in BOs of a VM; returns the BOs and their addresses."""
    bos = []
    for array in arrays:
        bo = npu.bo_create(array.nbytes, placement=placement)
        bo.put(array)
        bos.append(bo)
    return bos, [vm.bind(bo) for bo in bos]


@pytest.mark.parametrize("src", PLACEMENTS)
@pytest.mark.parametrize("dst", PLACEMENTS)
def test_copy_between_placements(copier, src, dst):
    a, va_a = copier.buffer(MIB, src)
    b, va_b = copier.buffer(MIB, dst)
    data = pattern(MIB)
    a.write(data)
    copier.copy(va_a, va_b, MIB).wait()
    assert b.read(MIB) == data


@pytest.mark.parametrize("size", [1, 3, 7, 63, 4095, 4096, 4097, 65537])
def test_copy_sizes(copier, size):
    a, va_a = copier.buffer(2 * MIB, VRAM)
    b, va_b = copier.buffer(2 * MIB, SYSTEM)
    data = pattern(size)
    a.write(data, 11)
    copier.copy(va_a + 11, va_b + 5, size).wait()
    assert b.read(size + 10) == bytes(5) + data + bytes(5)


@pytest.mark.parametrize("delta", [1, -1, 4096, -4096])
def test_copy_overlapping_is_memmove(copier, delta):
    bo, va = copier.buffer(MIB, VRAM)
    data = bytearray(pattern(MIB))
    bo.write(bytes(data))
    start, size = 8192, 100000
    copier.copy(va + start, va + start + delta, size).wait()
    data[start + delta : start + delta + size] = bytes(data[start : start + size])
    assert bo.read(MIB) == bytes(data)


def test_copy_2d(copier):
    src, va_s = copier.buffer(64 * 1024, VRAM)
    dst, va_d = copier.buffer(64 * 1024, SYSTEM)
    image = np.arange(64 * 256, dtype=np.uint32).reshape(64, 256)
    src.put(image)
    packet = Copy2d(rows=16, src=va_s + 8, dst=va_d, src_stride=1024, dst_stride=100, row_bytes=60)
    copier.queue.submit([packet]).wait()
    got = np.frombuffer(dst.read(1600), np.uint32).reshape(16, 25)
    np.testing.assert_array_equal(got[:, :15], image[:16, 2:17])
    assert not got[:, 15:].any()


@pytest.mark.parametrize("value", [0, 0xDEADBEEF, 0xFFFFFFFF])
def test_fill(copier, value):
    bo, va = copier.buffer(2 * PAGE, VRAM)
    bo.write(b"\x55" * (2 * PAGE))
    copier.queue.submit([Fill(pattern=value, dst=va + 16, size=PAGE)]).wait()
    words = bo.array(np.uint32, (2 * PAGE // 4,))
    assert (words[4 : 4 + PAGE // 4] == value).all()
    assert (words[:4] == 0x55555555).all() and (words[4 + PAGE // 4 :] == 0x55555555).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 5, 33), (64, 128, 256), (130, 70, 1)])
@pytest.mark.parametrize("dtype", [Dtype.I8, Dtype.F16, Dtype.F32])
def test_gemm(npu, dtype, shape):
    m, n, k = shape
    rng = np.random.default_rng(m * n + k)
    np_type = {Dtype.I8: np.int8, Dtype.F16: np.float16, Dtype.F32: np.float32}[dtype]
    if dtype == Dtype.I8:
        a = rng.integers(-128, 128, (m, k), dtype=np.int8)
        b = rng.integers(-128, 128, (k, n), dtype=np.int8)
    else:
        a = rng.standard_normal((m, k)).astype(np_type)
        b = rng.standard_normal((k, n)).astype(np_type)
    out = np.zeros((m, n), np.int32 if dtype == Dtype.I8 else np.float32)
    vm = npu.vm_create()
    bos, va = put_operands(npu, vm, a, b, out)
    packet = Gemm(dtype=dtype, a=va[0], b=va[1], c=va[2], m=m, n=n, k=k, lda=k, ldb=n, ldc=n)
    npu.queue_create(vm, engine=TENSOR).submit([packet]).wait()
    got = bos[2].array(out.dtype, (m, n))
    if dtype == Dtype.I8:
        np.testing.assert_array_equal(got, a.astype(np.int32) @ b.astype(np.int32))
    else:
        want = a.astype(np.float64) @ b.astype(np.float64)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_gemm_bias_relu_transposed(npu):
    rng = np.random.default_rng(3)
    a, bt = (rng.standard_normal((32, 48), dtype=np.float32) for _ in range(2))
    bias = rng.standard_normal(32, dtype=np.float32)
    out = np.zeros((32, 32), np.float32)
    vm = npu.vm_create()
    bos, va = put_operands(npu, vm, a, bt, bias, out, placement=SYSTEM)
    packet = Gemm(
        flags="BIAS+TRANS_B",
        dtype=Dtype.F32,
        a=va[0],
        b=va[1],
        bias=va[2],
        c=va[3],
        m=32,
        n=32,
        k=48,
        lda=48,
        ldb=48,
        ldc=32,
        activation=Activation.RELU,
    )
    npu.queue_create(vm, engine=TENSOR).submit([packet]).wait()
    want = np.maximum(a @ bt.T + bias, 0)
    assert (want == 0).any() and (want > 0).any()
    np.testing.assert_allclose(bos[3].array(np.float32, (32, 32)), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "ufunc"),
    [(EltwiseOp.ADD, np.add), (EltwiseOp.MUL, np.multiply), (EltwiseOp.MAX, np.maximum)],
    ids=["add", "mul", "max"],
)
@pytest.mark.parametrize("dtype", [Dtype.I32, Dtype.F32])
def test_eltwise(npu, op, ufunc, dtype):
    rng = np.random.default_rng(int(op))
    if dtype == Dtype.I32:
        a, b = (rng.integers(-(2**31), 2**31, 1001).astype(np.int32) for _ in range(2))
    else:
        a, b = (rng.standard_normal(1001, dtype=np.float32) for _ in range(2))
    vm = npu.vm_create()
    bos, va = put_operands(npu, vm, a, b, np.zeros_like(a))
    packet = Eltwise(op=op, a=va[0], b=va[1], dst=va[2], count=1001, dtype=dtype)
    npu.queue_create(vm, engine=TENSOR).submit([packet]).wait()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(bos[2].array(a.dtype, (1001,)), ufunc(a, b))


@pytest.mark.parametrize(
    ("op", "reduce"), [(ReduceOp.SUM, np.sum), (ReduceOp.MAX, np.max)], ids=["sum", "max"]
)
def test_reduce_i8(npu, op, reduce):
    src = np.random.default_rng(5).integers(-128, 128, (33, 257), dtype=np.int8)
    vm = npu.vm_create()
    bos, va = put_operands(npu, vm, src, np.zeros(33, np.int32))
    packet = Reduce(op=op, src=va[0], dst=va[1], rows=33, cols=257, dtype=Dtype.I8)
    npu.queue_create(vm, engine=TENSOR).submit([packet]).wait()
    want = reduce(src.astype(np.int32), axis=1)
    np.testing.assert_array_equal(bos[1].array(np.int32, (33,)), want)


def test_jobs_of_a_queue_run_in_order(copier):
    bo, va = copier.buffer(PAGE)
    fences = [copier.queue.submit([Fill(pattern=i, dst=va, size=PAGE)]) for i in range(1, 51)]
    fences[-1].wait()
    assert all(f.done() for f in fences)
    assert (bo.array(np.uint32, (PAGE // 4,)) == 50).all()


def test_packets_of_a_command_buffer_run_in_order(copier):
    bo, va = copier.buffer(PAGE)
    packets = [Signal(op=SignalOp.ADD, addr=va, value=i) for i in range(1, 101)]
    copier.queue.submit(packets).wait()
    assert int.from_bytes(bo.read(8), "little") == 5050


def test_ring_wraps(copier):
    """Many more jobs than any ring has entries."""
    bo, va = copier.buffer(PAGE)
    fence = None
    for _ in range(300):
        fence = copier.queue.submit([Signal(op=SignalOp.ADD, addr=va, value=1)])
    fence.wait()
    assert int.from_bytes(bo.read(8), "little") == 300
    assert copier.queue.query().jobs_completed == 300


def test_submit_without_waiting_then_close(npu):
    """Nobody waits: the work still ends, and closing finds nothing to lose."""
    c = Copier(npu)
    _, va = c.buffer(MIB, VRAM)
    for _ in range(10):
        c.queue.submit([Fill(pattern=1, dst=va, size=MIB)])
    npu.close()
    again = Device.open(npu.proc)
    Copier(again).queue.submit([Nop()]).wait()


def test_several_command_buffers_in_one_job(npu):
    c = Copier(npu)
    cmds, va_cmds = c.buffer(16 * PAGE)
    data, va = c.buffer(PAGE)
    pairs = []
    for i in range(npu.query_device().max_submit_cmds):
        raw = bytes(Signal(op=SignalOp.ADD, addr=va, value=1 << i))
        cmds.write(raw, i * PAGE)
        pairs.append((va_cmds + i * PAGE, len(raw)))
    c.queue.submit(pairs).wait()
    assert int.from_bytes(data.read(8), "little") == (1 << len(pairs)) - 1


def test_too_many_command_buffers(npu):
    c = Copier(npu)
    bo, va = c.buffer(PAGE)
    bo.write(bytes(Nop()))
    count = npu.query_device().max_submit_cmds + 1
    with raises_errno(errno.E2BIG):
        c.queue.submit([(va, 8)] * count)


def test_largest_command_buffer(npu):
    c = Copier(npu)
    size = npu.query_device().max_cmd_bytes
    cmds, va_cmds = c.buffer(size)
    data, va = c.buffer(PAGE)
    packet = bytes(Signal(op=SignalOp.ADD, addr=va, value=1))
    count = (size - 8) // len(packet)
    rest = size - count * len(packet)
    cmds.write(packet * count + bytes(Nop()) * (rest // 8))
    c.queue.submit([(va_cmds, size)]).wait()
    assert int.from_bytes(data.read(8), "little") == count


@pytest.mark.parametrize("change", ["misaligned va", "misaligned size", "zero", "too large"])
def test_bad_command_range(npu, change):
    c = Copier(npu)
    _, va = c.buffer(128 * 1024)
    cmd = {
        "misaligned va": (va + 4, 8),
        "misaligned size": (va, 12),
        "zero": (va, 0),
        "too large": (va, npu.query_device().max_cmd_bytes + 8),
    }[change]
    with raises_errno(errno.EINVAL):
        c.queue.submit([cmd])
    c.queue.submit([Nop()]).wait()


def test_two_engines_work_at_once(npu):
    """A copy queue that waits does not hold up a tensor queue."""
    vm = npu.vm_create()
    gate = Gate(npu, vm)
    blocked = npu.queue_create(vm, engine=COPY).submit(gate.packets())
    free = npu.queue_create(vm, engine=TENSOR).submit([Nop()])
    free.wait()
    assert not blocked.done()
    gate.open()
    blocked.wait()


def test_blocked_queue_leaves_its_engine_to_others(npu):
    vm = npu.vm_create()
    gate = Gate(npu, vm)
    blocked = npu.queue_create(vm, engine=COPY).submit(gate.packets())
    npu.queue_create(vm, engine=COPY).submit([Nop()]).wait()
    assert not blocked.done()
    gate.open()
    blocked.wait()


def test_queues_signal_each_other_in_memory(npu):
    vm = npu.vm_create()
    gate = Gate(npu, vm)
    consumer = npu.queue_create(vm, engine=TENSOR)
    producer = npu.queue_create(vm, engine=COPY)
    waiting = consumer.submit(gate.packets(7))
    assert not waiting.done()
    producer.submit([gate.signal(7)]).wait()
    waiting.wait()


def test_high_priority_overtakes(npu):
    """Of the work that waits for one engine the high priority comes first."""
    vm = npu.vm_create()
    log = npu.bo_create(PAGE, placement=SYSTEM)
    va = vm.bind(log)
    gates = [Gate(npu, vm) for _ in range(2)]
    big = npu.bo_create(32 * MIB, placement=VRAM)
    va_big = vm.bind(big)
    low = npu.queue_create(vm, engine=COPY, priority=Priority.LOW)
    high = npu.queue_create(vm, engine=COPY, priority=Priority.HIGH)
    fill = Fill(pattern=1, dst=va_big, size=32 * MIB)
    count = Signal(op=SignalOp.ADD, addr=va, value=1)
    stamp = [Copy(src=va, dst=va + 64 + 8 * i, size=8) for i in range(2)]
    slow = low.submit([*gates[0].packets(), *[fill, count] * 20, stamp[0]])
    fast = high.submit([*gates[1].packets(), *[fill, count] * 5, stamp[1]])
    for gate in gates:
        gate.open()
    slow.wait(timeout_ms=30000)
    fast.wait(timeout_ms=30000)
    when = np.frombuffer(log.read(16, 64), np.uint64)
    assert when[0] == 25, "the low queue ends last"
    assert when[1] < 20, "the high queue did not wait for the low one"


def test_high_priority_needs_capability(guest):
    proc = guest.spawn()
    dev = Device.open(proc)
    proc.setuid(1000, 1000)
    vm = dev.vm_create()
    dev.queue_create(vm, engine=COPY, priority=Priority.NORMAL)
    with raises_errno(errno.EACCES):
        dev.queue_create(vm, engine=COPY, priority=Priority.HIGH)


def test_most_queues_of_a_client_then_one_more(npu):
    vm = npu.vm_create()
    limit = npu.query_device().max_queues
    queues = [npu.queue_create(vm, engine=COPY) for _ in range(limit)]
    for _ in range(3):
        with raises_errno(errno.EDQUOT):
            npu.queue_create(vm, engine=COPY)
        queues[3].submit([Nop()]).wait()
        queues.pop().destroy()
        queues.append(npu.queue_create(vm, engine=TENSOR))
        queues[-1].submit([Nop()]).wait()


def test_all_hardware_queues_then_one_more(npu, guest):
    """Two clients can have them all; a third gets one when one is given back."""
    clients = [npu, *(Device.open(guest.spawn()) for _ in range(2))]
    vms = [dev.vm_create() for dev in clients]
    queues = []
    for dev, vm in zip(clients[:2], vms, strict=False):
        queues += [dev.queue_create(vm) for _ in range(dev.query_device().max_queues)]
    with raises_errno(errno.EBUSY):
        clients[2].queue_create(vms[2])
    queues[0].submit([Nop()]).wait()
    queues.pop().destroy()
    clients[2].queue_create(vms[2]).submit([Nop()]).wait()


@pytest.mark.parametrize("engine", [2, 7, 0xFFFFFFFF])
def test_bad_engine_class(npu, engine):
    vm = npu.vm_create()
    with raises_errno(errno.EINVAL):
        npu.queue_create(vm, engine=engine)


def test_destroyed_queue_is_gone(npu):
    queue = npu.queue_create(npu.vm_create(), engine=COPY)
    queue.destroy()
    for call in (queue.query, queue.destroy, lambda: queue.submit([])):
        with raises_errno(errno.ENOENT):
            call()


def test_jobs_outlive_their_queue(npu):
    """Destroying a queue lets the submitted work finish."""
    vm = npu.vm_create()
    gate = Gate(npu, vm)
    queue = npu.queue_create(vm, engine=COPY)
    fence = queue.submit(gate.packets())
    queue.destroy()
    assert not fence.done()
    gate.open()
    fence.wait()
    assert fence.error() == 0


def test_query_counts_and_busy_time(copier):
    bo, va = copier.buffer(8 * MIB, VRAM)
    before = copier.queue.query()
    copier.queue.submit([Fill(pattern=1, dst=va, size=8 * MIB)]).wait()
    after = copier.queue.query()
    assert after.jobs_submitted - before.jobs_submitted == 1
    assert after.jobs_completed - before.jobs_completed == 1
    assert after.busy_ns > before.busy_ns
    assert after.state == 0
