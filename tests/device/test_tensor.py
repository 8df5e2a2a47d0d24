# SPDX-License-Identifier: MIT
"""GEMM, ELTWISE and REDUCE against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vnpu.hw import golden
from vnpu.hw.codes import Activation, Dtype, EltwiseOp, EngineType, ReduceOp
from vnpu.hw.packets import Eltwise, Gemm, Reduce
from vnpu.qtest import Context, Queue, VnpuQtest
from vnpu.qtest.npu import PHYS_VRAM

GEMM_TYPES = ["I8", "F16", "BF16", "F32"]
ALL_TYPES = ["I8", "I32", "F16", "BF16", "F32"]
PLACES: dict[str, dict[str, Any]] = {
    "vram": {},
    "host": {"vram": False},
    "scattered": {"vram": False, "scatter": True},
    "huge": {"huge": True},
}
random_in_one_machine = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tensor_queue(npu: VnpuQtest) -> tuple[VnpuQtest, Context, Queue]:
    ctx = npu.context(1)
    return npu, ctx, npu.queue(2, ctx=ctx, kind=EngineType.TENSOR)


@pytest.fixture
def tensor(npu: VnpuQtest) -> tuple[VnpuQtest, Context, Queue]:
    return tensor_queue(npu)


@pytest.fixture
def each_tensor(each_npu: VnpuQtest) -> tuple[VnpuQtest, Context, Queue]:
    return tensor_queue(each_npu)


def strided(matrix: np.ndarray, ld: int) -> bytes:
    """The bytes of a matrix whose rows are *ld* elements apart, 0xEE in between."""
    rows, cols = matrix.shape
    wide = np.full((rows, ld * matrix.itemsize), 0xEE, np.uint8)
    wide[:, : cols * matrix.itemsize] = np.ascontiguousarray(matrix).view(np.uint8)
    return wide.tobytes()[: (rows - 1) * ld * matrix.itemsize + cols * matrix.itemsize]


def run_gemm(
    tensor: tuple[VnpuQtest, Context, Queue],
    dtype: str,
    shape: tuple[int, int, int],
    *,
    seed: int = 0,
    bias: bool = False,
    relu: bool = False,
    trans_b: bool = False,
    accumulate: bool = False,
    gaps: tuple[int, int, int] = (0, 0, 0),
    place: dict[str, Any] | None = None,
    offset: int = 0,
) -> None:
    """One GEMM on random operands, compared in whole, the bytes between rows included."""
    _, ctx, queue = tensor
    m, n, k = shape
    rng = np.random.default_rng(seed)
    out = golden.result(dtype)
    a = golden.random(rng, (m, k), dtype)
    b = golden.random(rng, (n, k) if trans_b else (k, n), dtype)
    c = golden.random(rng, (m, n), out)
    v = golden.random(rng, (n,), out)
    lda, ldb, ldc = k + gaps[0], b.shape[1] + gaps[1], n + gaps[2]
    place = place or {}
    buffers = [
        ctx.buffer(strided(x, ld), offset=offset, **place)
        for x, ld in ((a, lda), (b, ldb), (c, ldc))
    ]
    vector = ctx.buffer(v.tobytes(), offset=offset, **place)
    flags = [
        name
        for name, on in (("BIAS", bias), ("TRANS_B", trans_b), ("ACCUMULATE", accumulate))
        if on
    ]
    queue.run(
        Gemm(
            dtype=Dtype[dtype],
            flags="+".join(flags) or 0,
            a=buffers[0].va,
            b=buffers[1].va,
            c=buffers[2].va,
            bias=vector.va if bias else 0,
            m=m,
            n=n,
            k=k,
            lda=lda,
            ldb=ldb,
            ldc=ldc,
            activation=Activation.RELU if relu else Activation.NONE,
        )
    )
    want = golden.gemm(
        a,
        b,
        dtype,
        c=c if accumulate else None,
        bias=v if bias else None,
        relu=relu,
        trans_b=trans_b,
    )
    raw = buffers[2].read()
    raw += b"\xee" * (m * ldc * 4 - len(raw))
    got = np.frombuffer(raw, golden.stored(out)).reshape(m, ldc)
    golden.check_gemm(got[:, :n], want, dtype, k)
    assert (got[:, n:].view(np.uint8) == 0xEE).all()
    assert buffers[0].read() == strided(a, lda)
    assert buffers[1].read() == strided(b, ldb)


@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("dtype", GEMM_TYPES)
def test_gemm(each_tensor, dtype, trans_b):
    run_gemm(each_tensor, dtype, (70, 90, 110), trans_b=trans_b)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", GEMM_TYPES)
def test_gemm_from_everywhere(tensor, dtype, place):
    run_gemm(tensor, dtype, (65, 130, 100), place=PLACES[place], offset=0x7FC, bias=True, relu=True)


@pytest.mark.parametrize("dtype", GEMM_TYPES)
def test_gemm_with_gaps_between_rows(tensor, dtype):
    run_gemm(tensor, dtype, (33, 44, 55), gaps=(5, 6, 7), accumulate=True)


@pytest.mark.parametrize("dtype", GEMM_TYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 700, 3), (700, 1, 3), (1, 1, 5000), (3, 2, 16384)]
)
def test_gemm_odd_shapes(tensor, dtype, shape):
    run_gemm(tensor, dtype, shape)


@random_in_one_machine
@given(
    dtype=st.sampled_from(GEMM_TYPES),
    shape=st.tuples(st.integers(1, 80), st.integers(1, 80), st.integers(1, 80)),
    options=st.fixed_dictionaries(
        {name: st.booleans() for name in ("bias", "relu", "trans_b", "accumulate")}
    ),
    gaps=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    place=st.sampled_from(["vram", "host", "scattered"]),
    offset=st.integers(0, 1023).map(lambda n: 4 * n),
    seed=st.integers(0, 999),
)
def test_gemm_random(tensor, dtype, shape, options, gaps, place, offset, seed):
    with tensor[0].scratch():
        run_gemm(
            tensor,
            dtype,
            shape,
            seed=seed,
            gaps=gaps,
            place=PLACES[place],
            offset=offset,
            **options,
        )


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_gemm_nan_and_infinity(tensor, dtype):
    _, ctx, queue = tensor
    a = ctx.buffer(golden.encode(np.array([np.nan, np.inf, -np.inf, -1]), dtype).tobytes())
    b = ctx.buffer(golden.encode(np.array([1.0, 0.0]), dtype).tobytes())
    c = ctx.buffer(32)
    queue.run(
        Gemm(
            dtype=Dtype[dtype], a=a.va, b=b.va, c=c.va, m=4, n=2, k=1, lda=1, ldb=2, ldc=2,
            activation=Activation.RELU,
        )
    )  # fmt: skip
    got = np.frombuffer(c.read(), np.float32).reshape(4, 2)
    np.testing.assert_array_equal(
        got, np.array([[np.nan, np.nan], [np.inf, np.nan], [0, np.nan], [0, 0]], np.float32)
    )


def test_gemm_i8_is_exact_at_the_extremes(tensor):
    _, ctx, queue = tensor
    k = 16384
    a, b, c = ctx.buffer(b"\x80" * k), ctx.buffer(b"\x80" * k), ctx.buffer(4)
    queue.run(Gemm(dtype="I8", a=a.va, b=b.va, c=c.va, m=1, n=1, k=k, lda=k, ldb=1, ldc=1))
    assert int.from_bytes(c.read(), "little") == 128 * 128 * k


def run_eltwise(
    tensor: tuple[VnpuQtest, Context, Queue],
    op: str,
    dtype: str,
    a: np.ndarray,
    b: np.ndarray,
    *,
    into: str = "",
    place: dict[str, Any] | None = None,
) -> None:
    _, ctx, queue = tensor
    place = place or {}
    buffers = {"a": ctx.buffer(a.tobytes(), **place), "b": ctx.buffer(b.tobytes(), **place)}
    dst = buffers[into] if into else ctx.buffer(a.nbytes, **place)
    queue.run(
        Eltwise(
            op=EltwiseOp[op], dtype=Dtype[dtype], a=buffers["a"].va, b=buffers["b"].va, dst=dst.va,
            count=a.size,
        )
    )  # fmt: skip
    got = np.frombuffer(dst.read(), a.dtype)
    golden.check_values(got, golden.eltwise(op, a, b, dtype), dtype)


@pytest.mark.parametrize("op", ["ADD", "MUL", "MAX"])
@pytest.mark.parametrize("dtype", ALL_TYPES)
def test_eltwise(each_tensor, op, dtype):
    rng = np.random.default_rng(1)
    a, b = (golden.random(rng, (10001,), dtype) for _ in "ab")
    run_eltwise(each_tensor, op, dtype, a, b)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("into", ["a", "b"])
@pytest.mark.parametrize("dtype", ["I8", "F16", "F32"])
def test_eltwise_in_place(tensor, dtype, into, place):
    rng = np.random.default_rng(2)
    a, b = (golden.random(rng, (9000,), dtype) for _ in "ab")
    run_eltwise(tensor, "ADD", dtype, a, b, into=into, place=PLACES[place])


def test_eltwise_i8_saturates(tensor):
    values = np.arange(-128, 128, dtype=np.int8)
    a, b = (x.ravel() for x in np.meshgrid(values, values))
    for op in ("ADD", "MUL"):
        run_eltwise(tensor, op, "I8", np.ascontiguousarray(a), np.ascontiguousarray(b))


@pytest.mark.parametrize("op", ["ADD", "MUL", "MAX"])
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_eltwise_special_floats(tensor, op, dtype):
    special = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 65504, 65520, 6e-8, 3e-8, 1e-40, 3.4e38]
    values = golden.encode(np.array(special), dtype)
    a, b = (np.ascontiguousarray(x).ravel() for x in np.meshgrid(values, values))
    run_eltwise(tensor, op, dtype, a, b)


def run_reduce(
    tensor: tuple[VnpuQtest, Context, Queue],
    op: str,
    dtype: str,
    values: np.ndarray,
    place: dict[str, Any] | None = None,
) -> None:
    _, ctx, queue = tensor
    rows, cols = values.shape
    src = ctx.buffer(values.tobytes(), **(place or {}))
    dst = ctx.buffer(rows * 4 + 4, **(place or {}))
    queue.run(
        Reduce(op=ReduceOp[op], dtype=Dtype[dtype], src=src.va, dst=dst.va, rows=rows, cols=cols)
    )
    out = golden.result(dtype)
    got = np.frombuffer(dst.read(), golden.stored(out))
    want = golden.reduce(op, values, dtype)
    if out == "I32":
        np.testing.assert_array_equal(got[:rows], want)
    else:
        np.testing.assert_allclose(got[:rows], want, rtol=1e-6, atol=1e-6)
    assert got[rows] == 0


@pytest.mark.parametrize("op", ["SUM", "MAX"])
@pytest.mark.parametrize("dtype", ALL_TYPES)
def test_reduce(each_tensor, op, dtype):
    rng = np.random.default_rng(3)
    for shape in ((1, 1), (1, 10000), (10000, 1), (123, 77)):
        run_reduce(each_tensor, op, dtype, golden.random(rng, shape, dtype))


@pytest.mark.parametrize("place", PLACES)
def test_reduce_from_everywhere(tensor, place):
    values = golden.random(np.random.default_rng(4), (300, 41), "BF16")
    run_reduce(tensor, "SUM", "BF16", values, PLACES[place])


def test_reduce_nan_and_wrap(tensor):
    values = golden.random(np.random.default_rng(5), (8, 50), "F32")
    values[3, 7], values[4, 0], values[5, 49] = np.nan, np.inf, -np.inf
    for op in ("SUM", "MAX"):
        run_reduce(tensor, op, "F32", values)
    run_reduce(tensor, "SUM", "I32", np.full((2, 9), 2**31 - 1, np.int32))


def test_large_eltwise_and_reduce(mapped):
    """More than the device takes on at a time."""
    npu, vram = mapped
    queue = npu.queue(2, kind=EngineType.TENSOR)
    rows, cols = 5, (4 << 20) + 1
    values = np.random.default_rng(6).integers(-128, 128, (rows, cols), np.int8)
    vram[: values.size] = values.ravel().view(np.uint8)
    base, result = PHYS_VRAM, values.size + -values.size % 4
    queue.run(
        Reduce(op="SUM", dtype="I8", src=base, dst=base + result, rows=rows, cols=cols),
        Eltwise(op="ADD", dtype="I8", a=base, b=base, dst=base, count=values.size),
    )
    sums = vram[result : result + 4 * rows].view(np.int32)
    np.testing.assert_array_equal(sums, golden.reduce("SUM", values, "I8"))
    want = golden.eltwise("ADD", values, values, "I8").ravel()
    np.testing.assert_array_equal(vram[: values.size].view(np.int8), want)
