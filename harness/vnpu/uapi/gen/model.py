# SPDX-License-Identifier: MIT
"""From the C names of an ABI to those of the Python modules."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from vnpu.uapi.gen.cheader import Header
from vnpu.uapi.gen.extract import Abi, Member

_PREFIX = re.compile(r"^(?:drm_vnpu_|drm_)")
_MASK = re.compile(r"[Mm]ask of (\w+?)(_\*)?(?:\.|,|$)")
_ONE_OF = re.compile(r"One of enum (\w+)")
_ARRAY = re.compile(r"Array of struct (\w+)")


def class_name(c_name: str) -> str:
    """drm_vnpu_bo_create -> BoCreate"""
    return "".join(part.capitalize() for part in _PREFIX.sub("", c_name).split("_"))


def function_name(macro: str) -> str:
    """DRM_IOCTL_VNPU_BO_CREATE -> bo_create"""
    name = re.sub(r"^DRM_IOCTL_(?:VNPU_)?", "", macro)
    name = re.sub(r"_?IOCTL?(?=_)", "", name)
    return name.lower()


def common_prefix(names: list[str]) -> str:
    """The longest prefix of all names that ends at an underscore."""
    prefix = os.path.commonprefix(names)
    return prefix[: prefix.rfind("_") + 1]


@dataclass(frozen=True)
class FlagSet:
    """Macros that are the bits of one kind of flags field."""

    name: str
    prefix: str
    members: dict[str, str]  # Python name -> macro


def mask_prefix(doc: str) -> str | None:
    """Prefix of the macros that a flags field is a mask of."""
    match = _MASK.search(doc)
    if not match:
        return None
    return f"{match[1]}_" if match[2] else match[1][: match[1].rfind("_") + 1]


def flag_sets(abi: Abi, header: Header) -> dict[str, FlagSet]:
    """Flag sets by prefix, found through the documentation of the fields."""
    docs = [text for name in abi.structs for text in header.docs[name].members.values()]
    prefixes = sorted({p for p in map(mask_prefix, docs) if p}, key=len, reverse=True)
    members: dict[str, dict[str, str]] = {}
    for macro in abi.constants:
        prefix = next((p for p in prefixes if macro.startswith(p)), None)
        if prefix:
            members.setdefault(prefix, {})[macro.removeprefix(prefix)] = macro
    return {
        prefix: FlagSet(class_name(prefix.rstrip("_").lower()) + "Flag", prefix, found)
        for prefix, found in members.items()
    }


def symbols(member: Member, doc: str, flags: dict[str, FlagSet]) -> str | None:
    """Class that gives names to the values of a member."""
    if match := _ONE_OF.search(doc):
        return class_name(match[1])
    prefix = mask_prefix(doc)
    return flags[prefix].name if prefix else None


def element(doc: str) -> str | None:
    """Class of the elements of the user array that a member describes."""
    match = _ARRAY.search(doc)
    return class_name(match[1]) if match else None


def is_output(doc: str) -> bool:
    """Whether only the kernel writes the member."""
    return doc.startswith(("Out:", "In: zero. Out:"))


def is_zero(doc: str) -> bool:
    """Whether the kernel rejects anything but zero in the member."""
    return doc == "Zero." or doc.startswith("In: zero.")
