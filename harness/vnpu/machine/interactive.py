# SPDX-License-Identifier: MIT
"""A guest for a person: console and monitor on this terminal."""

from __future__ import annotations

import signal
import subprocess
import sys

from vnpu.machine import cmdline, confine, kvm
from vnpu.machine.config import MachineConfig
from vnpu.machine.description import Description
from vnpu.machine.images import Images, prepare
from vnpu.machine.process import filled


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
    # The terminal is ours, and QEMU has to keep it; so it stays who we are.
    command = [*confine.die_with_parent(), "--", str(images.qemu), *confine.sandbox(images.qemu)]
    command += filled(words, {name: str(path) for name, path in files.items()})
    print(f"{images.release} ({lane}): Ctrl-D ends, Ctrl-A X kills, Ctrl-A C is QEMU's monitor")
    sys.stdout.flush()
    process = subprocess.Popen(command)
    # Ctrl-C belongs to the guest, whose console is raw; QEMU passes it on.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        if process.poll() is None:
            process.kill()
            process.wait()
