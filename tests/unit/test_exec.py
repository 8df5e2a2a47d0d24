# SPDX-License-Identifier: MIT
"""The device's execution kernels against NumPy, with and without BLAS.

The whole file runs once more under the address and undefined-behaviour
sanitizers (test_sanitized), in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import exec_lib
import numpy as np
import pytest
from exec_lib import (
    CopyParams,
    EltwiseParams,
    Exec,
    FillParams,
    ReduceParams,
    Scattered,
    Sg,
    gemm_params,
    pieces,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vnpu.hw import golden

SANITIZED = os.environ.get("VNPU_EXEC_SANITIZED") == "1"
OP = exec_lib.ENUMS["eltwise_op"]
RED = exec_lib.ENUMS["reduce_op"]
DTYPE = exec_lib.ENUMS["dtype"]

pytestmark = pytest.mark.skipif(
    not exec_lib.shutil.which(os.environ.get("CC", "cc")), reason="no C compiler"
)
FIXTURE_OK = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def variants() -> list[str]:
    names = ["reference", "portable"]
    return [*names, "blas"] if exec_lib.have_openblas() else names


@pytest.fixture(scope="module", params=variants())
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    blas = request.param == "blas"
    lib = exec_lib.compile_library(
        tmp_path_factory.mktemp("exec"),
        blas=blas,
        sanitize=SANITIZED,
        avx=request.param != "portable",
    )
    x = Exec(lib)
    assert x.has_blas == blas
    yield x
    x.close()


def cuts(rng: np.random.Generator, size: int, count: int, grain: int = 1) -> list[int]:
    return [int(c) // grain * grain for c in rng.integers(0, size + 1, count)]


# GEMM


@FIXTURE_OK
@given(
    dtype=st.sampled_from(["I8", "F16", "BF16", "F32"]),
    m=st.integers(1, 220),
    n=st.integers(1, 300),
    k=st.integers(1, 420),
    options=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    pieces_each=st.sampled_from([0, 1, 7, 60]),
    grain=st.sampled_from([1, 4, 64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_gemm_random(kernels, dtype, m, n, k, options, pieces_each, grain, seed):
    rng = np.random.default_rng(seed)
    relu, trans_b, accumulate, with_bias = options
    ctype = "I32" if dtype == "I8" else "F32"
    a = golden.random(rng, (m, k), dtype)
    b = golden.random(rng, (n, k) if trans_b else (k, n), dtype)
    c = golden.random(rng, (m, n), ctype)
    bias = golden.random(rng, (n,), ctype) if with_bias else None
    sa, sb, sc = (Scattered(x, cuts(rng, x.nbytes, pieces_each, grain)) for x in (a, b, c))
    sbias = Scattered(bias, cuts(rng, bias.nbytes, 2)) if with_bias else None
    done = kernels.run(
        "gemm",
        gemm_params(
            dtype,
            sa.sg,
            sb.sg,
            sc.sg,
            (m, n, k),
            bias=sbias.sg if sbias else None,
            relu=relu,
            trans_b=trans_b,
            accumulate=accumulate,
        ),
    )
    assert done
    want = golden.gemm(
        a, b, dtype, c=c if accumulate else None, bias=bias, relu=relu, trans_b=trans_b
    )
    golden.check_gemm(sc.array(), want, dtype, k)


@pytest.mark.parametrize("dtype", ["I8", "F32"])
@pytest.mark.parametrize("trans_b", [False, True])
def test_gemm_strided_rows(kernels, dtype, trans_b):
    """Rows apart by a stride: what lies between them is neither read nor written."""
    rng = np.random.default_rng(1)
    m, n, k, gap = 70, 300, 50, 9
    a = golden.random(rng, (m, k + gap), dtype)
    b = golden.random(rng, (n, k + gap) if trans_b else (k, n + gap), dtype)
    c = np.full((m, n + gap), 77, np.int32 if dtype == "I8" else np.float32)
    cols = k if trans_b else n
    assert kernels.run(
        "gemm",
        gemm_params(
            dtype,
            exec_lib.rows(a[:, :k]),
            exec_lib.rows(b[:, :cols]),
            exec_lib.rows(c[:, :n]),
            (m, n, k),
            trans_b=trans_b,
        ),
    )
    golden.check_gemm(
        c[:, :n], golden.gemm(a[:, :k], b[:, :cols], dtype, trans_b=trans_b), dtype, k
    )
    assert (c[:, n:] == 77).all()


@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("dtype", ["I8", "F16", "F32"])
def test_gemm_left_after_each_step(kernels, dtype, trans_b):
    """Gone on with anew for each step, accumulating: none is left out or done twice."""
    rng = np.random.default_rng(11)
    m, n, k = 550, 1060, 700
    small = [rng.integers(-4, 5, shape) for shape in ((m, k), (n, k) if trans_b else (k, n))]
    a, b = (golden.encode(values, dtype) for values in small)
    out = golden.result(dtype)
    c = rng.integers(-9, 9, (m, n)).astype(golden.stored(out))
    bias = rng.integers(-9, 9, n).astype(golden.stored(out))
    scattered = Scattered(c, cuts(rng, c.nbytes, 20))
    params = gemm_params(
        dtype,
        pieces(a),
        pieces(b),
        scattered.sg,
        (m, n, k),
        bias=pieces(bias),
        trans_b=trans_b,
        accumulate=True,
    )
    total = kernels.lib.vnpu_exec_gemm_steps(m, n, k)
    assert total == 2 * 2 * 3
    for done in range(total):
        assert kernels.run_gemm_some(params, done) == done + 1
    assert kernels.run_gemm_some(params, total) == total
    want = golden.gemm(a, b, dtype, c=c, bias=bias, trans_b=trans_b)
    np.testing.assert_array_equal(scattered.array(), want)


def test_gemm_i8_extremes_are_exact(kernels):
    """The largest sum there is: -128 * -128 over the largest depth."""
    k = 16384
    a, b = np.full((2, k), -128, np.int8), np.full((k, 3), -128, np.int8)
    c = np.zeros((2, 3), np.int32)
    assert kernels.run("gemm", gemm_params("I8", pieces(a), pieces(b), pieces(c), (2, 3, k)))
    assert (c == 128 * 128 * k).all()


def test_gemm_i8_bias_and_accumulate_wrap(kernels):
    a, b = np.full((1, 1), 2, np.int8), np.full((1, 1), 3, np.int8)
    c, bias = np.full((1, 1), 2**31 - 1, np.int32), np.full(1, 2**31 - 1, np.int32)
    assert kernels.run(
        "gemm",
        gemm_params(
            "I8", pieces(a), pieces(b), pieces(c), (1, 1, 1), bias=pieces(bias), accumulate=True
        ),
    )
    assert c[0, 0] == np.int32(6 - 2)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_gemm_nan_and_infinity(kernels, dtype):
    """NaN goes through ReLU, infinity times zero is NaN, -inf is clipped."""
    a = golden.encode(np.array([[np.nan], [np.inf], [-np.inf], [-1.0]]), dtype)
    b = golden.encode(np.array([[1.0, 0.0]]), dtype)
    c = np.zeros((4, 2), np.float32)
    params = gemm_params(dtype, pieces(a), pieces(b), pieces(c), (4, 2, 1), relu=True)
    assert kernels.run("gemm", params)
    np.testing.assert_array_equal(
        c, np.array([[np.nan, np.nan], [np.inf, np.nan], [0, np.nan], [0, 0]], np.float32)
    )


@pytest.mark.skipif(not exec_lib.have_openblas(), reason="no OpenBLAS")
@pytest.mark.parametrize("kernels", ["blas"], indirect=True)
def test_blas_and_reference_agree(kernels):
    """Integer-valued floats: both paths are exact, so equal to the bit."""
    rng = np.random.default_rng(3)
    a = rng.integers(-8, 9, (200, 400)).astype(np.float32)
    b = rng.integers(-8, 9, (400, 300)).astype(np.float32)
    out = []
    for on in (True, False):
        c = np.zeros((200, 300), np.float32)
        kernels.use_blas(on)
        assert kernels.run(
            "gemm", gemm_params("F32", pieces(a), pieces(b), pieces(c), (200, 300, 400))
        )
        out.append(c)
    kernels.use_blas(True)
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_array_equal(out[0], a @ b)


# COPY and FILL


@FIXTURE_OK
@given(data=st.binary(min_size=1, max_size=5000), seed=st.integers(0, 2**32 - 1))
def test_copy_scattered(kernels, data, seed):
    rng = np.random.default_rng(seed)
    src = Scattered(np.frombuffer(data, np.uint8), cuts(rng, len(data), 9))
    dst = Scattered(np.zeros(len(data), np.uint8), cuts(rng, len(data), 9))
    assert kernels.run("copy", CopyParams(src.sg, dst.sg, len(data), False))
    assert dst.array().tobytes() == data


def window(memory: np.ndarray, start: int, size: int, page: int) -> Sg:
    """The list of a range of *memory* cut at page borders."""
    bounds = [start, *range((start // page + 1) * page, start + size, page), start + size]
    return pieces(*(memory[a:b] for a, b in zip(bounds, bounds[1:], strict=False)))


@FIXTURE_OK
@given(
    src=st.integers(0, 600),
    dst=st.integers(0, 600),
    size=st.integers(1, 900),
    page=st.sampled_from([16, 64, 4096]),
)
def test_copy_overlap_is_memmove(kernels, src, dst, size, page):
    memory = np.random.default_rng(5).integers(0, 256, 2000, np.uint8)
    want = memory.copy()
    want[dst : dst + size] = memory[src : src + size].copy()
    params = CopyParams(
        window(memory, src, size, page),
        window(memory, dst, size, page),
        size,
        src < dst < src + size,
    )
    assert kernels.run("copy", params)
    np.testing.assert_array_equal(memory, want)


LARGE = (4 << 20) + 12345  # goes past the cache


@pytest.mark.parametrize("page", [100, 4096, 1 << 20])
@pytest.mark.parametrize(("src", "dst"), [(0, 0), (1, 0), (0, 1), (63, 64), (64, 15)])
def test_large_copy(kernels, src, dst, page):
    """At any alignment, in pieces shorter and longer than a cache line, and nothing around it."""
    data = np.random.default_rng(3).integers(0, 256, LARGE + 200, np.uint8)
    memory = np.full(LARGE + 200, 0xEE, np.uint8)
    params = CopyParams(
        window(data, src, LARGE, page), window(memory, dst, LARGE, 2 * page), LARGE, False
    )
    assert kernels.run("copy", params)
    np.testing.assert_array_equal(memory[dst : dst + LARGE], data[src : src + LARGE])
    assert (memory[:dst] == 0xEE).all() and (memory[dst + LARGE :] == 0xEE).all()


@pytest.mark.parametrize("shift", [1, 64, 4096, 1 << 20])
@pytest.mark.parametrize("backward", [False, True], ids=["down", "up"])
def test_large_copy_onto_itself(kernels, shift, backward):
    memory = np.random.default_rng(4).integers(0, 256, LARGE + shift, np.uint8)
    src, dst = (0, shift) if backward else (shift, 0)
    want = memory[src : src + LARGE].copy()
    params = CopyParams(
        window(memory, src, LARGE, 4096), window(memory, dst, LARGE, 4096), LARGE, backward
    )
    assert kernels.run("copy", params)
    np.testing.assert_array_equal(memory[dst : dst + LARGE], want)


@FIXTURE_OK
@given(words=st.integers(0, 9000), pattern=st.integers(0, 2**32 - 1), seed=st.integers(0, 999))
def test_fill(kernels, words, pattern, seed):
    rng = np.random.default_rng(seed)
    dst = Scattered(np.zeros(words + 1, np.uint32), cuts(rng, words * 4, 6))
    assert kernels.run("fill", FillParams(dst.sg, words * 4, pattern))
    got = dst.array()
    assert (got[:words] == pattern).all() and got[words] == 0


# ELTWISE


SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 65504.0, 65520.0, 6e-8, 3e-8, 1e-40, 3.4e38]
)


@pytest.mark.parametrize("op", ["ADD", "MUL", "MAX"])
@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_eltwise_special_floats(kernels, op, dtype):
    values = golden.encode(SPECIAL, dtype)
    a, b = (np.ascontiguousarray(x).ravel() for x in np.meshgrid(values, values))
    dst = np.zeros_like(a)
    params = EltwiseParams(OP[op], DTYPE[dtype], a.size, pieces(a), pieces(b), pieces(dst))
    assert kernels.run("eltwise", params)
    golden.check_values(dst, golden.eltwise(op, a, b, dtype), dtype)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_every_half_survives(kernels, dtype):
    """All 65536 values times one: conversion there and back is the identity."""
    bits = np.arange(65536, dtype=np.uint16)
    a = bits.view(np.float16) if dtype == "F16" else bits
    one = np.full_like(a, golden.encode(np.array([1.0]), dtype)[0])
    dst = np.zeros_like(a)
    params = EltwiseParams(OP["MUL"], DTYPE[dtype], a.size, pieces(a), pieces(one), pieces(dst))
    assert kernels.run("eltwise", params)
    nan = np.isnan(golden.decode(a, dtype))
    np.testing.assert_array_equal(dst.view(np.uint16)[~nan], bits[~nan])
    assert np.isnan(golden.decode(dst, dtype)[nan]).all()


@FIXTURE_OK
@given(
    op=st.sampled_from(["ADD", "MUL", "MAX"]),
    dtype=st.sampled_from(["I8", "I32", "F16", "BF16", "F32"]),
    count=st.integers(1, 9000),
    in_place=st.sampled_from(["no", "a", "b"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_eltwise_random(kernels, op, dtype, count, in_place, seed):
    rng = np.random.default_rng(seed)
    a, b = (golden.random(rng, (count,), dtype) for _ in "ab")
    sa, sb, sd = (Scattered(x, cuts(rng, x.nbytes, 5)) for x in (a, b, np.zeros_like(a)))
    dst = {"no": sd, "a": sa, "b": sb}[in_place]
    assert kernels.run("eltwise", EltwiseParams(OP[op], DTYPE[dtype], count, sa.sg, sb.sg, dst.sg))
    golden.check_values(dst.array(), golden.eltwise(op, a, b, dtype), dtype)


# REDUCE


def reduce_params(op, dtype, shape, src, dst, *, skip=0, carry=0):
    return ReduceParams(
        op=RED[op],
        dtype=DTYPE[dtype],
        cols=shape[1],
        skip=skip,
        count=shape[0] * shape[1],
        carry=carry,
        src=src,
        dst=dst,
    )


@FIXTURE_OK
@given(
    op=st.sampled_from(["SUM", "MAX"]),
    dtype=st.sampled_from(["I8", "I32", "F16", "BF16", "F32"]),
    shape=st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 400)),
        st.tuples(st.integers(1, 6000), st.just(1)),
        st.tuples(st.just(1), st.integers(1, 20000)),
    ),
    special=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_reduce_random(kernels, op, dtype, shape, special, seed):
    rng = np.random.default_rng(seed)
    values = golden.random(rng, shape, dtype)
    if special and dtype in ("F16", "BF16", "F32"):
        values[rng.integers(shape[0]), rng.integers(shape[1])] = golden.encode(
            np.array([rng.choice([np.nan, np.inf, -np.inf])]), dtype
        )[0]
    src = Scattered(values, cuts(rng, values.nbytes, 5))
    out = np.int32 if dtype in ("I8", "I32") else np.float32
    dst = Scattered(np.zeros(shape[0], out), cuts(rng, shape[0] * 4, 3))
    assert kernels.run_reduce(reduce_params(op, dtype, shape, src.sg, dst.sg))
    want = golden.reduce(op, values, dtype)
    if out is np.int32:
        np.testing.assert_array_equal(dst.array(), want)
    else:
        np.testing.assert_allclose(dst.array(), want, rtol=1e-6, atol=1e-6)


def test_reduce_i32_wraps(kernels):
    src, dst = np.full((1, 3), 2**31 - 1, np.int32), np.zeros(1, np.int32)
    assert kernels.run_reduce(reduce_params("SUM", "I32", (1, 3), pieces(src), pieces(dst)))
    assert dst[0] == np.int64(3 * (2**31 - 1)).astype(np.int32)


@pytest.mark.parametrize("dtype", ["I8", "I32", "F16", "F32"])
@pytest.mark.parametrize("op", ["SUM", "MAX"])
@pytest.mark.parametrize("shape", [(1, 20001), (3, 9000), (7000, 1)])
def test_reduce_left_after_each_step(kernels, op, dtype, shape):
    """In steps that end in the middle of rows, the same to the bit as at once."""
    values = golden.random(np.random.default_rng(5), shape, dtype)
    out = np.int32 if dtype in ("I8", "I32") else np.float32
    whole, parts = np.zeros(shape[0], out), np.zeros(shape[0], out)
    assert kernels.run_reduce(reduce_params(op, dtype, shape, pieces(values), pieces(whole)))
    flat, done, carry = values.reshape(-1), 0, 0
    while done < flat.size:
        row, skip = divmod(done, shape[1])
        params = reduce_params(
            op, dtype, shape, pieces(flat[done:]), pieces(parts[row:]), skip=skip, carry=carry
        )
        params.count = flat.size - done
        assert kernels.run_reduce(params, pause=True)
        assert params.count == min(4096, flat.size - done)
        done, carry = done + params.count, params.carry
    assert parts.tobytes() == whole.tobytes()


# Left early


@pytest.mark.parametrize("backward", [False, True])
def test_copy_left_after_each_step(kernels, backward):
    """What is there says how far it has come; backward copies end at the beginning."""
    size = 2 * (512 << 10) + 77
    source = np.random.default_rng(1).integers(1, 256, size, np.uint8)
    target, left, steps = np.zeros_like(source), size, []
    while left:
        at = slice(0, left) if backward else slice(size - left, size)
        params = CopyParams(pieces(source[at]), pieces(target[at]), left, backward)
        assert kernels.run_some("copy", params)
        steps.append(params.size)
        left -= params.size
        done = slice(left, size) if backward else slice(0, size - left)
        np.testing.assert_array_equal(target[done], source[done])
        assert np.count_nonzero(target) == size - left
    assert steps == [512 << 10, 512 << 10, 77]


def test_fill_left_after_each_step(kernels):
    target, done = np.zeros((1 << 20) // 4 + 3, np.uint32), 0
    while done < target.size:
        params = FillParams(pieces(target[done:]), target[done:].nbytes, 0x12345678)
        assert kernels.run_some("fill", params)
        assert params.size == min(512 << 10, target[done:].nbytes)
        done += params.size // 4
    assert (target == 0x12345678).all()


def test_elementwise_left_after_each_step(kernels):
    a = np.arange(300_000, dtype=np.int32)
    out, done = np.zeros_like(a), 0
    while done < a.size:
        rest = pieces(a[done:])
        params = EltwiseParams(
            OP["ADD"], DTYPE["I32"], a.size - done, rest, rest, pieces(out[done:])
        )
        assert kernels.run_some("eltwise", params)
        assert params.count == min(32 * 4096, a.size - done)
        done += params.count
    np.testing.assert_array_equal(out, 2 * a)


@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("dtype", ["I8", "F16"])
def test_panel_is_kept_for_the_parts_of_a_product(kernels, dtype, trans_b):
    """What was prepared of b serves the next block of rows, but no other product."""
    m, n, k = 1024, 40, 50
    rng = np.random.default_rng(3)
    small = [rng.integers(-4, 5, shape) for shape in ((m, k), (n, k) if trans_b else (k, n))]
    a, b = (golden.encode(values, dtype) for values in small)
    want = golden.gemm(a, b, dtype, trans_b=trans_b)
    c = np.zeros((m, n), golden.stored(golden.result(dtype)))
    params = gemm_params(dtype, pieces(a), pieces(b), pieces(c), (m, n, k), trans_b=trans_b)
    params.packet = 1
    assert kernels.run_gemm_some(params, 0) == 1
    b[:] = 0
    assert kernels.run_gemm_some(params, 1) == 2
    np.testing.assert_array_equal(c, want)
    for packet in (2, 0, 0):
        c[:] = 1
        params.packet = packet
        assert kernels.run("gemm", params)
        assert not c.any()


# Byte order


def test_big_endian_hosts_leave_the_same_in_memory(tmp_path):
    """Each kernel and type there, run by an emulator, against this host."""
    run = next(filter(None, map(exec_lib.shutil.which, exec_lib.BIG_ENDIAN_RUN)), None)
    if not exec_lib.shutil.which(exec_lib.BIG_ENDIAN_CC) or not run:
        pytest.skip("no compiler for s390x, or no emulator, on this machine")
    here = exec_lib.results_in_memory(tmp_path, os.environ.get("CC", "cc"))
    there = exec_lib.results_in_memory(tmp_path, exec_lib.BIG_ENDIAN_CC, [run])
    assert len(here) > 80 and not any(" 0: " in line for line in here)
    assert there == here


# Abort


def long_jobs() -> Iterator[tuple[str, object]]:
    n = 4096
    a, c = np.ones((n, n), np.float32), np.ones((n, n), np.float32)
    yield "gemm", gemm_params("F32", pieces(a), pieces(a), pieces(c), (n, n, n))
    i8, i32 = np.ones((n, n), np.int8), np.ones((n, n), np.int32)
    yield "gemm", gemm_params("I8", pieces(i8), pieces(i8), pieces(i32), (n, n, n))
    big = np.zeros(1 << 28, np.uint8)
    yield "copy", CopyParams(pieces(big), pieces(np.empty_like(big)), big.size, False)


def test_abort_before_start(kernels):
    kernels.abort.value = 1
    try:
        for name, params in long_jobs():
            assert not kernels.run(name, params)
    finally:
        kernels.abort.value = 0


@pytest.mark.parametrize("job", [0, 1])
def test_abort_while_running(kernels, job):
    """The flag is seen in a fraction of the time the whole job takes.

    That is time of the thread's own: a busy host gives the processor to others meanwhile.
    """
    name, params = list(long_jobs())[job]
    result: list[tuple[bool, float]] = []
    worker = threading.Thread(
        target=lambda: result.append((kernels.run(name, params), time.thread_time()))
    )
    worker.start()
    # ctypes releases the GIL: the kernel runs while this thread measures
    time.sleep(0.01)
    start = time.clock_gettime(time.pthread_getcpuclockid(worker.ident))
    kernels.abort.value = 1
    worker.join(60)
    kernels.abort.value = 0
    ((finished, end),) = result
    assert not finished
    latency = end - start
    assert latency < 0.25, f"abort took {latency * 1e3:.1f} ms"


# Once more under the sanitizers


@pytest.mark.skipif(SANITIZED, reason="this is the sanitized run")
def test_sanitized(tmp_path):
    asan = subprocess.run(
        [os.environ.get("CC", "cc"), "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not os.path.isabs(asan):
        pytest.skip("the compiler has no address sanitizer")
    env = os.environ | {
        "VNPU_EXEC_SANITIZED": "1",
        "LD_PRELOAD": os.path.realpath(asan),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTEST_ADDOPTS": "",
    }
    for name in [name for name in env if name.startswith("PYTEST_XDIST")]:
        del env[name]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            f"--basetemp={tmp_path / 'sanitized'}",
            __file__,
        ],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
