# SPDX-License-Identifier: MIT
"""Machines for a session of tests, by description."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from vnpu.base.errors import RigError, VnpuError
from vnpu.machine.config import MachineConfig
from vnpu.machine.images import Images, prepare
from vnpu.machine.machine import Machine
from vnpu.machine.pool import Pool
from vnpu.machine.template import Template
from vnpu.testing import verdict

__tracebackhide__ = True

#: machines of which a used clone is kept; tests of one kind mostly follow each other
_POOLS = 2


class NotRun(RigError):
    """A test that needs a machine which did not boot before."""


class Lab:
    """Gives out fresh machines. Everything is made when it is first needed."""

    def __init__(
        self, lane: str, extra: tuple[str, ...] = (), images: Images | None = None
    ) -> None:
        self.lane = lane
        self._extra = extra
        self._images = images
        self._pools: OrderedDict[MachineConfig, Pool] = OrderedDict()
        self._refused: dict[MachineConfig, VnpuError] = {}

    @property
    def images(self) -> Images:
        """Files of the guest. Raises SetupError or BuildError."""
        if self._images is None:
            self._images = prepare(self.lane)
        return self._images

    @contextlib.contextmanager
    def machine(
        self, config: MachineConfig | None = None, expected: Sequence[str] = ()
    ) -> Iterator[Machine]:
        """A machine as it was right after boot, judged at the end as that of a test is.

        ``expected`` are as in the marker ``expect_kernel_log``. Raises
        GuestKernelError if the kernel complained, died, or kept anything.
        """
        machine = self.fresh(config)
        clean = False
        try:
            with verdict.judged(machine, expected):
                yield machine
            clean = True
        finally:
            if clean:
                self.give_back(machine)
            else:
                machine.close()

    def fresh(self, config: MachineConfig | None = None) -> Machine:
        """A machine as it was right after boot, which nobody judges.

        Who takes it closes it or gives it back.
        """
        return self._pool(config or MachineConfig()).take()

    def give_back(self, machine: Machine) -> None:
        """Take a machine that is not needed any more; its process may serve again."""
        if machine.config in self._pools:
            self._pools[machine.config].give_back(machine)
        else:
            machine.close()

    def template(self, config: MachineConfig | None = None) -> Template:
        """The snapshot that fresh machines of this kind come from."""
        return self._pool(config or MachineConfig()).template

    def _pool(self, config: MachineConfig) -> Pool:
        if config not in self._pools:
            self._pools[config] = Pool(self._boot_once(config), extra=self._extra)
        self._pools.move_to_end(config)
        while len(self._pools) > _POOLS:
            self._drop(next(iter(self._pools)))
        return self._pools[config]

    def _boot_once(self, config: MachineConfig) -> Template:
        """The template; one that could not be made is not tried again for each test."""
        if config in self._refused:
            raise NotRun(
                "not run: this machine did not boot for an earlier test either: "
                + self._refused[config].message
            )
        try:
            return Template.ensure(self.images, config)
        except VnpuError as error:
            self._refused[config] = error
            raise

    def _drop(self, config: MachineConfig) -> None:
        pool = self._pools.pop(config)
        pool.close()
        pool.template.close()

    def close(self) -> None:
        """End the machines that nobody took."""
        for config in list(self._pools):
            self._drop(config)
