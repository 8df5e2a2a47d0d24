# SPDX-License-Identifier: MIT
"""The guest's whole root file system: the agent, a shell, the modules."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from vnpu.artifacts import agent
from vnpu.artifacts.initramfs import cpio
from vnpu.artifacts.kernel import modinfo
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.artifacts.module import ModuleArtifact
from vnpu.artifacts.qemu import firmware
from vnpu.base import cache, progress, scratch
from vnpu.base.errors import SetupError
from vnpu.base.tool import run

MODULE_DIR = "/lib/modules"
#: what the agent loads at boot, a path a line, in this order
MODULE_LIST = "/etc/vnpu/modules"
_DIRECTORIES = (
    "bin", "dev", "etc", "etc/vnpu", "lib", "lib/modules", "mnt", "proc", "root", "sys",
)  # fmt: skip
#: shell commands that tests and people use
_APPLETS = (
    "sh ash cat cp cut dd df dmesg du echo env find free grep head hexdump hostname id ifconfig "
    "insmod kill ln ls lsmod lspci mkdir mknod modprobe more mount mv od ps pwd readlink rm rmdir "
    "rmmod sed seq setsid sleep sort stat stty sync tail tee test time timeout top touch tr true "
    "false umount uname vi wc which xargs xxd"
).split()


def build(kernel: KernelArtifact, module: ModuleArtifact | None) -> Path:
    """The archive for this kernel and driver.

    The agent loads the kernel's modules and the driver at boot; the driver's unit
    tests lie beside them. Without ``module`` the driver is one of the kernel's.
    """
    program = agent.build()
    shell = _busybox()
    code = [Path(part) for part in (__file__, cpio.__file__, modinfo.__file__)]
    key = cache.digest(kernel.key, module.key if module else "", program, shell, *code)

    def make(work: Path) -> None:
        with progress.step(f"make the initramfs for {kernel.release}"):
            content = _archive(kernel, module, program, shell)
            # Not compressed: the guest would unpack it at every boot, under emulation.
            (work / "initramfs.cpio").write_bytes(content)

    return cache.artifact("initramfs", key, make, keep=8) / "initramfs.cpio"


def _archive(
    kernel: KernelArtifact, module: ModuleArtifact | None, program: Path, shell: Path
) -> bytes:
    archive = cpio.Archive()
    for name in _DIRECTORIES:
        archive.directory(name)
    archive.directory("tmp", 0o1777)
    # The kernel opens the console for /init before anything is mounted.
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    archive.file("bin/busybox", shell.read_bytes(), 0o755)
    for applet in _APPLETS:
        archive.symlink(f"bin/{applet}", "busybox")
    loaded = [*kernel.modules, *([module.ko] if module else [])]
    for path in [*loaded, *([module.kunit] if module and module.kunit else [])]:
        archive.file(f"{MODULE_DIR}/{modinfo.name_of(path)}.ko", _lean(path))
    listing = [f"{MODULE_DIR}/{modinfo.name_of(path)}.ko" for path in loaded]
    archive.file(MODULE_LIST, ("\n".join(listing) + "\n").encode())
    archive.file("init", program.read_bytes(), 0o755)
    return archive.finish()


def _lean(module: Path) -> bytes:
    """A module without debugging information and signature.

    The guest would read the one and compute the other, under emulation, to no
    end: the driver has no signature anyway.
    """
    with scratch.folder("initramfs") as folder:
        lean = folder / module.name
        run(["strip", "--strip-debug", "-o", lean, module], "make the initramfs")
        return lean.read_bytes()


def _busybox() -> Path:
    """A busybox that needs no libraries: the system's if it is static, else a private one."""
    for name in ("busybox", "busybox.static"):
        system = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/bin:/usr/sbin:/sbin")
        if system and _is_static(Path(system)):
            return Path(system)
    try:
        folder = firmware.unpacked("busybox-static")
    except SetupError as error:
        raise SetupError(
            f"a busybox that needs no libraries was not found: {error.message}",
            "install a static busybox (Debian: busybox-static)",
        ) from error
    for candidate in ("bin/busybox", "usr/bin/busybox"):
        if (folder / candidate).exists():
            return folder / candidate
    raise SetupError("the package busybox-static holds no busybox", "install busybox-static")


def _is_static(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return not any(ELFFile(file).iter_segments("PT_INTERP"))
    except (OSError, ELFError):
        return False
