# SPDX-License-Identifier: MIT
"""What the tensor packets compute, in NumPy, for comparison.

Element types go by name (``"F16"``) or ``codes.Dtype``. bfloat16, which NumPy lacks, is kept as
uint16: ``encode`` makes the stored form, ``decode`` what can be computed with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vnpu.hw.codes import Dtype

_STORED = {
    "I8": np.int8,
    "I32": np.int32,
    "F16": np.float16,
    "BF16": np.uint16,
    "F32": np.float32,
}
INTEGERS = ("I8", "I32")
FLOATS = ("F16", "BF16", "F32")


def _name(dtype: str | int) -> str:
    return dtype if isinstance(dtype, str) else Dtype(dtype).name


def stored(dtype: str | int) -> type[Any]:
    """The NumPy type of an element in memory."""
    return _STORED[_name(dtype)]


def result(dtype: str | int) -> str:
    """The type that GEMM and REDUCE give for operands of *dtype*."""
    return "I32" if _name(dtype) in INTEGERS else "F32"


def _to_bf16(values: np.ndarray) -> np.ndarray:
    """Round to the nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), (bits >> 16).astype(np.uint16) | 0x40, rounded)


def encode(values: np.ndarray, dtype: str | int) -> np.ndarray:
    """Values as they are stored."""
    if _name(dtype) == "BF16":
        return _to_bf16(np.asarray(values, np.float32))
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(stored(dtype))


def decode(values: np.ndarray, dtype: str | int) -> np.ndarray:
    """Stored floats as float32; integers as they are."""
    name = _name(dtype)
    if name == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) if name in FLOATS else values


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str | int) -> np.ndarray:
    """Stored values: all integers, or normally distributed floats."""
    name = _name(dtype)
    if name in INTEGERS:
        info = np.iinfo(stored(name))
        return rng.integers(info.min, info.max, shape, stored(name), endpoint=True)
    return encode(rng.standard_normal(shape), name)


def gemm(
    a: np.ndarray,
    b: np.ndarray,
    dtype: str | int,
    *,
    c: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    relu: bool = False,
    trans_b: bool = False,
) -> np.ndarray:
    """a x b (+ c) (+ bias), clipped: exact for integers, in double for floats."""
    # double holds every sum of products of int8 exactly, and is multiplied fast
    left, right = (decode(x, dtype).astype(np.float64) for x in (a, b))
    out = left @ (right.T if trans_b else right)
    if result(dtype) == "I32":
        out = out.astype(np.int64)
    for more in (c, bias):
        if more is not None:
            out = out + more
    if result(dtype) == "I32":
        out = out.astype(np.int32)
    return np.where(out < 0, 0, out) if relu else out


def check_gemm(got: np.ndarray, want: np.ndarray, dtype: str | int, k: int) -> None:
    """AssertionError unless equal: to the bit for integers, to float32's precision else."""
    if result(dtype) == "I32":
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6 * k + 1e-6)


def eltwise(op: str, a: np.ndarray, b: np.ndarray, dtype: str | int) -> np.ndarray:
    """a op b as stored: i8 saturates, i32 wraps, halves are computed in float32."""
    fn = {"ADD": np.add, "MUL": np.multiply, "MAX": np.maximum}[op]
    if _name(dtype) == "I8":
        return np.clip(fn(a.astype(np.int32), b.astype(np.int32)), -128, 127).astype(np.int8)
    with np.errstate(all="ignore"):
        return encode(fn(decode(a, dtype), decode(b, dtype)), dtype)


def reduce(op: str, src: np.ndarray, dtype: str | int) -> np.ndarray:
    """One result for each row: i32 that wraps, or float32."""
    values = decode(src, dtype)
    if result(dtype) == "I32":
        wide = values.astype(np.int64)
        total: np.ndarray = wide.sum(1) if op == "SUM" else wide.max(1)
        return total.astype(np.int32)
    with np.errstate(all="ignore"):
        out: np.ndarray = values.astype(np.float64).sum(1) if op == "SUM" else values.max(1)
        return out.astype(np.float32)


def check_values(got: np.ndarray, want: np.ndarray, dtype: str | int) -> None:
    """AssertionError unless all are equal; any NaN equals any NaN, zero equals minus zero."""
    np.testing.assert_array_equal(decode(got, dtype), decode(want, dtype))
