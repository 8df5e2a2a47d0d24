# SPDX-License-Identifier: MIT
"""The pytest plugin: who fails, for what, and what is told about it."""

import textwrap

import pytest

from vnpu.base import paths
from vnpu.testing import hang, verdict

pytest_plugins = ["pytester"]

BARE = "import pytest\npytestmark = pytest.mark.machine(tested=False)\n"
#: read before pytester moves the home directory away, and with it all that was built
CACHE = paths.cache_dir()
COMPLAIN = 'guest.write_file("/dev/kmsg", "<4>BUG: KASAN: slab-use-after-free in made_up+0x1/0x2")'


@pytest.fixture
def inner(pytester, pytestconfig, monkeypatch):
    """Runs a test file in a session of its own, on the kernel of this one."""
    monkeypatch.setenv("VNPU_CACHE", str(CACHE))
    monkeypatch.setenv("LANE", pytestconfig.getoption("--vnpu-lane") or "stock")
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


@pytest.mark.parametrize(
    "end",
    [
        "assert 1 == 2",
        "with pytest.raises(OSError): pass",
        "raise RigError('a trouble of the rig')",
        "pytest.skip('nothing to see')",
        "pytest.xfail('known to fail')",
        "pytest.fail('by itself')",
    ],
)
def test_complaint_goes_before_what_the_test_saw(inner, end):
    """Whatever ends the test, also what is no failure."""
    result = inner(f"""
        from vnpu.base.errors import RigError

        def test_both(guest):
            {COMPLAIN}
            {end}
    """)
    result.assert_outcomes(failed=1)
    errors = [line for line in result.outlines if line.startswith("E ")]
    assert "GuestKernelError: the kernel complained: KASAN" in errors[0]
    result.stdout.fnmatch_lines(["*what the test itself saw*"])


def test_any_warning_counts(inner):
    """By its level, although no pattern knows its words."""
    result = inner("""
        def test_warning(guest):
            guest.write_file("/dev/kmsg", "<4>foo: this is odd")

        def test_error(guest):
            guest.write_file("/dev/kmsg", "<3>foo: this is wrong")

        def test_notice(guest):
            guest.write_file("/dev/kmsg", "<5>foo: this is a notice")

        @pytest.mark.expect_kernel_log("foo: this is odd")
        def test_expected(guest):
            guest.write_file("/dev/kmsg", "<4>foo: this is odd")

        def test_known(guest):
            guest.write_file("/dev/kmsg", "<4>perf: interrupt took too long (1 > 2)")
    """)
    result.assert_outcomes(failed=2, passed=3)
    result.stdout.fnmatch_lines(["E *the kernel complained: *level*: foo: this is odd"])


def test_complaint_is_no_expected_failure(inner):
    result = inner(f"""
        from vnpu.base.errors import RigError

        @pytest.mark.xfail
        def test_noisy(guest):
            {COMPLAIN}
            assert 1 == 2

        @pytest.mark.xfail
        def test_rig(guest):
            raise RigError("a trouble of the rig")

        @pytest.mark.xfail
        def test_as_expected(guest):
            assert 1 == 2
    """)
    result.assert_outcomes(failed=2, xfailed=1)


def test_complaint_of_a_fixture_that_gives_up(inner):
    result = inner(f"""
        @pytest.fixture
        def early(guest):
            {COMPLAIN}
            pytest.skip("no use")

        def test_not_reached(early):
            pass
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *GuestKernelError: the kernel complained: KASAN*"])


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


@pytest.mark.parametrize("end", ["pass", "pytest.skip('no')", "pytest.xfail('known')"])
def test_kernel_dies_between_the_test_and_the_end(inner, end):
    """As by deferred work; nobody asks the guest for anything then."""
    result = inner(f"""
        from vnpu.base.errors import GuestKernelError

        @pytest.fixture
        def late(guest):
            yield
            with pytest.raises(GuestKernelError):
                guest.write_file("/proc/sysrq-trigger", b"c")

        def test_fine(late):
            {end}
    """)
    assert result.parseoutcomes().get("errors") == 1
    result.stdout.fnmatch_lines(["E *GuestKernelError: *sysrq*"])


def test_complaint_goes_before_a_hang(inner, monkeypatch):
    monkeypatch.setattr(hang, "_DEATH_S", 0.5)  # it is stopped, and will not die
    result = inner(f"""
        def test_hangs(machine, guest):
            {COMPLAIN}
            machine.sync_console()
            guest.timeout_s = 1.0
            machine.qmp.cmd("stop")
            guest.spawn()
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *GuestKernelError: the kernel complained: KASAN*", "*after this the guest does not*"]
    )


AGENT = """
def agent(guest):
    status = guest.read_file(f"/proc/{guest.service.pid}/status").decode()
    return int(status.partition("PPid:")[2].split()[0])
"""


