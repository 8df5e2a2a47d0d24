# SPDX-License-Identifier: MIT
"""The pytest plugin: who fails, for what, and what is told about it."""

import textwrap

import pytest

from vnpu.base import paths

pytest_plugins = ["pytester"]

BARE = "import pytest\npytestmark = pytest.mark.machine(npu=False)\n"
#: read before pytester moves the home directory away, and with it all that was built
CACHE = paths.cache_dir()
COMPLAIN = 'guest.write_file("/dev/kmsg", "<4>BUG: KASAN: slab-use-after-free in made_up+0x1/0x2")'


@pytest.fixture
def inner(pytester, pytestconfig, monkeypatch):
    """Runs a test file in a session of its own, on the kernel of this one."""
    monkeypatch.setenv("VNPU_CACHE", str(CACHE))
    monkeypatch.setenv("LANE", pytestconfig.getoption("--lane") or "stock")
    # An installed plugin loads by itself; one that is not was named to this session.
    installed = pytestconfig.pluginmanager.has_plugin("vnpu")
    named = [] if installed else ["-p", "vnpu.testing.plugin"]
    named += ["-p", "no:hypothesispytest"]  # takes two seconds to load each time

    def run(text, *arguments):
        pytester.makepyfile(BARE + textwrap.dedent(text))
        return pytester.runpytest_inprocess(*named, *arguments)

    return run


def test_complaint_fails_the_test_that_caused_it(inner):
    result = inner(f"""
        def test_noisy(guest):
            {COMPLAIN}

        def test_quiet(guest):
            assert guest.spawn().syscall("getpid") > 1
    """)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*test_noisy*", "*the kernel complained: KASAN*", "*kernel log (*", "*BUG: KASAN*"]
    )


def test_complaint_goes_before_what_the_test_saw(inner):
    result = inner(f"""
        def test_both(guest):
            {COMPLAIN}
            assert 1 == 2
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*", "*GuestKernelError: the kernel complained*"])


def test_complaint_of_the_end_is_an_error_of_that_test(inner):
    result = inner(f"""
        @pytest.fixture
        def late(guest):
            yield
            {COMPLAIN}

        def test_fine(late):
            pass
    """)
    result.assert_outcomes(passed=1, errors=1)


def test_expected_complaint(inner):
    result = inner(f"""
        @pytest.mark.expect_kernel_log("KASAN: slab-use-after-free in made_up")
        def test_forgiven(guest):
            {COMPLAIN}

        @pytest.mark.expect_kernel_log("never comes")
        def test_missing(guest):
            pass
    """)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*the kernel's log does not have 'never comes'*"])


def test_dead_kernel_is_not_the_rigs_fault(inner):
    result = inner("""
        def test_crash(guest):
            guest.write_file("/proc/sysrq-trigger", b"c")
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*GuestKernelError: *"])


def test_machines_are_fresh(inner):
    result = inner("""
        @pytest.mark.parametrize("turn", range(3))
        def test_untouched(guest, turn):
            assert not guest.exists("/tmp/touched")
            guest.write_file("/tmp/touched", b"x")
    """)
    result.assert_outcomes(passed=3)


def test_wrong_markers_are_usage_errors(inner):
    result = inner("""
        @pytest.mark.machine(vrma=1)
        def test_misspelled(guest):
            pass
    """)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_misspelled: machine marker: *vrma*"])


def test_other_lanes_are_skipped_with_a_reason(inner):
    result = inner(
        """
        @pytest.mark.lane("debug")
        def test_only_there():
            raise AssertionError

        @pytest.mark.lane("stock", "debug")
        def test_both():
            pass
        """,
        "--lane=stock",
        "-rs",
    )
    result.assert_outcomes(skipped=1, passed=1)
    result.stdout.fnmatch_lines(["*only on lane debug*"])


def test_logs_and_reports_are_kept(inner, pytester):
    result = inner(
        f"""
        def test_noisy(guest):
            {COMPLAIN}

        def test_quiet(machine):
            machine.sync_console()
        """,
        "--vm-log-dir=logs",
        "--vnpu-html=out/report.html",
        "--junitxml=junit.xml",
    )
    result.assert_outcomes(failed=1, passed=1)
    consoles = list((pytester.path / "logs").glob("*/console.log"))
    assert len(consoles) == 2
    assert any("BUG: KASAN" in path.read_text() for path in consoles)
    page = (pytester.path / "out/report.html").read_text()
    assert "test_noisy" in page and "BUG: KASAN" in page and "1 failed, 1 passed" in page
    assert "http" not in page, "the page needs nothing else"
    junit = (pytester.path / "junit.xml").read_text()
    for name in ("kernel", "lane", "qemu", "restore_ms"):
        assert f'<property name="{name}"' in junit


def test_workers_share_a_template(inner):
    result = inner(
        """
        @pytest.mark.parametrize("turn", range(4))
        def test_pid(guest, turn):
            assert guest.spawn().syscall("getpid") > 1
        """,
        "-n2",
        "--vnpu-html=report.html",
    )
    result.assert_outcomes(passed=4)
