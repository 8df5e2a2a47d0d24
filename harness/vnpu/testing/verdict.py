# SPDX-License-Identifier: MIT
"""What a test must leave behind: a quiet log, and nothing else."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Sequence

from vnpu import target
from vnpu.base.errors import GuestKernelError, RigError
from vnpu.guest.guest import Guest
from vnpu.klog import oracle
from vnpu.klog.oracle import Finding
from vnpu.machine import cmdline
from vnpu.machine.machine import Machine

_DEBUGFS = "/sys/kernel/debug"
#: deferred work (fences, RCU callbacks) may hold the module for a moment after the last close
_SETTLE_S = 5.0
#: kmemleak believes nothing about objects younger than this
_KMEMLEAK_AGE_S = 5.5
#: a scan reads all of the guest's memory, by emulation
_KMEMLEAK_SCAN_S = 120.0


def check_log(machine: Machine, expected: Sequence[str] = ()) -> None:
    """Judge the log since the restore.

    ``expected`` are regular expressions: complaints that one of them matches
    are forgiven, and each has to be found. Raises GuestKernelError.
    """
    if machine.process.running:
        try:
            machine.sync_console()
        except (OSError, TimeoutError) as error:
            raise RigError(
                f"the guest does not answer any more: {error}", console_tail=machine.console.tail()
            ) from error
    log = machine.console.text()
    for pattern in expected:
        if not re.search(pattern, log):
            raise GuestKernelError(f"the kernel's log does not have {pattern!r}")
    found = unexpected(oracle.findings(log), expected)
    if found:
        excerpts = "\n\n".join(item.excerpt for item in found)
        raise GuestKernelError(f"the kernel complained: {found[0]}", excerpt=excerpts)
    if not machine.process.running:
        raise machine.explain()


def unexpected(found: Sequence[Finding], expected: Sequence[str]) -> list[Finding]:
    """The findings that no expression forgives."""
    return [item for item in found if not any(re.search(text, item.excerpt) for text in expected)]


def check_leaks(machine: Machine) -> None:
    """End all processes, then the driver; neither may leave anything. Raises GuestKernelError.

    On a machine that boots with kmemleak=on, kmemleak looks for the memory too.
    """
    guest = machine.guest
    guest.kill_all()
    _unload(guest)
    if cmdline.KMEMLEAK in machine.config.append:
        _check_kmemleak(guest)


def clients(guest: Guest) -> list[str]:
    """Lines of the driver's list of open files, of all its devices."""
    lines = []
    root = f"{_DEBUGFS}/{target.current().debugfs}"
    for name in _listdir(guest, root):
        path = f"{root}/{name}/clients"
        if guest.exists(path):
            lines += guest.read_file(path).decode().splitlines()[1:]
    return lines


def _listdir(guest: Guest, path: str) -> list[str]:
    return guest.listdir(path) if guest.exists(path) else []


def _unload(guest: Guest) -> None:
    module = target.current().module

    def gone() -> bool:
        try:
            guest.rmmod(module)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EBUSY):
                return False
            if error.errno != errno.ENOENT:  # the test unloaded it
                raise
        return True

    def why() -> str:
        uses = guest.read_file(f"/sys/module/{module}/refcnt").decode().strip()
        files = "; ".join(clients(guest)) or "none"
        return f"the module does not unload: {uses} references are held; open files: {files}"

    _until(gone, why)


def _until(done: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + _SETTLE_S
    while not done():
        if time.monotonic() > deadline:
            raise GuestKernelError(why())


def _check_kmemleak(guest: Guest) -> None:
    """Scan until everything allocated so far is old enough to be judged."""
    path = f"{_DEBUGFS}/kmemleak"
    if not guest.exists(path):
        raise RigError(f"this kernel has no kmemleak: there is no {path}")
    guest.service.syscall("nanosleep", _timespec(_KMEMLEAK_AGE_S), 0, timeout_s=60)
    guest.timeout_s = max(guest.timeout_s, _KMEMLEAK_SCAN_S)
    guest.write_file(path, "scan")
    guest.write_file(path, "scan")
    report = guest.read_file(path).decode(errors="replace")
    if report.strip():
        raise GuestKernelError("kmemleak found memory that nobody refers to", excerpt=report)


def _timespec(seconds: float) -> bytes:
    whole = int(seconds)
    return whole.to_bytes(8, "little") + int((seconds - whole) * 1e9).to_bytes(8, "little")
