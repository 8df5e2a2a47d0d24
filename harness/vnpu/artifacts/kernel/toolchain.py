# SPDX-License-Identifier: MIT
"""What builds modules for a kernel of another Debian release than this machine's.

Its headers come with programs that were linked for that release, and name
the compiler that made the kernel, whose options no older one knows. Where
this machine lacks either, both run with the libraries of that release, from
beside the kernel; nothing is installed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from vnpu.artifacts import debian
from vnpu.artifacts.kernel.versions import Release
from vnpu.base import progress
from vnpu.base.errors import BuildError, SetupError
from vnpu.base.tool import run

#: below the kernel's directory
FOLDER = "toolchain"
_TRIPLET = "x86_64-linux-gnu"
_COMPILER = re.compile(r"^(CC = .*)\$\(CROSS_COMPILE\)gcc-(?P<version>\d+)[ \t]*$", re.M)
_LIBRARY = re.compile(r"(lib(?!.*-dev$)[\w.+-]+|zlib1g)")
#: names of packages in a field of dependencies
_NAMES = re.compile(r"(?:^|[,|])\s*([a-z0-9][a-z0-9.+-]+)")


def machine() -> list[str]:
    """What of this machine decides on whether a kernel's toolchain comes along.

    The release of its C library, and the compilers that headers may name.
    """
    folders = map(Path, os.get_exec_path())
    found = {path.name for folder in folders for path in folder.glob(f"{_TRIPLET}-gcc-[0-9]*")}
    return [os.confstr("CS_GNU_LIBC_VERSION") or "", *sorted(found)]


def complete(work: Path, final: Path, kernel: Release) -> None:
    """Have an unpacked kernel's headers build modules on this machine.

    ``work`` is where it is now, ``final`` where it will be. Raises SetupError
    if the packages cannot be had.
    """
    (variables,) = work.glob("usr/src/linux-headers-*-amd64/.kernelvariables")
    found = _COMPILER.search(variables.read_text())
    if found is None:
        raise BuildError(f"the headers of {kernel.name} do not say which compiler they need")
    programs = _programs(work / "usr/lib")
    compiler = f"{_TRIPLET}-gcc-{found['version']}"
    if shutil.which(compiler) and not any(map(_lacks_libraries, programs)):
        return
    with progress.step(f"unpack the toolchain of {kernel.name}"):
        target = work / FOLDER
        _unpack(target, kernel, found["version"])
        _wrap(programs, work, final)
        _wrap(_programs(target / "usr/bin") + _programs(target / "usr/libexec"), work, final)
    own = final / FOLDER / "usr/bin" / compiler
    variables.write_text(_COMPILER.sub(rf"\g<1>{own}", variables.read_text()))


def _unpack(target: Path, kernel: Release, version: str) -> None:
    """The compiler, and the libraries of it and of the headers' programs."""
    archive = debian.Archive(kernel.archive.suites[0].split("-")[0])
    target_name = _TRIPLET.replace("_", "-")
    compiler = (f"gcc-{version}-{target_name}", f"cpp-{version}-{target_name}")
    name = kernel.name.removesuffix("-amd64")
    needed = _names(kernel.archive.show(f"linux-kbuild-{name}"))
    for package in compiler:
        needed += _names(archive.show(package))
    debs = target / "deb"
    debs.mkdir(parents=True)
    for package in (*compiler, f"libgcc-{version}-dev", *_libraries(archive, needed)):
        debian.unpack_deb(archive.download(package, debs), target)
    shutil.rmtree(debs)
    shutil.rmtree(target / "usr/share")


def _names(fields: dict[str, str]) -> list[str]:
    return _NAMES.findall(fields.get("Depends", ""))


def _libraries(archive: debian.Archive, names: list[str]) -> list[str]:
    """The packages of shared libraries among ``names``, and those that they need."""
    todo, done = list(names), dict[str, None]()
    while todo:
        name = todo.pop()
        if _LIBRARY.fullmatch(name) and name not in done:
            done[name] = None
            todo += _names(archive.show(name))
    return list(done)


def _programs(folder: Path) -> list[Path]:
    """The programs below a directory that need shared libraries."""
    return [path for path in sorted(folder.rglob("*")) if _is_dynamic(path)]


def _is_dynamic(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not path.stat().st_mode & 0o100:
        return False
    try:
        with path.open("rb") as file:
            return any(ELFFile(file).iter_segments("PT_INTERP"))
    except ELFError:
        return False


def _lacks_libraries(program: Path) -> bool:
    """Whether this machine's libraries are too old for a program, or missing."""
    try:
        return "not found" in run(["ldd", program], "look at a program's libraries").output
    except (BuildError, SetupError):
        return True


def _wrap(programs: list[Path], work: Path, final: Path) -> None:
    """Have each program run by the loader and with the libraries of its release.

    Some start others by their own name with more behind it, so that they keep
    theirs. The compiler looks for its parts beside the file that was started,
    which is the loader here, so that it has to be told.
    """
    chain = final / FOLDER
    libraries = f"{chain}/usr/lib/{_TRIPLET}:{chain}/lib/{_TRIPLET}"
    for program in programs:
        real = program.with_name(f"{program.name}.elf")
        program.rename(real)
        place = final / real.relative_to(work)
        program.write_text(
            "#!/bin/sh\n"
            f"export GCC_EXEC_PREFIX={chain}/usr/lib/gcc/\n"
            f'exec {_loader(work, final)} --argv0 "$0" --library-path {libraries} {place} "$@"\n'
        )
        program.chmod(0o755)


def _loader(work: Path, final: Path) -> Path:
    for folder in ("lib", "usr/lib"):
        name = f"{FOLDER}/{folder}/{_TRIPLET}/ld-linux-x86-64.so.2"
        if (work / name).exists():
            return final / name
    raise BuildError("the package libc6 of that release is arranged otherwise")
