# SPDX-License-Identifier: MIT
"""Buffer objects: creation, handles, mappings."""

import errno
import mmap
import signal

import pytest
from support import MIB, PAGE, PLACEMENTS, Copier, pattern, raises_errno

from vnpu.accel import SYSTEM, VRAM, BoFlag, Device
from vnpu.guest import GuestFault
from vnpu.uapi import abi

RW = mmap.PROT_READ | mmap.PROT_WRITE
SHARED = mmap.MAP_SHARED
PRIVATE = mmap.MAP_PRIVATE
EITHER = VRAM | SYSTEM


@pytest.mark.parametrize("placement", [VRAM, SYSTEM, EITHER], ids=["vram", "system", "either"])
@pytest.mark.parametrize(
    ("asked", "got"),
    [(1, PAGE), (PAGE - 1, PAGE), (PAGE, PAGE), (PAGE + 1, 2 * PAGE), (MIB + 5, MIB + PAGE)],
)
def test_size_is_rounded_up_to_pages(npu, asked, got, placement):
    bo = npu.bo_create(asked, placement=placement)
    assert bo.size == got
    bo.write(b"end", got - 3)
    assert bo.read(3, got - 3) == b"end"


@pytest.mark.parametrize("placement", [VRAM, SYSTEM, EITHER], ids=["vram", "system", "either"])
def test_new_buffer_reads_as_zero(npu, placement):
    bo = npu.bo_create(3 * MIB, placement=placement)
    assert not any(bo.read())


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_contents_are_kept(npu, placement):
    bo = npu.bo_create(3 * MIB + PAGE, placement=placement)
    data = pattern(bo.size)
    bo.write(data)
    assert bo.read() == data
    bo.unmap()
    assert bo.read() == data, "the same through another mapping"


def test_cpu_visible(npu):
    bo = npu.bo_create(MIB, placement=VRAM, flags=BoFlag.CPU_VISIBLE)
    before = npu.query_memory().visible_used
    bo.write(b"x")
    assert npu.query_memory().visible_used >= MIB
    assert npu.query_memory().visible_used - before <= MIB


def test_handles_are_small_and_reused(npu):
    bos = [npu.bo_create(PAGE) for _ in range(5)]
    assert [bo.handle for bo in bos] == [1, 2, 3, 4, 5]
    bos[2].close()
    assert npu.bo_create(PAGE).handle == 3


def test_many_buffers(npu):
    """Each keeps its own contents."""
    bos = [npu.bo_create(PAGE, placement=VRAM if i % 2 else SYSTEM) for i in range(64)]
    for i, bo in enumerate(bos):
        bo.write(i.to_bytes(4, "little"))
        bo.unmap()
    for i, bo in enumerate(bos):
        assert bo.read(4) == i.to_bytes(4, "little")
        bo.close()


def test_buffers_do_not_overlap(npu):
    """Neighbours in VRAM stay untouched by what is written to one of them."""
    bos = [npu.bo_create(PAGE, placement=VRAM) for _ in range(16)]
    for bo in bos[::2]:
        bo.write(b"\xff" * PAGE)
    assert all(not any(bo.read()) for bo in bos[1::2])


def test_closed_handle_is_gone(npu):
    bo = npu.bo_create(PAGE)
    bo.close()
    with raises_errno(errno.ENOENT):
        bo.mmap_offset()
    with raises_errno(errno.EINVAL, errno.ENOENT):
        abi.gem_close(npu.proc, npu.fd, handle=bo.handle)


@pytest.mark.parametrize("handle", [0, 77, 0x80000000, 0xFFFFFFFF])
def test_close_of_no_handle(npu, handle):
    with raises_errno(errno.EINVAL, errno.ENOENT):
        abi.gem_close(npu.proc, npu.fd, handle=handle)


def test_close_of_a_handle_of_another_file(npu, other):
    bo = npu.bo_create(PAGE)
    bo.write(b"x")
    with raises_errno(errno.EINVAL, errno.ENOENT):
        abi.gem_close(other.proc, other.fd, handle=bo.handle)
    assert bo.read(1) == b"x"


def test_mapping_outlives_the_handle(npu):
    bo = npu.bo_create(PAGE)
    mapping = npu.proc.mmap(PAGE, RW, SHARED, npu.fd, bo.mmap_offset())
    mapping[:4] = b"kept"
    before = npu.query_memory().vram_used
    bo.close()
    assert mapping[:4] == b"kept"
    assert npu.query_memory().vram_used == before
    mapping.unmap()
    assert npu.query_memory().vram_used < before


def test_offset_of_a_closed_buffer_cannot_be_mapped(npu):
    bo = npu.bo_create(PAGE)
    offset = bo.mmap_offset()
    bo.close()
    with raises_errno(errno.EINVAL):
        npu.proc.mmap(PAGE, RW, SHARED, npu.fd, offset)


