# SPDX-License-Identifier: MIT
"""One machine for many tests: when it is scanned, and who is named."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from vnpu.base.errors import GuestKernelError
from vnpu.guest import GuestTimeout
from vnpu.machine import MachineConfig
from vnpu.testing import soak as soak_module
from vnpu.testing.soak import Soak

CONFIG = MachineConfig()


class Lab:
    """Makes machines that only remember what was done to them."""

    def __init__(self):
        self.made = []

    def fresh(self, config):
        done = []
        machine = SimpleNamespace(
            config=config,
            done=done,
            process=SimpleNamespace(running=True),
            console=SimpleNamespace(clear=lambda: None),
            guest=SimpleNamespace(
                insmod=done.append, log=SimpleNamespace(forget=lambda: done.append("forget"))
            ),
            close=lambda: done.append("close"),
        )
        self.made.append(machine)
        return machine


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(soak_module, "_TESTS_A_SCAN", 3)


def quiet(machine):
    """The log of a kernel without complaints."""
    return nullcontext()


def run(soak, *tests, config=CONFIG):
    for test in tests:
        soak.give_back(soak.take(config, test))


def test_all_share_one_machine_with_the_driver_loaded_anew():
    lab = Lab()
    run(Soak(lab, lambda _: None, quiet), "a", "b", "c", "d")
    (machine,) = lab.made
    assert machine.done == ["forget"] + ["vnpu", "forget", "forget"] * 3


def test_scans_in_between_and_at_the_end():
    scanned = []
    soak = Soak(Lab(), scanned.append, quiet)
    run(soak, "a", "b")
    assert len(scanned) == 0
    run(soak, "c", "d")
    assert len(scanned) == 1
    soak.close()
    assert len(scanned) == 2
    soak.close()
    assert len(scanned) == 2


def test_a_leak_names_the_range_and_ends_the_machine():
    def leaks(_):
        raise GuestKernelError("kmemleak found it", excerpt="unreferenced object")

    lab = Lab()
    soak = Soak(lab, leaks, quiet)
    run(soak, "a", "b")
    with pytest.raises(GuestKernelError, match="one of 3 tests, a to c") as info:
        run(soak, "c")
    assert info.value.excerpt == "unreferenced object"
    assert lab.made[0].done[-1] == "close"
    soak.take(CONFIG, "d")
    assert len(lab.made) == 2


def test_a_failed_test_takes_its_machine_along():
    """But not what the tests before it lost."""
    lab, scanned = Lab(), []
    soak = Soak(lab, scanned.append, quiet)
    run(soak, "a")
    soak.drop(soak.take(CONFIG, "fails"))
    run(soak, "b")
    soak.close()
    assert scanned == lab.made and len(lab.made) == 2


def test_a_leak_before_a_failure_is_told():
    def leaks(_):
        raise GuestKernelError("kmemleak found it")

    soak = Soak(Lab(), leaks, quiet)
    run(soak, "a", "b")
    machine = soak.take(CONFIG, "fails")
    with pytest.raises(GuestKernelError, match="one of 3 tests, a to fails"):
        soak.drop(machine)
    assert soak.take(CONFIG, "c") is not machine


def test_a_guest_that_cannot_scan_any_more_is_told_of():
    def silent(_):
        raise GuestTimeout("no answer")

    lab = Lab()
    soak = Soak(lab, silent, quiet)
    run(soak, "a")
    with pytest.warns(UserWarning, match="what a to fails lost was not looked for: no answer"):
        soak.drop(soak.take(CONFIG, "fails"))


def test_another_machine_is_another_soak():
    lab, scanned = Lab(), []
    soak = Soak(lab, scanned.append, quiet)
    run(soak, "a")
    run(soak, "b", config=MachineConfig(smp=2))
    assert scanned == [lab.made[0]] and lab.made[0].done[-1] == "close"


def test_a_complaint_between_two_tests_is_told():
    """Nobody has judged it yet: it came behind the last test, or when the driver was loaded."""

    @contextmanager
    def complaining(machine):
        yield
        raise GuestKernelError("the kernel complained")

    lab = Lab()
    soak = Soak(lab, lambda _: None, complaining)
    run(soak, "a")
    with pytest.raises(GuestKernelError, match="complained"):
        soak.take(CONFIG, "b")
    assert lab.made[0].done[-1] == "close"
    soak.take(CONFIG, "c")
    assert len(lab.made) == 2
