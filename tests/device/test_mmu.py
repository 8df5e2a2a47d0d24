# SPDX-License-Identifier: MIT
"""Page tables and the TLB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vnpu.hw import const, pte, regs
from vnpu.hw.codes import Access, Fault
from vnpu.hw.packets import Copy, RingInvalidate
from vnpu.hw.regs import CtxReg
from vnpu.qtest import Context, VnpuQtest
from vnpu.qtest.npu import VRAM

VA = 0x7000_0000_0000
PAGE, HUGE = const.PAGE_SIZE, const.HUGE_SIZE


@pytest.fixture
def pages(npu: VnpuQtest) -> tuple[int, int]:
    """Two pages of VRAM, of ones and of twos."""
    made = []
    for byte in (1, 2):
        at = npu.alloc(PAGE, vram=True)
        npu.store(True, at, bytes([byte]) * PAGE)
        made.append(at)
    return made[0], made[1]


class Probe:
    """Reads the first byte at an address the way the device sees it."""

    def __init__(self, npu: VnpuQtest, ctx: Context, index: int = 2) -> None:
        self.queue = npu.queue(index, ctx=ctx)
        self.out = ctx.buffer(8)

    def __call__(self, va: int) -> int:
        self.queue.run(Copy(src=va, dst=self.out.va, size=1))
        return self.out.read(0, 1)[0]

    def fault(self, packet: Any) -> Any:
        event = self.queue.faults(packet)
        self.queue.reset()
        self.queue.enable()
        return event

    def read_fault(self, va: int) -> Any:
        return self.fault(Copy(src=va, dst=self.out.va, size=1))


@pytest.fixture
def probe(npu: VnpuQtest, ctx: Context) -> Probe:
    return Probe(npu, ctx)


def invalidate(npu: VnpuQtest, entry: Any) -> None:
    queue = npu.queue(1)
    queue.run_entries(entry)
    queue.reset()


@pytest.mark.parametrize(
    "entry",
    [
        RingInvalidate(context=1, addr=VA, size=PAGE),
        RingInvalidate(context=1, addr=VA - PAGE, size=3 * PAGE),
        RingInvalidate(context=1, addr=0, size=1 << const.VA_BITS),
        RingInvalidate(context=1, flags="CONTEXT"),
        RingInvalidate(flags="ALL"),
    ],
    ids=["page", "range", "everything", "context", "all"],
)
def test_translations_are_kept_until_invalidated(npu, ctx, probe, pages, entry):
    first, second = pages
    ctx.table.set(VA, pte.leaf(first, vram=True))
    assert probe(VA) == 1
    ctx.table.set(VA, pte.leaf(second, vram=True))
    assert probe(VA) == 1
    ctx.table.set(VA, 0)
    assert probe(VA) == 1
    ctx.table.set(VA, pte.leaf(second, vram=True))
    invalidate(npu, entry)
    assert probe(VA) == 2


@pytest.mark.parametrize(
    "entry",
    [
        RingInvalidate(context=1, addr=VA + PAGE, size=PAGE),
        RingInvalidate(context=1, addr=0, size=VA),
        RingInvalidate(context=1, addr=VA, size=0),
        RingInvalidate(context=2, flags="CONTEXT"),
        RingInvalidate(context=2, addr=VA, size=PAGE),
    ],
    ids=["next-page", "below", "empty", "other-context", "other-contexts-page"],
)
def test_invalidation_drops_no_more_than_it_says(npu, ctx, probe, pages, entry):
    first, second = pages
    ctx.table.set(VA, pte.leaf(first, vram=True))
    assert probe(VA) == 1
    ctx.table.set(VA, pte.leaf(second, vram=True))
    invalidate(npu, entry)
    assert probe(VA) == 1


def test_large_buffers_do_not_wash_translations_out(npu, ctx, probe, pages):
    """What is 32 MiB away, or any multiple of it, makes no room for itself."""
    first, second = pages
    ctx.table.set(VA, pte.leaf(first, vram=True))
    assert probe(VA) == 1
    ctx.table.set(VA, pte.leaf(second, vram=True))
    for far in range(20, 40):
        at = VA + (1 << far)
        ctx.table.set(at, pte.leaf(first, vram=True))
        assert probe(at) == 1
    assert probe(VA) == 1
    invalidate(npu, RingInvalidate(context=1, addr=VA, size=PAGE))
    assert probe(VA) == 2


@pytest.fixture
def replaced(npu, ctx, probe, pages) -> Callable[[int], int]:
    """Walk to a page, then replace the table of a level and those below, with other pages.

    Returns a neighbour of the page, which has not been looked up yet.
    """

    def replace(level: int) -> int:
        for page in (VA, VA + PAGE):
            ctx.table.set(page, pte.leaf(pages[0], vram=True))
        assert probe(VA) == 1
        ctx.table.set(VA, pte.table(npu.alloc_table()), level + 1)
        for below in range(level, 0, -1):
            ctx.table.set(VA, pte.table(npu.alloc_table()), below)
        ctx.table.set(VA + PAGE, pte.leaf(pages[1], vram=True))
        return VA + PAGE

    return replace


@pytest.mark.parametrize("level", range(const.PT_LEVELS - 1))
@pytest.mark.parametrize(
    "entry",
    [
        RingInvalidate(context=1, addr=VA + PAGE, size=PAGE),
        RingInvalidate(context=1, addr=0, size=1 << const.VA_BITS),
        RingInvalidate(context=1, flags="CONTEXT"),
        RingInvalidate(flags="ALL"),
    ],
    ids=["page", "everything", "context", "all"],
)
def test_tables_are_kept_until_invalidated(npu, probe, replaced, level, entry):
    other = replaced(level)
    assert probe(other) == 1
    invalidate(npu, RingInvalidate(context=1, addr=0, size=VA))
    invalidate(npu, RingInvalidate(context=2, flags="CONTEXT"))
    assert probe(other) == 1
    invalidate(npu, entry)
    assert probe(other) == 2


@pytest.mark.device(pwc="off")
@pytest.mark.parametrize("level", range(const.PT_LEVELS - 1))
def test_tables_are_not_kept_with_pwc_off(probe, replaced, level):
    assert probe(replaced(level)) == 2


def test_writes_use_the_kept_translation(npu, ctx, pages):
    first, second = pages
    queue = npu.queue(2, ctx=ctx)
    src = ctx.buffer(b"\x55" * 8)
    ctx.table.set(VA, pte.leaf(first, vram=True))
    queue.run(Copy(src=src.va, dst=VA, size=8))
    ctx.table.set(VA, pte.leaf(second, vram=True))
    queue.run(Copy(src=src.va, dst=VA + 8, size=8))
    assert npu.load(True, first, 16) == b"\x55" * 16
    assert npu.load(True, second, 16) == b"\x02" * 16


def test_context_that_is_made_invalid_forgets(npu, ctx, probe, pages):
    first, second = pages
    ctx.table.set(VA, pte.leaf(first, vram=True))
    assert probe(VA) == 1
    ctx.table.set(VA, pte.leaf(second, vram=True))
    ctx.valid(False)
    ctx.valid(True)
    assert probe(VA) == 2


def test_what_is_not_mapped_is_not_kept(ctx, probe, pages):
    """A fault leaves nothing behind that would need an invalidation."""
    assert probe.read_fault(VA).code == Fault.TRANSLATION
    ctx.table.set(VA, pte.leaf(pages[1], vram=True))
    assert probe(VA) == 2


def test_read_only_page_made_writable_needs_no_fault_twice(npu, ctx, probe, pages):
    ctx.table.set(VA, pte.leaf(pages[0], vram=True, write=False))
    assert probe(VA) == 1
    ctx.table.set(VA, pte.leaf(pages[0], vram=True, write=True))
    write = Copy(src=probe.out.va, dst=VA, size=1)
    assert probe.fault(write).code == Fault.PERMISSION
    invalidate(npu, RingInvalidate(context=1, addr=VA, size=PAGE))
    probe.queue.run(write)


def test_part_of_a_huge_page_is_invalidated_with_it(npu, ctx, probe):
    first, second = (npu.alloc(HUGE, vram=True, align=HUGE) for _ in "ab")
    npu.store(True, first + 5 * PAGE, b"\x01")
    npu.store(True, second + 5 * PAGE, b"\x02")
    ctx.table.set(VA, pte.leaf(first, vram=True), const.PT_HUGE_LEVEL)
    assert probe(VA + 5 * PAGE) == 1
    ctx.table.set(VA, pte.leaf(second, vram=True), const.PT_HUGE_LEVEL)
    assert probe(VA + 5 * PAGE) == 1
    invalidate(npu, RingInvalidate(context=1, addr=VA + 9 * PAGE, size=PAGE))
    assert probe(VA + 5 * PAGE) == 2


def test_contexts_do_not_share_translations(npu, pages):
    probes = []
    for index, page in enumerate(pages, 1):
        ctx = npu.context(index)
        ctx.table.set(VA, pte.leaf(page, vram=True))
        probes.append(Probe(npu, ctx, index + 1))
    for _ in range(2):
        assert [probe(VA) for probe in probes] == [1, 2]


def test_read_only(ctx, probe, pages):
    ctx.table.set(VA, pte.leaf(pages[1], vram=True, write=False))
    assert probe(VA) == 2
    event = probe.fault(Copy(src=probe.out.va, dst=VA + 7, size=1))
    assert (event.code, event.access, event.addr) == (Fault.PERMISSION, Access.WRITE, VA + 7)


def test_read_only_in_the_middle(npu, ctx, probe):
    buffer = ctx.buffer(3 * PAGE)
    at = buffer.va + PAGE
    ctx.table.set(at, ctx.table.get(at) & ~pte.WRITE)
    src = ctx.buffer(b"\x01" * 3 * PAGE)
    event = probe.fault(Copy(src=src.va, dst=buffer.va, size=3 * PAGE))
    assert (event.code, event.addr) == (Fault.PERMISSION, at)
    assert not any(buffer.read(PAGE))


def table_fault(ctx: Context, probe: Probe, level: int, value: int) -> Any:
    ctx.table.slot(VA, 0)
    ctx.table.set(VA, value, level)
    return probe.read_fault(VA)


RESERVED_BITS = [bit for bit in range(64) if pte.RESERVED_MASK >> bit & 1]


@pytest.mark.parametrize("level", range(const.PT_LEVELS))
def test_reserved_bits(npu, ctx, probe, level):
    """Each reserved bit, in an entry that is good otherwise."""
    page = npu.alloc(HUGE, vram=True, align=HUGE)
    good = pte.leaf(page, vram=True) if level <= const.PT_HUGE_LEVEL else pte.table(page)
    for bit in RESERVED_BITS:
        event = table_fault(ctx, probe, level, good | 1 << bit)
        assert (event.code, event.access) == (Fault.PT_FORMAT, Access.WALK), f"bit {bit}"
        assert event.addr == VA


@pytest.mark.parametrize(
    ("level", "value"),
    [
        (0, pte.table(0x1000)),
        (1, pte.leaf(PAGE, vram=True)),
        (2, pte.leaf(0, vram=True)),
        (3, pte.leaf(0, vram=True)),
        (1, pte.table(0x1000) | pte.WRITE),
        (3, pte.table(0x1000) | pte.WRITE),
        (2, pte.table(0x1000) & ~pte.VRAM),
        (3, pte.table(0x1000) & ~pte.VRAM),
    ],
    ids=["pointer-at-0", "crooked-huge", "leaf-at-2", "leaf-at-3", "writable-pointer-1",
         "writable-pointer-3", "host-pointer-2", "host-pointer-3"],
)  # fmt: skip
def test_malformed_entry(ctx, probe, level, value):
    event = table_fault(ctx, probe, level, value)
    assert (event.code, event.access, event.addr) == (Fault.PT_FORMAT, Access.WALK, VA)


@pytest.mark.parametrize("level", range(const.PT_LEVELS))
def test_entry_that_is_not_valid_is_ignored(ctx, probe, level):
    event = table_fault(ctx, probe, level, 0xFFFFFFFFFFFFFFFF & ~pte.VALID)
    assert (event.code, event.access, event.addr) == (Fault.TRANSLATION, Access.READ, VA)


@pytest.mark.parametrize("addr", [VRAM, VRAM + PAGE, 1 << 51])
def test_leaf_beyond_vram(ctx, probe, addr):
    event = table_fault(ctx, probe, 0, pte.leaf(addr, vram=True))
    assert (event.code, event.access, event.addr) == (Fault.VRAM_RANGE, Access.READ, VA)


def test_huge_leaf_beyond_vram(ctx, probe):
    event = table_fault(ctx, probe, 1, pte.leaf(VRAM, vram=True))
    assert (event.code, event.access) == (Fault.VRAM_RANGE, Access.READ)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_table_beyond_vram(ctx, probe, level):
    event = table_fault(ctx, probe, level, pte.table(VRAM))
    assert (event.code, event.access, event.addr) == (Fault.VRAM_RANGE, Access.WALK, VA)


@pytest.mark.parametrize("root", [VRAM, 1 << 40, (1 << 64) - PAGE])
def test_root_beyond_vram(npu, root):
    npu.write64(regs.ctx(1) + CtxReg.PT, root)
    npu.write32(regs.ctx(1) + CtxReg.CONTROL, 1)
    queue = npu.queue(2, ctx=1)
    npu.events.take()
    from vnpu.hw.packets import RingIndirect

    queue.put(RingIndirect(addr=VA, size=8))
    queue.doorbell()
    event = queue.expect_fault()
    assert (event.code, event.access, event.addr) == (Fault.VRAM_RANGE, Access.WALK, VA)


@pytest.mark.device(posted_errors="on")
@pytest.mark.parametrize("target", [0x70000000, 0xE0000000, 1 << 51])
def test_host_page_that_is_not_memory(ctx, probe, target):
    """Nothing there, the device's own registers, far beyond: the bus refuses."""
    ctx.table.set(VA, pte.leaf(target, vram=False))
    event = probe.read_fault(VA + 16)
    assert (event.code, event.access, event.addr) == (Fault.DMA, Access.READ, VA + 16)
    event = probe.fault(Copy(src=probe.out.va, dst=VA + 24, size=8))
    assert (event.code, event.access, event.addr) == (Fault.DMA, Access.WRITE, VA + 24)


