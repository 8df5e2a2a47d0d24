# SPDX-License-Identifier: MIT
"""What is tested: the one place where the rig learns of a driver and its device.

The rooms that boot guests and judge them know no driver but through this. A
new one is a row of ``TARGETS`` and a folder of tests; see docs/targets.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnpu.base.errors import SetupError

if TYPE_CHECKING:
    from vnpu.machine.config import MachineConfig

VARIABLE = "VNPU_TARGET"
DEFAULT = "vnpu"


@dataclass(frozen=True)
class Target:
    """A driver, and the device that QEMU gives it.

    ``module`` is what every test has to be able to unload at its end. ``node``
    is what the driver has made when the guest has booted. ``debugfs`` is the
    folder below the root of debugfs with a folder for each of its devices.
    ``source`` is the driver's folder in this repository, built with
    ``settings``, if it does not come with the kernel; ``kunit`` the module with
    its unit tests and ``kunit_setting`` what has them built. ``trace`` is a
    pattern of QEMU's trace events.
    """

    name: str
    module: str
    node: str
    debugfs: str
    tests: str
    source: str | None = None
    settings: tuple[str, ...] = ()
    kunit: str | None = None
    kunit_setting: str | None = None
    trace: str | None = None
    #: QEMU's arguments for the device
    devices: Callable[[MachineConfig], list[str]] = lambda _config: []
    #: memory of the device that is part of a snapshot: names and sizes in bytes
    backends: Callable[[MachineConfig], dict[str, int]] = lambda _config: {}


def _npu(config: MachineConfig) -> list[str]:
    """The device under its own root port, so that it can be unplugged."""
    if not config.npu:
        return []
    device = f"vnpu,id=npu0,bus=rp0,memdev=vram,aperture={config.aperture},queues={config.queues}"
    if config.device:
        device += f",{config.device}"
    return ["-device", "pcie-root-port,id=rp0,bus=pcie.0,chassis=1", "-device", device]


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="vnpu",
            module="vnpu",
            node="/dev/accel/accel0",
            debugfs="accel",
            tests="tests/e2e",
            source="kernel",
            settings=("CONFIG_DRM_ACCEL_VNPU=m",),
            kunit="vnpu_kunit",
            kunit_setting="CONFIG_DRM_ACCEL_VNPU_KUNIT_TEST=m",
            trace="vnpu_*",
            devices=_npu,
            backends=lambda config: {"vram": config.vram} if config.npu else {},
        ),
        Target(
            name="vgem",
            module="vgem",
            node="/dev/dri/card0",
            debugfs="dri",
            tests="tests/targets/vgem",
        ),
    )
}


def current() -> Target:
    """The target of this session: what $VNPU_TARGET names, else ``vnpu``. Raises SetupError."""
    name = os.environ.get(VARIABLE) or DEFAULT
    if name not in TARGETS:
        raise SetupError(f"there is no target {name!r}", f"choose one of {', '.join(TARGETS)}")
    return TARGETS[name]
