# SPDX-License-Identifier: MIT
"""What this machine has and lacks, without changing anything."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from vnpu.artifacts import debian
from vnpu.artifacts.kernel import custom as kernel_custom
from vnpu.artifacts.kernel import lanes as kernel
from vnpu.base import paths
from vnpu.base.errors import VnpuError

#: free space that a cold build of everything takes, in GiB
DISK_GIB = 12
#: memory for a guest, its VRAM and the compilers, in GiB
MEMORY_GIB = 3


class Report:
    """Findings, printed as they come."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.lacking = 0

    def good(self, what: str, detail: str) -> None:
        """Something is as it should be."""
        self._line("[green]✓[/green]", what, detail)

    def note(self, what: str, detail: str) -> None:
        """Something is worth knowing, and no hindrance."""
        self._line("[yellow]·[/yellow]", what, detail)

    def bad(self, what: str, detail: str) -> None:
        """Something has to be changed."""
        self.lacking += 1
        self._line("[red]✗[/red]", what, detail)

    def _line(self, mark: str, what: str, detail: str) -> None:
        self.console.print(f"{mark} {what:16} {escape(detail)}")


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


def packages() -> dict[str, str]:
    """The Debian packages that are needed, each with its reason."""
    rows = paths.data("packages.txt").read_text().splitlines()
    pairs = (row.split(None, 1) for row in rows if row and not row.startswith("#"))
    return {name: reason.strip() for name, reason in pairs}


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
    if shutil.which("dpkg-query") is None:
        findings.note("packages", "this is no Debian system; see docs/setup.md for what is needed")
        return
    installed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    present = {line.split()[0] for line in installed.splitlines() if line.endswith(" installed")}
    lacking = {name: reason for name, reason in packages().items() if name not in present}
    if not lacking:
        findings.good("packages", "all there")
    for name, reason in lacking.items():
        findings.bad("package", f"{name} ({reason})")
    if lacking:
        findings.note("", f"apt-get install --no-install-recommends {' '.join(lacking)}")


def _archive(findings: Report) -> None:
    sites = debian.sites()
    findings.good("Debian archive", sites.main)
    if sites.security:
        findings.good("", sites.security)
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
        custom = kernel_custom.ensure()
        findings.good("KDIR", f"{custom.build_dir}: Linux {custom.release}")
    findings.note("lane", kernel.lane_of_environment())


_CHECKS: tuple[Callable[[Report], None], ...] = (
    _machine,
    _system,
    _archive,
    _acceleration,
    _cache,
    _overrides,
)
