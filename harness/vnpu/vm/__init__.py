# SPDX-License-Identifier: MIT
"""Virtual machines: boot once, clone in milliseconds, read their kernels' logs."""

from vnpu.vm.config import VmConfig
from vnpu.vm.images import Images, prepare
from vnpu.vm.interactive import boot_interactive
from vnpu.vm.oracle import Finding, Kind, findings
from vnpu.vm.pool import Pool
from vnpu.vm.template import Template
from vnpu.vm.vm import Vm

__all__ = [
    "Finding",
    "Images",
    "Kind",
    "Pool",
    "Template",
    "Vm",
    "VmConfig",
    "boot_interactive",
    "findings",
    "prepare",
]
