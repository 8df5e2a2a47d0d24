# SPDX-License-Identifier: MIT
"""One guest for many tests, so that a scan for leaked memory covers them all."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager

from vnpu import target
from vnpu.base.errors import GuestKernelError, VnpuError
from vnpu.guest.errors import GuestFault, ProcessGone
from vnpu.machine.config import MachineConfig
from vnpu.machine.machine import Machine
from vnpu.testing import verdict
from vnpu.testing.lab import Lab

__tracebackhide__ = True

#: a scan waits until all memory is old enough and reads it twice, which takes as long as ten
#: tests; a leak is among so many
_TESTS_A_SCAN = 120


#: kmemleak's count has in it what is known not to be ours; the scan judges what it names
_COUNT = verdict.Maybe(r"kmemleak: \d+ new suspected memory leaks")


def judged(machine: Machine) -> AbstractContextManager[None]:
    """Judge the log of what happens to the machine in the block."""
    return verdict.judged_log(machine, [_COUNT])


class Soak:
    """Gives out the same machine again and again; only the driver is loaded anew.

    A machine with a failed test is not used again, but scanned. ``scan`` looks for leaked
    memory and raises GuestKernelError.
    """

    def __init__(
        self,
        lab: Lab,
        scan: Callable[[Machine], None] = verdict.check_kmemleak,
        judge: Callable[[Machine], AbstractContextManager[None]] = judged,
    ) -> None:
        self._lab = lab
        self._judged = judge
        self._scan = scan
        self._machine: Machine | None = None
        self._given = False
        #: tests that passed since the last scan
        self._tests: list[str] = []

    def take(self, config: MachineConfig, test: str) -> Machine:
        """A machine with the driver just loaded and an empty log, for this test."""
        machine = self._machine
        if machine is None or not machine.process.running or machine.config != config:
            self.close()
            machine = self._machine = self._lab.fresh(config)
        else:
            self._load_anew(machine)
        self._tests.append(test)
        return machine

    def _load_anew(self, machine: Machine) -> None:
        """Load the driver; judge that, and what came after the test before was judged."""
        try:
            with self._judged(machine):
                machine.guest.insmod(target.current().module)
        except BaseException:
            try:
                self.drop(machine)
            finally:
                machine.close()
            raise
        _forget_log(machine)

    def give_back(self, machine: Machine) -> None:
        """Take a machine whose driver was unloaded without complaint. Scans now and then."""
        _forget_log(machine)
        if len(self._tests) >= _TESTS_A_SCAN:
            self.scan()

    def drop(self, machine: Machine) -> None:
        """Forget a machine whose test failed, which its user closes.

        What the tests before it lost is looked for first: they passed, and nobody
        runs them again. Raises GuestKernelError. A guest that cannot do it any more
        is only told of.
        """
        tests = self._tests
        try:
            _forget_log(machine)
            self.scan()
        except GuestKernelError:
            raise
        except (VnpuError, OSError, ProcessGone, GuestFault) as error:
            among = f"{tests[0]} to {tests[-1]}" if tests else "no test"
            warnings.warn(f"what {among} lost was not looked for: {error}", stacklevel=2)
        finally:
            self._machine = None
            self._tests = []

    def scan(self) -> None:
        """Look for memory that the tests since the last scan have lost.

        Raises GuestKernelError, which names the first and the last of them.
        """
        tests, self._tests = self._tests, []
        machine = self._machine
        if machine is None or not tests:
            return
        try:
            with self._judged(machine):
                self._scan(machine)
        except GuestKernelError as error:
            self._machine = None
            machine.close()
            among = f"one of {len(tests)} tests, {tests[0]} to {tests[-1]}"
            raise GuestKernelError(f"{error.message}: by {among}", excerpt=error.excerpt) from None

    def close(self) -> None:
        """Scan for the last time and end the machine. Raises GuestKernelError."""
        try:
            self.scan()
        finally:
            machine, self._machine = self._machine, None
            if machine is not None:
                machine.close()


def _forget_log(machine: Machine) -> None:
    """What the log has by now was judged, and some of it may have been forgiven."""
    machine.guest.log.forget()
    machine.console.clear()
