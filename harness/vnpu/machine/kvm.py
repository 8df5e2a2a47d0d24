# SPDX-License-Identifier: MIT
"""Whether KVM can be trusted here.

A device node that opens says little: on some machines guests hang at their
first instruction of a newer set. So a guest has to boot before KVM is used.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from vnpu.base import locks, paths, progress
from vnpu.base.errors import VnpuError
from vnpu.machine.config import MachineConfig
from vnpu.machine.description import Description
from vnpu.machine.images import Images
from vnpu.machine.machine import Machine

_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROBE_TIMEOUT_S = 20.0
#: a busy host may miss the deadline once
_ATTEMPTS = 2


def describe(images: Images, config: MachineConfig | None = None) -> Description:
    """The machine as it is started here: on KVM if that works. May boot a guest to find out."""
    return Description(images, config or MachineConfig(), usable(images))


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
    """The probe's outcome, kept until the host boots again; one process finds it out for all."""
    boot = _BOOT_ID.read_text().strip()
    path = paths.made("kvm") / f"{boot}-{images.qemu_key}"
    if not path.exists():
        with locks.lock("kvm-probe"):
            if not path.exists():
                _write(path, "works" if _probe_all(images) else "broken")
                for old in path.parent.iterdir():
                    if not old.name.startswith(boot):
                        old.unlink(missing_ok=True)
    return path.read_text() == "works"


def _write(path: Path, text: str) -> None:
    """Nobody sees the file before it has its content."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.rename(path)


def _probe_all(images: Images) -> bool:
    with progress.step("find out whether KVM works") as step:
        works = any(_probe(images) for _ in range(_ATTEMPTS))
        step.note = "it does" if works else "no: guests are emulated"
    return works


def _probe(images: Images) -> bool:
    """Whether a guest boots; any failure counts, for emulation always works."""
    try:
        description = Description(images, MachineConfig(tested=False), kvm=True)
        with Machine.boot(description, timeout_s=_PROBE_TIMEOUT_S):
            return True
    except VnpuError:
        return False
