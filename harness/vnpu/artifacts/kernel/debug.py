# SPDX-License-Identifier: MIT
"""The debug lane: a small new kernel with every checker on, from the distribution's source."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vnpu import target
from vnpu.artifacts import debian
from vnpu.artifacts.kernel import custom as kernel_custom
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.base import cache, locks, paths, progress
from vnpu.base.errors import BuildError, SetupError
from vnpu.base.locks import lock
from vnpu.base.tool import run

#: the source package that is tested; if it is gone, the newest one that matches SERIES
PREFERRED = "linux-source-7.3"
SERIES = r"linux-source-(7\.\d+|[89]\.\d+)"
SUITES = ("trixie-backports", "forky", "sid")
CONFIG = "debug.config"
IMAGE = "vmlinux"
#: to be raised when a change of this code makes another tree from the same inputs
RECIPE = 2
#: where KUnit's Python is
_KUNIT = "tools/testing/kunit"
#: sizes of tables that a checker walks as a whole: file, as it is, as it is built. All that is
#: checked stays; a kernel that says it in other words is built as it is.
_SIZES = (
    # DMA-API debug takes the lock of each bucket when a driver lets go of a device, to find
    # what it has not given back. With lockdep that was a third of what a test costs.
    ("kernel/dma/debug.c", "#define HASH_SIZE       16384ULL", "#define HASH_SIZE       1024ULL"),
)
#: not compiled with this configuration; left out when unpacking, to save time and space
_SKIPPED = (
    "arch/[!x]*/*.[chS]", "*.dts", "*.dtsi", "Documentation/*/*",
    "tools/testing/[!k]*", "tools/perf/*", "sound/*/*.[ch]",
    "drivers/gpu/drm/amd/*.[ch]", "drivers/gpu/drm/i915/*.[ch]", "drivers/gpu/drm/xe/*.[ch]",
    "drivers/gpu/drm/nouveau/*.[ch]", "drivers/gpu/drm/radeon/*.[ch]", "drivers/gpu/drm/msm/*.[ch]",
    "drivers/net/*/*.[ch]", "drivers/media/*/*.[ch]", "drivers/staging/*.[ch]",
    "drivers/infiniband/*.[ch]", "drivers/scsi/*.[ch]", "drivers/clk/*/*.[ch]",
)  # fmt: skip
#: the same input gives the same kernel, whoever builds it and when
REPRODUCIBLE = {
    "KBUILD_BUILD_USER": "vnpu",
    "KBUILD_BUILD_HOST": "vnpu",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
}


@dataclass(frozen=True)
class _Recipe:
    """What the kernel is made of, as far as it decides the tree."""

    package: str
    version: str

    @property
    def key(self) -> str:
        return cache.digest(
            self.package,
            self.version,
            paths.data(CONFIG),
            f"recipe {RECIPE}",
            str(paths.cache_dir()),
        )


def ensure() -> KernelArtifact:
    """The debug kernel, built if it is not there."""
    paths.require_plain()
    recipe = _recipe()
    tree = source_tree()
    key = cache.digest(recipe.key, *_drivers().values())
    _use(tree, recipe, key, lambda: _build(tree))
    return KernelArtifact(
        lane="debug",
        release=(tree / "include/config/kernel.release").read_text().strip(),
        image=tree / IMAGE,
        build_dir=tree,
        modules=kernel_custom.modules_of(tree, kernel_custom.wanted()),
        key=key,
    )


#: of the trees that this process uses as they are built
_used: dict[str, locks.Held] = {}


def _use(tree: Path, recipe: _Recipe, key: str, build: Callable[[], None]) -> None:
    """Have the tree as it is built for ``key`` until this process ends; ``build`` does that.

    There is one tree for all that the driver's options may be, since another
    would take minutes and gigabytes. So a checkout with other options waits
    until nobody boots this kernel or builds modules against it any more.
    """
    if key in _used:
        return
    name = f"kernel-debug-use-{recipe.key}"
    stamp = tree / f".built-{key}"
    while True:
        held = locks.take(locks.named(name), shared=True)
        assert held is not None
        if stamp.exists():
            _used[key] = held
            return
        held.close()
        with lock(name):
            if not stamp.exists():
                for old in tree.glob(".built-*"):
                    old.unlink()
                build()
                stamp.touch()


def source_tree() -> Path:
    """The unpacked source, patched to know our driver; built or not."""
    recipe = _recipe()
    return cache.tree("kernel-debug", recipe.key, lambda tree: _unpack(tree, recipe), keep=2)


def kunit_tools() -> Path:
    """The directory with KUnit's own Python: ``kunit_parser`` and what it imports."""
    recipe = _recipe()
    kept = source_tree() / _KUNIT
    if kept.is_dir():
        return kept

    def make(work: Path) -> None:
        with progress.step(f"unpack KUnit's tools of {recipe.package}"):
            deb = debian.Archive(SUITES[0]).download(recipe.package, work)
            _untar(deb, recipe, work, f"'{recipe.package}/{_KUNIT}/*.py'")
            deb.unlink()

    return cache.artifact("kunit", recipe.key, make, keep=2) / _KUNIT