def test_offset_is_stable_and_page_aligned(npu):
    one, two = npu.bo_create(PAGE), npu.bo_create(PAGE)
    assert one.mmap_offset() == one.mmap_offset()
    assert one.mmap_offset() != two.mmap_offset()
    assert one.mmap_offset() % PAGE == 0 and one.mmap_offset() > 0


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_two_mappings_show_the_same(npu, placement):
    bo = npu.bo_create(2 * PAGE, placement=placement)
    one, two = (npu.proc.mmap(2 * PAGE, RW, SHARED, npu.fd, bo.mmap_offset()) for _ in range(2))
    one[PAGE : PAGE + 3] = b"abc"
    assert two[PAGE : PAGE + 3] == b"abc"
    one.unmap()
    assert two[PAGE : PAGE + 3] == b"abc"


def test_part_of_a_buffer_can_be_mapped(npu):
    bo = npu.bo_create(4 * PAGE)
    bo.write(pattern(4 * PAGE))
    part = npu.proc.mmap(2 * PAGE, RW, SHARED, npu.fd, bo.mmap_offset())
    assert part.read() == pattern(4 * PAGE)[: 2 * PAGE]


@pytest.mark.parametrize(
    ("length", "shift"),
    [(5 * PAGE, 0), (PAGE, 4 * PAGE), (4 * PAGE, PAGE), (1 << 40, 0)],
    ids=["longer", "behind the end", "over the end", "huge"],
)
def test_mapping_outside_of_the_buffer(npu, length, shift):
    bo = npu.bo_create(4 * PAGE)
    with raises_errno(errno.EINVAL, errno.ENOMEM):
        npu.proc.mmap(length, RW, SHARED, npu.fd, bo.mmap_offset() + shift)


@pytest.mark.parametrize("offset", [0, PAGE, 1 << 40, (1 << 63) - PAGE])
def test_mapping_of_no_buffer(npu, offset):
    """Registers and the aperture are not reachable by guessing offsets."""
    npu.bo_create(PAGE)
    with raises_errno(errno.EINVAL, errno.EOVERFLOW):
        npu.proc.mmap(PAGE, RW, SHARED, npu.fd, offset)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_read_only_mapping(npu, placement):
    bo = npu.bo_create(PAGE, placement=placement)
    bo.write(b"look")
    mapping = npu.proc.mmap(PAGE, mmap.PROT_READ, SHARED, npu.fd, bo.mmap_offset())
    assert mapping[:4] == b"look"
    with pytest.raises(GuestFault) as fault:
        mapping.write(b"touch")
    assert fault.value.signal == signal.SIGSEGV
    assert bo.read(5) == b"look\0"


def test_private_mapping_is_refused(npu):
    bo = npu.bo_create(PAGE)
    with raises_errno(errno.EINVAL):
        npu.proc.mmap(PAGE, RW, PRIVATE, npu.fd, bo.mmap_offset())


def test_unmapped_memory_faults(npu):
    mapping = npu.proc.mmap(PAGE, RW, SHARED, npu.fd, npu.bo_create(PAGE).mmap_offset())
    addr = mapping.addr
    mapping.unmap()
    with pytest.raises(GuestFault):
        npu.proc.read_mem(addr, 1)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_hole_in_a_mapping(npu, placement):
    bo = npu.bo_create(3 * PAGE, placement=placement)
    data = pattern(3 * PAGE)
    mapping = bo.map()
    mapping.write(data)
    npu.proc.syscall("munmap", mapping.addr + PAGE, PAGE)
    assert mapping.read(PAGE) == data[:PAGE]
    assert mapping.read(PAGE, 2 * PAGE) == data[2 * PAGE :]
    with pytest.raises(GuestFault):
        mapping.read(1, PAGE)


def test_mapping_moved_by_the_process(npu):
    """mremap() may move a mapping, but not make it longer than the buffer."""
    bo = npu.bo_create(2 * PAGE)
    bo.write(b"moving")
    old = npu.proc.mmap(2 * PAGE, RW, SHARED, npu.fd, bo.mmap_offset())
    target = npu.proc.alloc(16 * PAGE)
    new = npu.proc.syscall("mremap", old.addr, 2 * PAGE, 2 * PAGE, 3, target.addr)
    assert npu.proc.read_mem(new, 6) == b"moving"
    with raises_errno(errno.EFAULT, errno.EINVAL):
        npu.proc.syscall("mremap", new, 2 * PAGE, 8 * PAGE, 1)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_child_shares_the_mapping(npu, placement):
    """What a forked process writes is what its parent reads, both ways."""
    bo = npu.bo_create(PAGE, placement=placement)
    mapping = bo.map()
    mapping[:6] = b"parent"
    child = npu.proc.fork()
    assert child.read_mem(mapping.addr, 6) == b"parent"
    child.write_mem(mapping.addr, b"child!")
    assert mapping[:6] == b"child!"
    child.exit()
    child.wait()
    assert mapping[:6] == b"child!"


