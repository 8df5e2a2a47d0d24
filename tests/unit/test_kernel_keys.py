# SPDX-License-Identifier: MIT
"""What is in the names of kernels, and who may use one as it is."""

import threading

import pytest

from vnpu.artifacts.kernel import debug, stock, toolchain
from vnpu.base import locks


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VNPU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(debug, "_used", {})


def test_compiler_that_goes_makes_another_stock_kernel(tmp_path, monkeypatch):
    """The toolchain that its modules need came along only if this machine had none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    without = stock._key("6.12")
    compiler = tmp_path / "x86_64-linux-gnu-gcc-14"
    compiler.touch()
    assert toolchain.machine()[1:] == [compiler.name]
    with_it = stock._key("6.12")
    compiler.unlink()
    assert without == stock._key("6.12") != with_it


RECIPE = debug._Recipe("linux-source", "1")


def test_debug_kernel_is_built_once_for_the_same_options(tmp_path):
    built = []
    for _ in range(2):
        debug._use(tmp_path, RECIPE, "a", lambda: built.append(1))
        debug._used.popitem()[1].close()
    assert built == [1]


def test_debug_kernel_in_use_is_not_built_for_other_options(tmp_path):
    """Who boots it, or compiles against its headers, would get a mixture of two."""
    debug._use(tmp_path, RECIPE, "a", lambda: None)
    with locks.take(locks.named("kernel-debug-use-" + RECIPE.key), shared=True):
        pass  # another run with the same options need not wait
    built = []
    other = threading.Thread(
        target=debug._use, args=(tmp_path, RECIPE, "b", lambda: built.append(1))
    )
    other.start()
    other.join(0.5)
    assert other.is_alive() and built == []
    assert (tmp_path / ".built-a").exists()
    debug._used.pop("a").close()
    other.join(30)
    assert built == [1]
    assert [path.name for path in tmp_path.glob(".built-*")] == [".built-b"]
