# SPDX-License-Identifier: MIT
"""What a lane gives: a kernel and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KernelArtifact:
    """A kernel that can be booted and built against.

    ``image`` is a bzImage, or better an ELF file that QEMU can boot; see pvh.

    ``modules`` are what the driver and its tests need, uncompressed, each
    after those that it depends on. ``key`` changes when any of it does.
    """

    lane: str
    release: str
    image: Path
    build_dir: Path
    modules: list[Path]
    key: str