def test_child_that_unmaps_takes_nothing_away(npu):
    bo = npu.bo_create(PAGE)
    mapping = bo.map()
    mapping[:1] = b"x"
    child = npu.proc.fork()
    child.syscall("munmap", mapping.addr, PAGE)
    with pytest.raises(GuestFault):
        child.read_mem(mapping.addr, 1)
    assert mapping[:1] == b"x"


def test_threads_share_handles_and_mappings(npu):
    bo = npu.bo_create(PAGE)
    mapping = bo.map()
    thread = npu.proc.thread()
    thread.write_mem(mapping.addr, b"thread")
    assert bo.read(6) == b"thread"
    abi.gem_close(thread, npu.fd, handle=bo.handle)
    with raises_errno(errno.ENOENT):
        bo.mmap_offset()


def test_system_calls_reach_into_a_mapping(npu):
    """The kernel itself reads and writes through it: a pipe into a BO and back."""
    proc = npu.proc
    source, target = (npu.bo_create(PAGE, placement=p) for p in (VRAM, SYSTEM))
    source.write(pattern(PAGE))
    ends = proc.alloc(8)
    proc.syscall("pipe", ends.addr)
    reading, writing = (int.from_bytes(ends[i : i + 4], "little") for i in (0, 4))
    assert proc.syscall("write", writing, source.map().addr, PAGE) == PAGE
    assert proc.syscall("read", reading, target.map().addr, PAGE) == PAGE
    assert target.read() == pattern(PAGE)


def test_private_buffer_is_of_its_vm(npu):
    one, two = npu.vm_create(), npu.vm_create()
    bo = npu.bo_create(PAGE, vm=one)
    bo.write(b"x")
    one.bind(bo)
    with raises_errno(errno.EINVAL):
        two.bind(bo)


def test_private_buffer_outlives_its_vm(npu):
    vm = npu.vm_create()
    bo = npu.bo_create(PAGE, vm=vm)
    bo.write(b"alive")
    vm.bind(bo)
    vm.destroy()
    assert bo.read(5) == b"alive"
    npu.vm_create()
    with raises_errno(errno.EINVAL):
        npu.vm_create().bind(bo)


def test_destroyed_vm_gets_no_private_buffer(npu):
    vm = npu.vm_create()
    vm.destroy()
    with raises_errno(errno.ENOENT):
        npu.bo_create(PAGE, vm=vm)


def test_closed_buffer_is_still_bound(npu):
    """Closing the handle does not pull memory from under the device."""
    c = Copier(npu)
    bo, va = c.buffer(PAGE, VRAM)
    bo.write(b"bound")
    out, va_out = c.buffer(PAGE, SYSTEM)
    bo.close()
    c.copy(va, va_out, PAGE).wait()
    assert out.read(5) == b"bound"


def test_vram_that_can_never_fit(npu):
    total = npu.query_memory().vram_total
    with raises_errno(errno.E2BIG, errno.ENOSPC):
        npu.bo_create(total + PAGE, placement=VRAM)


@pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)
def test_twice_the_vram_at_once(npu):
    """What does not fit lies elsewhere, and is found there again."""
    total = npu.query_memory().vram_total
    bos = []
    for i in range(2 * total // (16 * MIB)):
        bo = npu.bo_create(16 * MIB, placement=VRAM)
        bo.write(bytes([i]))
        bo.unmap()
        bos.append(bo)
    assert len(bos) * 16 * MIB > total >= npu.query_memory().vram_used > total // 2
    for i in (0, len(bos) // 2, -1):
        assert bos[i].read(1) == bytes([i % len(bos)])
    for bo in bos:
        bo.close()
    npu.bo_create(16 * MIB, placement=VRAM).write(b"x")


def test_global_names_open_the_same_memory(npu, other):
    """DRM core has them; whoever has the number has the memory, and no other number does."""
    bo = npu.bo_create(PAGE)
    bo.write(b"named")
    named = abi.gem_flink(npu.proc, npu.fd, handle=bo.handle)
    got = abi.gem_open(other.proc, other.fd, name=named.name)
    assert got.size == PAGE
    with raises_errno(errno.ENOENT):
        abi.gem_open(other.proc, other.fd, name=named.name + 1)


def test_two_processes_see_one_buffer(guest, npu):
    """Shared by a dma-buf that a forked child imports into its own file."""
    bo = npu.bo_create(PAGE)
    fd = bo.export()
    child = npu.proc.fork()
    own = Device.open(child)
    twin = own.prime_import(fd)
    twin.write(b"from the child")
    assert bo.read(14) == b"from the child"
