# SPDX-License-Identifier: MIT
"""What end-to-end tests share beside the fixtures of the pytest plugin."""

import pytest
from calls import Calls

from vnpu.accel import Device


@pytest.fixture
def other(guest):
    """The device, opened by a second process."""
    return Device.open(guest.spawn())


@pytest.fixture
def calls(npu):
    """Valid arguments for every ioctl, to spoil one field at a time."""
    return Calls(npu)
