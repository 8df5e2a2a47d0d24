# SPDX-License-Identifier: MIT
"""What boots: QEMU, its firmware, a kernel and the initramfs made for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vnpu.klog.decode import Symbols

if TYPE_CHECKING:
    from vnpu.artifacts.kernel.artifact import KernelArtifact
    from vnpu.artifacts.module import ModuleArtifact

from vnpu import target


@dataclass(frozen=True)
class Images:
    """The files of a guest. ``qemu_key`` and ``kernel_key`` change whenever those files do."""

    qemu: Path
    firmware: tuple[Path, ...]
    kernel: Path
    initramfs: Path
    lane: str
    release: str
    qemu_key: str
    kernel_key: str
    symbols: Symbols = Symbols()

    @cached_property
    def key(self) -> str:
        """Names the contents."""
        initramfs = hashlib.sha256(self.initramfs.read_bytes()).hexdigest()
        return f"{self.qemu_key} {self.kernel_key} {initramfs}"


def prepare(lane: str = "stock") -> Images:
    """Fetch and build all that a guest of this lane needs; quick when it is there.

    Raises SetupError or BuildError.
    """
    from vnpu.artifacts import module
    from vnpu.artifacts.initramfs import build as initramfs
    from vnpu.artifacts.kernel import lanes as kernel
    from vnpu.artifacts.qemu import build as qemu

    device = qemu.ensure()
    tree = kernel.ensure(lane)
    tested = target.current()
    built = module.build(tree, tested) if tested.source else None
    return Images(
        qemu=device.binary,
        firmware=tuple(device.firmware),
        kernel=tree.image,
        initramfs=initramfs.build(tree, built),
        lane=lane,
        release=tree.release,
        qemu_key=device.key,
        kernel_key=tree.key,
        symbols=_symbols(tree, built, module.source_root(tree)),
    )


def _symbols(tree: KernelArtifact, driver: ModuleArtifact | None, sources: Path) -> Symbols:
    """Files that may have debug information: a distribution's kernel has none of its own."""
    files = [("", tree.build_dir / "vmlinux")]
    files += [(path.stem, path) for path in (driver and driver.ko, driver and driver.kunit) if path]
    files += [(path.stem.replace("-", "_"), path) for path in tree.modules if path.suffix == ".ko"]
    return Symbols(
        files=tuple((name, path) for name, path in files if path.exists()),
        roots=((f"{sources}/", "kernel/"), (f"{tree.build_dir}/", "")),
    )
