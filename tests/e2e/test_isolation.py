# SPDX-License-Identifier: MIT
"""What one client writes, another never sees."""

import errno

import pytest
from support import MIB, PAGE, Copier, fails, pattern, raises_errno, submit

from vnpu.accel import COPY, SYSTEM, VRAM, Device
from vnpu.hw.codes import Fault
from vnpu.hw.packets import Copy, Fill
from vnpu.uapi import abi

SECRET = b"\xc0\xff\xee\x5e" * (PAGE // 4)
BASE = 0x10_0000_0000


@pytest.fixture
def clients(guest):
    """Two clients in two unprivileged processes."""
    devices = []
    for uid in (1001, 1002):
        proc = guest.spawn()
        dev = Device.open(proc)
        proc.setuid(uid, uid)
        devices.append(dev)
    return devices


def test_handles_are_per_file(clients):
    one, two = clients
    bo = one.bo_create(PAGE, placement=VRAM)
    with raises_errno(errno.ENOENT):
        abi.bo_mmap_offset(two.proc, two.fd, handle=bo.handle)
    with raises_errno(errno.ENOENT):
        two.vm_create().bind_ops([abi.drm_vnpu_vm_bind_op(handle=bo.handle, va=BASE, size=PAGE)])


def test_vm_ids_are_per_file(clients):
    one, two = clients
    vm = one.vm_create()
    with raises_errno(errno.ENOENT):
        abi.queue_create(two.proc, two.fd, vm_id=vm.id, engine_class=0, priority=1)
    with raises_errno(errno.ENOENT):
        abi.bo_create(two.proc, two.fd, size=PAGE, placements=1, vm_id=vm.id)


def test_queue_ids_are_per_file(clients):
    one, two = clients
    queue = one.queue_create(one.vm_create(), engine=COPY)
    with raises_errno(errno.ENOENT):
        submit(two, abi.SubmitJob(queue_id=queue.id))
    with raises_errno(errno.ENOENT):
        abi.queue_query(two.proc, two.fd, id=queue.id)


def test_mmap_offset_of_another_file(clients):
    """A fake offset that belongs to another client cannot be mapped."""
    one, two = clients
    bo = one.bo_create(PAGE, placement=SYSTEM)
    bo.write(SECRET)
    with raises_errno(errno.EACCES, errno.EPERM):
        two.proc.mmap(PAGE, 3, 1, two.fd, bo.mmap_offset())


def test_same_address_other_space(clients):
    """Two clients use the same virtual address; each has its own data."""
    data = []
    for seed, dev in enumerate(clients):
        c = Copier(dev)
        bo = dev.bo_create(PAGE, placement=VRAM)
        bo.write(pattern(PAGE, seed))
        c.vm.bind(bo, va=BASE)
        out, va_out = c.buffer(PAGE)
        data.append((c, out, va_out))
    for c, _, va_out in data:
        c.copy(BASE, va_out, PAGE).wait()
    for seed, (_, out, _) in enumerate(data):
        assert out.read(PAGE) == pattern(PAGE, seed)


def test_unmapped_address_of_another_space(clients):
    """An address mapped only in the other client's space faults."""
    one, two = (Copier(dev) for dev in clients)
    bo = clients[0].bo_create(PAGE, placement=VRAM)
    bo.write(SECRET)
    one.vm.bind(bo, va=BASE)
    out, va_out = two.buffer(PAGE)
    fence = two.copy(BASE, va_out, PAGE)
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    assert two.queue.query().fault_code == Fault.TRANSLATION
    assert two.queue.query().fault_addr == BASE
    assert not any(out.read(PAGE))


def test_write_to_another_space(clients):
    one, two = (Copier(dev) for dev in clients)
    bo = clients[0].bo_create(PAGE, placement=VRAM)
    bo.write(SECRET)
    one.vm.bind(bo, va=BASE)
    fails(two.queue.submit([Fill(pattern=0, dst=BASE, size=PAGE)]), errno.EIO)
    assert bo.read(PAGE) == SECRET


@pytest.mark.parametrize("addr", [1 << 63, (1 << 63) | (1 << 20), 1 << 48, 2**64 - PAGE])
def test_physical_addresses_are_out_of_reach(clients, addr):
    """The address forms of the kernel's own context mean nothing in a client's."""
    c = Copier(clients[1])
    out, va_out = c.buffer(PAGE)
    fence = c.copy(addr, va_out, PAGE)
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    assert c.queue.query().fault_code == Fault.ADDRESS
    assert not any(out.read(PAGE))


@pytest.mark.parametrize("opcode", [0x01, 0x02, 0x03, 0x04], ids=["nop", "ind", "fence", "inv"])
def test_ring_entries_in_a_command_buffer(clients, opcode):
    """A client cannot use the entries that only the driver may write."""
    c = Copier(clients[0])
    cmds, va = c.buffer(PAGE)
    cmds.write((opcode | 8 << 16).to_bytes(4, "little") + bytes(28))
    fence = c.queue.submit([(va, 32)])
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    assert c.queue.query().fault_code == Fault.OPCODE


@pytest.mark.parametrize("size", [PAGE, 64 * 1024, 2 * MIB])
@pytest.mark.parametrize("placement", [VRAM, SYSTEM], ids=["vram", "system"])
def test_recycled_memory_is_clean(clients, size, placement):
    one, two = clients
    for _ in range(4):
        victim = one.bo_create(size, placement=placement)
        victim.write(SECRET * (size // PAGE))
        victim.close()
        thief = two.bo_create(size, placement=placement)
        assert SECRET[:64] not in thief.read(size)
        assert not any(thief.read(size))
        thief.close()


@pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)
def test_recycled_vram_never_shows_a_secret(clients):
    """All of VRAM is filled with a secret, given back, and read by another."""
    one, two = clients
    size = 4 * MIB
    bos = [one.bo_create(size, placement=VRAM) for _ in range(14)]
    for bo in bos:
        bo.write(SECRET * (size // PAGE))
    for bo in bos:
        bo.close()
    c = Copier(two)
    out, va_out = c.buffer(size, SYSTEM)
    for _ in range(10):
        _, va = c.buffer(size, VRAM)
        c.copy(va, va_out, size).wait(timeout_ms=20000)
        assert not any(out.read(size))


def test_freed_mapping_is_not_readable(clients):
    """Unbound and closed memory, recycled by another, is out of the old one's reach."""
    one, two = clients
    c = Copier(one)
    old, va = c.buffer(2 * MIB, VRAM)
    out, va_out = c.buffer(PAGE)
    c.copy(va, va_out, PAGE).wait()
    c.vm.unbind(va, 2 * MIB)
    old.close()
    fresh = two.bo_create(2 * MIB, placement=VRAM)
    fresh.write(SECRET * (2 * MIB // PAGE))
    fence = c.copy(va, va_out, PAGE)
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    assert out.read(PAGE) != SECRET


def test_command_buffer_of_another_client(clients):
    """A command buffer is fetched through the submitter's own space."""
    one, two = (Copier(dev) for dev in clients)
    cmds = clients[0].bo_create(PAGE, placement=VRAM)
    one.vm.bind(cmds, va=BASE)
    cmds.write(bytes(Copy(src=BASE, dst=BASE, size=8)))
    fence = two.queue.submit([(BASE, 32)])
    fence.wait(check=False)
    assert fence.error() == errno.EIO
    query = two.queue.query()
    assert query.fault_code == Fault.TRANSLATION
    assert query.fault_addr == BASE


def test_fault_of_one_client_leaves_the_other(clients):
    one, two = (Copier(dev) for dev in clients)
    _, va_a = two.buffer(PAGE)
    _, va_b = two.buffer(PAGE)
    for _ in range(5):
        bad = one.npu.queue_create(one.vm, engine=COPY)
        fence = bad.submit([Fill(pattern=1, dst=BASE, size=PAGE)])
        good = two.copy(va_a, va_b, PAGE)
        good.wait()
        fails(fence, errno.EIO)
        bad.destroy()


def test_error_paths_leak_no_kernel_memory(clients):
    """Outputs of a failed ioctl hold what the caller put there, nothing else."""
    dev = clients[0]
    raw = bytes(abi.drm_vnpu_bo_create(size=0, placements=1, handle=0))
    number = abi.DRM_IOCTL_VNPU_BO_CREATE
    buffer = dev.proc.alloc(64)
    buffer.write(raw + b"\xaa" * (64 - len(raw)))
    with raises_errno(errno.EINVAL):
        dev.proc.syscall("ioctl", dev.fd, number, buffer.addr)
    assert buffer.read() == raw + b"\xaa" * (64 - len(raw))
