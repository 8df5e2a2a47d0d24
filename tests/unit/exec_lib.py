# SPDX-License-Identifier: MIT
"""The execution kernels of the device as a library that NumPy can call.

Compiles qemu-device/vnpu-exec*.c alone. Operands are handed over as scatter
lists cut from NumPy arrays, in as many pieces as a test likes.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEVICE = ROOT / "qemu-device"
SPEC = yaml.safe_load((ROOT / "spec" / "vnpu.yaml").read_text())
ENUMS = {e["name"]: {v["name"]: v["value"] for v in e["values"]} for e in SPEC["enums"]}

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


class Iov(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class Sg(ctypes.Structure):
    _fields_ = (("iov", ctypes.POINTER(Iov)), ("niov", ctypes.c_size_t))


class CopyParams(ctypes.Structure):
    _fields_ = (("src", Sg), ("dst", Sg), ("size", ctypes.c_uint64), ("backward", ctypes.c_bool))


class FillParams(ctypes.Structure):
    _fields_ = (("dst", Sg), ("size", ctypes.c_uint64), ("pattern", ctypes.c_uint32))


class GemmParams(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("dtype", "activation", "m", "n", "k")),
        *((name, ctypes.c_bool) for name in ("trans_b", "accumulate", "has_bias")),
        *((name, Sg) for name in ("a", "b", "c", "bias")),
        ("packet", ctypes.c_uint64),
        ("col", ctypes.c_uint32),
        ("depth", ctypes.c_uint32),
    )


class EltwiseParams(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_uint32),
        ("dtype", ctypes.c_uint32),
        ("count", ctypes.c_uint64),
        ("a", Sg),
        ("b", Sg),
        ("dst", Sg),
    )


class ReduceParams(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("op", "dtype", "cols", "skip")),
        ("count", ctypes.c_uint64),
        ("carry", ctypes.c_uint64),
        ("src", Sg),
        ("dst", Sg),
    )


def compile_library(out: Path, *, blas: bool, sanitize: bool = False, avx: bool = True) -> Path:
    """Build the kernels as a shared library in the folder *out*."""
    shim = out / "include" / "standard-headers" / "linux"
    shim.mkdir(parents=True, exist_ok=True)
    (shim / "types.h").write_text("#include <linux/types.h>\n")
    lib = out / f"exec-{blas:d}{sanitize:d}{avx:d}.so"
    flags = ["-O3", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    libs: list[str] = []
    if sanitize:
        flags += SANITIZE
    if not avx:
        flags.append("-DVNPU_EXEC_PORTABLE")
    if blas:
        flags.append("-DCONFIG_VNPU_BLAS")
        flags += pkg_config("--cflags")
        libs = pkg_config("--libs")
    subprocess.run(
        [
            os.environ.get("CC", "cc"),
            *flags,
            "-shared",
            "-fPIC",
            f"-I{out / 'include'}",
            f"-I{DEVICE}",
            *map(str, sorted(DEVICE.glob("vnpu-exec*.c"))),
            "-o",
            str(lib),
            *libs,
        ],
        check=True,
    )
    return lib


#: a compiler for hosts of the other byte order, and what runs its programs
BIG_ENDIAN_CC = "s390x-linux-gnu-gcc"
BIG_ENDIAN_RUN = ("qemu-s390x-static", "qemu-s390x")


def results_in_memory(out: Path, cc: str, run: Sequence[str] = ()) -> list[str]:
    """What core/endian.c says of the kernels, compiled by *cc*, run by *run*."""
    program = out / f"endian-{Path(cc).name}"
    source = Path(__file__).resolve().parent / "core" / "endian.c"
    kernels = map(str, sorted(DEVICE.glob("vnpu-exec*.c")))
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    command = [cc, *flags, f"-I{DEVICE}", "-static", *kernels, str(source), "-o", str(program)]
    subprocess.run(command, check=True)
    lines = subprocess.run([*run, str(program)], check=True, capture_output=True, text=True)
    return lines.stdout.splitlines()


def pkg_config(what: str) -> list[str]:
    return subprocess.run(
        ["pkg-config", what, "openblas"], check=True, capture_output=True, text=True
    ).stdout.split()


def have_openblas() -> bool:
    if not shutil.which("pkg-config"):
        return False
    return subprocess.run(["pkg-config", "--exists", "openblas"], check=False).returncode == 0


class Exec:
    """One engine's kernels."""

    def __init__(self, lib: Path, abort: bool = False) -> None:
        self.lib = ctypes.CDLL(str(lib))
        self.lib.vnpu_exec_new.restype = ctypes.c_void_p
        self.lib.vnpu_exec_have_blas.restype = ctypes.c_bool
        self.abort = ctypes.c_int(abort)
        self.state = ctypes.c_void_p(self.lib.vnpu_exec_new(ctypes.byref(self.abort)))
        self.lib.vnpu_exec_gemm_steps.restype = ctypes.c_uint64
        for name in ("copy", "fill", "gemm", "gemm_some", "eltwise", "reduce"):
            getattr(self.lib, f"vnpu_exec_{name}").restype = ctypes.c_bool

    @property
    def has_blas(self) -> bool:
        return self.lib.vnpu_exec_have_blas()

    def use_blas(self, on: bool) -> None:
        self.lib.vnpu_exec_use_blas(self.state, ctypes.c_bool(on))

    def close(self) -> None:
        self.lib.vnpu_exec_free(self.state)

    def run(self, name: str, params: ctypes.Structure) -> bool:
        """True when it finished, False when it was aborted."""
        return getattr(self.lib, f"vnpu_exec_{name}")(self.state, ctypes.byref(params), None)

    def run_some(self, name: str, params: ctypes.Structure) -> bool:
        """One step of a copy, fill, elementwise operation or reduction: see what was done."""
        flag = ctypes.c_int(1)
        function = getattr(self.lib, f"vnpu_exec_{name}")
        return function(self.state, ctypes.byref(params), ctypes.byref(flag))

    def run_gemm_some(self, params: ctypes.Structure, done: int) -> int:
        """One step of a GEMM of which *done* are done; how many are then."""
        count, pause = ctypes.c_uint64(done), ctypes.c_int(1)
        finished = self.lib.vnpu_exec_gemm_some(
            self.state, ctypes.byref(params), ctypes.byref(count), ctypes.byref(pause)
        )
        if not finished:
            raise RuntimeError("aborted")
        return count.value

    def run_reduce(self, params: ReduceParams, pause: bool = False) -> bool:
        """Reduce; with *pause* one step only. ``params.count`` then is what was done."""
        flag = ctypes.c_int(pause)
        return self.lib.vnpu_exec_reduce(self.state, ctypes.byref(params), ctypes.byref(flag))


