# SPDX-License-Identifier: MIT
"""Clones that serve one user after the other."""

from __future__ import annotations

import warnings

from vnpu.base.errors import RigError
from vnpu.machine.machine import Machine
from vnpu.machine.template import Template


class Pool:
    """Clones of a template, each used many times if all goes well.

    Who is done with a clone gives it back; going back to the snapshot in the
    same process takes a fraction of the time of a new one.
    """

    def __init__(self, template: Template, extra: tuple[str, ...] = ()) -> None:
        self.template = template
        self._extra = extra
        self._spare: Machine | None = None

    def take(self) -> Machine:
        """A clone whose agent has answered."""
        return self._rewound() or self.template.restore(self._extra)

    def give_back(self, machine: Machine) -> None:
        """Take a clone whose user is done; it is closed if it cannot serve again."""
        if machine.untouched and not machine.kvm and not self._spare:
            self._spare = machine
        else:
            machine.close()

    def close(self) -> None:
        """End those that nobody has."""
        if self._spare:
            self._spare.close()
            self._spare = None

    def _rewound(self) -> Machine | None:
        spare, self._spare = self._spare, None
        if spare:
            try:
                return self.template.rewind(spare)
            except RigError as error:
                warnings.warn(f"a new process instead of a rewind: {error.message}", stacklevel=2)
        return None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
