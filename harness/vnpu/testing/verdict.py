# SPDX-License-Identifier: MIT
"""What a test must leave behind: a quiet log, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import re
import time
from collections.abc import Callable, Iterator, Sequence

from vnpu import target
from vnpu.base import deadline
from vnpu.base.errors import GuestKernelError, RigError, VnpuError
from vnpu.guest.errors import GuestFault, GuestTimeout, ProcessGone
from vnpu.guest.guest import Guest
from vnpu.klog import leaks, levels
from vnpu.klog.oracle import Finding
from vnpu.machine import cmdline
from vnpu.machine.machine import Machine
from vnpu.testing import hang

#: a failure's traceback ends in the test; here it would show the judge at work
__tracebackhide__ = True

_DEBUGFS = "/sys/kernel/debug"
#: deferred work (fences, RCU callbacks) may hold the module for a moment after the last close
_SETTLE_S = 5.0
#: asking is a round trip with work behind it; the guest gets the processor in between
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.1
#: kmemleak believes nothing about objects younger than this
_KMEMLEAK_AGE_S = 5.5
#: a scan reads all of the guest's memory, by emulation
_KMEMLEAK_SCAN_S = 120.0


class Maybe(str):
    """An expression that forgives a complaint, which need not come."""


#: what ends a session is no failure of a test
_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)
#: the agent's own process is gone, or has lost its memory
_DEATHS = (ProcessGone, GuestFault)


def check_log(machine: Machine, expected: Sequence[str] = ()) -> None:
    """Judge the log since the restore.

    ``expected`` are regular expressions: complaints whose heading one of them
    matches are forgiven, and each but a Maybe has to be found somewhere in the log. Raises
    GuestKernelError for the kernel's faults. What the rig itself cannot do
    (RigError, TimeoutError) is told only if the log convicts nobody.
    """
    log = _convict(machine, expected)
    for pattern in expected:
        if not isinstance(pattern, Maybe) and not re.search(pattern, log):
            raise GuestKernelError(f"the kernel's log does not have {pattern!r}")


def _convict(machine: Machine, expected: Sequence[str]) -> str:
    """The log, if it has no complaint."""
    log, trouble = _read_log(machine)
    found = levels.complaints(log)
    bad = unexpected(found, expected)
    if bad:
        raise _complaint(machine, bad, trouble)
    if trouble:
        raise trouble
    if not machine.process.running and not any(item.fatal for item in found):
        raise machine.explain()
    return log


def _read_log(machine: Machine) -> tuple[str, Exception | None]:
    """The log, with levels from a guest that answers; and what kept it from that, if anything."""
    if not machine.process.running:
        return machine.console.text(), None
    try:
        taken = machine.guest.log
        taken.update()
        if not taken.overrun:
            return taken.text, None
        machine.sync_console()
        return f"{machine.console.text()}\n{taken.text}", None
    except VnpuError as error:
        return machine.console.text(), error
    except (OSError, TimeoutError, *_DEATHS) as error:
        log = machine.console.text()
        text = f"the guest does not answer any more: {error}"
        trouble = RigError(text, console_tail=machine.console.tail())
        # What the kernel says now was asked for and convicts nobody.
        trouble.add_note(hang.show(machine))
        return log, trouble


def unexpected(found: Sequence[Finding], expected: Sequence[str]) -> list[Finding]:
    """The findings that no expression forgives."""
    return [item for item in found if not any(item.matches(text) for text in expected)]


@contextlib.contextmanager
def judged(machine: Machine, expected: Sequence[str] = ()) -> Iterator[Machine]:
    """Judge what happens to the machine in this block, and what the block leaves behind.

    Raises as check_log() and check_leaks(). An exception of the block stays,
    unless the log has a complaint: that goes first.
    """
    try:
        yield machine
    except BaseException as error:
        complaint = complaint_behind(machine, error, expected)
        if complaint:
            raise complaint from error
        raise
    settle(machine, expected)


@contextlib.contextmanager
def judged_log(machine: Machine, expected: Sequence[str] = ()) -> Iterator[None]:
    """Have a complaint of the kernel go before whatever this block raises; judge it in any case."""
    try:
        yield
    except GuestKernelError as error:
        with contextlib.suppress(RigError, OSError, TimeoutError, *_DEATHS):
            _convict_but_for(machine, expected, error)
        raise
    except BaseException as error:
        complaint = complaint_behind(machine, error, expected)
        if complaint:
            raise complaint from error
        raise
    _convict(machine, expected)


def _convict_but_for(machine: Machine, expected: Sequence[str], error: Exception) -> None:
    try:
        _convict(machine, expected)
    except GuestKernelError as complaint:
        raise complaint from error


def complaint_behind(
    machine: Machine, error: BaseException, expected: Sequence[str] = ()
) -> GuestKernelError | None:
    """What the kernel says about a failure, beyond the failure itself; None if it is quiet.

    The rig's own trouble becomes a note of the failure.
    """
    if isinstance(error, (GuestKernelError, *_ENDS)):
        return None
    try:
        _convict(machine, expected)
    except GuestKernelError as complaint:
        return complaint
    except (VnpuError, OSError, *_DEATHS) as trouble:
        if str(trouble) not in str(error):
            error.add_note(f"besides: {trouble}")
        for note in getattr(trouble, "__notes__", ()):
            error.add_note(note)
    else:
        if isinstance(error, GuestTimeout):
            error.add_note(hang.show(machine))
    return None


def settle(machine: Machine, expected: Sequence[str] = (), scan: bool = True) -> None:
    """Judge the end of a machine's use: its leftovers while it runs, then its log.

    On a machine that boots with kmemleak=on, ``scan`` has kmemleak look for memory, too.
    """
    if machine.process.running:
        with judged_log(machine, expected):
            check_leaks(machine)
        if scan and cmdline.KMEMLEAK in machine.config.append:
            check_kmemleak(machine)
    check_log(machine, expected)


def check_leaks(machine: Machine) -> None:
    """End all processes, then the driver; neither may leave anything. Raises GuestKernelError."""
    machine.guest.kill_all()
    _unload(machine)


def _complaint(
    machine: Machine, found: Sequence[Finding], trouble: Exception | None
) -> GuestKernelError:
    excerpts = machine.images.symbols.decode("\n\n".join(item.excerpt for item in found))
    error = GuestKernelError(f"the kernel complained: {found[0]}", excerpt=excerpts)
    if trouble:
        words = trouble.message if isinstance(trouble, VnpuError) else str(trouble)
        error.add_note(f"after this {words}")
        for note in getattr(trouble, "__notes__", ()):
            error.add_note(note)
    return error


def holders(guest: Guest) -> list[str]:
    """Processes that have the accelerator open or mapped, as "PID (name)"."""
    pids = set()
    nodes = target.current().node.rpartition("/")[0] + "/"
    listing = guest.shell("ls -l /proc/[0-9]*/fd").stdout.decode(errors="replace")
    for block in listing.split("\n\n"):
        if f"-> {nodes}" in block:
            pids |= set(re.findall(r"^/proc/(\d+)/fd:", block, re.M))
    mapped = guest.shell(f"grep -l {nodes} /proc/[0-9]*/maps").stdout.decode()
    pids |= set(re.findall(r"/proc/(\d+)/maps", mapped))
    return [f"{pid} ({_name_of(guest, pid)})" for pid in sorted(pids, key=int)]


def _name_of(guest: Guest, pid: str) -> str:
    try:
        return guest.read_file(f"/proc/{pid}/comm").decode(errors="replace").strip()
    except OSError:
        return "gone"


def _unload(machine: Machine) -> None:
    guest = machine.guest
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

    if not _comes_true(machine, gone):
        uses = guest.read_file(f"/sys/module/{module}/refcnt").decode().strip()
        who = ", ".join(holders(guest)) or "none"
        raise GuestKernelError(
            f"the module does not unload: {uses} references are held; processes that use it: {who}"
        )


def _comes_true(machine: Machine, done: Callable[[], bool]) -> bool:
    """Ask again and again, with growing pauses of the guest, until the guest had its time."""
    starved = machine.process.starved_s()
    started = time.monotonic()
    pause = _FIRST_PAUSE_S
    patience = deadline.scaled(_SETTLE_S)
    while not done():
        # While the host lets it wait, the guest cannot settle anything.
        waited = time.monotonic() - started
        if waited > patience and waited - (machine.process.starved_s() - starved) > patience:
            return False
        _sleep(machine.guest, pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
    return True


def _sleep(guest: Guest, seconds: float) -> None:
    guest.service.syscall("nanosleep", _timespec(seconds), 0, timeout_s=60 + seconds)


def check_kmemleak(machine: Machine) -> None:
    """Scan for memory that nobody refers to, when all of it is old enough to be judged.

    Raises GuestKernelError, or RigError if the kernel cannot.
    """
    guest = machine.guest
    path = f"{_DEBUGFS}/kmemleak"
    if not guest.exists(path):
        raise RigError(f"this kernel has no kmemleak: there is no {path}")
    _sleep(guest, _KMEMLEAK_AGE_S)
    usual = guest.timeout_s
    guest.timeout_s = max(usual, _KMEMLEAK_SCAN_S)
    try:
        guest.write_file(path, "scan")
        guest.write_file(path, "scan")
        report = leaks.unknown(guest.read_file(path).decode(errors="replace"))
    finally:
        guest.timeout_s = usual
    if report:
        raise GuestKernelError("kmemleak found memory that nobody refers to", excerpt=report)


def _timespec(seconds: float) -> bytes:
    whole = int(seconds)
    return whole.to_bytes(8, "little") + int((seconds - whole) * 1e9).to_bytes(8, "little")