def pieces(*arrays: np.ndarray) -> Sg:
    """A scatter list of C-contiguous arrays, one piece each.

    The arrays are kept alive by the list.
    """
    iov = (Iov * len(arrays))(*(Iov(a.ctypes.data, a.nbytes) for a in arrays))
    sg = Sg(ctypes.cast(iov, ctypes.POINTER(Iov)), len(arrays))
    sg.keep = (iov, arrays)
    return sg


def rows(matrix: np.ndarray) -> Sg:
    """The rows of a matrix whose rows are contiguous, merged where they touch."""
    if matrix.flags.c_contiguous:
        return pieces(matrix)
    return pieces(*matrix)


class Scattered:
    """A copy of an array's bytes in separate allocations, cut at *cuts*."""

    def __init__(self, array: np.ndarray, cuts: Iterable[int]) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        raw = np.frombuffer(array.tobytes(), np.uint8)
        bounds = sorted({0, raw.size, *(c for c in cuts if 0 < c < raw.size)})
        self.parts = [raw[a:b].copy() for a, b in zip(bounds, bounds[1:], strict=False)]
        self.sg = pieces(*self.parts)

    def array(self) -> np.ndarray:
        return np.concatenate(self.parts).view(self.dtype).reshape(self.shape)


def gemm_params(
    dtype: str,
    a: Sg,
    b: Sg,
    c: Sg,
    mnk: Sequence[int],
    *,
    bias: Sg | None = None,
    relu: bool = False,
    trans_b: bool = False,
    accumulate: bool = False,
) -> GemmParams:
    m, n, k = mnk
    params = GemmParams(
        dtype=ENUMS["dtype"][dtype],
        activation=ENUMS["activation"]["RELU" if relu else "NONE"],
        m=m,
        n=n,
        k=k,
        trans_b=trans_b,
        accumulate=accumulate,
        has_bias=bias is not None,
        a=a,
        b=b,
        c=c,
        bias=bias or Sg(),
    )
    params.keep = (a, b, c, bias)
    return params
