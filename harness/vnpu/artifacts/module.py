# SPDX-License-Identifier: MIT
"""The driver, built for one kernel."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vnpu.artifacts import compiler, settings
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.base import cache, paths, progress
from vnpu.base.locks import lock
from vnpu.base.tool import run

#: what Kconfig would set in a kernel tree
_CONFIG = ("CONFIG_DRM_ACCEL_VNPU=m",)
_KUNIT_CONFIG = "CONFIG_DRM_ACCEL_VNPU_KUNIT_TEST=m"
_WARNING = re.compile(r"^(?P<file>[^\s:]+):\d+(:\d+)?: (warning|error): .*")


@dataclass(frozen=True)
class ModuleArtifact:
    """vnpu.ko and, where the kernel has KUnit, vnpu_kunit.ko."""

    ko: Path
    kunit: Path | None
    key: str


def build(kernel: KernelArtifact) -> ModuleArtifact:
    """Build the driver for ``kernel``, with the compiler's extra warnings (W=1) on."""
    source = paths.repo_root() / "kernel"
    # The kernel's makefiles take no compiler from the environment.
    made_by = (compiler.version(), Path(__file__))
    key = cache.digest(kernel.key, source, *settings.driver_options(), *made_by)

    def make(work: Path) -> None:
        with lock(f"module-build-{kernel.key}"):
            folder = _compile(kernel, source)
            for name in ("vnpu.ko", "vnpu_kunit.ko"):
                for product in folder.rglob(name):
                    shutil.copy2(product, work / name)

    folder = cache.artifact("module", key, make, keep=8)
    kunit = folder / "vnpu_kunit.ko"
    return ModuleArtifact(folder / "vnpu.ko", kunit if kunit.exists() else None, key)


def lint_build(kernel: KernelArtifact) -> list[str]:
    """Compile everything anew under sparse and W=1; gives the warnings about our files."""
    source = paths.repo_root() / "kernel"
    with lock(f"module-build-{kernel.key}"):
        folder = _work_dir(kernel, "lint")
        lines = _make_modules(kernel, source, folder, "C=2")
    found = [match for match in map(_WARNING.match, lines) if match]
    ours = [match for match in found if _is_ours(match["file"], folder)]
    return [match[0].replace(f"{folder}/", "kernel/") for match in ours]


def _is_ours(name: str, folder: Path) -> bool:
    """Whether a compiler's file name, absolute or relative to the module, is one of our files."""
    path = Path(name)
    return path.is_relative_to(folder) or (not path.is_absolute() and (folder / path).exists())


def _compile(kernel: KernelArtifact, source: Path) -> Path:
    folder = _work_dir(kernel, "build")
    with progress.step(f"build vnpu.ko for {kernel.release}"):
        _make_modules(kernel, source, folder)
    return folder


def _work_dir(kernel: KernelArtifact, purpose: str) -> Path:
    """Where sources are put and compiled; it stays, so that an edit costs what it must."""
    return paths.cache_dir() / "module-build" / f"{kernel.key}-{purpose}"


def _make_modules(kernel: KernelArtifact, source: Path, folder: Path, *overrides: str) -> list[str]:
    cache.sync(source, folder)
    for stale in folder.rglob("*.ko"):
        stale.unlink()
    if overrides:  # a check has to see every file again
        for stale in folder.rglob("*.o"):
            stale.unlink()
    config = [*_CONFIG, *settings.driver_options()]
    config += [_KUNIT_CONFIG] if _has_kunit(kernel) else []
    return run(
        ["make", "-C", kernel.build_dir, f"M={folder}", f"-j{os.cpu_count() or 1}", "W=1",
         *config, *overrides, "modules"],
        f"build the driver for kernel {kernel.release}",
        log=paths.log_dir() / f"module-{kernel.lane}.log",
    ).lines  # fmt: skip


def _has_kunit(kernel: KernelArtifact) -> bool:
    config = (kernel.build_dir / ".config").read_text()
    return re.search(r"^CONFIG_KUNIT=[ym]$", config, re.M) is not None
