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
from vnpu.target import Target, current

_WARNING = re.compile(r"^(?P<file>[^\s:]+):\d+(:\d+)?: (warning|error): .*")


@dataclass(frozen=True)
class ModuleArtifact:
    """The driver and, where the kernel has KUnit, the module with its unit tests."""

    ko: Path
    kunit: Path | None
    key: str


def _source(target: Target) -> Path:
    assert target.source, f"{target.name} comes with the kernel"
    return paths.repo_root() / target.source


def build(kernel: KernelArtifact, target: Target | None = None) -> ModuleArtifact:
    """Build the driver for ``kernel``, with the compiler's extra warnings (W=1) on."""
    paths.require_plain()
    target = target or current()
    source = _source(target)
    products = [f"{name}.ko" for name in (target.module, target.kunit) if name]
    # The kernel's makefiles take no compiler from the environment.
    made_by = (compiler.version(), Path(__file__))
    key = cache.digest(kernel.key, source, *settings.driver_options(), *made_by)

    def make(work: Path) -> None:
        with lock(f"module-build-{kernel.key}"):
            folder = _compile(kernel, target)
            for name in products:
                for product in folder.rglob(name):
                    shutil.copy2(product, work / name)

    folder = cache.artifact("module", key, make, keep=8)
    kunit = folder / f"{target.kunit}.ko"
    return ModuleArtifact(folder / products[0], kunit if kunit.exists() else None, key)


def source_root(kernel: KernelArtifact) -> Path:
    """Where the sources lay that build() compiled, as debug information has it."""
    return _work_dir(kernel, "build")


def lint_build(kernel: KernelArtifact) -> list[str]:
    """Compile everything anew under sparse and W=1; gives the warnings about our files."""
    target = current()
    with lock(f"module-build-{kernel.key}"):
        folder = _work_dir(kernel, "lint")
        lines = _make_modules(kernel, target, folder, "C=2")
    found = [match for match in map(_WARNING.match, lines) if match]
    ours = [match for match in found if _is_ours(match["file"], folder)]
    return [match[0].replace(f"{folder}/", "kernel/") for match in ours]


def _is_ours(name: str, folder: Path) -> bool:
    """Whether a compiler's file name, absolute or relative to the module, is one of our files."""
    path = Path(name)
    return path.is_relative_to(folder) or (not path.is_absolute() and (folder / path).exists())


def _compile(kernel: KernelArtifact, target: Target) -> Path:
    folder = _work_dir(kernel, "build")
    with progress.step(f"build {target.module}.ko for {kernel.release}"):
        _make_modules(kernel, target, folder)
    return folder


def _work_dir(kernel: KernelArtifact, purpose: str) -> Path:
    """Where sources are put and compiled; it stays, so that an edit costs what it must."""
    return paths.cache_dir() / "module-build" / f"{kernel.key}-{purpose}"


def _make_modules(
    kernel: KernelArtifact, target: Target, folder: Path, *overrides: str
) -> list[str]:
    cache.sync(_source(target), folder)
    for stale in folder.rglob("*.ko"):
        stale.unlink()
    if overrides:  # a check has to see every file again
        for stale in folder.rglob("*.o"):
            stale.unlink()
    config = [*target.settings, *settings.driver_options()]
    if target.kunit_setting and _has_kunit(kernel):
        config.append(target.kunit_setting)
    return run(
        ["make", "-C", kernel.build_dir, f"M={folder}", f"-j{os.cpu_count() or 1}", "W=1",
         *config, *overrides, "modules"],
        f"build the driver for kernel {kernel.release}",
        log=paths.log_dir() / f"module-{kernel.lane}.log",
    ).lines  # fmt: skip


def _has_kunit(kernel: KernelArtifact) -> bool:
    config = (kernel.build_dir / ".config").read_text()
    return re.search(r"^CONFIG_KUNIT=[ym]$", config, re.M) is not None
