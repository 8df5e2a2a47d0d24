# SPDX-License-Identifier: MIT
"""What end-to-end tests share beside the fixtures of the pytest plugin."""

import gc

import pytest
from bindspace import Held, Space
from calls import Calls
from foreign import ForeignFence

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
def foreign(guest):
    """A fence of another driver."""
    return ForeignFence(guest)


@pytest.fixture
def held(npu):
    """A job that waits, for binds that wait for it."""
    return Held(npu)


@pytest.fixture
def space(npu):
    """An address space with two bind queues."""
    return Space(npu)


@pytest.fixture
def calls(npu):
    """Valid arguments for every ioctl, to spoil one field at a time."""
    return Calls(npu)
