# SPDX-License-Identifier: MIT
"""Kernels out of their wrapping."""

import gzip
import lzma
import struct
import subprocess

import pytest

from vnpu.artifacts.kernel import pvh
from vnpu.base.errors import BuildError

NOTE = """
        .section .note.Xen, "a", @note
        .long 4, 4, 18
        .asciz "Xen"
        .long 0x1000
        .text
        .globl _start
_start: ret
"""
SETUP_SECTORS = 3


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    """An ELF file with the entry point."""
    return link(tmp_path_factory.mktemp("elf"), NOTE)


def link(folder, source):
    (folder / "a.s").write_text(source)
    command = ["gcc", "-nostdlib", "-static", "-o", folder / "a.elf", folder / "a.s"]
    subprocess.run(command, check=True)
    return folder / "a.elf"


def zstd(data):
    return subprocess.run(["zstd", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def bzimage(path, payload):
    """A boot sector, setup code, and a payload some way into the rest."""
    image = bytearray((SETUP_SECTORS + 1) * 512)
    image[0x1F1] = SETUP_SECTORS
    image[0x202:0x206] = b"HdrS"
    data = payload + struct.pack("<I", 4711)
    struct.pack_into("<II", image, 0x248, 100, len(data))
    path.write_bytes(bytes(image) + bytes(100) + data + b"more")
    return path


@pytest.mark.parametrize("pack", [zstd, lzma.compress, gzip.compress], ids=["zstd", "xz", "gzip"])
def test_the_kernel_comes_out_as_it_went_in(tmp_path, elf, pack):
    image = bzimage(tmp_path / "image", pack(elf.read_bytes()))
    assert pvh.extract(image, tmp_path / "vmlinux")
    assert (tmp_path / "vmlinux").read_bytes() == elf.read_bytes()


@pytest.mark.parametrize(
    "payload",
    [b"LZ4?" + bytes(100), gzip.compress(b"no ELF file"), b""],
    ids=["unknown packing", "no kernel", "empty"],
)
def test_what_cannot_be_unpacked_is_left_as_it_is(tmp_path, payload):
    image = bzimage(tmp_path / "image", payload)
    assert not pvh.extract(image, tmp_path / "vmlinux")
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_no_boot_image(tmp_path):
    (tmp_path / "image").write_bytes(bytes(4096))
    assert not pvh.extract(tmp_path / "image", tmp_path / "vmlinux")


def test_cut_off(tmp_path, elf):
    image = bzimage(tmp_path / "image", gzip.compress(elf.read_bytes())[:-20])
    with pytest.raises(BuildError, match="unpack the kernel"):
        pvh.extract(image, tmp_path / "vmlinux")
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_kernel_without_the_entry_point(tmp_path, elf):
    assert pvh.bootable(elf)
    assert not pvh.bootable(link(tmp_path, NOTE.replace("18", "17")))
    assert not pvh.bootable(tmp_path / "nothing")
