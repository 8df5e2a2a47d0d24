# SPDX-License-Identifier: MIT
"""Configuration: the driver's options for a kernel tree, and the defaults of `make`."""

import os
import subprocess
import sys
from pathlib import Path

import kconfiglib
import pytest

from vnpu.cli import main

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def menu(monkeypatch):
    monkeypatch.setenv("srctree", str(REPO))
    monkeypatch.chdir(REPO)
    return kconfiglib.Kconfig("harness/Kconfig")


def test_menu_has_no_warnings_and_knows_the_driver(menu):
    assert menu.warnings == []
    assert menu.syms["DRM_ACCEL_VNPU"].str_value == "m"
    assert menu.syms["DRM_ACCEL_VNPU_KUNIT_TEST"].str_value == "m"


def test_a_kernel_tree_finds_the_options_wherever_it_has_them(tmp_path, monkeypatch):
    """The file that is sourced is relative to that tree's root."""
    place = tmp_path / "drivers/accel/vnpu"
    place.parent.mkdir(parents=True)
    place.symlink_to(REPO)
    (tmp_path / "Kconfig").write_text(
        "".join(f"config {name}\n\tdef_bool y\n" for name in ("64BIT", "PCI", "MMU", "DRM_ACCEL"))
        + 'source "drivers/accel/vnpu/Kconfig"\n'
    )
    monkeypatch.setenv("srctree", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    kernel = kconfiglib.Kconfig("Kconfig")
    assert "DRM_ACCEL_VNPU" in kernel.syms and kernel.syms["DRM_ACCEL_VNPU"].nodes
    assert not [name for name in kernel.syms if name.startswith("VNPU_")]


def test_defaults_are_what_applies_without_a_file(menu, tmp_path, monkeypatch):
    file = tmp_path / "config"
    monkeypatch.delenv("LANE", raising=False)
    monkeypatch.delenv("KDIR", raising=False)
    monkeypatch.setenv("VNPU_CONFIG", "/dev/null")
    without = _choices()
    menu.write_config(str(file))
    monkeypatch.setenv("VNPU_CONFIG", str(file))
    assert _choices() == without


def test_chosen_machine_and_what_comes_before_it(menu, tmp_path, monkeypatch):
    menu.syms["VNPU_VRAM"].set_value("64")
    menu.syms["VNPU_APERTURE"].set_value("16")
    menu.syms["VNPU_CPUS"].set_value("2")
    menu.syms["VNPU_IOMMU"].set_value("y")
    menu.syms["VNPU_LANE_DEBUG"].set_value("y")
    file = tmp_path / "config"
    menu.write_config(str(file))
    monkeypatch.setenv("VNPU_CONFIG", str(file))
    monkeypatch.delenv("LANE", raising=False)
    monkeypatch.delenv("KDIR", raising=False)
    lane, machine = _choices()
    assert lane == "debug"
    assert (machine.vram, machine.aperture, machine.smp) == (64 << 20, 16 << 20, 2)
    assert machine.iommu
    _, machine = _choices("--vram", "128", "--no-iommu", "--cpus", "1")
    assert (machine.vram, machine.aperture, machine.smp) == (128 << 20, 128 << 20, 1)
    assert not machine.iommu
    monkeypatch.setenv("LANE", "stock")
    assert _choices()[0] == "stock"


def _choices(*options):
    arguments = main._parser().parse_args(["boot", *options])
    main._apply_choices(arguments)
    return arguments.lane, main.boot_machine(arguments)


def test_make_defconfig(tmp_path):
    """The program that the Makefile calls, with its variables."""
    target = tmp_path / "config"
    subprocess.run(
        [sys.executable, "-m", "alldefconfig", "harness/Kconfig"],
        cwd=REPO,
        env={**os.environ, "KCONFIG_CONFIG": str(target), "srctree": str(REPO)},
        check=True,
        capture_output=True,
    )
    assert 'CONFIG_VNPU_LANE="stock"' in target.read_text().splitlines()
