# SPDX-License-Identifier: MIT
"""Regenerates the modules, or says how they differ from the headers."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

from vnpu.base import paths
from vnpu.uapi.gen import cheader, drm_core, headers, manual, model
from vnpu.uapi.gen.cheader import Doc, Header
from vnpu.uapi.gen.extract import Abi, Wanted, extract
from vnpu.uapi.gen.render import Renderer

UAPI = Path(__file__).resolve().parents[1]
VNPU_MODULE = UAPI / "_generated.py"
DRM_MODULE = UAPI / "_drm.py"
MANUAL = headers.REPO / "docs/uapi.md"


def header() -> Header:
    """The names and documentation in the driver's header."""
    return cheader.parse(headers.VNPU_HEADER.read_text())


def wanted(names: Header) -> Wanted:
    """Everything that the driver's header defines."""
    ioctls = [m for m in names.macros if m.startswith("DRM_IOCTL_")]
    return Wanted(
        includes=('"vnpu_accel.h"',),
        structs=names.structs,
        enums=names.enums,
        constants=[m for m in names.macros if m not in ioctls],
        ioctls=ioctls,
    )


def vnpu_abi(bits: int = 64) -> Abi:
    """The driver's ABI as gcc sees it for 32 or 64 bits."""
    directories = [headers.VNPU_HEADER.parent, headers.drm_include_dir()]
    return extract(wanted(header()), directories, bits, paths.made("uapi"))


def drm_abi() -> Abi:
    """The wanted parts of DRM core's ABI."""
    return extract(drm_core.WANTED, [headers.drm_include_dir()], cache=paths.made("uapi"))


def vnpu_text() -> str:
    """What _generated.py has to be."""
    sha256 = hashlib.sha256(headers.VNPU_HEADER.read_bytes()).hexdigest()
    origin = headers.VNPU_HEADER.relative_to(headers.REPO)
    return Renderer(vnpu_abi(), header(), str(origin), sha256).text()


def drm_text() -> str:
    """What _drm.py has to be, with this machine's drm.h."""
    sha256 = hashlib.sha256((headers.drm_include_dir() / "drm.h").read_bytes()).hexdigest()
    names = Header([], [], [], docs=dict[str, Doc]())
    return Renderer(drm_abi(), names, "drm.h and linux/*.h", sha256).text()


def manual_text() -> str:
    """What docs/uapi.md has to be."""
    return manual.text(vnpu_abi(), header(), headers.VNPU_HEADER.read_text())


def write() -> list[Path]:
    """Regenerate; returns the files that changed."""
    changed = []
    made = ((VNPU_MODULE, vnpu_text()), (DRM_MODULE, drm_text()), (MANUAL, manual_text()))
    for path, text in made:
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            changed.append(path)
    return changed


def drift() -> str:
    """A unified diff from the committed files to what they have to be."""
    diffs: list[str] = []
    for path, text in ((VNPU_MODULE, vnpu_text()), (MANUAL, manual_text())):
        have = path.read_text().splitlines() if path.is_file() else []
        diffs += difflib.unified_diff(have, text.splitlines(), f"committed {path.name}", "header")
    return "\n".join(diffs)


def drm_drift() -> list[str]:
    """Where this machine's headers contradict _drm.py.

    Newer headers may have longer structs, so only what is used is compared.
    """
    from vnpu.uapi import _drm

    abi = drm_abi()
    found: list[str] = []
    for cls in _drm.STRUCTS:
        name = cls._c_name_.removeprefix("struct ")
        offsets = {m.name: (m.offset, m.size) for m in abi.structs[name].members}
        for field in cls._fields_:
            if offsets.get(field.name) != (field.offset, field.size):
                found.append(f"{name}.{field.name}: {offsets.get(field.name)}")
    for ioctl in _drm.IOCTLS:
        nr = abi.ioctls[ioctl.name].nr
        if (nr ^ ioctl.nr) & 0xC000FFFF:
            found.append(f"{ioctl.name}: {nr:#x}, not {ioctl.nr:#x}")
    return found


def flag_sets() -> dict[str, model.FlagSet]:
    """The driver's flags by the prefix of their macros."""
    return model.flag_sets(vnpu_abi(), header())
