# SPDX-License-Identifier: MIT
"""The fixtures themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path

import pytest

from vnpu.guest.guest import Guest
from vnpu.guest.process import Process
from vnpu.machine import cmdline
from vnpu.machine.config import MachineConfig
from vnpu.machine.machine import Machine
from vnpu.testing import verdict
from vnpu.testing.lab import Lab
from vnpu.testing.options import Options
from vnpu.testing.soak import Soak

__tracebackhide__ = True

MACHINE_KEY = pytest.StashKey[Machine]()
OUTCOME_KEY = pytest.StashKey["Outcome"]()


class Outcome(Enum):
    """How a test's own part ended, for the judge of what comes after it."""

    PASSED = "passed"
    #: skipped by itself, or failed as its xfail mark says: its kernel is no less to blame
    EXCUSED = "excused"
    FAILED = "failed"


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """Gives out machines, for tests that need several.

    ``with lab.machine(MachineConfig(...)) as machine`` is judged as ``machine`` is;
    ``lab.fresh(...)`` is not.
    """
    options = Options.of(pytestconfig)
    made = Lab(options.lane, options.qemu_arguments)
    yield made
    made.close()


@pytest.fixture(scope="session")
def soak(pytestconfig: pytest.Config, lab: Lab) -> Iterator[Soak | None]:
    """The one machine of all tests, if the session is one for leaked memory."""
    if Options.of(pytestconfig).kmemleak != "soak":
        yield None
        return
    shared = Soak(lab)
    yield shared
    shared.close()


@pytest.fixture
def machine_config(request: pytest.FixtureRequest) -> MachineConfig:
    """The machine that the test's ``machine`` marker asks for."""
    config = config_of(request.node)
    if Options.of(request.config).kmemleak and cmdline.KMEMLEAK not in config.append:
        config = replace(config, append=f"{config.append} {cmdline.KMEMLEAK}".strip())
    return config


@pytest.fixture
def machine(
    request: pytest.FixtureRequest,
    lab: Lab,
    soak: Soak | None,
    machine_config: MachineConfig,
) -> Iterator[Machine]:
    """A machine as it was right after boot.

    When the test is over, its processes end and the driver unloads; then the
    log has to be quiet and the kernel alive. A machine that passes may be taken
    back to its snapshot for the next test; any other is thrown away.
    """
    started = time.monotonic()
    fresh = soak.take(machine_config, request.node.nodeid) if soak else lab.fresh(machine_config)
    _record(request.node, fresh, 1000 * (time.monotonic() - started))
    request.node.stash[MACHINE_KEY] = fresh
    options = Options.of(request.config)
    keep = options.directory_for(request.node.nodeid)
    clean = False
    try:
        yield fresh
        outcome = request.node.stash.get(OUTCOME_KEY, None)
        if outcome in (Outcome.PASSED, Outcome.EXCUSED):
            excused = outcome is Outcome.EXCUSED
            verdict.settle(fresh, expected_of(request.node, excused), scan=soak is None)
            clean = True
    finally:
        if clean and soak:
            soak.give_back(fresh)
        elif clean and keep is None:
            lab.give_back(fresh)
        else:
            _throw_away(fresh, soak, keep)


def _throw_away(machine: Machine, soak: Soak | None, keep: Path | None) -> None:
    try:
        if soak:
            soak.drop(machine)
    finally:
        machine.close(keep)


@pytest.fixture
def guest(machine: Machine) -> Guest:
    """The guest in the fresh machine."""
    return machine.guest


@pytest.fixture
def proc(guest: Guest) -> Process:
    """A root process in the guest."""
    return guest.spawn()


def config_of(item: pytest.Item) -> MachineConfig:
    """From the ``machine`` marker. Raises UsageError for a field that does not exist."""
    fields: dict[str, object] = {}
    for marker in reversed(list(item.iter_markers("machine"))):
        fields.update(marker.kwargs)
    try:
        return MachineConfig(**fields)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{item.nodeid}: machine marker: {error}") from error


def expected_of(item: pytest.Item, excused: bool = False) -> list[str]:
    """Expressions of the ``expect_kernel_log`` and ``allow_kernel_log`` markers.

    ``excused``: the test may have ended before what it expects could come.
    """
    kind = verdict.Maybe if excused else str
    expected = [kind(text) for mark in item.iter_markers("expect_kernel_log") for text in mark.args]
    allowed = [text for mark in item.iter_markers("allow_kernel_log") for text in mark.args]
    return expected + [verdict.Maybe(text) for text in allowed]


def _record(item: pytest.Item, machine: Machine, restore_ms: float) -> None:
    item.user_properties += [
        ("kernel", machine.release),
        ("lane", machine.lane),
        ("qemu", machine.images.qemu_key),
        ("restore_ms", round(restore_ms, 1)),
    ]
