# SPDX-License-Identifier: MIT
"""A guest that booted once: its memory in files, its devices' state in another.

Clones map the memory files privately, so that they share what they do not
write and a restore reads next to nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from vnpu import target
from vnpu.base import locks, paths, private, progress
from vnpu.base.errors import GuestKernelError, SetupError
from vnpu.klog import levels
from vnpu.klog.oracle import Finding
from vnpu.machine import confine, kvm, rundir
from vnpu.machine.cmdline import Backing
from vnpu.machine.config import MIB, MachineConfig
from vnpu.machine.description import Described, Description
from vnpu.machine.images import Images
from vnpu.machine.machine import Machine

#: the file with the devices' and processors' state
STATE = "state"
#: how the names of the locks begin
LOCK = "template-"
_COMPLETE = "complete"
_USE = ".use"
_RESTORE_TIMEOUT_S = 60.0
#: a small /dev/shm (64 MiB in many containers) cannot hold a guest
_SHM_MARGIN = 256 * MIB
#: seconds after which a template that nobody used is removed
_OLD_S = 2 * 24 * 3600


#: lane, description, and what it was made from; nothing else is ever removed
_NAME = re.compile(r"\w+-[0-9a-f]{8}-[0-9a-f]{24}")


class Template(Described):
    """The snapshot of a booted guest."""

    def __init__(self, description: Description, directory: Path) -> None:
        """Raises RuntimeError if somebody is about to remove it."""
        self.description = description
        self.directory = directory
        # While this is open, nobody removes the files.
        held = locks.take(_use_file(directory), shared=True, wait=False)
        if held is None:
            raise RuntimeError(f"{directory} is being removed")
        self._use = held
        os.utime(directory)

    @classmethod
    def ensure(cls, images: Images, config: MachineConfig | None = None) -> Template:
        """The template of this machine, booted now unless it is there.

        Raises RigError, or GuestKernelError if the kernel complained while it booted.
        """
        description = kvm.describe(images, config or MachineConfig())
        with _making(description.slot):
            directory = _find(description)
            if directory is None:
                _remove_stale(description.slot)
                directory = storage(description.config) / _name(description)
                _make(description, directory)
            return cls(description, directory)

    @property
    def boot_log(self) -> str:
        """What the kernel wrote until the snapshot."""
        return (self.directory / "console.log").read_text(errors="replace")

    def launch(self, extra: tuple[str, ...] = ()) -> Machine:
        """Start a QEMU that waits to become a clone; resume() does the rest."""
        return Machine(self.description, Backing.CLONE, self.directory, incoming=True, extra=extra)

    def resume(self, machine: Machine) -> Machine:
        """Load the state into a launched QEMU and meet its agent. Closes it on failure."""
        try:
            if not machine.qmp.connected:
                machine.connect_monitor()
            machine.load(STATE)
            machine.resume(_RESTORE_TIMEOUT_S)
        except BaseException:
            machine.close()
            raise
        return machine

    def rewind(self, machine: Machine) -> Machine:
        """Make a used clone as good as new. Closes it on failure."""
        try:
            machine.rewind(STATE)
            machine.resume(_RESTORE_TIMEOUT_S)
        except BaseException:
            machine.close()
            raise
        return machine

    def restore(self, extra: tuple[str, ...] = ()) -> Machine:
        """A clone in a new process."""
        return self.resume(self.launch(extra))

    def close(self) -> None:
        """Let others remove it."""
        self._use.close()


# --- where they lie ---------------------------------------------------------------------


def _in_memory() -> Path | None:
    """Our directory in memory, if the system has such a place and nobody else took ours."""
    if not os.access(rundir.MEMORY, os.W_OK):
        return None
    try:
        return private.directory(rundir.MEMORY / f"vnpu-{os.geteuid()}")
    except (OSError, SetupError):
        return None


def _in_cache() -> Path:
    return private.directory(paths.made("templates"))


def _roots() -> list[Path]:
    """Every place where a template may lie."""
    forced = os.environ.get("VNPU_TEMPLATES")
    if forced:
        place = Path(forced).expanduser().resolve()
        place.mkdir(parents=True, exist_ok=True)
        return [private.directory(place / f"vnpu-{os.geteuid()}")]
    memory = _in_memory()
    return [*([memory] if memory else []), _in_cache()]


def storage(config: MachineConfig) -> Path:
    """Where a new template goes: into memory if there is room for this one, else to the cache."""
    roots = _roots()
    needed = config.memory + sum(target.current().backends(config).values()) + _SHM_MARGIN
    return roots[0] if shutil.disk_usage(roots[0]).free >= needed else roots[-1]


def _name(description: Description) -> str:
    return f"{description.slot}-{description.key}"


def _find(description: Description) -> Path | None:
    """The template if it is complete, wherever there was room for it when it was made."""
    for root in _roots():
        directory = root / _name(description)
        if (directory / _COMPLETE).exists():
            return directory
    return None


# --- how they are made ------------------------------------------------------------------


def _make(description: Description, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    confine.hand_over(directory)
    images = description.images
    title = f"boot {images.release} ({images.lane}) for the snapshot"
    with (
        progress.step(title),
        Machine.boot(description, Backing.TEMPLATE, directory) as machine,
    ):
        started = time.monotonic()
        _check_booted(machine)
        machine.qmp.cmd("stop")
        machine.save(STATE)
        machine.qmp.cmd("quit")
        machine.process.wait(_RESTORE_TIMEOUT_S)
        log = machine.console.text()
    # From here on no QEMU can change what others start from.
    confine.take_back(directory)
    for path in directory.iterdir():
        confine.take_back(path)
    (directory / "console.log").write_text(log)
    facts = {"release": images.release, "saved_s": round(time.monotonic() - started, 3)}
    (directory / _COMPLETE).write_text(json.dumps(facts))


def _check_booted(machine: Machine) -> None:
    """The point of the snapshot: all modules loaded, the device there, no complaint."""
    failed = machine.guest.hello.failed_modules
    if failed:
        raise GuestKernelError(
            f"modules did not load: {'; '.join(failed)}", excerpt=machine.console.tail(40)
        )
    node = target.current().node
    if machine.config.tested and not machine.guest.exists(node):
        raise GuestKernelError(f"the driver made no {node}", excerpt=machine.console.tail(40))
    found = boot_complaints(machine)
    if found:
        raise GuestKernelError(
            f"the kernel complained while it booted: {found[0]}",
            "what is harmless is listed in harness/vnpu/klog/data/allowed.yaml",
            "\n\n".join(item.excerpt for item in found),
        )


def boot_complaints(machine: Machine) -> list[Finding]:
    """What the kernel complained of so far; clones start behind that.

    What a kernel of the user's own says before the first process starts is judged
    by its reports only: its configuration may warn of things that it has and we do not.
    """
    machine.sync_console()
    log = machine.guest.log
    log.update()
    # The console has what the kernel's buffer may have dropped, but no levels.
    text = f"{machine.console.text()}\n{log.text}" if log.overrun else log.text
    return levels.complaints(text, booting=True, early=machine.lane != "custom")


# --- how they go ------------------------------------------------------------------------


def _use_file(directory: Path) -> Path:
    return directory.with_name(directory.name + _USE)


@contextlib.contextmanager
def _making(slot: str) -> Iterator[None]:
    """One process at a time makes or removes templates of a slot, wherever they lie."""
    held = locks.take(locks.named(f"{LOCK}{slot}"))
    assert held is not None
    with held:
        yield


def _remove_stale(slot: str) -> None:
    """Older templates of the same machine, and those of any that nobody used for long."""
    for root in _roots():
        for directory in root.iterdir():
            if not _is_template(directory):
                continue
            if _slot_of(directory) == slot:  # its lock is held
                _remove(directory)
            elif _is_old(directory):
                _remove_of_another_slot(directory, only_old=True)


def _slot_of(directory: Path) -> str:
    return directory.name.rpartition("-")[0]


def _is_old(directory: Path) -> bool:
    try:
        return directory.stat().st_mtime < time.time() - _OLD_S
    except FileNotFoundError:
        return False


def _remove_of_another_slot(directory: Path, only_old: bool = False) -> bool:
    """Remove a template unless somebody uses it, or makes one that may be it; whether it is gone.

    Its age is looked at with the lock held: it may have been made anew meanwhile.
    """
    held = locks.take(locks.named(f"{LOCK}{_slot_of(directory)}"), wait=False)
    if held is None:
        return False
    with held:
        return (not only_old or _is_old(directory)) and _remove(directory)


def _is_template(directory: Path) -> bool:
    return bool(_NAME.fullmatch(directory.name)) and directory.is_dir()


def _remove(directory: Path) -> bool:
    """Remove a template unless a run still clones it; whether it is gone."""
    held = locks.take(_use_file(directory), wait=False)
    if held is None:
        return False
    with held:
        shutil.rmtree(directory, ignore_errors=True)
        _use_file(directory).unlink(missing_ok=True)
    return True


def remove_all() -> Iterator[Path]:
    """Remove every template that no run uses or makes, and tell which."""
    for root in _roots():
        for directory in sorted(root.iterdir()):
            if _is_template(directory) and _remove_of_another_slot(directory):
                yield directory
