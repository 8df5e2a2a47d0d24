# SPDX-License-Identifier: MIT
"""Fixtures of the NPU's driver, beside those of every target.

Imports none of its rooms: sessions without it load this as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vnpu.guest.process import Process

if TYPE_CHECKING:
    from vnpu.accel import Device


@pytest.fixture
def npu(proc: Process) -> Device:
    """/dev/accel/accel0, opened in ``proc``. It closes with the process."""
    from vnpu.accel import Device

    return Device.open(proc)
