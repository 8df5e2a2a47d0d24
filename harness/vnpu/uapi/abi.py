# SPDX-License-Identifier: MIT
"""The uAPI: ``from vnpu.uapi import abi``.

Structs are classes (``abi.BoCreate(size=4096)``), ioctls are functions
(``abi.bo_create(proc, fd, size=4096, ...)``) and descriptions of them in
capitals (``abi.BO_CREATE.nr``). ``STRUCTS`` and ``IOCTLS`` list those of the
driver, ``DRM_STRUCTS`` and ``DRM_IOCTLS`` those of the kernel around it.
"""

from __future__ import annotations

import hashlib

from vnpu.base.errors import BuildError
from vnpu.uapi import _generated
from vnpu.uapi._drm import *  # noqa: F403
from vnpu.uapi._drm import IOCTLS as DRM_IOCTLS
from vnpu.uapi._drm import STRUCTS as DRM_STRUCTS
from vnpu.uapi._generated import *  # noqa: F403
from vnpu.uapi._generated import IOCTLS, STRUCTS
from vnpu.uapi.base import Field, Ioctl, Struct, concat
from vnpu.uapi.call import Nested, call, scratch
from vnpu.uapi.gen import headers

__all__ = [
    "DRM_IOCTLS",
    "DRM_STRUCTS",
    "IOCTLS",
    "STRUCTS",
    "Field",
    "Ioctl",
    "Nested",
    "Struct",
    "call",
    "concat",
    "scratch",
]


def _check_current() -> None:
    """Refuse to talk to a driver that was built from another header."""
    if not headers.VNPU_HEADER.is_file():
        return  # installed without the kernel tree
    if hashlib.sha256(headers.VNPU_HEADER.read_bytes()).hexdigest() != _generated.HEADER_SHA256:
        raise BuildError(
            "harness/vnpu/uapi/_generated.py is older than vnpu_accel.h",
            hint="run `make uapi`",
        )


_check_current()
