# SPDX-License-Identifier: MIT
"""What end-to-end tests share beside the fixtures of the pytest plugin."""

import gc

import pytest
from calls import Calls

from vnpu.accel import Device
from vnpu.hw.holds import Holds


def pytest_collection_finish():
    """Hundreds of tests were collected and stay: nothing for the garbage collector to look at."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def other(guest):
    """The device, opened by a second process."""
    return Device.open(guest.spawn())


@pytest.fixture
def holds(machine):
    """Work of the device that the test holds; let go at its end at the latest."""

    def monitor(command, arguments):
        with machine.traceless() as qmp:
            return qmp.cmd(command, arguments)

    made = Holds(monitor)
    yield made
    made.clear()


@pytest.fixture
def calls(npu):
    """Valid arguments for every ioctl, to spoil one field at a time."""
    return Calls(npu)
