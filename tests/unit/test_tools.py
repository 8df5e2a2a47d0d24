# SPDX-License-Identifier: MIT
"""The chores of this repository: lint and check."""

import re

import pytest

import check
import lint
from vnpu.base.errors import BuildError


@pytest.fixture
def checks(monkeypatch):
    """Lint with checks of the test's own, and what it accepts."""

    def use(checks, *patterns):
        accepted = [lint.Accepted(re.compile(text), "a reason") for text in patterns]
        monkeypatch.setattr(lint, "_CHECKS", {"quick": {}, "slow": checks})
        monkeypatch.setattr(lint, "load_accepted", lambda: accepted)

    return use


def test_clean_sources(checks, capfd):
    checks({"style": lambda: []})
    assert lint.report() == 0
    told = capfd.readouterr()
    assert "✓ lint: style" in told.err
    assert "0 findings" in told.out


def test_step_that_finds_something_is_shown_as_failed(checks, capfd):
    checks({"style": lambda: ["a.c:1: wrong"], "other": lambda: []})
    assert lint.report() == 1
    told = capfd.readouterr()
    assert "✗ lint: style" in told.err
    assert "✓ lint: other" in told.err
    assert "style: a.c:1: wrong" in told.out


def test_step_that_cannot_run_is_shown_as_failed(checks, capfd):
    def broken():
        raise BuildError("the tool is broken")

    checks({"style": broken})
    assert lint.report() == 1
    told = capfd.readouterr()
    assert "✗ lint: style" in told.err
    assert "the tool is broken" in told.out


def test_accepted_findings_and_those_that_are_gone(checks, capfd):
    checks({"style": lambda: ["a.c:1: wrong"]}, r"^a\.c:\d+: wrong")
    assert lint.report() == 0
    checks({"style": lambda: ["a.c:1: wrong"]}, r"^a\.c:\d+: wrong", r"^b\.c")
    assert lint.report() == 1
    assert r"matches nothing any more: ^b\.c" in capfd.readouterr().out


def test_bare_machine_takes_the_place_of_the_stock_kernel():
    plain, bare = check.gates(bare=False), check.gates(bare=True)
    assert len(plain) == len(bare)
    replaced = [(old, new) for old, new in zip(plain, bare, strict=True) if old != new]
    ((old, new),) = replaced
    assert old.arguments == ("qemu-test", "LANE=stock")
    assert new.arguments == ("check-bare", "VARIANT=debian12")


def test_quick_gates_come_first_and_all_of_lint_is_a_gate():
    gates = [gate.arguments for gate in check.gates(bare=False)]
    assert gates[0] == ("lint", "ARGS=quick")
    groups = {args[1].removeprefix("ARGS=") for args in gates if args[0] == "lint"}
    assert groups == set(lint._CHECKS)


def test_gates_go_on_after_a_failure(monkeypatch, capsys):
    statuses = iter([0, 1, 0])
    monkeypatch.setattr(check.child, "run", lambda *_: next(statuses))
    gates = [check.Gate(name, (name,)) for name in "abc"]
    assert check.report(gates, jobs=1) == 1
    told = capsys.readouterr().out
    assert told.count("passed\n") == 2
    assert "FAILED (status 1)" in told
    assert "gates: 2 passed, 1 failed" in told
