# SPDX-License-Identifier: MIT
"""Clones that are nearly there: QEMU processes started ahead of their use."""

from __future__ import annotations

from vnpu.vm.template import Template
from vnpu.vm.vm import Vm


class Pool:
    """Keeps ``depth`` launched QEMUs of a template.

    Launching returns at once, so nobody waits for a QEMU to come up unless
    clones are taken faster than that. No thread is involved: the kernel ends a
    QEMU with the thread that started it.
    """

    def __init__(self, template: Template, depth: int = 1, extra: tuple[str, ...] = ()) -> None:
        self.template = template
        self._depth = depth
        self._extra = extra
        self._ready: list[Vm] = []

    def fill(self) -> None:
        """Launch what is missing."""
        while len(self._ready) < self._depth:
            self._ready.append(self.template.launch(self._extra))

    def take(self) -> Vm:
        """A clone whose agent has answered; another QEMU is launched for the next one."""
        self.fill()
        vm = self._ready.pop(0)
        try:
            return self.template.resume(vm)
        finally:
            self.fill()

    def close(self) -> None:
        """End those that nobody took."""
        while self._ready:
            self._ready.pop().close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
