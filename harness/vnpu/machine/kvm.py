# SPDX-License-Identifier: MIT
"""Whether KVM can be trusted here.

A device node that opens says little: on some machines guests hang at their
first instruction of a newer set. So a guest has to boot before KVM is used.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from vnpu.base import paths
from vnpu.base.errors import VnpuError
from vnpu.machine.config import MachineConfig
from vnpu.machine.images import Images

_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROBE_TIMEOUT_S = 20.0


def usable(images: Images) -> bool:
    """Whether guests run on KVM here. $VNPU_ACCEL ("kvm" or "tcg") decides without a probe."""
    forced = os.environ.get("VNPU_ACCEL")
    if forced in ("kvm", "tcg"):
        return forced == "kvm"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return False
    return _verdict(images)


@cache
def _verdict(images: Images) -> bool:
    """The probe's outcome, kept until the host boots again."""
    boot = _BOOT_ID.read_text().strip()
    path = paths.cache_dir() / "kvm" / f"{boot}-{images.qemu_key}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.iterdir():
            if not old.name.startswith(boot):
                old.unlink(missing_ok=True)
        path.write_text("works" if _probe(images) else "broken")
    return path.read_text() == "works"


def _probe(images: Images) -> bool:
    """Whether a guest boots; any failure counts, for emulation always works."""
    # The machine's module needs the verdict of this one.
    from vnpu.machine.cmdline import Backing
    from vnpu.machine.machine import Machine

    try:
        with Machine(images, MachineConfig(npu=False), None, Backing.TEMPLATE, use_kvm=True) as vm:
            vm.connect_monitor()
            vm.meet_agent(_PROBE_TIMEOUT_S, booting=True)
    except VnpuError:
        return False
    return True
