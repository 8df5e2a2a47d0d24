# SPDX-License-Identifier: MIT
"""Clones that serve one user after the other."""

from __future__ import annotations

import warnings

from vnpu.errors import RigError
from vnpu.vm.template import Template
from vnpu.vm.vm import Vm


class Pool:
    """Clones of a template, each used many times if all goes well.

    Who is done with a clone gives it back; going back to the snapshot in the
    same process takes a fraction of the time of a new one.
    """

    def __init__(self, template: Template, extra: tuple[str, ...] = ()) -> None:
        self.template = template
        self._extra = extra
        self._used: list[Vm] = []

    def take(self) -> Vm:
        """A clone whose agent has answered."""
        return self._rewound() or self.template.restore(self._extra)

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

    def _rewound(self) -> Vm | None:
        while self._used:
            try:
                return self.template.rewind(self._used.pop())
            except RigError as error:
                warnings.warn(f"a new process instead of a rewind: {error.message}", stacklevel=2)
        return None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
