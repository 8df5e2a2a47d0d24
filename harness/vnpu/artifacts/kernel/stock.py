# SPDX-License-Identifier: MIT
"""The stock lane: the distribution's kernel, unpacked into the cache and never installed."""

from __future__ import annotations

import lzma
import re
import shutil
from pathlib import Path

from vnpu.artifacts import debian
from vnpu.artifacts.kernel import modinfo, pvh, toolchain, versions
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.artifacts.kernel.versions import Release
from vnpu.base import cache, paths, progress
from vnpu.base.errors import BuildError, SetupError
from vnpu.base.tool import run
from vnpu.target import modules

#: to be raised when a change of this code makes something else from the same packages
RECIPE = 2
#: directories of the package that hold them and what they need
_MODULE_DIRS = (
    "drivers/gpu/drm/*.ko*",
    "drivers/gpu/drm/ttm/*.ko*",
    "drivers/gpu/drm/scheduler/*.ko*",
    "drivers/gpu/drm/vgem/*.ko*",
    "drivers/dma-buf/*.ko*",
    "drivers/i2c/*.ko*",
    "drivers/media/cec/core/*.ko*",
    "drivers/video/*.ko*",
)


def ensure() -> KernelArtifact:
    """The kernel that $KERNEL_VERSION asks for (see versions.find), else the newest 6.12.

    Newest is what the archive had when its lists were last fetched.
    """
    paths.require_plain()
    release = versions.find()
    key = _key(release.name)
    folder = cache.artifact("kernel-stock", key, lambda work: _make(work, release, key), keep=4)
    order = (folder / "modules/order").read_text().split()
    return KernelArtifact(
        lane="stock",
        release=release.name,
        image=_image(folder, release.name),
        build_dir=folder / "usr/src" / f"linux-headers-{release.name}",
        modules=[folder / "modules" / name for name in order],
        key=key,
    )


def _key(release: str) -> str:
    place = str(paths.cache_dir())
    return cache.digest(release, f"recipe {RECIPE}", place, *toolchain.machine())


def _image(folder: Path, release: str) -> Path:
    elf = folder / "boot" / f"vmlinux-{release}"
    return elf if elf.exists() else _bzimage(folder, release)


def _bzimage(folder: Path, release: str) -> Path:
    return folder / "boot" / f"vmlinuz-{release}"


def _make(work: Path, kernel: Release, key: str) -> None:
    release = kernel.name
    with progress.step(f"download kernel {release}"):
        debs = work / "deb"
        debs.mkdir()
        for package, members in _packages(kernel).items():
            _unpack(kernel.archive.download(package, debs), work, members)
        shutil.rmtree(debs)
    final = paths.cache_dir() / "kernel-stock" / key
    _relocate(work, final)
    _move_image(work, release)
    toolchain.complete(work, final, kernel)
    _uncompress_modules(work, release)
    with progress.step(f"unpack kernel {release}"):
        pvh.extract(_bzimage(work, release), work / "boot" / f"vmlinux-{release}")


def _packages(kernel: Release) -> dict[str, tuple[str, ...]]:
    """The packages that make a kernel, each with the members to unpack (none: all)."""
    release, version = kernel.name, kernel.name.removesuffix("-amd64")
    fields = kernel.archive.show(f"linux-image-{release}")
    # newer ones share what was in one package among several
    parts = re.findall(rf"linux-(?:binary|modules)-{re.escape(release)}", fields.get("Depends", ""))
    return {
        **{part: _members(release) for part in (*parts, f"linux-image-{release}")},
        f"linux-headers-{release}": (),
        f"linux-headers-{version}-common": (),
        f"linux-kbuild-{version}": (),
    }


def _members(release: str) -> tuple[str, ...]:
    """Patterns of what is wanted of the image and its modules."""
    modules = [
        f"./{top}lib/modules/{release}/kernel/{pattern}"
        for pattern in _MODULE_DIRS
        for top in ("", "usr/")
    ]
    return ("./boot/vmlinuz-*", f"./usr/lib/modules/{release}/vmlinuz", *modules)


def _unpack(deb: Path, work: Path, members: tuple[str, ...]) -> None:
    if not members:
        debian.unpack_deb(deb, work)
        return
    # A pattern that matches nothing is no fault: other releases arrange things differently.
    script = (
        'dpkg-deb --fsys-tarfile "$1" | { tar -x -C "$2" --wildcards --no-wildcards-match-slash'
    )
    script += ' "$@" 2>&1 || true; }'
    script = script.replace('"$@"', " ".join(f"'{member}'" for member in members))
    run(["sh", "-c", script, "sh", deb, work], f"unpack {deb.name}")


def _move_image(work: Path, release: str) -> None:
    """Put the image where older packages have it."""
    for image in work.glob("usr/lib/modules/*/vmlinuz"):
        (work / "boot").mkdir(exist_ok=True)
        image.rename(_bzimage(work, release))


def _relocate(work: Path, final: Path) -> None:
    """Let the header trees find each other where they are, not where a system would have them."""
    for makefile in work.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text()
        makefile.write_text(
            re.sub(r"(?<![\w.])/usr/(src|lib)/linux-", rf"{final}/usr/\1/linux-", text)
        )
    # BTF for modules needs pahole and the unstripped image; the driver does without.
    for vmlinux in work.glob("usr/src/linux-headers-*/vmlinux"):
        vmlinux.unlink()


def _uncompress_modules(work: Path, release: str) -> None:
    """Leave only the modules that are wanted, uncompressed, and the order to load them in."""
    found = [
        *work.glob("lib/modules/*/kernel/**/*.ko*"),
        *work.glob("usr/lib/modules/*/kernel/**/*.ko*"),
    ]
    packed = {modinfo.name_of(path): path for path in found}
    if "drm" not in packed or not _bzimage(work, release).exists():
        raise BuildError(f"the package of kernel {release} is incomplete, or is arranged otherwise")
    target = work / "modules"
    target.mkdir()

    def find(name: str) -> Path:
        if name not in packed:
            raise SetupError(f"kernel {release} has no module {name}, which others need")
        plain = target / f"{name}.ko"
        if not plain.exists():
            plain.write_bytes(_read_module(packed[name]))
        return plain

    roots = [find(name) for name in modules() if name in packed]
    order = modinfo.load_order(roots, find)
    (target / "order").write_text("\n".join(path.name for path in order))
    for top in ("lib", "usr/lib/modules"):  # whichever way the release has it
        shutil.rmtree(work / top, ignore_errors=True)


def _read_module(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".ko":
        return path.read_bytes()
    plain = path.with_suffix("")
    run(["zstd", "-d", "-q", "-f", path, "-o", plain], "uncompress kernel modules")
    return plain.read_bytes()
