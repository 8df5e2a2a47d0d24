# SPDX-License-Identifier: MIT
"""Opening the device, and what it says about itself."""

import errno
import os
import stat

import pytest
from support import PAGE, Copier, raises_errno

from vnpu.accel import SYSTEM, VRAM, Device
from vnpu.hw.packets import Fill
from vnpu.uapi import abi

NODE = "/dev/accel/accel0"


def test_only_accel_node(guest):
    """A compute accelerator: no card, no render node, no control node."""
    assert guest.listdir("/dev/accel") == ["accel0"]
    assert guest.listdir("/sys/class/accel/accel0/device/accel") == ["accel0"]
    assert not guest.exists("/sys/class/accel/accel0/device/drm")


def test_node_is_the_accel_major(proc):
    buffer = proc.alloc(144)
    proc.syscall("stat", NODE, buffer.addr)
    mode = int.from_bytes(buffer[24:28], "little")
    device = int.from_bytes(buffer[40:48], "little")
    assert stat.S_ISCHR(mode)
    assert (os.major(device), os.minor(device)) == (261, 0)


def test_sysfs_leads_to_the_pci_device(guest):
    base = "/sys/class/accel/accel0/device"
    assert guest.read_file(f"{base}/vendor") == b"0x1234\n"
    assert guest.read_file(f"{base}/device") == b"0x4e50\n"
    assert guest.read_file(f"{base}/class") == b"0x120000\n"
    assert guest.exists(f"{base}/driver/unbind")


def test_open_twice_in_one_process(proc):
    one, two = Device.open(proc), Device.open(proc)
    assert one.fd != two.fd
    bo = one.bo_create(PAGE)
    one.close()
    with raises_errno(errno.EBADF):
        abi.bo_mmap_offset(proc, one.fd, handle=bo.handle)
    two.bo_create(PAGE).write(b"x")


def test_open_by_many(guest):
    devices = [Device.open(guest.spawn()) for _ in range(12)]
    for i, device in enumerate(devices):
        bo = device.bo_create(PAGE)
        assert bo.handle == 1, "each file counts its handles from one"
        bo.write(bytes([i]))
    for i, device in enumerate(devices):
        assert device.bo_create(PAGE).handle == 2
        assert device.fdinfo()["drm-driver"] == "vnpu", i


def test_open_and_close_without_ioctl(guest, proc):
    def uses():
        return int(guest.read_file("/sys/module/vnpu/refcnt"))

    before = uses()
    for _ in range(50):
        fd = proc.open(NODE, os.O_RDWR)
        assert uses() == before + 1
        proc.close(fd)
    assert uses() == before


def test_open_is_refused_exclusively(proc):
    with raises_errno(errno.EBUSY):
        proc.open(NODE, os.O_RDWR | os.O_EXCL)


def test_duplicate_descriptor_is_the_same_client(npu):
    twin = Device(npu.proc, npu.proc.dup(npu.fd))
    bo = npu.bo_create(PAGE)
    assert abi.bo_mmap_offset(npu.proc, twin.fd, handle=bo.handle).offset == bo.mmap_offset()
    npu.proc.close(npu.fd)
    bo.device = twin
    bo.write(b"still here")
    assert bo.read(10) == b"still here"
    twin.close()


def test_close_frees_what_the_file_held(npu, other):
    before = npu.query_memory().vram_used
    vm = other.vm_create()
    for _ in range(4):
        vm.bind(other.bo_create(1 << 20))
    other.queue_create(vm)
    other.syncobj_create()
    assert npu.query_memory().vram_used >= before + (4 << 20)
    other.close()
    assert npu.query_memory().vram_used <= before + (1 << 20)


def test_mapping_outlives_the_file(guest):
    proc = guest.spawn()
    device = Device.open(proc)
    mapping = device.bo_create(PAGE).map()
    mapping[:4] = b"data"
    device.close()
    assert mapping[:4] == b"data"


