# SPDX-License-Identifier: MIT
"""The driver's own unit tests, run by KUnit inside the guest's kernel."""

import re

import pytest

pytestmark = pytest.mark.lane("debug", "custom")

RESULTS = "/sys/kernel/debug/kunit"
#: a KTAP line with a verdict: indentation, verdict, number, name
VERDICT = re.compile(r"^(?P<indent> *)(?P<verdict>ok|not ok) \d+ (- )?(?P<name>\S+)(?P<rest>.*)$")


def verdicts(ktap: str) -> dict[str, str]:
    """Each test's verdict by name; suites' own summaries, which are least indented, left out."""
    found = [match for match in map(VERDICT.match, ktap.splitlines()) if match]
    outermost = min((len(match["indent"]) for match in found), default=0)
    return {
        match["name"]: "skipped" if "# SKIP" in match["rest"] else match["verdict"]
        for match in found
        if len(match["indent"]) > outermost
    }


def test_kunit_suites_pass(guest):
    before = set(guest.listdir(RESULTS)) if guest.exists(RESULTS) else set()
    guest.insmod("vnpu_kunit")
    suites = sorted(set(guest.listdir(RESULTS)) - before)
    assert suites, "vnpu_kunit.ko registered no suite"
    failed = []
    for suite in suites:
        ktap = guest.read_file(f"{RESULTS}/{suite}/results").decode()
        results = verdicts(ktap)
        assert results, f"suite {suite} ran no test:\n{ktap}"
        failed += [
            f"{suite}.{name}: {verdict}\n{ktap}"
            for name, verdict in results.items()
            if verdict != "ok"
        ]
    assert not failed, "\n".join(failed)
    guest.rmmod("vnpu_kunit")
