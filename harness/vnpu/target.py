# SPDX-License-Identifier: MIT
"""What is tested: the one place where the rig learns of a driver and its device.

The rooms that boot guests and judge them know no driver but through this. A
new one is a row of ``TARGETS`` and a folder of tests; see docs/targets.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vnpu.base.errors import UsageError

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
    #: the prefix of the driver's own options in .config, without CONFIG_
    options: str | None = None
    #: where a kernel tree has the driver's folder, if the debug kernel is to know its Kconfig
    place: str | None = None
    #: options that a kernel needs for it, each with its reason; alternatives are separated by |
    required: Mapping[str, str] = field(default_factory=dict)
    #: modules of the kernel that the guest loads for it and its tests, if they are no part of it
    modules: tuple[str, ...] = ()
    #: a pytest plugin with its fixtures, and the one of them that opens the node
    fixtures: str | None = None
    opener: str | None = None
    #: QEMU's arguments for the device
    devices: Callable[[MachineConfig], list[str]] = lambda _config: []
    #: memory of the device that is part of a snapshot: names and sizes in bytes
    backends: Callable[[MachineConfig], dict[str, int]] = lambda _config: {}


def _npu(config: MachineConfig) -> list[str]:
    """The device under its own root port, so that it can be unplugged."""
    if not config.tested:
        return []
    device = f"vnpu,id=npu0,bus=rp0,memdev=vram,aperture={config.aperture},queues={config.queues}"
    if config.device:
        device += f",{config.device}"
    return ["-device", "pcie-root-port,id=rp0,bus=pcie.0,chassis=1", "-device", device]


@dataclass(frozen=True)
class Devices:
    """What QEMU is built with for all targets: a folder of this repository, its place in QEMU's
    tree, the file in that folder that hooks it in, and what QEMU has to know then.
    """

    folder: str = "qemu-device"
    place: str = "hw/misc/vnpu"
    patch: str = "qemu.patch"
    known: tuple[str, ...] = ("vnpu", "vm-rewind")
    #: the list of what else QEMU emulates; see qemu-devices.mak
    variant: str = "vnpu"

    @property
    def objects(self) -> tuple[str, ...]:
        """Patterns of the object files, below QEMU's build directory."""
        return f"*.p/{self.place.replace('/', '_')}_*.o", f"{self.place}/**/*.o"


DEVICES = Devices()

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
            options="DRM_ACCEL_VNPU",
            place="drivers/accel/vnpu",
            required={
                "DRM": "the driver is a DRM driver",
                "DRM_ACCEL": "accel device nodes",
                "DRM_TTM": "the driver's memory manager",
                "DRM_SCHED": "the driver's job scheduler",
                "DRM_GPUVM": "the driver's address spaces",
                "DRM_EXEC": "the driver's submissions",
                "DRM_BUDDY|GPU_BUDDY": "the driver's VRAM allocator",
                "SYNC_FILE": "explicit fences",
            },
            modules=(
                *("drm", "ttm", "gpu_sched", "drm_buddy", "drm_exec", "drm_gpuvm"),
                *("vgem", "gpu_buddy"),
            ),
            fixtures="vnpu.npu",
            opener="npu",
            devices=_npu,
            backends=lambda config: {"vram": config.vram} if config.tested else {},
        ),
        Target(
            name="vgem",
            module="vgem",
            node="/dev/dri/card0",
            debugfs="dri",
            tests="tests/targets/vgem",
            required={"DRM": "the driver is a DRM driver", "DRM_VGEM": "the driver itself"},
            modules=("drm", "vgem"),
            opener="vgem",
        ),
    )
}


def modules() -> tuple[str, ...]:
    """Modules of the kernel that any target needs, in order."""
    return tuple(dict.fromkeys(name for one in TARGETS.values() for name in one.modules))


def current() -> Target:
    """The target of this session: what $VNPU_TARGET names, else ``vnpu``. Raises UsageError."""
    name = os.environ.get(VARIABLE) or DEFAULT
    if name not in TARGETS:
        raise UsageError(
            f"{VARIABLE}: there is no target {name!r}", f"choose one of {', '.join(TARGETS)}"
        )
    return TARGETS[name]
