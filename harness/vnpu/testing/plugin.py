# SPDX-License-Identifier: MIT
"""The pytest plugin: fresh machines as fixtures, the kernel's log as a judge.

Fixtures: ``machine``, ``guest``, ``proc``, ``npu``, ``lab``. Markers: ``machine``,
``lane``, ``expect_kernel_log``. Options: see ``pytest --help``, group "virtual
NPU".
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from vnpu.base import progress
from vnpu.base.errors import GuestKernelError, VnpuError
from vnpu.testing import hold, options, verdict, watchdog
from vnpu.testing.machines import (
    MACHINE_KEY,
    PASSED_KEY,
    config_of,
    expected_of,
    guest,
    lab,
    machine,
    machine_config,
    npu,
    proc,
)
from vnpu.testing.options import Options
from vnpu.testing.report import collect

__all__ = ["guest", "lab", "npu", "machine", "machine_config", "proc"]

_MARKERS = (
    "machine(**fields): the machine to run on, by fields of vnpu.machine.MachineConfig",
    "lane(*names): run only on these kernels (stock, debug, custom)",
    "expect_kernel_log(regex): the log must have this, and complaints that match are fine",
)
_LOG_LINES = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Add the markers; only one process of a parallel run talks and writes the report."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(watchdog.Watchdog(), "vnpu-watchdog")
    if hasattr(config, "workerinput"):
        progress.set_quiet(True)
    elif config.getoption("--vnpu-html"):
        config.pluginmanager.register(collect.Collector(config), "vnpu-report")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is for other kernels, and group by machine so that pools stay warm."""
    lane = Options.of(config).lane
    for item in items:
        wanted = [name for mark in item.iter_markers("lane") for name in mark.args]
        unknown = set(wanted) - set(options.LANES)
        if unknown:
            raise pytest.UsageError(f"{item.nodeid}: no such lane: {', '.join(sorted(unknown))}")
        if wanted and lane not in wanted:
            item.add_marker(pytest.mark.skip(reason=f"only on lane {' or '.join(wanted)}"))
    items.sort(key=_machine_rank)


def _machine_rank(item: pytest.Item) -> tuple[bool, str]:
    """Equal for tests of the same machine.

    Those of special machines come first: they take longer, and the many short
    ones of the default machine share out evenly at the end.
    """
    special = item.get_closest_marker("machine") is not None
    return not special, repr(config_of(item)) if special else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test that provokes a complaint of the kernel fails, whatever else it found."""
    try:
        outcome = yield
    except VnpuError:
        raise
    except Exception as error:
        _judge_failed(item, error)
        raise
    if MACHINE_KEY in item.stash:
        verdict.check_log(item.stash[MACHINE_KEY], expected_of(item))
    item.stash[PASSED_KEY] = True
    return outcome


def _judge_failed(item: pytest.Item, error: Exception) -> None:
    """The log often tells more than what the test saw; its complaint goes first."""
    if MACHINE_KEY not in item.stash:
        return
    try:
        verdict.check_log(item.stash[MACHINE_KEY], expected_of(item))
    except GuestKernelError as complaint:
        raise complaint from error
    except VnpuError as trouble:
        error.add_note(f"besides: {trouble.message}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the kernel's log and the device's trace to failures."""
    report = yield
    taken = item.stash.get(MACHINE_KEY, None)
    if taken is None or not report.failed:
        return report
    log = taken.console.tail(_LOG_LINES)
    if log:
        report.sections.append((f"kernel log ({taken.release})", log))
    trace = taken.directory / "device-trace.log"
    if trace.exists():
        lines = trace.read_text(errors="replace").splitlines()
        report.sections.append(("device trace", "\n".join(lines[-_LOG_LINES:])))
    if call.when == "call" and Options.of(item.config).keep_vm:
        hold.hold(item, taken)
    return report