def test_read_only_descriptor_can_ask_and_map_for_reading(proc):
    device = Device(proc, proc.open(NODE, os.O_RDONLY))
    assert device.query_device().page_size == PAGE
    bo = device.bo_create(PAGE, placement=SYSTEM)
    offset = bo.mmap_offset()
    assert not any(proc.mmap(PAGE, 1, 1, device.fd, offset).read())
    with raises_errno(errno.EACCES):
        proc.mmap(PAGE, 3, 1, device.fd, offset)


def test_file_mode_keeps_users_out(guest):
    plain = guest.spawn(uid=1000, gid=1000)
    with raises_errno(errno.EACCES):
        Device.open(plain)


@pytest.mark.parametrize("who", ["everyone", "group"])
def test_user_let_in_by_the_file_mode_needs_no_privilege(guest, who):
    if who == "everyone":
        guest.shell(f"chmod 666 {NODE}")
    else:
        guest.shell(f"chown 0:44 {NODE}; chmod 660 {NODE}")
    device = Device.open(guest.spawn(uid=1000, gid=44))
    bo = device.bo_create(PAGE, placement=VRAM)
    bo.write(b"mine")
    vm = device.vm_create()
    vm.bind(bo)
    device.queue_create(vm).submit([]).wait()
    assert device.name() == "vnpu"
    out = device.prime_import(bo.export())
    assert out.handle == bo.handle


def test_privilege_dropped_after_open_changes_nothing(guest):
    proc = guest.spawn()
    device = Device.open(proc)
    proc.setuid(1000, 1000)
    assert proc.syscall("getuid") == 1000
    copier = Copier(device)
    bo, va = copier.buffer(PAGE)
    bo.write(b"x" * PAGE)
    copier.queue.submit([Fill(pattern=7, dst=va, size=8)]).wait()
    assert bo.read(12) == b"\7\0\0\0\7\0\0\0xxxx"


def test_name_and_version(npu):
    assert npu.name() == "vnpu"
    version = npu.version()
    assert version.version_major >= 1 or version.version_minor >= 1
    assert version.name_len == 4


def test_version_strings_are_cut_to_the_buffer(npu):
    proc = npu.proc
    buffer = proc.alloc(16)
    buffer.write(b"\xaa" * 16)
    got = abi.version(proc, npu.fd, name=buffer.addr, name_len=2)
    assert got.name_len == 4
    assert buffer[:4] == b"vn\xaa\xaa"


@pytest.mark.parametrize(
    ("capability", "value"),
    [
        ("DRM_CAP_SYNCOBJ", 1),
        ("DRM_CAP_SYNCOBJ_TIMELINE", 1),
        ("DRM_CAP_TIMESTAMP_MONOTONIC", 1),
        ("DRM_CAP_PRIME", abi.DRM_PRIME_CAP_IMPORT | abi.DRM_PRIME_CAP_EXPORT),
    ],
)
def test_capability(npu, capability, value):
    assert abi.get_cap(npu.proc, npu.fd, capability=getattr(abi, capability)).value == value


@pytest.mark.parametrize("capability", [0, 1, 3, 0x11, 0x1000, 2**64 - 1])
def test_no_other_capability(npu, capability):
    with raises_errno(errno.EOPNOTSUPP, errno.EINVAL):
        abi.get_cap(npu.proc, npu.fd, capability=capability)


def test_read_gives_no_events(npu):
    proc = npu.proc
    fd = proc.open(NODE, os.O_RDWR | os.O_NONBLOCK)
    with raises_errno(errno.EAGAIN):
        proc.read(fd, 64)
    assert not proc.poll({fd: 1}, timeout_ms=0)


def test_write_is_refused(npu):
    with raises_errno(errno.EINVAL, errno.EBADF):
        npu.proc.write(npu.fd, b"data")


def test_ioctl_on_a_closed_descriptor(npu):
    npu.proc.close(npu.fd)
    with raises_errno(errno.EBADF):
        npu.query_device()


def test_module_stays_while_a_file_is_open(guest, npu):
    with raises_errno(errno.EWOULDBLOCK, errno.EBUSY):
        guest.rmmod("vnpu")
    npu.query_device()
