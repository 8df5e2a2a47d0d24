# SPDX-License-Identifier: MIT
"""The stock lane: the distribution's kernel, unpacked into the cache and never installed."""

from __future__ import annotations

import lzma
import re
import shutil
from pathlib import Path

from vnpu.artifacts import debian
from vnpu.artifacts.kernel import modinfo, pvh
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.base import cache, paths, progress
from vnpu.base.errors import BuildError, SetupError
from vnpu.base.tool import run

#: the long-term series that the driver supports
SERIES = "6.12"
#: to be raised when a change of this code makes something else from the same packages
RECIPE = 2
#: modules to have in the guest, if the kernel does not have them built in
WANTED = ("drm", "ttm", "gpu_sched", "drm_buddy", "drm_exec", "drm_gpuvm", "vgem")
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


def _archive() -> debian.Archive:
    """Where a 6.12 is: the suites of this release, newest kernels first."""
    release = debian.codename()
    if release == "bookworm":  # its own kernel is 6.1
        return debian.Archive("bookworm-security", "bookworm-backports")
    return debian.Archive(release, f"{release}-security")


def ensure() -> KernelArtifact:
    """The newest kernel of the series that the archive had when its lists were last fetched."""
    release = _newest_release()
    key = cache.digest(release, f"recipe {RECIPE}", str(paths.cache_dir()))
    folder = cache.artifact("kernel-stock", key, lambda work: _make(work, release, key), keep=2)
    order = (folder / "modules/order").read_text().split()
    return KernelArtifact(
        lane="stock",
        release=release,
        image=_image(folder, release),
        build_dir=folder / "usr/src" / f"linux-headers-{release}",
        modules=[folder / "modules" / name for name in order],
        key=key,
    )


def _image(folder: Path, release: str) -> Path:
    elf = folder / "boot" / f"vmlinux-{release}"
    return elf if elf.exists() else _bzimage(folder, release)


def _bzimage(folder: Path, release: str) -> Path:
    return folder / "boot" / f"vmlinuz-{release}"


def _newest_release() -> str:
    names = _archive().names(rf"linux-image-{re.escape(SERIES)}\.[\w.+~]+-amd64")
    names = [name for name in names if not re.search(r"-(rt|cloud)-amd64", name)]
    if not names:
        raise SetupError(
            f"the package archive has no kernel {SERIES} for {debian.codename() or 'this system'}",
            "use LANE=debug, or your own built tree with KDIR=",
        )
    return names[-1].removeprefix("linux-image-")


def _make(work: Path, release: str, key: str) -> None:
    version = release.removesuffix("-amd64")
    packages = {
        f"linux-image-{release}": ("./boot/vmlinuz-*", *_module_members(release)),
        f"linux-headers-{release}": (),
        f"linux-headers-{version}-common": (),
        f"linux-kbuild-{version}": (),
    }
    with progress.step(f"download kernel {release}"):
        debs = work / "deb"
        debs.mkdir()
        for package, members in packages.items():
            deb = _archive().download(package, debs)
            _unpack(deb, work, members)
        shutil.rmtree(debs)
    final = paths.cache_dir() / "kernel-stock" / key
    _relocate(work, final)
    _uncompress_modules(work, release)
    with progress.step(f"unpack kernel {release}"):
        pvh.extract(_bzimage(work, release), work / "boot" / f"vmlinux-{release}")


def _module_members(release: str) -> tuple[str, ...]:
    return tuple(f"./lib/modules/{release}/kernel/{pattern}" for pattern in _MODULE_DIRS)


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
    packed = {modinfo.name_of(path): path for path in work.glob("lib/modules/*/kernel/**/*.ko*")}
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

    roots = [find(name) for name in WANTED if name in packed]
    order = modinfo.load_order(roots, find)
    (target / "order").write_text("\n".join(path.name for path in order))
    shutil.rmtree(work / "lib")


def _read_module(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".ko":
        return path.read_bytes()
    plain = path.with_suffix("")
    run(["zstd", "-d", "-q", "-f", path, "-o", plain], "uncompress kernel modules")
    return plain.read_bytes()
