# SPDX-License-Identifier: MIT
"""A machine in the abstract: the same words name its snapshot and start it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vnpu import target
from vnpu.machine import cmdline
from vnpu.machine.cmdline import Backing
from vnpu.machine.config import MachineConfig
from vnpu.machine.images import Images

#: bump when what happens before the snapshot changes, or how the boot is judged
_FORMAT = 3


@dataclass(frozen=True)
class Description:
    """What boots, on which machine, and whether on KVM."""

    images: Images
    config: MachineConfig
    kvm: bool = False

    def words(self, backing: Backing) -> tuple[str, ...]:
        """QEMU's arguments. Descriptors and paths are only named; see QemuProcess."""
        return tuple(cmdline.guest(self.config, len(self.images.firmware), backing, self.kvm))

    def files(self) -> dict[str, Path]:
        """The paths that those words name, but for the directory of the memory."""
        named = {"kernel": self.images.kernel, "initramfs": self.images.initramfs}
        return named | cmdline.firmware_files(self.images.firmware)

    @cached_property
    def slot(self) -> str:
        """Names what the machine is for: one snapshot for each is enough."""
        what = (str(_FORMAT), target.current().name, repr(self.config))
        return f"{self.images.lane}-{_hash(*what)[:8]}"

    @cached_property
    def key(self) -> str:
        """Names all that goes into its snapshot."""
        return _hash(str(_FORMAT), self.images.key, *self.words(Backing.TEMPLATE))[:24]


class Described:
    """What is made from a description: a snapshot, a machine that runs."""

    description: Description

    @property
    def images(self) -> Images:
        """The files of the guest."""
        return self.description.images

    @property
    def config(self) -> MachineConfig:
        """What machine it is."""
        return self.description.config


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
