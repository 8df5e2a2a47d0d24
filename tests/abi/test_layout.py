# SPDX-License-Identifier: MIT
"""The rules that keep structs the same for every compiler and word size."""

import pytest

from vnpu.uapi.gen import generate

STRUCTS = generate.header().structs


@pytest.fixture(scope="module")
def abi64():
    return generate.vnpu_abi(64)


@pytest.fixture(scope="module")
def abi32():
    return generate.vnpu_abi(32)


@pytest.mark.parametrize("name", STRUCTS)
def test_same_layout_for_32_bit_programs(abi64, abi32, name):
    wide, narrow = abi64.structs[name], abi32.structs[name]
    assert wide.members == narrow.members
    assert wide.size == narrow.size


def test_same_numbers_for_32_bit_programs(abi64, abi32):
    assert abi64.ioctls == abi32.ioctls
    assert abi64.enums == abi32.enums
    assert abi64.constants == abi32.constants


@pytest.mark.parametrize("name", STRUCTS)
def test_no_holes(abi64, name):
    """Each member begins where the one before ends, the last ends the struct."""
    layout = abi64.structs[name]
    end = 0
    for member in layout.members:
        assert member.offset == end, f"hole of {member.offset - end} before {member.name}"
        end += member.size
    assert layout.size == end, f"{layout.size - end} bytes of padding at the end"


@pytest.mark.parametrize("name", STRUCTS)
def test_size_is_a_multiple_of_64_bits(abi64, name):
    assert abi64.structs[name].size % 8 == 0


@pytest.mark.parametrize("name", STRUCTS)
def test_only_fixed_size_types(abi64, name):
    """Unsigned __u32 and __u64 and structs of them; a pointer is a __u64."""
    kinds = {member.name: member.kind for member in abi64.structs[name].members}
    assert {n: k for n, k in kinds.items() if k not in ("u32", "u64", "struct")} == {}


@pytest.mark.parametrize("name", STRUCTS)
def test_64_bit_members_are_aligned(abi64, name):
    """32-bit x86 would not do it for us."""
    for member in abi64.structs[name].members:
        if member.kind == "u64":
            assert member.offset % 8 == 0, member.name
