# SPDX-License-Identifier: MIT
"""The seam between the rig and what it tests."""

import re
from pathlib import Path

import pytest

import vnpu
from vnpu import target
from vnpu.base.errors import UsageError
from vnpu.machine import MachineConfig, cmdline
from vnpu.machine.cmdline import Backing

PACKAGE = Path(vnpu.__file__).parent
#: rooms that build, boot and judge guests, and know no driver but through vnpu.target
GENERIC = ("base", "artifacts", "guest", "klog", "machine", "testing")
#: the driver's module, node, trace events, options, sources, fixture and device
FACTS = re.compile(
    r"""vnpu\.ko|vnpu_kunit|["']vnpu["'/,]|vnpu_\*|accel0|debug/accel|/accel["'/{]"""
    r"""|DRM_|GPU_|vnpu,id|["']kernel["']\s*$|(?i:\bnpu\b)|hw.misc.vnpu|qemu-device\b|\bvgem\b"""
)
#: a string of these is the package, the cache or the brand
NAMES = re.compile(
    r"""getgroup\("vnpu"|/ "vnpu"$|"vnpu-|PackageLoader|repo_root\(\)|_LANDMARKS|KBUILD_BUILD_"""
    r"""|"etc/vnpu"|"drivers/gpu/drm/"""
)


def generic_files():
    for room in GENERIC:
        path = PACKAGE / room
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def test_generic_rooms_name_no_driver():
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in generic_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FACTS.search(line) and not NAMES.search(line) and "import" not in line
    ]
    assert not found, "\n".join(found)


def test_unknown_target_is_named(monkeypatch):
    monkeypatch.setenv(target.VARIABLE, "nothing")
    with pytest.raises(UsageError, match="no target 'nothing'"):
        target.current()


def test_target_decides_the_machine(monkeypatch):
    ours = cmdline.guest(MachineConfig(), 0, Backing.TEMPLATE)
    assert any(word.startswith("vnpu,") for word in ours)
    monkeypatch.setenv(target.VARIABLE, "vgem")
    words = cmdline.guest(MachineConfig(), 0, Backing.TEMPLATE)
    assert not any(word.startswith("vnpu,") or "id=vram" in word for word in words)


def test_tests_of_every_target_are_there():
    root = Path(__file__).parents[2]
    for one in target.TARGETS.values():
        assert list((root / one.tests).glob("test_*.py")), one.name
        assert one.source is None or (root / one.source / "Kbuild").exists()
