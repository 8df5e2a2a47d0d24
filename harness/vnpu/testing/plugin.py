# SPDX-License-Identifier: MIT
"""The pytest plugin: fresh machines as fixtures, the kernel's log as a judge.

Fixtures: ``machine``, ``guest``, ``proc``, ``lab``, and those of the targets. Markers: ``machine``,
``lane``, ``expect_kernel_log``. Options: see ``pytest --help``, group "guests".
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from vnpu import target
from vnpu.base import deadline, progress
from vnpu.base.errors import UsageError, VnpuError
from vnpu.testing import hold, options, verdict, watchdog
from vnpu.testing.machines import (
    MACHINE_KEY,
    OUTCOME_KEY,
    Outcome,
    config_of,
    expected_of,
    guest,
    lab,
    machine,
    machine_config,
    proc,
    soak,
)
from vnpu.testing.options import Options
from vnpu.testing.report import collect

__all__ = ["guest", "lab", "machine", "machine_config", "proc", "soak"]

__tracebackhide__ = True

_MARKERS = (
    "machine(**fields): the machine to run on, by fields of vnpu.machine.MachineConfig",
    "lane(*names): run only on these kernels (stock, debug, custom)",
    "expect_kernel_log(regex): the log must have this, and complaints that match are fine",
    "allow_kernel_log(regex): complaints that match are fine",
)
_LOG_LINES = 200
#: the failure that a complaint of the kernel took the place of
_SEEN_KEY = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    options.add(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main() -> None:
    """Say in a line what is wrong with our variables, before a session begins."""
    try:
        deadline.scale()
        target.current()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_configure(config: pytest.Config) -> None:
    """Add the markers; only one process of a parallel run talks and writes the report."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    for one in target.TARGETS.values():
        if one.fixtures:
            config.pluginmanager.import_plugin(one.fixtures)
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
    if Options.of(config).kmemleak == "soak":
        _leave_out(config, items, lambda item: not _may_share(item))
    items.sort(key=_machine_rank)


def _leave_out(
    config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool]
) -> None:
    config.hook.pytest_deselected(items=[item for item in items if unwanted(item)])
    items[:] = [item for item in items if not unwanted(item)]


def _may_share(item: pytest.Item) -> bool:
    """Whether a test is of the driver only: on the ordinary machine, which it leaves as it is.

    Long tables of arguments are left out, too: they take long and allocate alike.
    """
    if item.get_closest_marker("machine") or item.get_closest_marker("exhaustive"):
        return False
    own = set(getattr(item, "_fixtureinfo").argnames)  # noqa: B009
    opens = target.current().opener in getattr(item, "fixturenames", ())
    return opens and not own & {"machine", "lab"}


def _machine_rank(item: pytest.Item) -> tuple[bool, str]:
    """Equal for tests of the same machine.

    Those of special machines come first: they take longer, and the many short
    ones of the default machine share out evenly at the end.
    """
    special = item.get_closest_marker("machine") is not None
    return not special, repr(config_of(item)) if special else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """A fixture that fails or skips may do so because the kernel complained."""
    try:
        return (yield)
    except BaseException as error:
        _convict(item, error)
        if _is_excused(item, error):
            item.stash[OUTCOME_KEY] = Outcome.EXCUSED
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test that provokes a complaint of the kernel fails, whatever its own outcome is."""
    item.stash[OUTCOME_KEY] = Outcome.FAILED
    try:
        outcome = yield
    except BaseException as error:
        _convict(item, error)
        if _is_excused(item, error):
            item.stash[OUTCOME_KEY] = Outcome.EXCUSED
        raise
    if MACHINE_KEY in item.stash:
        verdict.check_log(item.stash[MACHINE_KEY], expected_of(item))
    item.stash[OUTCOME_KEY] = Outcome.PASSED
    return outcome


def _convict(item: pytest.Item, error: BaseException) -> None:
    """The log often tells more than what the test saw; then its complaint is the failure."""
    if MACHINE_KEY not in item.stash or isinstance(error, pytest.exit.Exception):
        return
    complaint = verdict.complaint_behind(item.stash[MACHINE_KEY], error, expected_of(item))
    if complaint:
        item.stash[_SEEN_KEY] = str(item.repr_failure(pytest.ExceptionInfo.from_exception(error)))
        raise complaint from None


def _is_excused(item: pytest.Item, error: BaseException) -> bool:
    """Whether pytest counts this end as no failure; its kernel and its module are judged still."""
    excuses = (pytest.skip.Exception, pytest.xfail.Exception)
    return isinstance(error, excuses) or item.get_closest_marker("xfail") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the kernel's log and the device's trace to failures.

    First in line, so that what marks of the test make of a failure is known here.
    """
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, VnpuError):
        # An xfail mark is about the test; it excuses neither the kernel nor the rig.
        report.outcome = "failed"
        report.__dict__.pop("wasxfail", None)
    if report.failed and _SEEN_KEY in item.stash:
        report.sections.append(("what the test itself saw", item.stash[_SEEN_KEY]))
        del item.stash[_SEEN_KEY]
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
