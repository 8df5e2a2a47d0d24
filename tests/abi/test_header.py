# SPDX-License-Identifier: MIT
"""The header by itself: compilers take it, and it explains every name."""

import re
import subprocess

import pytest

from vnpu.uapi.gen import generate, headers
from vnpu.uapi.gen.extract import target_flags

HEADER = generate.header()


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    "dialect",
    [
        ("c", "-std=c99", "-Wpedantic"),
        ("c", "-std=gnu17", "-Wpadded"),
        ("c++", "-std=c++11", "-Wpedantic"),
    ],
    ids=lambda d: d[1].removeprefix("-std="),
)
def test_compiles_alone(dialect, bits):
    language, *flags = dialect
    command = [
        "gcc", *target_flags(bits), "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *flags,
        "-D__user=",
        f"-I{headers.VNPU_HEADER.parent}", "-isystem", str(headers.drm_include_dir()),
        "-x", language, "-",
    ]  # fmt: skip
    source = '#include "vnpu_accel.h"\n#include "vnpu_accel.h"\nextern int one;\n'
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", HEADER.structs + HEADER.enums)
def test_every_member_is_documented(name):
    abi = generate.vnpu_abi()
    doc = HEADER.docs.get(name)
    assert doc is not None and doc.title, f"no kernel-doc for {name}"
    layout = abi.structs.get(name)
    names = [m.name for m in layout.members] if layout else list(abi.enums[name])
    assert [n for n in names if not doc.members.get(n)] == []
    assert [n for n in doc.members if n not in names] == [], "documented, but not there"


@pytest.mark.parametrize("name", [m for m in HEADER.macros if not m.startswith("DRM_IOCTL_")])
def test_every_macro_is_documented(name):
    assert name in HEADER.docs


def test_every_flags_field_says_what_it_takes():
    """`Mask of X_*`, or `Zero`: that is what the generator and the reader go by."""
    silent = []
    for name in HEADER.structs:
        for field, text in HEADER.docs[name].members.items():
            if field.endswith("flags") and not re.search(r"[Mm]ask of DRM_VNPU_\w+|^Zero\.", text):
                silent.append(f"{name}.{field}")
    assert silent == []


def test_padding_is_declared_to_be_zero():
    for name in HEADER.structs:
        for field, text in HEADER.docs[name].members.items():
            if field.startswith("pad"):
                assert text == "Zero.", f"{name}.{field}"


def test_licence_allows_programs_to_copy_it():
    assert headers.VNPU_HEADER.read_text().startswith("/* SPDX-License-Identifier: MIT */")
