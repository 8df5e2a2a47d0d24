# SPDX-License-Identifier: MIT
"""The ABI of today against the one that programs were promised."""

import difflib
from pathlib import Path

from vnpu.uapi.gen import generate, promise

GOLDEN = Path(__file__).with_name("golden.txt")


def test_abi_is_the_promised_one():
    have = GOLDEN.read_text().splitlines()
    diff = difflib.unified_diff(
        have, promise.text(generate.vnpu_abi()).splitlines(), "golden.txt", "vnpu_accel.h", n=1
    )
    text = "\n".join(diff)
    assert not text, f"the ABI changed; `make abi-golden` if that is meant:\n{text}"


def test_python_is_generated_from_this_header():
    drift = generate.drift()
    assert not drift, f"run `make uapi`:\n{drift}"


def test_python_for_drm_core_fits_this_machines_headers():
    assert generate.drm_drift() == []
