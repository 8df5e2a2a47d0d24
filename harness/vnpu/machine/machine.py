# SPDX-License-Identifier: MIT
"""A virtual machine that runs: its process, monitor, console and guest."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from vnpu import target
from vnpu.base.errors import GuestKernelError, RigError
from vnpu.guest.errors import describe_status
from vnpu.guest.guest import Guest
from vnpu.guest.link import Link
from vnpu.guest.protocol import AGENT_ENDED, ProtocolError
from vnpu.guest.session import Session
from vnpu.klog import oracle
from vnpu.machine import cmdline, migration, rundir
from vnpu.machine.cmdline import Backing
from vnpu.machine.console import Console
from vnpu.machine.description import Described, Description
from vnpu.machine.process import QemuProcess, filled
from vnpu.machine.qmp import Qmp

#: for a kernel with all its checks on a machine without KVM and with other work
BOOT_TIMEOUT_S = 300.0
#: stands for the machine's directory in further arguments
DIRECTORY = "{dir}"
#: how long a dying guest may take to take QEMU along, once its agent is gone
_LAST_WORDS_S = 2.0
#: why a machine ended that only its kernel can have caused
_BY_THE_KERNEL = ("guest-reset", "guest-panic")


def _is_asked(log: str) -> bool:
    """Whether a process had the kernel restart."""
    return "reboot: Restarting system" in log


class Machine(Described):
    """A machine with a guest; close() ends it and removes its files."""

    def __init__(
        self,
        description: Description,
        backing: Backing = Backing.NONE,
        memory: Path | None = None,
        *,
        incoming: bool = False,
        extra: tuple[str, ...] = (),
    ) -> None:
        """Start QEMU; ``memory`` is the directory of its memory files.

        ``incoming``: it waits for a state to be loaded. In ``extra`` arguments
        ``{dir}`` stands for the machine's directory.
        """
        self.description = description
        self.directory = rundir.new()
        self.console = Console(self.directory / "console.log")
        self._memory = memory
        self._backing = backing
        self._extra = extra
        try:
            self.process = self._start_qemu(incoming)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self.qmp = Qmp(self.process.sockets["monitor"])
        self._commands = 0
        self._meet(Link(self.process.sockets["agent"]))

    def __repr__(self) -> str:
        state = "running" if self.process.running else "ended"
        return (
            f"Machine({self.images.lane}, {self.images.release}, pid={self.process.pid}, {state})"
        )

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def kvm(self) -> bool:
        """Whether it runs on KVM."""
        return self.description.kvm

    @property
    def release(self) -> str:
        """Release of the guest's kernel."""
        return self.images.release

    @property
    def lane(self) -> str:
        """Where the kernel comes from."""
        return self.images.lane

    @classmethod
    def boot(
        cls,
        description: Description,
        backing: Backing = Backing.NONE,
        memory: Path | None = None,
        timeout_s: float = BOOT_TIMEOUT_S,
    ) -> Machine:
        """Boot from power-on until the agent answers.

        Raises RigError, or GuestKernelError if the kernel died on the way.
        """
        machine = cls(description, backing, memory)
        try:
            machine.connect_monitor()
            machine.meet_agent(timeout_s, booting=True)
        except BaseException:
            machine.close()
            raise
        return machine

    def _meet(self, link: Link) -> None:
        self._link = link
        # The process may be another one later.
        self.guest = Guest(Session(link, self.explain, starved_s=lambda: self.process.starved_s()))

    def _start_qemu(self, incoming: bool) -> QemuProcess:
        words = [*self.description.words(self._backing), *(cmdline.incoming() if incoming else ())]
        words = filled([*words, *self._extra], {"dir": str(self.directory)})
        files = self.description.files()
        if self._memory is not None:
            files["memory"] = self._memory
        return QemuProcess(
            self.images.qemu,
            words,
            log=self.directory / "qemu.log",
            sockets=("agent", "monitor"),
            files=files,
        )

    def connect_monitor(self) -> None:
        """Shake hands with QEMU. Raises RigError with QEMU's own words if it did not start."""
        try:
            self.qmp.connect()
        except RigError as error:
            self.process.wait(_LAST_WORDS_S)
            raise RigError(f"{error.message}: {self.process.messages}") from error

    def meet_agent(self, timeout_s: float, booting: bool = False) -> None:
        """Wait for the guest's agent. Raises RigError with the end of the console."""
        try:
            self.guest.connect(timeout_s, booting)
        except ProtocolError as error:
            raise RigError(f"the guest agent is not ours: {error}") from error
        except (RigError, TimeoutError) as error:
            if isinstance(error, RigError) and error.console_tail:
                raise
            raise RigError(str(error), console_tail=self.console.tail()) from error

    def explain(self) -> Exception:
        """Why the guest is gone: its kernel, or the rig."""
        status = self.process.wait(_LAST_WORDS_S)
        log = self.console.text()
        found = [item for item in oracle.findings(log) if item.fatal]
        if found:
            return GuestKernelError(
                f"the guest's kernel died: {found[0].title}", excerpt=found[0].excerpt
            )
        agent = re.search(f"{AGENT_ENDED}(\\d+)", log)
        if agent:
            how = describe_status(int(agent[1]))
            return RigError(f"the guest's agent ended: {how}", console_tail=self.console.tail())
        reset = status is not None and self.qmp.why_it_ended() in _BY_THE_KERNEL
        if reset and not _is_asked(log):
            return GuestKernelError(
                "the guest's kernel died without a word: it reset the machine (a triple fault?)",
                excerpt=self.console.tail(),
            )
        ended = "still runs" if status is None else f"ended with status {status}"
        words = f": {self.process.messages}" if self.process.messages else ""
        return RigError(
            f"the guest agent is gone and QEMU {ended}{words}", console_tail=self.console.tail()
        )

    def sync_console(self, timeout_s: float = 30.0) -> None:
        """Wait until the console shows all that the kernel has logged so far."""
        marker = self.guest.dmesg_marker()
        if not self.console.wait_for(marker, timeout_s, lambda: self.process.running):
            raise RigError("the guest's console is stuck", console_tail=self.console.tail())

    @property
    def untouched(self) -> bool:
        """Whether nothing but the guest can differ from the state that it came from."""
        return self.process.running and self.qmp.commands == self._commands

    @contextlib.contextmanager
    def traceless(self) -> Iterator[Qmp]:
        """The monitor, for commands whose effects are taken back before the machine is given back.

        They do not make it unfit for another test.
        """
        before = self.qmp.commands
        try:
            yield self.qmp
        finally:
            self._commands += self.qmp.commands - before

    def resume(self, timeout_s: float) -> None:
        """Let a machine run whose state was loaded, and meet its agent. Raises RigError."""
        self.qmp.cmd("cont")
        self._commands = self.qmp.commands
        self.meet_agent(timeout_s)

    def save(self, name: str) -> None:
        """Write the state of a stopped machine beside its memory. Raises RigError."""
        migration.save(self.qmp, self.process.seen("memory") / name)

    def load(self, name: str) -> None:
        """Load a state that lies beside its memory into a waiting QEMU. Raises RigError."""
        migration.load(self.qmp, self.process.seen("memory") / name)

    def rewind(self, name: str) -> None:
        """Go back to the state that this machine came from; it is stopped then. Raises RigError.

        Only the process and what QEMU has translated in it remain, which is why
        this is many times as fast as another process.
        """
        path = f"/machine/peripheral/{cmdline.REWIND}"
        state = self.process.seen("memory") / name
        self.qmp.cmd("qom-set", {"path": path, "property": "state", "value": str(state)})
        self.console.clear()
        self._meet(self._link.start_over())

    def move_to_new_process(self) -> None:
        """Freeze the machine, carry all of its state to a new QEMU, go on there.

        The guest and its processes do not notice; requests under way stay so.
        Raises RigError; if no new QEMU starts, the machine goes on in the old one.
        """
        place = rundir.new("moved-", self._room_for_state())
        try:
            self.qmp.cmd("stop")
            try:
                migration.save(self.qmp, place / "state")
                process = self._start_qemu(incoming=True)
            except BaseException:
                self.qmp.cmd("cont")
                raise
            self._link.move_to(process.sockets["agent"])
            self.process.kill()
            self.qmp.close()
            self.process, self.qmp = process, Qmp(process.sockets["monitor"])
            self.connect_monitor()
            migration.load(self.qmp, place / "state")
        finally:
            shutil.rmtree(place, ignore_errors=True)
        self.qmp.cmd("cont")

    def _room_for_state(self) -> Path | None:
        """Memory rather than disk, if there is enough."""
        needed = 2 * (self.config.memory + sum(target.current().backends(self.config).values()))
        if rundir.MEMORY.is_dir() and shutil.disk_usage(rundir.MEMORY).free > needed:
            return rundir.MEMORY
        return None

    def poweroff(self, timeout_s: float = 20.0) -> None:
        """Shut the guest down by itself, then close. Raises RigError if it does not end."""
        self.guest.poweroff()
        status = self.process.wait(timeout_s)
        tail = self.console.tail()
        self.close()
        if status != 0:
            raise RigError(f"the guest did not shut down (QEMU: {status})", console_tail=tail)

    def close(self, keep: Path | None = None) -> None:
        """End QEMU and remove its files (moved to ``keep`` instead, if given)."""
        self._link.close()
        self.process.kill()
        self.qmp.close()
        if keep is not None and self.directory.exists():
            keep.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(keep, ignore_errors=True)
            shutil.move(self.directory, keep)
        shutil.rmtree(self.directory, ignore_errors=True)
