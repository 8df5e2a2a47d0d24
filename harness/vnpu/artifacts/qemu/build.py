# SPDX-License-Identifier: MIT
"""QEMU with the devices of the targets in it.

The build tree stays in the cache, so that an edit of the device costs its
files and a link; each binary that comes out of it is kept by the hash of what
it was made from.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vnpu.artifacts.qemu import firmware
from vnpu.artifacts.qemu import source as qemu_source
from vnpu.base import cache, paths, progress
from vnpu.base.errors import BuildError, SetupError
from vnpu.base.locks import lock
from vnpu.base.tool import missing, run
from vnpu.target import DEVICES

BINARY = "qemu-system-x86_64"
#: to be raised when a change of this code makes another tree from the same inputs
RECIPE = 2
CONFIGURE = (
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--without-default-devices",
    f"--with-devices-x86_64={DEVICES.variant}",
    "--enable-tcg",
    "--enable-kvm",
    "--enable-seccomp",
    "--enable-trace-backends=log",
    "--disable-tools",
    "--disable-docs",
    "--disable-install-blobs",
    # nothing of a build is fetched by the build itself
    "--disable-download",
    # a PC has no device tree, and libfdt would be one more thing to need
    "--disable-fdt",
    "--disable-debug-info",
    "--disable-werror",
)
#: instruments the device; the allocations of all of QEMU are watched as well
SANITIZE_FLAGS = (
    "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
)


@dataclass(frozen=True)
class QemuArtifact:
    """A QEMU that has the devices; ``firmware`` are directories for its ``-L`` option."""

    binary: Path
    firmware: list[Path]
    key: str


def ensure(sanitize: bool | None = None) -> QemuArtifact:
    """The QEMU to run: $QEMU, else one built from source (see ``qemu_source``).

    ``sanitize``: with AddressSanitizer and UndefinedBehaviorSanitizer in the
    device; if not said, $VNPU_SANITIZE decides.
    """
    if sanitize is None:
        sanitize = os.environ.get("VNPU_SANITIZE", "0") not in ("", "0")
    own = os.environ.get("QEMU")
    if own and not sanitize:
        return _own_binary(own)
    paths.require_plain()
    source = qemu_source.find()
    device = paths.repo_root() / DEVICES.folder
    base = _base_key(source, device)
    key = cache.digest(base, device, SANITIZE_FLAGS if sanitize else "")

    def make(work: Path) -> None:
        tree = cache.tree("qemu-tree", base, lambda path: _make_tree(path, source, device))
        with lock(f"qemu-build-{base}"):
            _build(tree, device, work, sanitize)

    folder = cache.artifact("qemu", key, make)
    return QemuArtifact(folder / BINARY, firmware.ensure(), key)


def _own_binary(name: str) -> QemuArtifact:
    found = shutil.which(str(Path(name).expanduser()))
    if found is None:
        raise SetupError(f"QEMU={name} is not an executable", "point QEMU at a qemu-system-x86_64")
    help_text = subprocess.run(
        [found, "-device", "help"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    lacking = [device for device in DEVICES.known if f'"{device}"' not in help_text]
    if lacking:
        raise SetupError(
            f"QEMU={name} has no device named {' or '.join(lacking)}",
            f"build {DEVICES.folder}/ into it (see docs/setup.md) or leave QEMU unset",
        )
    binary = Path(found).resolve()
    return QemuArtifact(binary, firmware.ensure(binary), cache.digest(binary))


def _base_key(source: qemu_source.Source, device: Path) -> str:
    """Names the build tree: all that makes QEMU except the device's own files."""
    return cache.digest(
        source.key,
        device / DEVICES.patch,
        paths.data("qemu-devices.mak"),
        paths.data("qemu-cc.sh"),
        " ".join(CONFIGURE),
        _compiler_version(),
        str(paths.cache_dir()),
        f"recipe {RECIPE}",
    )


def _compiler() -> str:
    return os.environ.get("CC", "gcc")


def _compiler_version() -> str:
    return run([*shlex.split(_compiler()), "--version"], "build QEMU").lines[0]


# --- the tree ---------------------------------------------------------------------------


def _make_tree(tree: Path, source: qemu_source.Source, device: Path) -> None:
    """Unpack, patch and configure."""
    src = tree / "src"
    with progress.step("unpack QEMU"):
        qemu_source.unpack(source, src)
        run(
            ["patch", "-p1", "--no-backup-if-mismatch", "-i", device / DEVICES.patch],
            f"apply {DEVICES.folder}/{DEVICES.patch} to QEMU",
            cwd=src,
        )
        qemu_source.drop_unused_traces(src)
        devices = src / f"configs/devices/x86_64-softmmu/{DEVICES.variant}.mak"
        shutil.copyfile(paths.data("qemu-devices.mak"), devices)
        cache.sync(device, src / DEVICES.place, keep=[DEVICES.patch])
    compiler = _write_compiler(tree)
    build = tree / "build"
    build.mkdir()
    with progress.step("configure QEMU"):
        run(
            [
                src / "configure",
                f"--cc={compiler}",
                f"--python={_plain(tree, 'python', Path(sys.executable))}",
                f"--ninja={_plain(tree, 'ninja', Path(_ninja()))}",
                *CONFIGURE,
            ],
            "configure QEMU",
            cwd=build,
            log=paths.log_dir() / "qemu-configure.log",
            hint="the packages that are needed: `vnpu doctor`",
        )
    _keep_meson(build)
    _precompile_headers(tree)


