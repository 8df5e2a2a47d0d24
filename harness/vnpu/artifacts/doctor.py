# SPDX-License-Identifier: MIT
"""What this machine has and lacks, without changing anything.

It runs before anything is set up, so it imports nothing that needs installing.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vnpu.artifacts.kernel import choice
from vnpu.artifacts.sites import sites
from vnpu.base import paths
from vnpu.base.errors import SetupError, VnpuError

#: free space that a cold build of everything takes, in GiB
DISK_GIB = 12
#: what stands for the whole environment
_MODULES = ("elftools", "jinja2", "numpy", "pytest", "qemu", "rich", "scapy", "yaml")
#: memory for a guest, its VRAM and the compilers, in GiB
MEMORY_GIB = 3


class Report:
    """Findings, printed as they come."""

    def __init__(self) -> None:
        self.coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.lacking = 0

    def good(self, what: str, detail: str) -> None:
        """Something is as it should be."""
        self._line(32, "✓", what, detail)

    def note(self, what: str, detail: str) -> None:
        """Something is worth knowing, and no hindrance."""
        self._line(33, "·", what, detail)

    def bad(self, what: str, detail: str) -> None:
        """Something has to be changed."""
        self.lacking += 1
        self._line(31, "✗", what, detail)

    def _line(self, colour: int, mark: str, what: str, detail: str) -> None:
        shown = f"\033[{colour}m{mark}\033[0m" if self.coloured else mark
        print(f"{shown} {what:16} {detail}", flush=True)


def report() -> int:
    """Print all findings; 3 if something is lacking, else 0."""
    findings = Report()
    for check in _CHECKS:
        try:
            check(findings)
        except VnpuError as error:
            findings.bad(check.__name__.strip("_"), error.message.split("\n")[0])
            if error.hint:
                findings.note("", error.hint)
    if findings.lacking:
        print(f"{findings.lacking} things are lacking")
    return 3 if findings.lacking else 0


def lacking_packages() -> dict[str, str]:
    """What this machine lacks of packages.txt, each with its reason."""
    done = subprocess.run(
        ["sh", paths.data("packages.sh")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    if done.returncode:
        raise SetupError(f"the packages could not be looked at: {done.stderr.strip()}")
    return dict(line.split("\t", 1) for line in done.stdout.splitlines())


def _machine(findings: Report) -> None:
    if platform.machine() == "x86_64":
        findings.good("machine", f"x86_64, {os.cpu_count()} CPUs")
    else:
        findings.bad("machine", f"{platform.machine()}: the kernels here are for x86_64")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    (findings.good if total >= MEMORY_GIB else findings.bad)(
        "memory", f"{total:.1f} GiB, {MEMORY_GIB} are needed"
    )


def _system(findings: Report) -> None:
    lacking = lacking_packages()
    if not lacking:
        findings.good("packages", "all there")
    for name, reason in lacking.items():
        findings.bad("package", f"{name} ({reason})")
    if lacking and shutil.which("apt-get"):
        names = " ".join(lacking)
        findings.note("", f"apt-get install --no-install-recommends --no-remove {names}")
    elif lacking:
        findings.note("", "these are Debian's names; see docs/setup.md for what is needed")


def _environment(findings: Report) -> None:
    version = platform.python_version()
    lacking = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if not lacking:
        findings.good("Python", f"{version}: {sys.executable}")
    else:
        findings.note("Python", f"{version}; the environment .venv is not made yet (`make setup`)")


def _archive(findings: Report) -> None:
    if all(os.environ.get(name) for name in ("QEMU", "KDIR")):
        findings.note("Debian archive", "not needed with QEMU= and KDIR=")
        return
    known = sites()
    findings.good("Debian archive", known.main)
    if known.security:
        findings.good("", known.security)
    else:
        findings.note("", "no security suite is configured; the stock kernel may be older")


def _acceleration(findings: Report) -> None:
    if os.environ.get("VNPU_ACCEL"):
        findings.note("acceleration", f"{os.environ['VNPU_ACCEL']}, by VNPU_ACCEL")
    elif os.access("/dev/kvm", os.R_OK | os.W_OK):
        findings.good("acceleration", "KVM may work; a guest is booted on it before it is used")
    else:
        findings.note("acceleration", "no KVM: guests run by emulation, which is slower and fine")


def _cache(findings: Report) -> None:
    folder = paths.cache_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    text = f"{folder}: {free:.0f} GiB free, a cold build of everything takes {DISK_GIB}"
    (findings.good if free >= DISK_GIB or folder.exists() else findings.bad)("cache", text)
    for kind in ("qemu", "kernel-stock", "kernel-debug", "module"):
        present = [entry for entry in folder.glob(f"{kind}/[!.]*") if entry.is_dir()]
        findings.note("", f"{kind}: {f'{len(present)} in the cache' if present else 'not yet'}")


def _overrides(findings: Report) -> None:
    for name in ("QEMU", "QEMU_SRC", "KERNEL"):
        if os.environ.get(name):
            path = Path(os.environ[name]).expanduser()
            (findings.good if path.exists() else findings.bad)(name, str(path))
    if os.environ.get("KDIR"):
        _own_kernel(findings)
    findings.note("lane", choice.lane_of_environment())


def _own_kernel(findings: Report) -> None:
    if importlib.util.find_spec("elftools") is None:
        findings.note("KDIR", f"{os.environ['KDIR']}: looked at once .venv is there")
        return
    from vnpu.artifacts.kernel import custom

    kernel = custom.ensure()
    findings.good("KDIR", f"{kernel.build_dir}: Linux {kernel.release}")


_CHECKS: tuple[Callable[[Report], None], ...] = (
    _machine,
    _system,
    _environment,
    _archive,
    _acceleration,
    _cache,
    _overrides,
)


if __name__ == "__main__":
    sys.exit(report())