def _untar(deb: Path, recipe: _Recipe, target: Path, what: str) -> None:
    """Unpack files of the source in a package; ``what`` are words for tar."""
    script = (
        'dpkg-deb --fsys-tarfile "$1" '
        f"| tar -x -O --wildcards './usr/src/{recipe.package}.tar.*' "
        f'| tar -x -J -C "$2" --strip-components=1 --wildcards {what}'
    )
    run(["sh", "-ec", script, "sh", deb, target], f"unpack {recipe.package}")


def _recipe() -> _Recipe:
    archive = debian.Archive(SUITES[0])
    fields = archive.show(PREFERRED)
    if fields:
        return _Recipe(PREFERRED, fields["Version"])
    for package in archive.names(SERIES)[-1:]:
        return _Recipe(package, archive.show(package)["Version"])
    raise SetupError(
        f"no package matches {PREFERRED} or a later one in {SUITES[0]}",
        "use LANE=stock, or your own built tree with KDIR=",
    )


def _unpack(tree: Path, recipe: _Recipe) -> None:
    with progress.step(f"download {recipe.package} {recipe.version}"):
        debs = tree / ".deb"
        debs.mkdir()
        deb = debian.Archive(SUITES[0]).download(recipe.package, debs)
    with progress.step(f"unpack {recipe.package}"):
        skipped = " ".join(f"--exclude='{recipe.package}/{pattern}'" for pattern in _SKIPPED)
        _untar(deb, recipe, tree, skipped)
        shutil.rmtree(debs)
    _hook_drivers(tree)
    _resize_tables(tree)


def _resize_tables(tree: Path) -> None:
    for name, there, wanted in _SIZES:
        source = tree / name
        source.write_text(source.read_text().replace(there, wanted))


def _drivers() -> dict[str, Path]:
    """The drivers that are built from this repository: their places in the tree, their Kconfig."""
    root = paths.repo_root()
    return {
        one.place: root / one.source / "Kconfig"
        for one in target.TARGETS.values()
        if one.place and one.source
    }


def _hook_drivers(tree: Path) -> None:
    """Have the tree's configuration know the drivers; their code stays out of the tree."""
    for place in _drivers():
        menu = tree / Path(place).parent / "Kconfig"
        before, found, after = menu.read_text().rpartition("endif")
        if not found:
            raise BuildError(f"{menu} has changed: there is no place for the driver in it")
        (tree / place).mkdir()
        (tree / place / "Kconfig").touch()
        menu.write_text(f'{before}source "{place}/Kconfig"\n\n{found}{after}')


def _build(tree: Path) -> None:
    _configure(tree)
    with progress.step("build the debug kernel") as step:
        _make(
            tree,
            IMAGE,
            "modules",
            log="kernel-debug.log",
            on_line=_count(step),
            jobs=True,
        )


def _configure(tree: Path) -> None:
    with progress.step("configure the debug kernel"):
        for place, kconfig in _drivers().items():
            shutil.copyfile(kconfig, tree / place / "Kconfig")
        fragment = paths.data(CONFIG)
        _make(tree, "tinyconfig")
        with open(tree / ".config", "a") as config:
            config.write(fragment.read_text())
        _make(tree, "olddefconfig")
        lost = lost_options(fragment.read_text(), (tree / ".config").read_text())
        if lost:
            raise BuildError(
                f"the kernel's configuration does not take {', '.join(lost)}",
                f"see the dependencies of these options and {CONFIG}",
            )


def lost_options(wanted: str, config: str) -> list[str]:
    """The settings of the fragment that a finished configuration does not have."""
    lost = []
    for name, value in re.findall(r"^(CONFIG_\w+)=(\S+)$", wanted, re.M):
        found = re.search(rf"^{name}=(\S+)$", config, re.M)
        if (found.group(1) if found else "n") != value:
            lost.append(f"{name}={value}")
    return lost


def _make(
    tree: Path,
    *targets: str,
    log: str = "kernel-config.log",
    on_line: Callable[[str], None] | None = None,
    jobs: bool = False,
) -> None:
    # No ccache: it costs a third more when cold, and the tree is kept anyway.
    run(
        ["make", "-C", tree, f"-j{os.cpu_count() or 1}" if jobs else "-j1", *targets],
        "build the debug kernel",
        env=REPRODUCIBLE,
        log=paths.log_dir() / log,
        on_line=on_line,
    )


def _count(step: progress.Step) -> Callable[[str], None]:
    """Shows how many files were compiled."""
    compiled = 0

    def on_line(line: str) -> None:
        nonlocal compiled
        if line.startswith("  CC "):
            compiled += 1
            step.update(f"{compiled} files")

    return on_line
