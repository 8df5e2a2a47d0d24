# SPDX-License-Identifier: MIT
"""The built package, in an environment and a directory that know no checkout."""

import os
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    _python(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps",
        "-w", folder, REPO,
    )  # fmt: skip
    (built,) = folder.glob("vnpu-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The ``vnpu`` command of a fresh environment."""
    folder = tmp_path_factory.mktemp("environment")
    _python(sys.executable, "-m", "venv", folder)
    _python(
        folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check",
        "--only-binary", ":all:", f"{wheel}[rig]",
    )  # fmt: skip
    return folder / "bin/vnpu"


def _python(*command, cwd=None, **more):
    """Run a program that is to know nothing of this session's environment."""
    hidden = ("PYTHON", "VNPU_REPO", "VIRTUAL_ENV", "PYTEST", "LANE", "KERNEL", "KDIR")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**env, **more}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_wheel_carries_what_it_builds_and_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("kernel", "qemu-device", "spec", "userspace/agent", "tests/e2e", "tests/kunit"):
        for file in (REPO / folder).rglob("*"):
            if file.is_file() and not any(p.startswith((".", "__py")) for p in file.parts):
                assert f"vnpu/_sources/{file.relative_to(REPO)}" in names
    for name in ("py.typed", "hw/vnpu.yaml", "artifacts/data/packages.txt", "_sources/Kconfig"):
        assert f"vnpu/{name}" in names
    assert not [name for name in names if name.endswith((".o", ".pyc", ".ko"))]


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        fields = HeaderParser().parsestr(archive.read(name).decode())
    assert "GPL-2.0-only" in (fields["License"] or fields["License-Expression"])
    assert "accel" in fields.get_payload()
    assert {"rig", "dev"} <= set(fields.get_all("Provides-Extra"))
    assert "Typing :: Typed" in fields.get_all("Classifier")
    unconditional = [row for row in fields.get_all("Requires-Dist") if "extra ==" not in row]
    assert not [row for row in unconditional if row.startswith(("pytest", "meson", "hypothesis"))]


def test_installed_package_boots_and_tests(installed, tmp_path):
    """All of it comes from the package: there is no checkout around."""
    out = _python(
        installed, "test", "--lane", "stock", "--jobs", "1", "-k", "test_bo_round_trip",
        cwd=tmp_path,
    )  # fmt: skip
    assert "using the sources that come with this package" in out
    assert "1 passed" in out
    assert (tmp_path / "vnpu-report/e2e-stock.html").is_file()
    package = installed.parents[1] / "lib"
    assert not list(package.rglob("_sources/.pytest_cache"))


def test_installed_package_works_on_a_checkout_that_is_named(installed, tmp_path):
    out = _python(
        installed, "--repo", REPO, "test", "--lane", "stock", "--jobs", "1", "-k", "test_nop",
        cwd=tmp_path,
    )  # fmt: skip
    assert f"using the checkout {REPO}" in out
    assert "1 passed" in out
