# SPDX-License-Identifier: MIT
"""Ioctl numbers."""

import pytest

from vnpu.uapi import abi
from vnpu.uapi.gen import generate


@pytest.fixture(scope="module")
def now():
    return generate.vnpu_abi()


def test_numbers_are_unique(now):
    numbers = [ioctl.nr & 0xFF for ioctl in now.ioctls.values()]
    assert len(set(numbers)) == len(numbers)


def test_numbers_are_in_the_drivers_range(now):
    for name, ioctl in now.ioctls.items():
        assert ioctl.nr >> 8 & 0xFF == ord("d"), name
        assert abi.DRM_COMMAND_BASE <= ioctl.nr & 0xFF < abi.DRM_COMMAND_END, name


def test_size_in_the_number_is_that_of_the_struct(now):
    for name, ioctl in now.ioctls.items():
        assert ioctl.nr >> 16 & 0x3FFF == now.structs[ioctl.struct].size, name


def test_argument_is_the_struct_of_the_same_name(now):
    for name, ioctl in now.ioctls.items():
        assert name == "DRM_IOCTL_" + ioctl.struct.removeprefix("drm_").upper()


def test_every_number_has_an_ioctl_and_the_other_way_round(now):
    listed = {name: value for name, value in now.enums["drm_vnpu_ioctl_id"].items()}
    made = {
        name.replace("DRM_IOCTL_", "DRM_"): (ioctl.nr & 0xFF) - abi.DRM_COMMAND_BASE
        for name, ioctl in now.ioctls.items()
    }
    assert listed == made


def test_flags_are_single_bits_and_do_not_overlap(now):
    for prefix, flags in generate.flag_sets().items():
        bits = [now.constants[macro] for macro in flags.members.values()]
        assert bits, f"no macro begins with {prefix}"
        assert all(bit.bit_count() == 1 for bit in bits), prefix
        assert len(set(bits)) == len(bits), prefix
