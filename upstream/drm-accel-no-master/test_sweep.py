# SPDX-License-Identifier: MIT
"""Every ioctl of DRM core on an accel device that has nothing but DRM core."""

import errno
import sys
from pathlib import Path

import pytest

from vnpu.artifacts.kernel import lanes
from vnpu.base import paths
from vnpu.base.tool import run
from vnpu.testing.options import Options

sys.path.insert(0, str(paths.repo_root() / "tests/e2e"))

from core_ioctls import sweep

MODULE = Path(__file__).with_name("module")
NODE = "/dev/accel/accel1"
GET_UNIQUE, GET_MAGIC = 0x01, 0x02
NOBODY = 65534
PART = 256 << 10  # of a file, in one write to the guest


@pytest.fixture(scope="module")
def plain_ko(request, tmp_path_factory):
    """The bytes of accel_plain.ko for the kernel that is tested."""
    folder = tmp_path_factory.mktemp("module")
    for source in MODULE.iterdir():
        (folder / source.name).write_bytes(source.read_bytes())
    tree = lanes.ensure(Options.of(request.config).lane).build_dir
    run(["make", "-C", tree, f"M={folder}", "W=1", "modules"], "build accel_plain.ko")
    run(["strip", "--strip-debug", folder / "accel_plain.ko"], "strip accel_plain.ko")
    return (folder / "accel_plain.ko").read_bytes()


@pytest.fixture
def plain(guest, plain_ko):
    """The module is loaded; its node may be opened by everybody."""
    for start in range(0, len(plain_ko), PART):
        part = plain_ko[start : start + PART]
        guest.write_file("/lib/modules/accel_plain.ko", part, append=start > 0)
    guest.insmod("accel_plain")
    guest.shell(f"chmod 666 {NODE}")
    yield
    guest.kill_all()
    guest.rmmod("accel_plain")


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("who", ["root", "nobody"])
def test_every_number_of_drm_core(guest, plain, who, bits):
    proc = guest.spawn(**({"uid": NOBODY, "gid": NOBODY} if who == "nobody" else {}))
    fd = proc.open(NODE)
    results = sweep(proc, fd, bits)
    assert results[GET_UNIQUE] == results[GET_MAGIC] == {errno.EINVAL}
