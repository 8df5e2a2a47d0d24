# SPDX-License-Identifier: MIT
"""The virtual machine's firmware: the system's packages, else private copies of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from vnpu.artifacts import debian
from vnpu.artifacts.sites import codename
from vnpu.base import cache, progress
from vnpu.base.errors import SetupError

#: package of Debian -> (directory with its files, a file that proves it)
PACKAGES = {
    "seabios": ("usr/share/seabios", "bios-256k.bin"),
    "qemu-system-data": ("usr/share/qemu", "linuxboot_dma.bin"),
}
#: where other systems, and QEMU's own installation, put any of them
_ELSEWHERE = ("/usr/share/qemu", "/usr/share/seabios", "/usr/local/share/qemu")


def ensure(beside: Path | None = None) -> list[Path]:
    """Directories for QEMU's ``-L``: BIOS and option ROMs.

    ``beside``: a QEMU of the user's own, whose installation may have them.
    Raises SetupError if they are neither on this machine nor in an archive
    that it knows.
    """
    return [_directory(package, beside) for package in PACKAGES]


def _directory(package: str, beside: Path | None) -> Path:
    folder, proof = PACKAGES[package]
    candidates = [Path("/") / folder, *map(Path, _ELSEWHERE)]
    if beside and len(beside.parents) > 1:
        candidates.insert(0, beside.parents[1] / "share/qemu")
    for candidate in candidates:
        if (candidate / proof).exists():
            return candidate
    try:
        return unpacked(package) / folder
    except SetupError as error:
        raise SetupError(
            f"the virtual machine's firmware {proof} was not found: {error.message}",
            f"install it: Debian's package {package}, elsewhere those of QEMU and SeaBIOS",
        ) from error


def unpacked(package: str) -> Path:
    """The files of a package of this machine's Debian release, unpacked in the cache."""

    def make(work: Path) -> None:
        with progress.step(f"download {package}"):
            download = work / "deb"
            download.mkdir()
            deb = debian.Archive(codename()).download(package, download)
            debian.unpack_deb(deb, work)
            shutil.rmtree(download)

    return cache.artifact("package", f"{package}-{codename()}", make, keep=8)
