# SPDX-License-Identifier: MIT
"""Clones that are nearly there: used ones to rewind, and a QEMU started ahead of its use."""

from __future__ import annotations

import warnings

from vnpu.errors import RigError
from vnpu.vm.template import Template
from vnpu.vm.vm import Vm


class Pool:
    """Clones of a template for one user after the other.

    Who is done with a clone gives it back; going back to the snapshot in the
    same process takes a fraction of the time of a new one. Until the first
    comes back, a launched QEMU stands ready. No thread is involved: the kernel
    ends a QEMU with the thread that started it.
    """

    def __init__(self, template: Template, extra: tuple[str, ...] = ()) -> None:
        self.template = template
        self._extra = extra
        self._used: list[Vm] = []
        self._launched: Vm | None = None

    def fill(self) -> None:
        """Launch a QEMU unless a clone is there."""
        if self._launched is None and not self._used:
            self._launched = self.template.launch(self._extra)

    def take(self) -> Vm:
        """A clone whose agent has answered."""
        return self._rewound() or self._new()

    def give_back(self, vm: Vm) -> None:
        """Take a clone whose user is done; it is closed if it cannot serve again."""
        if vm.untouched and not vm.kvm and not self._used:
            self._used.append(vm)
        else:
            vm.close()

    def close(self) -> None:
        """End those that nobody has."""
        while self._used:
            self._used.pop().close()
        if self._launched is not None:
            self._launched.close()
            self._launched = None

    def _rewound(self) -> Vm | None:
        while self._used:
            try:
                return self.template.rewind(self._used.pop())
            except RigError as error:
                warnings.warn(f"a new process instead of a rewind: {error.message}", stacklevel=2)
        return None

    def _new(self) -> Vm:
        self.fill()
        vm, self._launched = self._launched, None
        assert vm is not None
        return self.template.resume(vm)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
