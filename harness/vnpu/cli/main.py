# SPDX-License-Identifier: MIT
"""The ``vnpu`` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vnpu.base.errors import VnpuError
from vnpu.cli import child
from vnpu.cli.where import tell_root
from vnpu.target import TARGETS, current

if TYPE_CHECKING:
    from vnpu.machine.config import MachineConfig

_EPILOG = """\
environment:
  KDIR        a built kernel tree to test (lane custom); KERNEL another image for it
  KERNEL_VERSION  the stock kernel to test: 6.12.117, 7.3, newest (default: the newest 6.12)
  QEMU        a QEMU binary that has -device vnpu;  QEMU_SRC  its source tree or archive
  VNPU_CACHE  where everything fetched and built is kept (default ~/.cache/vnpu)
  VNPU_ACCEL  kvm or tcg instead of finding out
exit status:
  0 success, 1 failed tests or findings, 2 wrong usage, 3 this machine lacks something,
  4 a build failed, 5 the rig failed, 6 the kernel reported a fault, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; errors become a line and an exit status."""
    child.catch_termination()
    arguments = _parser().parse_args(argv)
    try:
        _apply_choices(arguments)
        return int(arguments.run(arguments))
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


def _apply_choices(arguments: argparse.Namespace) -> None:
    """Options that are variables as well: what is built, and the workers of pytest, read those."""
    if arguments.repo:
        os.environ["VNPU_REPO"] = str(Path(arguments.repo).expanduser().resolve())
    if getattr(arguments, "kdir", None):
        os.environ["KDIR"] = str(Path(arguments.kdir).expanduser().resolve())
    if getattr(arguments, "kernel", None):
        os.environ["KERNEL_VERSION"] = arguments.kernel
    if hasattr(arguments, "lane") and arguments.lane is None:
        from vnpu.artifacts.kernel import choice

        arguments.lane = choice.lane_of_environment()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vnpu",
        description="Build, boot and test the virtual NPU.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repo",
        metavar="DIR",
        help="the checkout to build and test (default: around the current directory, "
        "else where this command comes from)",
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
    boot.add_argument("--vram", type=int, metavar="MIB", help="default 256")
    boot.add_argument("--aperture", type=int, metavar="MIB", help="default: as --vram")
    boot.add_argument("--memory", type=int, metavar="MIB", help="default 512")
    boot.add_argument("--cpus", type=int, metavar="N", help="default 1")
    boot.add_argument(
        "--iommu",
        action=argparse.BooleanOptionalAction,
        help="put an IOMMU before the device (default: no)",
    )
    boot.set_defaults(run=_boot)

    test = commands.add_parser("test", help="run tests in guests")
    _add_lane(test)
    test.add_argument("-k", metavar="EXPRESSION", help="only tests that match, as pytest's -k")
    test.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="workers")
    test.add_argument(
        "--keep-vm",
        action="store_true",
        help="stop at a failed test with its machine running and a gdb server in it; one worker",
    )
    test.add_argument(
        "--target", choices=sorted(TARGETS), help=f"what to test (default: {current().name})"
    )
    test.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="default all of the target; after -- options of pytest",
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
    from vnpu.artifacts.kernel import choice

    parser.add_argument(
        "--lane",
        choices=choice.LANES,
        help=f"kernel to use (default: {choice.lane_of_environment()})",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--kdir", metavar="DIR", help="the kernel built in DIR (lane custom)")
    which.add_argument(
        "--kernel",
        metavar="VERSION",
        help="a stock kernel of the Debian archive: 6.12.117, 7.3, newest",
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
    from vnpu.machine.interactive import boot_interactive

    tell_root()
    return boot_interactive(arguments.lane, boot_machine(arguments))


def boot_machine(arguments: argparse.Namespace) -> MachineConfig:
    """The machine to boot: by the options, else by .config, else the default one."""
    from vnpu.artifacts import settings
    from vnpu.machine.config import MIB, MachineConfig

    vram = arguments.vram or settings.number("VNPU_VRAM", 256)
    aperture = arguments.aperture or (0 if arguments.vram else settings.number("VNPU_APERTURE", 0))
    iommu = arguments.iommu
    return MachineConfig(
        vram=vram * MIB,
        aperture=(aperture or vram) * MIB,
        memory=(arguments.memory or settings.number("VNPU_MEMORY", 512)) * MIB,
        smp=arguments.cpus or settings.number("VNPU_CPUS", 1),
        iommu=settings.load().get("VNPU_IOMMU") == "y" if iommu is None else iommu,
    )


def _test(arguments: argparse.Namespace) -> int:
    from vnpu.cli import suite

    return suite.run(
        arguments.lane,
        chosen=arguments.paths,
        expression=arguments.k,
        jobs=arguments.jobs,
        keep_vm=arguments.keep_vm,
        target=arguments.target,
    )


def _bench(arguments: argparse.Namespace) -> int:
    root = tell_root()
    command = [sys.executable, "tests/bench/run.py", f"--lane={arguments.lane}", *arguments.names]
    return child.run(command, root)


def _clean(arguments: argparse.Namespace) -> int:
    from vnpu.cli import clean

    for line in clean.remove(everything=arguments.all):
        print(line)
    return 0
