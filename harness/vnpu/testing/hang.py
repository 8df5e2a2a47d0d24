# SPDX-License-Identifier: MIT
"""Where a guest is that does not answer, or does not get on."""

from __future__ import annotations

import os
import re

from vnpu.base import private
from vnpu.base.errors import VnpuError
from vnpu.guest import GuestTimeout, ProcessGone
from vnpu.machine.machine import Machine

#: what is left of the guest has to answer soon, or it is asked by other means
_PATIENCE_S = 2.0
#: all stacks go over an emulated serial line
_STACKS_S = 60.0
_DEATH_S = 10.0
_TRIGGER = "/proc/sysrq-trigger"
#: processors, all tasks, locks that are held
_KEYS = "ltd"
_TASK = re.compile(r"task:(?P<name>\S+) +state:(?P<state>\S)")
#: processes of tests are forks of the agent; idle ones wait for it, and the first one for it
_OF_THE_AGENT = "init"
_IDLE = re.compile(r"unix_stream_(read|data)|do_wait\b|__do_wait")
#: what a stack only may have gone through, and registers of user space: most of a checker's kernel
_NOISE = re.compile(r"\]  \? |\] (R[A-D]X|RSI|RSP|R\d\d|RBP|RIP: 0033|Code): ?")
_LINES = 150


def show(machine: Machine) -> str:
    """Have the kernel log where its processors and tasks are, and return what tells most.

    All of it is in the console's log then, and in ``hang.log`` beside it. A guest that
    does not answer gets an NMI, which ends it. Never raises.
    """
    before = machine.console.size()
    try:
        how = "by sysrq" if _by_sysrq(machine) else _by_nmi(machine)
    except VnpuError as error:
        return f"nothing is known of where the guest is: {error.message}"
    text = machine.console.text(before)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(private.opened(machine.directory / "hang.log", flags), "w") as log:
        log.write(text)
    told = machine.images.symbols.decode(digest(text))
    return f"where the guest is ({how}; more in the console's log):\n{told}"


def _by_sysrq(machine: Machine) -> bool:
    """Whether the guest still did it by itself."""
    service = machine.guest.service
    try:
        service.syscall("getpid", timeout_s=_PATIENCE_S)
        fd = service.open(_TRIGGER, os.O_WRONLY | os.O_CLOEXEC)
        for key in _KEYS:
            service.syscall("write", fd, key.encode(), 1, timeout_s=_STACKS_S)
        service.close(fd)
        machine.sync_console(_STACKS_S)
    except (OSError, GuestTimeout, ProcessGone, VnpuError):
        return False
    return True


def _by_nmi(machine: Machine) -> str:
    """The kernel panics at an NMI that nobody knows, and says what it was doing."""
    machine.qmp.cmd("inject-nmi")
    if machine.process.wait(_DEATH_S) is None:
        return "it does not even take an NMI"
    return "by an NMI"


def digest(text: str) -> str:
    """Processors, locks, and those tasks that run, wait in the kernel, or are of the test."""
    kept: list[str] = []
    task: list[str] = []
    for line in [*text.splitlines(), "task:end state:S"]:
        if _NOISE.search(line):
            continue
        found = _TASK.search(line)
        if found or (task and _ends_task(line)):
            kept += task if task and _tells(task) else []
            task = [line] if found else []
            kept += [] if found else [line]
        elif task:
            task.append(line)
        else:
            kept.append(line)
    return "\n".join(kept[:_LINES])


def _ends_task(line: str) -> bool:
    return "Showing all locks" in line or "sysrq: " in line or "vnpu-harness" in line


def _tells(task: list[str]) -> bool:
    found = _TASK.search(task[0])
    assert found is not None
    if found["state"] in "DR" or any(re.search(r"\[\w+\]$", line) for line in task):
        return True
    return found["name"] == _OF_THE_AGENT and not any(_IDLE.search(line) for line in task)
