# SPDX-License-Identifier: MIT
"""A guest for a person: console and monitor on this terminal."""

from __future__ import annotations

import signal
import sys

from vnpu.machine import cmdline, kvm
from vnpu.machine.config import MachineConfig
from vnpu.machine.description import Description
from vnpu.machine.images import Images, prepare
from vnpu.machine.process import QemuProcess


def boot_interactive(
    lane: str = "stock", config: MachineConfig | None = None, images: Images | None = None
) -> int:
    """Boot into a shell on this terminal and return QEMU's exit status.

    The guest ends with its shell (Ctrl-D), or by Ctrl-A X.
    """
    images = images or prepare(lane)
    config = config or MachineConfig()
    files = Description(images, config).files()
    words = cmdline.interactive(config, len(images.firmware), kvm.usable(images))
    print(f"{images.release} ({lane}): Ctrl-D ends, Ctrl-A X kills, Ctrl-A C is QEMU's monitor")
    sys.stdout.flush()
    # It finds the terminal open, whoever it is then.
    process = QemuProcess(images.qemu, words, files=files)
    # Ctrl-C belongs to the guest, whose console is raw; QEMU passes it on.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait_for_ever()
    finally:
        signal.signal(signal.SIGINT, before)
        process.kill()
