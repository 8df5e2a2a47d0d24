# SPDX-License-Identifier: MIT
"""Kernels without their wrapping: an emulator should not spend seconds on unpacking one.

A bzImage is a loader around a compressed ELF file. QEMU boots the ELF file
itself if it has an entry point for that, which is known by the name PVH.
"""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment

from vnpu.base.errors import BuildError
from vnpu.base.tool import run

# Linux: Documentation/arch/x86/boot.rst
_SETUP_SECTORS = 0x1F1
_MAGIC = (0x202, b"HdrS")
_PAYLOAD = 0x248
_SECTOR = 512
#: the payload ends with the size of what is in it
_TRAILER = 4
#: Xen: public/elfnote.h
_PHYS32_ENTRY = 18


def extract(bzimage: Path, target: Path) -> bool:
    """Write the ELF file in a bzImage to ``target``, if there is one that QEMU can boot."""
    payload = _payload(bzimage.read_bytes())
    if payload is None:
        return False
    packed = target.with_suffix(".packed")
    packed.write_bytes(payload)
    try:
        unpack = _unpacker(payload)
        if unpack is None:
            return False
        unpack(packed, target)
    finally:
        packed.unlink()
    if not bootable(target):
        target.unlink()
        return False
    return True


def bootable(elf: Path) -> bool:
    """Whether a file is an ELF file with the entry point."""
    try:
        with elf.open("rb") as file:
            return any(
                note["n_name"] == "Xen" and cast(object, note["n_type"]) == _PHYS32_ENTRY
                for segment in ELFFile(file).iter_segments("PT_NOTE")
                if isinstance(segment, NoteSegment)
                for note in segment.iter_notes()
            )
    except (OSError, ELFError):
        return False


def _payload(image: bytes) -> bytes | None:
    at, magic = _MAGIC
    if image[at : at + len(magic)] != magic:
        return None
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = (image[_SETUP_SECTORS] + 1) * _SECTOR + offset
    return image[start : start + length - _TRAILER] if length else None


def _unpacker(payload: bytes) -> Callable[[Path, Path], None] | None:
    known = {b"\x28\xb5\x2f\xfd": _zstd, b"\xfd7zXZ": _xz, b"\x1f\x8b": _gzip}
    return next((how for magic, how in known.items() if payload.startswith(magic)), None)


def _zstd(packed: Path, target: Path) -> None:
    run(["zstd", "-d", "-q", "-f", packed, "-o", target], "unpack the kernel")


def _xz(packed: Path, target: Path) -> None:
    try:
        target.write_bytes(lzma.decompress(packed.read_bytes()))
    except lzma.LZMAError as error:
        raise BuildError(f"could not unpack the kernel: {error}") from error


def _gzip(packed: Path, target: Path) -> None:
    try:
        target.write_bytes(gzip.decompress(packed.read_bytes()))
    except (OSError, EOFError) as error:
        raise BuildError(f"could not unpack the kernel: {error}") from error
