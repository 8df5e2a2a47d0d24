# SPDX-License-Identifier: MIT
"""Virtual machines: boot once, clone in milliseconds, read their kernels' logs."""

from vnpu.klog.oracle import Finding, Kind, findings
from vnpu.machine.config import MachineConfig
from vnpu.machine.description import Description
from vnpu.machine.images import Images, prepare
from vnpu.machine.interactive import boot_interactive
from vnpu.machine.kvm import describe
from vnpu.machine.machine import Machine
from vnpu.machine.pool import Pool
from vnpu.machine.template import Template

__all__ = [
    "Description",
    "Finding",
    "Images",
    "Kind",
    "Pool",
    "Template",
    "Machine",
    "MachineConfig",
    "boot_interactive",
    "describe",
    "findings",
    "prepare",
]
