# SPDX-License-Identifier: MIT
"""What machine a guest runs on."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class MachineConfig:
    """A machine. Sizes are in bytes.

    ``aperture`` smaller than ``vram`` is a small BAR. One processor is what two
    guests at once have on a small host: more of them spin for each other.
    ``extra`` are further QEMU arguments, ``device`` further properties of the
    tested device ("sync=on"), ``append`` further words of the kernel's command line. Without
    ``tested`` there is no such device and its driver is not waited for. ``vram``,
    ``aperture`` and ``queues`` are for devices that have them.
    """

    vram: int = 256 * MIB
    aperture: int = 256 * MIB
    memory: int = 512 * MIB
    smp: int = 1
    queues: int = 64
    iommu: bool = False
    tested: bool = True
    extra: tuple[str, ...] = ()
    device: str = ""
    append: str = ""

    def __post_init__(self) -> None:
        if self.memory % (2 * MIB) or self.vram % (2 * MIB):
            raise ValueError("memory and vram must be multiples of 2 MiB")
        # Lists come naturally in markers, but only tuples can be part of a key.
        object.__setattr__(self, "extra", tuple(self.extra))