def _plain(tree: Path, name: str, program: Path) -> Path:
    """A program by a path without blanks: configure takes none, our environment may have some.

    Its directory is a link, so that Python still finds what is beside it.
    """
    link = tree / f"env-{name}"
    link.symlink_to(program.parent.parent)
    return link / program.parent.name / program.name


def _keep_meson(build: Path) -> None:
    """Give the tree a meson of its own: it outlives the checkout whose environment it was in."""
    package = Path(sysconfig.get_path("purelib")) / "mesonbuild"
    (site,) = (build / "pyvenv/lib").glob("python*/site-packages")
    if package.is_dir():
        shutil.copytree(package, site / "mesonbuild")
        (site / "nested.pth").unlink()


def _write_compiler(tree: Path) -> Path:
    text = paths.data("qemu-cc.sh").read_text()
    compiler = tree / "cc"
    compiler.write_text(text.replace("@GCC@", _compiler()).replace("@PCH@", str(tree / "pch")))
    compiler.chmod(0o755)
    return compiler


def _ninja() -> str:
    own = Path(sys.executable).with_name("ninja")
    found = str(own) if own.exists() else shutil.which("ninja")
    if found is None:
        raise missing("ninja", "build QEMU")
    return found


def _precompile_headers(tree: Path) -> None:
    """Compile the header that every file of QEMU begins with, once for each set of flags.

    The compiler takes one that fits and ignores the others, so this only saves time.
    """
    folder = tree / "pch/qemu/osdep.h.gch"
    folder.mkdir(parents=True)
    # A second inclusion in the same file looks for the header itself.
    (folder.parent / "osdep.h").symlink_to(tree / "src/include/qemu/osdep.h")
    run([_ninja(), "config-poison.h"], "build QEMU", cwd=tree / "build")
    for part, levels in {"libcommon": ("-O0", "-O1", "-O2"), "libqemu-": ("-O1", "-O2")}.items():
        flags = _flags_of(tree / "build/build.ninja", part)
        for level in levels:
            header = tree / "src/include/qemu/osdep.h"
            output = folder / f"{part}{level}"
            run(
                [*shlex.split(_compiler()), *flags, level, "-w", "-x", "c-header", header,
                 "-o", output],
                "precompile QEMU's headers",
                cwd=tree / "build",
            )  # fmt: skip


def _flags_of(ninja: Path, part: str) -> list[str]:
    """The compiler flags that build.ninja gives to the objects of one library."""
    rule = re.compile(rf"^build {part}[^:]*\.a\.p/[^:]*: c_COMPILER")
    inside = False
    for line in ninja.read_text().split("\n"):
        inside = inside or bool(rule.match(line))
        if inside and line.startswith(" ARGS = "):
            flags = shlex.split(line.removeprefix(" ARGS = ").replace("$:", ":").replace("$ ", " "))
            return [flag for flag in flags if not flag.startswith("-W")]
    raise BuildError(f"build.ninja of QEMU has no objects of {part}")


# --- the build --------------------------------------------------------------------------


def _build(tree: Path, device: Path, work: Path, sanitize: bool) -> None:
    """Bring the device's files up to date, compile, and keep a copy of the result."""
    cache.sync(device, tree / "src" / DEVICES.place, keep=[DEVICES.patch])
    _choose_variant(tree, "sanitized" if sanitize else "plain")
    name = "build QEMU" + (" with sanitizers" if sanitize else "")
    with progress.step(name) as step:
        run(
            [_ninja(), f"-j{os.cpu_count() or 1}", BINARY],
            "build QEMU",
            cwd=tree / "build",
            env={"VNPU_SANITIZE_FLAGS": SANITIZE_FLAGS if sanitize else ""},
            log=paths.log_dir() / ("qemu-build-asan.log" if sanitize else "qemu-build.log"),
            on_line=_ninja_progress(step),
        )
    shutil.copy2(tree / "build" / BINARY, work / BINARY)


def _choose_variant(tree: Path, variant: str) -> None:
    """Have the device compiled anew if its objects are of the other variant.

    Both variants share all the rest of the tree, which makes the second one cheap.
    """
    marker = tree / "variant"
    if marker.exists() and marker.read_text() == variant:
        return
    marker.unlink(missing_ok=True)
    build = tree / "build"
    objects = [path for pattern in DEVICES.objects for path in build.glob(pattern)]
    for product in (*objects, build / BINARY):
        product.unlink(missing_ok=True)
    marker.write_text(variant)


def _ninja_progress(step: progress.Step) -> Callable[[str], None]:
    def on_line(line: str) -> None:
        found = re.match(r"\[(\d+)/(\d+)\]", line)
        if found:
            step.update(f"{found.group(1)} of {found.group(2)}")

    return on_line
