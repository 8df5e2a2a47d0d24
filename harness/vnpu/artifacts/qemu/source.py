# SPDX-License-Identifier: MIT
"""Where QEMU's source comes from, and its unpacking."""

from __future__ import annotations

import bz2
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vnpu.artifacts import debian
from vnpu.artifacts.sites import sites
from vnpu.base import cache, paths, progress
from vnpu.base.errors import BuildError, SetupError
from vnpu.base.tool import run


@dataclass(frozen=True)
class Pin:
    """A source archive that is known to work, and the hash that it must have."""

    version: str
    path: str
    sha256: str


#: below a Debian archive's site: tried in this order. The first is what is tested.
PINNED = (
    Pin(
        "10.0.13",
        "pool/main/q/qemu/qemu_10.0.13+ds.orig.tar.xz",
        "6a0888e806c2ffc0c5f0733e974f9aea55491950d3c47c98669c8b236dde59ae",
    ),
)
#: a newer point release of this series is taken when the pinned one is gone
SERIES = "10.0."
#: suites whose signed indexes are asked then
SUITES = ("trixie", "trixie-security", "trixie-backports", "bookworm-backports")
_SUCCESSORS = "qemu-src-successor"
#: directories of devices and targets that are never compiled here; meson would
#: generate and compile the trace points of each of them all the same
_UNUSED_TRACES = frozenset(
    """
    backends/tpm hw/9pfs hw/adc hw/alpha hw/arm hw/fsi hw/gpio hw/i386/xen hw/mips hw/misc/macio
    hw/net/can hw/nubus hw/nvme hw/ppc hw/remote hw/riscv hw/s390x hw/scsi hw/sd hw/sensor hw/sh4
    hw/sparc hw/sparc64 hw/ssi hw/tpm hw/ufs hw/vfio hw/vmapple hw/xen target/arm target/arm/hvf
    target/hppa target/loongarch target/mips/tcg target/ppc target/riscv target/s390x
    target/s390x/kvm target/sparc
    """.split()
)
_UPSTREAM = "https://download.qemu.org/"


@dataclass(frozen=True)
class Source:
    """A QEMU source archive or tree, and the key that names its content."""

    path: Path
    key: str


def find() -> Source:
    """The source to build: $QEMU_SRC (a tree or an archive), else the pinned one."""
    own = os.environ.get("QEMU_SRC")
    if not own:
        folder = _fetch()
        archive = next(folder.glob("qemu*.tar.*"))
        return Source(archive, cache.digest(archive.name, folder.name))
    path = Path(own).expanduser().resolve()
    if path.is_file():
        return Source(path, cache.digest(path))
    if (path / "VERSION").is_file() and (path / "configure").is_file():
        return Source(path, cache.digest(str(path), *_tree_state(path)))
    raise SetupError(
        f"QEMU_SRC={own} is neither a QEMU source tree nor an archive of one",
        "point it at an unpacked release or at a qemu-*.tar.xz",
    )


def _tree_state(path: Path) -> tuple[str, ...]:
    """What tells whether a user's own tree changed: the newest sources in it."""
    files = [*path.glob("*.build"), *path.glob("hw/**/*.[ch]"), *path.glob("include/**/*.h")]
    return tuple(f"{file}:{file.stat().st_mtime_ns}" for file in sorted(files))


def _fetch() -> Path:
    """The directory of the cache that holds the source archive."""
    folder = paths.cache_dir() / "qemu-src"
    present = [entry for entry in folder.glob("[!.]*") if entry.is_dir()]
    for pin in PINNED:
        if folder / pin.sha256[:16] in present:
            return folder / pin.sha256[:16]
    successors = sorted((paths.cache_dir() / _SUCCESSORS).glob("[!.]*"), key=os.path.getmtime)
    if successors:
        return successors[-1]
    for pin in PINNED:
        try:
            return _download(f"{sites().main}/{pin.path}", pin)
        except BuildError:
            progress.say(f"QEMU {pin.version} could not be downloaded, asking for its successor")
    return _newest_of_series()


def _download(url: str, pin: Pin, kind: str = "qemu-src") -> Path:
    def make(work: Path) -> None:
        with progress.step(f"download QEMU {pin.version}"):
            debian.fetch_file(url, pin.sha256, work / pin.path.rsplit("/", 1)[-1])

    return cache.artifact(kind, pin.sha256[:16], make, keep=2)


def _newest_of_series() -> Path:
    """The newest archive of the series that a signed index vouches for."""
    archive = debian.Archive(*SUITES, sources=True)
    for fields in archive.sources_of("qemu"):
        for row in fields.get("Checksums-Sha256", "").split("\n"):
            found = re.match(r"(\w{64}) \d+ (qemu_(\S+?)(\+ds)?\.orig\.tar\.\w+)$", row.strip())
            if found and found.group(3).startswith(SERIES):
                path = f"{fields['Directory']}/{found.group(2)}"
                pin = Pin(found.group(3), path, found.group(1))
                known = sites()
                site = known.security if path.startswith("pool/updates/") else known.main
                return _download(f"{site or known.main}/{path}", pin, _SUCCESSORS)
    raise SetupError(
        f"no QEMU {SERIES}x source was found in {', '.join(archive.suites)}",
        f"download a release from {_UPSTREAM} and run with QEMU_SRC=qemu-10.0.x.tar.xz",
    )


def unpack(source: Source, target: Path) -> None:
    """Put the source at ``target``: unpacked from its archive, or copied from its tree."""
    if source.path.is_dir():
        ignore = shutil.ignore_patterns(".git", "build", "*.o")
        shutil.copytree(source.path, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        # Never built here: other firmware, test data.
        skipped = [f"--exclude=*/{name}" for name in ("roms/*", "tests/data/*")]
        run(
            ["tar", "-x", "-f", source.path, "-C", target, "--strip-components=1", *skipped],
            "unpack QEMU",
        )
    _placeholder_firmware(target)


def drop_unused_traces(tree: Path) -> None:
    """Save the build the trace points of machines that it does not contain."""
    build = tree / "meson.build"
    kept = [
        line
        for line in build.read_text().split("\n")
        if line.strip().rstrip(",").strip("'") not in _UNUSED_TRACES
    ]
    build.write_text("\n".join(kept))


def _placeholder_firmware(tree: Path) -> None:
    """Give meson the compressed EFI images that Debian's source archive lacks.

    meson names them even though nothing that is built here unpacks them.
    """
    folder = tree / "pc-bios"
    for name in re.findall(r"'(edk2-[\w-]+\.fd)'", (folder / "meson.build").read_text()):
        image = folder / f"{name}.bz2"
        if not image.exists():
            image.write_bytes(bz2.compress(b""))
