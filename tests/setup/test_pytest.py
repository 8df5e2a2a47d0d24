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
