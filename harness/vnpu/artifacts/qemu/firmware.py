# SPDX-License-Identifier: MIT
"""The virtual machine's firmware: the system's packages, else private copies of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from vnpu.artifacts import debian
from vnpu.base import cache, progress

#: package -> (directory with its files, a file that proves it)
PACKAGES = {
    "seabios": ("usr/share/seabios", "bios-256k.bin"),
    "qemu-system-data": ("usr/share/qemu", "linuxboot_dma.bin"),
}


def ensure() -> list[Path]:
    """Directories for QEMU's ``-L``: BIOS and option ROMs."""
    return [_directory(package) for package in PACKAGES]


def _directory(package: str) -> Path:
    folder, proof = PACKAGES[package]
    system = Path("/") / folder
    if (system / proof).exists():
        return system
    return unpacked(package) / folder


def unpacked(package: str) -> Path:
    """The files of a package of this machine's Debian release, unpacked in the cache."""

    def make(work: Path) -> None:
        with progress.step(f"download {package}"):
            download = work / "deb"
            download.mkdir()
            deb = debian.Archive(debian.codename()).download(package, download)
            debian.unpack_deb(deb, work)
            shutil.rmtree(download)

    return cache.artifact("package", f"{package}-{debian.codename()}", make, keep=8)
