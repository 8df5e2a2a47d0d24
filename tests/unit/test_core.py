# SPDX-License-Identifier: MIT
"""The device's core against surroundings that come back into it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import core_lib
import pytest
from exec_lib import BIG_ENDIAN_CC

#: kinds of work and of calls in core/reentry.c, each with cases of its own
KINDS = {
    "NOP", "SIGNAL", "WAIT", "COPY", "COPY to VRAM", "COPY_2D", "FILL", "GEMM", "ELTWISE",
    "REDUCE", "bad opcode", "bad DMA", "bad address", "all",
}  # fmt: skip
OUTERS = {
    "queue reset", "engine reset", "bad doorbell", "device reset", "falling asleep",
    "bus going off", "saving", "unplugging",
}  # fmt: skip


@pytest.fixture(scope="module")
def reentry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return core_lib.compile_program(tmp_path_factory.mktemp("core"), "reentry.c")


def run(program: Path, *args: str) -> dict[str, int]:
    """How many cases of each kind the program has been through."""
    done = subprocess.run(
        [program, *args],
        capture_output=True,
        text=True,
        env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=8:malloc_context_size=8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(count) for name, count in re.findall(r"(.+): (\d+)\n", done.stdout)}


def test_an_access_that_comes_back(reentry):
    """Reset, sleep, unplug and others, from inside of each access of each packet."""
    cases = run(reentry)
    assert set(cases) == KINDS | OUTERS
    # ten things that may happen, at an access that then succeeds or fails
    assert all(count and count % 20 == 0 for name, count in cases.items() if name in KINDS)
    assert all(cases.values())


def test_an_access_that_comes_back_while_engines_run(reentry):
    """The same with engine threads: which accesses there are is up to their speed."""
    cases = run(reentry, "threads")
    assert set(cases) == OUTERS | {"all"}
    assert all(cases.values())


def test_a_state_that_cannot_be_is_not_run(tmp_path):
    cases = run(core_lib.compile_program(tmp_path, "load.c"))
    assert len(cases) == 11


def test_packets_in_parts(tmp_path):
    """Turns, rows that are cut, who is on an engine, and what products in steps compute."""
    assert len(run(core_lib.compile_program(tmp_path, "parts.c"))) == 7


def test_tlb_drops_what_it_must_and_nothing_else(tmp_path):
    assert len(run(core_lib.compile_program(tmp_path, "tlb.c"))) == 3


def test_compiles_where_words_are_small(tmp_path):
    """No atomic access is wider than a word: a 32-bit host has no such thing."""
    if not core_lib.have_32bit_headers():
        pytest.skip("no C library headers for 32 bits on this machine")
    core_lib.compile_program(tmp_path, "load.c", flags=("-m32",), only_check=True)


def test_compiles_where_the_high_byte_comes_first(tmp_path):
    if not shutil.which(BIG_ENDIAN_CC):
        pytest.skip("no compiler for s390x on this machine")
    core_lib.compile_program(tmp_path, "load.c", flags=(), only_check=True, cc=BIG_ENDIAN_CC)


def test_engine_threads_do_not_race(tmp_path):
    program = core_lib.compile_program(
        tmp_path, "reentry.c", flags=("-fsanitize=thread", "-Wno-tsan")
    )
    assert run(program, "threads", "40")["all"] > 10
