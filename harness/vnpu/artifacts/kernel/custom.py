# SPDX-License-Identifier: MIT
"""The custom lane: a tree that the user built (``KDIR=``), perhaps another image (``KERNEL=``)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from vnpu import target
from vnpu.artifacts.kernel import modinfo
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.base import cache
from vnpu.base.errors import SetupError

#: what has to be there, and why; alternatives are separated by |
REQUIRED = {
    "MODULES": "to load the driver",
    "PCI": "the guest's devices are on PCI",
}
#: beside what targets need
_MODULES = ("kunit",)
#: these the guest needs before any module is loaded
BUILT_IN = {
    "BLK_DEV_INITRD": "the guest's files",
    "BINFMT_ELF": "the guest's agent",
    "DEVTMPFS": "device nodes",
    "PROC_FS": "the guest's agent",
    "SYSFS": "the guest's agent",
    "VIRTIO_PCI": "the agent's channel",
    "VIRTIO_CONSOLE": "the agent's channel",
    "SERIAL_8250_CONSOLE": "the log that judges the tests",
}


def wanted() -> tuple[str, ...]:
    """Modules of a tree that go into the guest, if it has them as modules."""
    return (*target.modules(), *_MODULES)


def ensure() -> KernelArtifact:
    """The kernel of $KDIR; raises SetupError that names all that it lacks."""
    given = os.environ.get("KDIR")
    if not given:
        raise SetupError("the lane custom needs KDIR", "KDIR=~/linux make qemu-test")
    tree = Path(given).expanduser().resolve()
    if not tree.is_dir():
        raise SetupError(f"KDIR={given} is not a directory", "KDIR names a built kernel tree")
    image = _image(tree)
    symbols = tree / "Module.symvers"
    if not symbols.is_file():
        raise SetupError(
            f"{tree} has no Module.symvers, so no module can be built for it",
            f"build it: make -C {tree} -j$(nproc) bzImage modules",
        )
    _check_config(tree)
    modules = modules_of(tree, wanted())
    release = _release(tree)
    key = cache.digest(image, symbols, tree / ".config", *modules)
    return KernelArtifact("custom", release, image, tree, modules, key)


def _image(tree: Path) -> Path:
    own = os.environ.get("KERNEL")
    image = Path(own).expanduser().resolve() if own else tree / "arch/x86/boot/bzImage"
    if not image.is_file():
        raise SetupError(
            f"there is no kernel image {image}",
            "KERNEL= names a bzImage" if own else f"build it: make -C {tree} bzImage modules",
        )
    return image


def _release(tree: Path) -> str:
    path = tree / "include/config/kernel.release"
    if not path.is_file():
        raise SetupError(f"{tree} is no built kernel tree", "KDIR names the build directory")
    return path.read_text().strip()


def missing_options(config: str) -> list[str]:
    """The lines to add to a configuration, each with its reason; [] if it has all."""
    lines = []
    for options, reason in {**REQUIRED, **target.current().required}.items():
        if not any(_value(config, name) for name in options.split("|")):
            lines.append(f"CONFIG_{options.split('|')[0]}=m or y  ({reason})")
    for name, reason in BUILT_IN.items():
        if _value(config, name) != "y":
            lines.append(f"CONFIG_{name}=y  ({reason})")
    return lines


def _value(config: str, name: str) -> str:
    found = re.search(rf"^CONFIG_{name}=([ym])$", config, re.M)
    return found.group(1) if found else ""


def _check_config(tree: Path) -> None:
    try:
        config = (tree / ".config").read_text()
    except OSError as error:
        raise SetupError(f"{tree} has no .config", "KDIR names the build directory") from error
    missing = missing_options(config)
    if missing:
        listing = "\n  ".join(missing)
        raise SetupError(
            f"the kernel in {tree} is configured without what the tests need:\n  {listing}",
            "set these, rebuild the kernel and run again",
        )


def modules_of(tree: Path, wanted: Iterable[str]) -> list[Path]:
    """Those of the wanted modules that the tree built, and what they need, in load order."""
    order = tree / "modules.order"
    names = order.read_text().split() if order.is_file() else []
    files = [tree / re.sub(r"\.o$", ".ko", name) for name in names]
    built = {modinfo.name_of(path): path for path in files}

    def find(name: str) -> Path:
        if name not in built or not built[name].is_file():
            raise SetupError(
                f"the module {name} of {tree} was not built", f"build it: make -C {tree} modules"
            )
        return built[name]

    return modinfo.load_order([find(name) for name in wanted if name in built], find)
