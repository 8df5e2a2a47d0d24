# SPDX-License-Identifier: MIT
"""pytest without our command: from any directory of a checkout it finds all tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("place", [".", "tests", "tests/device"])
def test_plain_pytest_collects(place):
    """Files of one name in several directories once shut each other out."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=REPO / place,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "tests collected" in done.stdout


OTHER = """
def pytest_addoption(parser):
    group = parser.getgroup("other")
    for name in ("--lane", "--kdir", "--keep-vm", "--kmemleak", "--vm-log-dir"):
        group.addoption(name, action="store_true")
"""


def test_options_of_other_plugins_are_theirs(tmp_path):
    """Ours have a prefix; the older names of some are left to whoever has them, too."""
    (tmp_path / "other.py").write_text(OTHER)
    (tmp_path / "test_it.py").write_text(
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.getoption('--lane') is True\n"
        "    assert pytestconfig.getoption('--kmemleak') is True\n"
        "    assert pytestconfig.getoption('--vnpu-kmemleak') is None\n"
    )
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "other", "--lane", "--kmemleak"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
