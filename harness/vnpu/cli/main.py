# SPDX-License-Identifier: MIT
"""The ``vnpu`` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from vnpu.base import deadline
from vnpu.base.errors import UsageError, VnpuError
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
  LANE        stock or debug, where --lane says nothing;  VNPU_TARGET  as --target
  VNPU_CACHE  where everything fetched and built is kept (default ~/.cache/vnpu)
  VNPU_ACCEL  kvm or tcg instead of finding out
  VNPU_TIMEOUT_SCALE  by how much deadlines are stretched, on a very slow machine
  more of them: docs/setup.md
exit status:
  0 success, 1 failed tests or findings, 2 wrong usage, 3 this machine lacks something,
  4 a build failed, 5 the rig failed, 6 the kernel reported a fault, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; errors become a line and an exit status."""
    child.catch_termination()
    try:
        arguments = _parser().parse_args(argv)
        deadline.scale()  # nonsense is told here, not in the middle of something
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
    parser.add_argument("--version", action="version", version=f"vnpu {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help: str, more: str = "") -> argparse.ArgumentParser:
        text = help[0].upper() + help[1:] + "." + (f" {more}" if more else "")
        return commands.add_parser(name, help=help, description=text)

    doctor = command("doctor", "tell what this machine has and lacks", "Changes nothing.")
    doctor.set_defaults(run=_doctor)

    prepare = command(
        "prepare",
        "fetch and build, run nothing",
        "Prints the path of what was made: the guest's initramfs, or QEMU.",
    )
    prepare.add_argument(
        "what", nargs="?", choices=("all", "qemu"), default="all", help="default all"
    )
    _add_lane(prepare)
    prepare.set_defaults(run=_prepare)

    boot = command(
        "boot",
        "a shell in a guest with the driver loaded",
        "Ctrl-D ends it, Ctrl-A X kills it, Ctrl-A C is QEMU's monitor.",
    )
    _add_lane(boot)
    boot.add_argument("--vram", type=_positive, metavar="MIB", help="default 256")
    boot.add_argument("--aperture", type=_positive, metavar="MIB", help="default: as --vram")
    boot.add_argument("--memory", type=_positive, metavar="MIB", help="default 512")
    boot.add_argument("--cpus", type=_positive, metavar="N", help="default 1")
    boot.add_argument(
        "--iommu",
        action=argparse.BooleanOptionalAction,
        help="put an IOMMU before the device (default: no)",
    )
    boot.set_defaults(run=_boot)

    test = command("test", "run tests in guests", "Reports go to build/report.")
    _add_lane(test)
    test.add_argument("-k", metavar="EXPRESSION", help="only tests that match, as pytest's -k")
    test.add_argument(
        "--jobs", type=_positive, metavar="N", default=os.cpu_count() or 1, help="workers"
    )
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

    bench = command(
        "bench", "measure", "A table, and JSON; `tests/bench/run.py --help` tells more."
    )
    _add_lane(bench)
    bench.add_argument("names", nargs="*", metavar="NAME", help="default all")
    bench.set_defaults(run=_bench)

    clean = command(
        "clean",
        "remove the driver's builds from the cache",
        "Snapshots that no run uses go as well.",
    )
    clean.add_argument("--all", action="store_true", help="remove the whole cache")
    clean.set_defaults(run=_clean)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return int(text)


def _version() -> str:
    try:
        return metadata.version("vnpu")
    except metadata.PackageNotFoundError:
        return "that is not installed"


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
    try:
        return MachineConfig(
            vram=vram * MIB,
            aperture=(aperture or vram) * MIB,
            memory=(arguments.memory or settings.number("VNPU_MEMORY", 512)) * MIB,
            smp=arguments.cpus or settings.number("VNPU_CPUS", 1),
            iommu=settings.load().get("VNPU_IOMMU") == "y" if iommu is None else iommu,
        )
    except ValueError as error:
        raise UsageError(f"there is no such machine: {error}") from error


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
