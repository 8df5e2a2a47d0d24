# SPDX-License-Identifier: MIT
"""A guest that booted once: its memory in files, its devices' state in another.

Clones map the memory files privately, so that they share what they do not
write and a restore reads next to nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from vnpu.base import paths, progress
from vnpu.base.errors import GuestKernelError
from vnpu.klog import oracle
from vnpu.machine import cmdline, kvm, migration
from vnpu.machine.cmdline import Backing
from vnpu.machine.config import MIB, MachineConfig
from vnpu.machine.images import Images
from vnpu.machine.machine import Machine

#: bump when what happens before the snapshot changes
_FORMAT = 1
_COMPLETE = "complete"
_RESTORE_TIMEOUT_S = 60.0
#: a small /dev/shm (64 MiB in many containers) cannot hold a guest
_SHM = Path("/dev/shm")
_SHM_MARGIN = 256 * MIB


class Template:
    """The snapshot of a booted guest."""

    def __init__(self, images: Images, config: MachineConfig, directory: Path) -> None:
        self.images = images
        self.config = config
        self.directory = directory
        # While this is open, nobody removes the files.
        self._use = _lock_file(directory, fcntl.LOCK_SH)

    @classmethod
    def ensure(cls, images: Images, config: MachineConfig | None = None) -> Template:
        """The template of this machine, booted now unless it is there.

        Raises RigError, or GuestKernelError if the kernel complained while it booted.
        """
        config = config or MachineConfig()
        slot, key = _names(images, config)
        root = storage(config)
        root.mkdir(parents=True, exist_ok=True)
        directory = root / f"{slot}-{key}"
        with _held(root / f"{slot}.lock"):
            if not (directory / _COMPLETE).exists():
                _remove_stale(root, slot)
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir(mode=0o700)
                _make(images, config, directory)
            return cls(images, config, directory)

    @property
    def state(self) -> Path:
        """The devices' and processors' state."""
        return self.directory / "state"

    @property
    def boot_log(self) -> str:
        """What the kernel wrote until the snapshot."""
        return (self.directory / "console.log").read_text(errors="replace")

    def launch(self, extra: tuple[str, ...] = ()) -> Machine:
        """Start a QEMU that waits to become a clone; resume() does the rest."""
        arguments = (*cmdline.incoming(), *extra)
        return Machine(self.images, self.config, self.directory, Backing.CLONE, arguments)

    def resume(self, machine: Machine) -> Machine:
        """Load the state into a launched QEMU and meet its agent. Closes it on failure."""
        try:
            if not machine.qmp.connected:
                machine.connect_monitor()
            migration.load(machine.qmp, self.state)
            machine.resume(_RESTORE_TIMEOUT_S)
        except BaseException:
            machine.close()
            raise
        return machine

    def rewind(self, machine: Machine) -> Machine:
        """Make a used clone as good as new. Closes it on failure."""
        try:
            machine.rewind(self.state)
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
        os.close(self._use)


def storage(config: MachineConfig) -> Path:
    """Where templates lie: in memory if there is room for this one, else in the cache."""
    forced = os.environ.get("VNPU_TEMPLATES")
    if forced:
        return Path(forced)
    own = _SHM / f"vnpu-{os.getuid()}"
    needed = config.memory + config.vram + _SHM_MARGIN
    with contextlib.suppress(OSError):
        if os.access(_SHM, os.W_OK) and shutil.disk_usage(_SHM).free >= needed:
            return own
    return paths.cache_dir() / "templates"


def _names(images: Images, config: MachineConfig) -> tuple[str, str]:
    """What the template is for, and what it was made from."""
    arguments = cmdline.guest(
        images,
        config,
        directory=Path("memory"),
        backing=Backing.TEMPLATE,
        console=Path("console"),
        agent_fd=0,
        qmp_fd=0,
        kvm=kvm.usable(images),
    )
    slot = _hash(images.lane, repr(config))[:8]
    return f"{images.lane}-{slot}", _hash(str(_FORMAT), images.key, *arguments)[:24]


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _make(images: Images, config: MachineConfig, directory: Path) -> None:
    title = f"boot {images.release} ({images.lane}) for the snapshot"
    with progress.step(title), Machine.boot(images, config, memory=directory) as machine:
        started = time.monotonic()
        _check_booted(machine)
        machine.qmp.cmd("stop")
        migration.save(machine.qmp, directory / "state")
        machine.qmp.cmd("quit")
        machine.process.wait(_RESTORE_TIMEOUT_S)
        shutil.copy(machine.console.path, directory / "console.log")
    for name in ("ram", "vram", "state"):
        if (directory / name).exists():
            (directory / name).chmod(0o444)
    facts = {"release": images.release, "saved_s": round(time.monotonic() - started, 3)}
    (directory / _COMPLETE).write_text(json.dumps(facts))


def _check_booted(machine: Machine) -> None:
    """The point of the snapshot: all modules loaded, the device there, no complaint."""
    failed = machine.guest.hello.failed_modules
    if failed:
        raise GuestKernelError(
            f"modules did not load: {'; '.join(failed)}", excerpt=machine.console.tail(40)
        )
    if machine.config.npu and not machine.guest.exists("/dev/accel/accel0"):
        raise GuestKernelError(
            "the driver made no /dev/accel/accel0", excerpt=machine.console.tail(40)
        )
    machine.sync_console()
    found = oracle.findings(machine.console.text())
    if found:
        raise GuestKernelError(
            f"the kernel complained while it booted: {found[0].title}", excerpt=found[0].excerpt
        )


def _lock_file(directory: Path, how: int) -> int:
    handle = os.open(directory / "use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove_stale(root: Path, slot: str) -> None:
    """Older templates of the same machine, unless a run still clones them."""
    for directory in root.glob(f"{slot}-*"):
        if not directory.is_dir():
            continue
        try:
            handle = _lock_file(directory, fcntl.LOCK_EX)
        except OSError:
            continue
        shutil.rmtree(directory, ignore_errors=True)
        os.close(handle)


def remove_all() -> None:
    """Remove every template that no run uses."""
    for root in (_SHM / f"vnpu-{os.getuid()}", paths.cache_dir() / "templates"):
        for path in root.glob("*.lock"):
            with _held(path):
                _remove_stale(root, path.stem)