def test_hang_says_where(inner):
    """A process that does not come back, in a guest that is well otherwise."""
    result = inner("""
        import struct

        def test_blocked(guest):
            proc = guest.spawn()
            ends = bytearray(8)
            proc.syscall("pipe2", ends, 0)
            proc.syscall("read", struct.unpack("<2i", ends)[0], bytearray(1), 1, timeout_s=0.5)
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *GuestTimeout: *did not answer*", "E *where the guest is (by sysrq;*", "E *pipe_read*"]
    )


def test_silent_guest_says_where(inner):
    """Nobody in it answers, but its kernel does; that it was stopped so is not its fault."""
    result = inner(
        AGENT
        + textwrap.dedent("""
        def test_silent(guest):
            number = agent(guest)
            guest.timeout_s = 1.0
            guest.spawn().syscall("kill", number, 19)
            guest.spawn()
    """)
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *GuestTimeout: *",
            "E *besides: the guest does not answer*",
            "E *where the guest is (by an NMI;*",
            "E *panic - not syncing: NMI*",
        ]
    )
    result.stdout.no_fnmatch_line("E *GuestKernelError*")


def test_end_of_the_agent_is_the_rigs_fault(inner):
    result = inner(
        AGENT
        + textwrap.dedent("""
        from vnpu.base.errors import RigError

        def test_agent(guest):
            with pytest.raises(RigError, match="agent ended: killed by SIGABRT"):
                guest.spawn().syscall("kill", agent(guest), 6)
                guest.spawn()
    """)
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *RigError: the guest's agent ended: killed by SIGABRT*"])
    result.stdout.no_fnmatch_line("E *GuestKernelError*")


def test_machines_of_the_lab_are_judged(inner):
    result = inner(f"""
        from vnpu.machine import MachineConfig

        BARE = MachineConfig(tested=False)

        def test_quiet(lab):
            with lab.machine(BARE) as one, lab.machine(BARE) as other:
                assert one.guest.spawn().pid == other.guest.spawn().pid

        def test_noisy(lab):
            with lab.machine(BARE) as machine:
                guest = machine.guest
                {COMPLAIN}

        def test_noisy_failure(lab):
            with lab.machine(BARE) as machine:
                guest = machine.guest
                {COMPLAIN}
                assert 1 == 2

        def test_forgiven(lab):
            with lab.machine(BARE, expected=["KASAN: slab-use-after-free in made_up"]) as machine:
                guest = machine.guest
                {COMPLAIN}
    """)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["E *GuestKernelError: the kernel complained*"] * 2)


PIN = "guest.shell('sleep 1000 < /dev/accel/accel0 > /dev/null 2>&1 &', check=True)"


@pytest.fixture
def impatient(monkeypatch):
    """What holds the module here never lets go: no need to wait for that as long as for others."""
    monkeypatch.setattr(verdict, "_SETTLE_S", 0.3)


def test_module_that_is_held_fails_its_test(inner, impatient):
    """By a process that the harness does not know, as by a reference that the driver lost."""
    result = inner(f"""
        @pytest.mark.machine(tested=True)
        def test_holds(guest):
            {PIN}

        @pytest.mark.machine(tested=True)
        def test_holds_elsewhere(lab):
            with lab.machine() as machine:
                guest = machine.guest
                {PIN}
    """)
    assert result.parseoutcomes() == {"passed": 1, "errors": 1, "failed": 1}
    result.stdout.fnmatch_lines(["E *the module does not unload: 1 reference*(sleep)*"] * 2)


def test_no_machine_goes_on_after_a_fault(inner):
    """Whoever comes next gets another process, not a guest that was taken back."""
    result = inner(f"""
        seen = set()

        def unseen(machine):
            assert machine.process.pid not in seen
            seen.add(machine.process.pid)

        def test_noisy(machine, guest):
            unseen(machine)
            {COMPLAIN}

        def test_after_noise(machine):
            unseen(machine)
            raise ValueError("fails")

        def test_after_failure(machine, lab):
            unseen(machine)

        def test_after_success(machine):
            assert machine.process.pid in seen
    """)
    result.assert_outcomes(failed=2, passed=2)


def test_module_that_is_held_fails_an_excused_test(inner, impatient):
    """What a test is excused for is its own; what it leaves in the kernel is judged."""
    result = inner(f"""
        pytestmark = pytest.mark.machine(tested=True)

        @pytest.fixture
        def gives_up(guest):
            {PIN}
            pytest.skip("no use")

        def test_skips(guest):
            {PIN}
            pytest.skip("no use")

        @pytest.mark.xfail
        def test_fails(guest):
            {PIN}
            assert 1 == 2

        def test_not_reached(gives_up):
            pass

        @pytest.mark.expect_kernel_log("never comes")
        def test_leaves_nothing(guest):
            pytest.skip("before what it expects")
    """)
    assert result.parseoutcomes() == {"skipped": 3, "xfailed": 1, "errors": 3}
    result.stdout.fnmatch_lines(["E *the module does not unload: 1 reference*(sleep)*"] * 3)


def test_expected_complaint(inner):
    result = inner(f"""
        @pytest.mark.expect_kernel_log("KASAN: slab-use-after-free in made_up")
        def test_forgiven(guest):
            {COMPLAIN}

        @pytest.mark.allow_kernel_log("never comes")
        @pytest.mark.allow_kernel_log("KASAN: .* in made_up")
        def test_allowed(guest):
            {COMPLAIN}

        @pytest.mark.allow_kernel_log("never comes")
        def test_allowed_for_nothing(guest):
            pass

        @pytest.mark.expect_kernel_log("never comes")
        def test_missing(guest):
            pass
    """)
    result.assert_outcomes(failed=1, passed=3)
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
        "--vnpu-lane=stock",
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
        "--vnpu-log-dir=logs",
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
