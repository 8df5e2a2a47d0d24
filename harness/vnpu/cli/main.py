# SPDX-License-Identifier: MIT
"""The ``vnpu`` command."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from vnpu.base import paths, progress
from vnpu.base.errors import VnpuError

_EPILOG = """\
environment:
  KDIR        a built kernel tree to test (lane custom); KERNEL another image for it
  QEMU        a QEMU binary that has -device vnpu;  QEMU_SRC  its source tree or archive
  VNPU_CACHE  where everything fetched and built is kept (default ~/.cache/vnpu)
  VNPU_ACCEL  kvm or tcg instead of finding out
exit status:
  0 success, 1 failed tests or findings, 2 wrong usage, 3 this machine lacks something,
  4 a build failed, 5 the rig failed, 6 the kernel reported a fault, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; errors become a line and an exit status."""
    # A plain kill has to stop the tools that run, as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except VnpuError as error:
        print(f"vnpu: {error.message}", file=sys.stderr)
        details = getattr(error, "console_tail", "") or getattr(error, "excerpt", "")
        if details:
            print(details, file=sys.stderr)
        if error.hint:
            print(f"vnpu: hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("vnpu: interrupted", file=sys.stderr)
        return 130


class _Terminated(KeyboardInterrupt):
    """Somebody killed this process, and it alone."""


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vnpu",
        description="Build, boot and test the virtual NPU.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="tell what this machine has and lacks")
    doctor.set_defaults(run=_doctor)

    prepare = commands.add_parser("prepare", help="fetch and build, run nothing")
    prepare.add_argument("what", nargs="?", choices=("all", "qemu"), default="all")
    _add_lane(prepare)
    prepare.set_defaults(run=_prepare)

    boot = commands.add_parser("boot", help="a shell in a guest with the driver loaded")
    _add_lane(boot)
    boot.add_argument("--vram", type=int, default=256, metavar="MIB", help="default 256")
    boot.add_argument("--aperture", type=int, metavar="MIB", help="default: as --vram")
    boot.add_argument("--memory", type=int, default=512, metavar="MIB", help="default 512")
    boot.add_argument("--iommu", action="store_true", help="put an IOMMU before the device")
    boot.set_defaults(run=_boot)

    test = commands.add_parser("test", help="run tests in guests")
    _add_lane(test)
    test.add_argument("-k", metavar="EXPRESSION", help="only tests that match, as pytest's -k")
    test.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="workers")
    test.add_argument(
        "paths", nargs="*", metavar="PATH", help="default tests/e2e; after -- options of pytest"
    )
    test.set_defaults(run=_test)

    bench = commands.add_parser("bench", help="measure")
    _add_lane(bench)
    bench.add_argument("names", nargs="*", metavar="NAME", help="default all")
    bench.set_defaults(run=_bench)

    clean = commands.add_parser("clean", help="remove the driver's builds from the cache")
    clean.add_argument("--all", action="store_true", help="remove the whole cache")
    clean.set_defaults(run=_clean)
    return parser


def _add_lane(parser: argparse.ArgumentParser) -> None:
    from vnpu.artifacts.kernel import lanes as kernel

    parser.add_argument(
        "--lane",
        choices=kernel.LANES,
        default=kernel.lane_of_environment(),
        help="kernel to use (default: %(default)s)",
    )


def _doctor(_arguments: argparse.Namespace) -> int:
    from vnpu.artifacts import doctor

    return doctor.report()


def _prepare(arguments: argparse.Namespace) -> int:
    if arguments.what == "qemu":
        from vnpu.artifacts.qemu import build as qemu

        print(qemu.ensure().binary)
    else:
        from vnpu.machine.images import prepare

        print(prepare(arguments.lane).initramfs)
    return 0


def _boot(arguments: argparse.Namespace) -> int:
    from vnpu.machine.config import MIB, MachineConfig
    from vnpu.machine.interactive import boot_interactive

    aperture = arguments.aperture or arguments.vram
    config = MachineConfig(
        vram=arguments.vram * MIB,
        aperture=aperture * MIB,
        memory=arguments.memory * MIB,
        iommu=arguments.iommu,
    )
    return boot_interactive(arguments.lane, config)


def _test(arguments: argparse.Namespace) -> int:
    from vnpu.machine.images import prepare

    # Before the workers start: they find everything ready, and say nothing.
    images = prepare(arguments.lane)
    chosen = [item for item in arguments.paths if Path(item.partition("::")[0]).exists()]
    root = paths.repo_root()
    reports = root / "build/report"
    name = f"{Path(chosen[0]).name if chosen else 'e2e'}-{arguments.lane}"
    command = [
        sys.executable, "-m", "pytest", "-q",
        f"--lane={arguments.lane}",
        f"--junitxml={reports / name}.xml",
        f"--vnpu-html={reports / name}.html",
    ]  # fmt: skip
    if arguments.jobs > 1:
        command += ["-n", str(arguments.jobs)]
    if arguments.k:
        command += ["-k", arguments.k]
    progress.say(f"testing on Linux {images.release} ({arguments.lane})")
    return _child([*command, *([] if chosen else ["tests/e2e"]), *arguments.paths], root)


def _bench(arguments: argparse.Namespace) -> int:
    root = paths.repo_root()
    command = [sys.executable, "tests/bench/run.py", f"--lane={arguments.lane}", *arguments.names]
    return _child(command, root)


def _child(command: list[str], root: Path) -> int:
    """Run a program of ours on this terminal; Ctrl-C reaches it too, so only wait for its end."""
    process = subprocess.Popen(command, cwd=root)
    while True:
        try:
            return process.wait()
        except _Terminated:
            process.send_signal(signal.SIGINT)
        except KeyboardInterrupt:
            continue


def _clean(arguments: argparse.Namespace) -> int:
    from vnpu.artifacts import clean

    for line in clean.remove(everything=arguments.all):
        print(line)
    return 0
