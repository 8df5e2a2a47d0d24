# SPDX-License-Identifier: MIT
"""The core of the device, compiled without QEMU.

The core knows neither QOM nor PCI: a few headers (core/shim.h) stand in for
what it uses of QEMU, so that a test can be all of its surroundings, run under
sanitizers and take seconds.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEVICE = ROOT / "qemu-device"
HERE = Path(__file__).resolve().parent / "core"

#: what belongs to the shell, which needs QEMU
SHELL = (
    "vnpu-abort.c",
    "vnpu-hold.c",
    "vnpu-iommu.c",
    "vnpu-pci.c",
    "vnpu-vram.c",
    "vnpu-vmstate.c",
)
#: headers of QEMU that the core includes
HEADERS = (
    "qapi/error.h",
    "qemu/atomic.h",
    "qemu/bswap.h",
    "qemu/host-utils.h",
    "qemu/lockable.h",
    "qemu/log.h",
    "qemu/osdep.h",
    "qemu/thread.h",
    "qemu/timer.h",
)
#: functions of the core that core/world.c has a word in
WRAPPED = ("vnpu_exec_new", "vnpu_exec_free", "vnpu_packet_cost", "vnpu_packet_exec")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-sign-compare", "-Werror")


def sources(device: Path = DEVICE) -> list[Path]:
    return [path for path in sorted(device.glob("*.c")) if path.name not in SHELL]


def glib() -> list[str]:
    """What the compiler has to be told of GLib."""
    return subprocess.run(
        ["pkg-config", "--cflags", "--libs", "glib-2.0"], check=True, capture_output=True, text=True
    ).stdout.split()


def write_headers(folder: Path, device: Path = DEVICE) -> None:
    """Stand-ins for QEMU's headers, trace points included, below *folder*."""
    for name in HEADERS:
        header = folder / name
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text('#include "shim.h"\n')
    lines = ["#include <stdbool.h>", "#include <stdint.h>"]
    for name, params in re.findall(
        r"^(\w+)\((.*?)\) \"", (device / "trace-events").read_text(), re.MULTILINE
    ):
        lines.append(f"static inline void trace_{name}({params or 'void'})\n{{\n}}")
    trace = folder / "trace" / "trace-hw_misc_vnpu.h"
    trace.parent.mkdir(exist_ok=True)
    trace.write_text("\n".join(lines) + "\n")


def compile_program(
    out: Path,
    program: str,
    *,
    flags: Sequence[str] = SANITIZE,
    only_check: bool = False,
    cc: str = "",
) -> Path:
    """Build ``core/<program>`` with the core; ``only_check``: compile, do not link."""
    include = out / "include"
    write_headers(include)
    target = out / Path(program).stem
    command = [
        cc or os.environ.get("CC", "cc"), "-g", "-O1", "-std=gnu11", *WARNINGS, *flags,
        f"-I{include}", f"-I{HERE}", f"-I{DEVICE}",
        *map(str, sources()), str(HERE / "world.c"), str(HERE / program),
        "-pthread", *(f"-Wl,--wrap={name}" for name in WRAPPED), *glib(),
    ]  # fmt: skip
    command += ["-fsyntax-only"] if only_check else ["-o", str(target)]
    subprocess.run(command, check=True)
    return target


def have_32bit_headers() -> bool:
    """Whether C for 32 bits compiles here, and GLib's headers do with it."""
    probe = "#include <stdlib.h>\n#include <glib.h>\n"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "glib-2.0"], check=True, capture_output=True, text=True
    ).stdout.split()
    command = [os.environ.get("CC", "cc"), "-m32", "-fsyntax-only", "-x", "c", *flags, "-"]
    return subprocess.run(command, input=probe, text=True, capture_output=True).returncode == 0