@pytest.mark.parametrize("va", [0, PAGE, (1 << const.VA_BITS) - PAGE, 1 << 47, (1 << 39) - PAGE])
def test_every_corner_of_the_address_space(ctx, probe, pages, va):
    ctx.table.set(va, pte.leaf(pages[1], vram=True))
    assert probe(va) == 2
    assert probe(va + PAGE - 1) == 2


def test_large_and_small_leaves_side_by_side(npu, ctx):
    """One copy over: 4 KiB pages, a 2 MiB page, 4 KiB pages of the host."""
    queue = npu.queue(2, ctx=ctx)
    small, host = npu.alloc(4 * PAGE, vram=True), npu.alloc(4 * PAGE, vram=False)
    huge = npu.alloc(HUGE, vram=True, align=HUGE)
    base = VA + HUGE - 4 * PAGE
    ctx.table.map(base, small, 4 * PAGE, vram=True)
    ctx.table.map(VA + HUGE, huge, HUGE, vram=True, huge=True)
    ctx.table.map(VA + 2 * HUGE, host, 4 * PAGE, vram=False)
    npu.store(True, small, b"\x01" * 4 * PAGE)
    npu.store(True, huge, b"\x02" * HUGE)
    npu.store(False, host, b"\x03" * 4 * PAGE)
    size = 8 * PAGE + HUGE
    out = ctx.buffer(size, offset=100)
    queue.run(Copy(src=base, dst=out.va, size=size))
    assert out.read() == b"\x01" * 4 * PAGE + b"\x02" * HUGE + b"\x03" * 4 * PAGE


def test_two_addresses_of_one_page(npu, ctx, pages):
    """Copying a page onto itself through another address is harmless."""
    queue = npu.queue(2, ctx=ctx)
    for offset in (0, PAGE):
        ctx.table.set(VA + offset, pte.leaf(pages[0], vram=True))
    queue.run(Copy(src=VA, dst=VA + PAGE, size=PAGE))
    assert npu.load(True, pages[0], PAGE) == b"\x01" * PAGE


def test_device_can_write_its_own_page_tables(npu, ctx, probe, pages):
    """A mapping made by a copy from the physical context, as a driver's paging queue may."""
    slot = ctx.table.slot(VA, 0)
    source = npu.alloc(8, vram=False)
    npu.qtest.write_int(source, pte.leaf(pages[1], vram=True), 8)
    npu.queue(1).run(Copy(src=source, dst=1 << 63 | slot, size=8))
    assert probe(VA) == 2
