# SPDX-License-Identifier: MIT
"""Processes of the guest, steered by the host: see vnpu.guest.process."""

from vnpu.guest.batch import Batch, Scratch, Step, Timing
from vnpu.guest.errors import GuestFault, GuestTimeout, ProcessGone
from vnpu.guest.guest import Guest
from vnpu.guest.memory import Buffer, Mapping
from vnpu.guest.pending import Pending
from vnpu.guest.process import Process

__all__ = [
    "Batch",
    "Buffer",
    "Guest",
    "GuestFault",
    "GuestTimeout",
    "Mapping",
    "Pending",
    "Process",
    "ProcessGone",
    "Scratch",
    "Step",
    "Timing",
]
