# SPDX-License-Identifier: MIT
"""The driver's objects as a user sees them: thin over the ioctls, and honest.

Every method is one or a few real system calls in the guest's process that
opened the device; errors are OSError with the kernel's errno. For anything
that these classes do not offer, ``vnpu.uapi.abi`` is always there.
"""

from __future__ import annotations

from vnpu.accel.bo import Bo
from vnpu.accel.device import Device
from vnpu.accel.placement import Placement
from vnpu.accel.queue import Job, Queue, submit_jobs
from vnpu.accel.sync import Fence, JobFailed, Syncobj
from vnpu.accel.vm import Vm
from vnpu.uapi.abi import BoFlag
from vnpu.uapi.abi import EngineClass as Engine
from vnpu.uapi.abi import QueuePriority as Priority

VRAM = Placement.VRAM
SYSTEM = Placement.SYSTEM
COPY = Engine.COPY
TENSOR = Engine.TENSOR
BIND = Engine.BIND

__all__ = [
    "BIND",
    "COPY",
    "SYSTEM",
    "TENSOR",
    "VRAM",
    "Bo",
    "BoFlag",
    "Device",
    "Engine",
    "Fence",
    "Job",
    "JobFailed",
    "Placement",
    "Priority",
    "Queue",
    "Syncobj",
    "Vm",
    "submit_jobs",
]
