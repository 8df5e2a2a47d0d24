# SPDX-License-Identifier: MIT
"""What end-to-end tests share beside the fixtures of the pytest plugin."""

import gc

import pytest
from calls import Calls

from vnpu.accel import Device


def pytest_collection_finish():
    """Hundreds of tests were collected and stay: nothing for the garbage collector to look at."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def other(guest):
    """The device, opened by a second process."""
    return Device.open(guest.spawn())


@pytest.fixture
def calls(npu):
    """Valid arguments for every ioctl, to spoil one field at a time."""
    return Calls(npu)
