# SPDX-License-Identifier: MIT
"""Machines that bring their own: firmware and busybox from wherever they are."""

import subprocess

import pytest

from vnpu.artifacts.initramfs import build
from vnpu.artifacts.qemu import firmware
from vnpu.base.errors import SetupError


@pytest.fixture(autouse=True)
def no_archive(monkeypatch):
    """A system without apt, and without any firmware of its own."""

    def unpacked(package):
        raise SetupError("this is no Debian system")

    monkeypatch.setattr(firmware, "unpacked", unpacked)
    monkeypatch.setattr(firmware, "_ELSEWHERE", ())
    monkeypatch.setattr(
        firmware,
        "PACKAGES",
        {name: (f"nowhere{path}", file) for name, (path, file) in firmware.PACKAGES.items()},
    )


def test_firmware_beside_a_qemu_of_ones_own(tmp_path):
    binary = tmp_path / "bin/qemu-system-x86_64"
    share = tmp_path / "share/qemu"
    share.mkdir(parents=True)
    for name in ("bios-256k.bin", "linuxboot_dma.bin"):
        (share / name).touch()
    assert firmware.ensure(binary) == [share, share]


def test_firmware_that_is_nowhere_is_named():
    with pytest.raises(SetupError, match=r"bios-256k\.bin was not found: this is no Debian") as e:
        firmware.ensure()
    assert "SeaBIOS" in e.value.hint


def test_busybox_is_taken_from_the_path_if_it_is_static(tmp_path, monkeypatch):
    source = tmp_path / "x.c"
    source.write_text("int main(void) { return 0; }\n")
    box = tmp_path / "busybox"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build.shutil, "which", lambda name, path: _in(tmp_path, name))
    with pytest.raises(SetupError, match="busybox that needs no libraries was not found"):
        build._busybox()
    subprocess.run(["/usr/bin/gcc", source, "-o", box], check=True, env={"PATH": "/usr/bin:/bin"})
    with pytest.raises(SetupError):
        build._busybox()
    subprocess.run(
        ["/usr/bin/gcc", "-static", source, "-o", box], check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert build._busybox() == box


def _in(folder, name):
    return str(folder / name) if (folder / name).exists() else None
