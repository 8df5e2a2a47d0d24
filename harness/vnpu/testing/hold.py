# SPDX-License-Identifier: MIT
"""A failed test's machine, kept for a look."""

from __future__ import annotations

import pytest

from vnpu.base.errors import VnpuError
from vnpu.machine.machine import Machine


def hold(item: pytest.Item, machine: Machine) -> None:
    """Stop the session until Enter is pressed, with a debugger's door in the machine open."""
    if hasattr(item.config, "workerinput"):
        return  # a worker has no terminal
    capture = item.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{item.nodeid} failed; its machine is QEMU {machine.process.pid}")
        print(f"  console:  {machine.console.path}")
        print(f"  debugger: {_debugger(machine)}")
        input("  Enter goes on ... ")


def _debugger(machine: Machine) -> str:
    path = machine.directory / "gdb.sock"
    command = {"command-line": f"gdbserver unix:{path},server=on,wait=off"}
    try:
        said = machine.qmp.cmd("human-monitor-command", command)
    except VnpuError as error:
        return error.message
    return f"gdb -ex 'target remote {path}' vmlinux  ({str(said).strip()})"
