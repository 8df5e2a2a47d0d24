# SPDX-License-Identifier: MIT
"""COPY, COPY_2D and FILL, through every kind of mapping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vnpu.hw import const
from vnpu.hw.packets import Copy, Copy2d, Fill
from vnpu.qtest import VnpuQtest
from vnpu.qtest.npu import PHYS_VRAM

LAYOUTS = {
    "vram": {},
    "host": {"vram": False},
    "vram-scattered": {"scatter": True},
    "host-scattered": {"vram": False, "scatter": True},
    "vram-huge": {"huge": True},
    "host-huge": {"vram": False, "huge": True},
}


def pattern(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()


@pytest.mark.parametrize("dst", LAYOUTS)
@pytest.mark.parametrize("src", LAYOUTS)
def test_copy(npu, ctx, src, dst):
    queue = npu.queue(2, ctx=ctx)
    data = pattern(70001)
    for src_offset, dst_offset in ((0, 0), (1, 4095), (4090, 7)):
        a = ctx.buffer(data, offset=src_offset, **LAYOUTS[src])
        b = ctx.buffer(len(data) + 32, offset=dst_offset, **LAYOUTS[dst])
        queue.run(Copy(src=a.va, dst=b.va + 16, size=len(data)))
        assert b.read() == bytes(16) + data + bytes(16)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 4095, 4096, 4097, 8192])
def test_copy_sizes(each_npu, size):
    ctx = each_npu.context(1)
    queue = each_npu.queue(2, ctx=ctx)
    a, b = ctx.buffer(pattern(size), scatter=True), ctx.buffer(size, vram=False, scatter=True)
    queue.run(Copy(src=a.va, dst=b.va, size=size))
    assert b.read() == pattern(size)


@pytest.mark.parametrize("shift", [-5000, -4096, -1, 0, 1, 4096, 5000])
@pytest.mark.parametrize("layout", ["vram", "host-scattered", "vram-scattered"])
def test_overlap_is_memmove(npu, ctx, shift, layout):
    queue = npu.queue(2, ctx=ctx)
    memory, size = pattern(50000), 30000
    buffer = ctx.buffer(memory, offset=123, **LAYOUTS[layout])
    src, dst = 8000, 8000 + shift
    queue.run(Copy(src=buffer.va + src, dst=buffer.va + dst, size=size))
    want = bytearray(memory)
    want[dst : dst + size] = memory[src : src + size]
    assert buffer.read() == bytes(want)


@pytest.mark.parametrize("shift", [-(3 << 20) - 5, (3 << 20) + 5, 4099])
def test_large_overlapping_copy(mapped, shift):
    """Far more than the device takes on at a time; in the physical context."""
    npu, vram = mapped
    size, room = 36 << 20, 4 << 20
    data = np.frombuffer(pattern(size), np.uint8)
    vram[room : room + size] = data
    at = PHYS_VRAM | room
    npu.queue(2).run(Copy(src=at, dst=at + shift, size=size))
    np.testing.assert_array_equal(vram[room + shift : room + shift + size], data)


@pytest.mark.parametrize("src_vram", [False, True])
@pytest.mark.parametrize("dst_vram", [False, True])
def test_physical_context(each_npu, src_vram, dst_vram):
    npu = each_npu
    src, dst = npu.alloc(8192, vram=src_vram), npu.alloc(8192, vram=dst_vram)
    npu.store(src_vram, src, pattern(8192))
    npu.queue(2).run(
        Copy(src=src | PHYS_VRAM * src_vram, dst=dst | PHYS_VRAM * dst_vram, size=8192)
    )
    assert npu.load(dst_vram, dst, 8192) == pattern(8192)


def test_packets_run_in_order(each_npu):
    """A chain of copies each of which needs the one before."""
    npu = each_npu
    ctx = npu.context(1)
    queue = npu.queue(2, ctx=ctx)
    chain = [ctx.buffer(1000, vram=bool(n % 2)) for n in range(20)]
    chain[0].write(pattern(1000))
    queue.run(
        *(Copy(src=a.va, dst=b.va, size=1000) for a, b in zip(chain, chain[1:], strict=False))
    )
    assert chain[-1].read() == pattern(1000)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 40),
    row_bytes=st.integers(1, 300),
    src_gap=st.integers(0, 5000),
    dst_gap=st.integers(0, 5000),
    offsets=st.tuples(st.integers(0, 4095), st.integers(0, 4095)),
    layouts=st.tuples(st.sampled_from(list(LAYOUTS)[:4]), st.sampled_from(list(LAYOUTS)[:4])),
)
def test_copy_2d_random(launch_once, rows, row_bytes, src_gap, dst_gap, offsets, layouts):
    npu, ctx, queue = launch_once
    src_stride, dst_stride = row_bytes + src_gap, row_bytes + dst_gap
    src_size = src_stride * (rows - 1) + row_bytes
    dst_size = dst_stride * (rows - 1) + row_bytes
    data = pattern(src_size)
    with npu.scratch():
        a = ctx.buffer(data, offset=offsets[0], **LAYOUTS[layouts[0]])
        b = ctx.buffer(b"\xee" * dst_size, offset=offsets[1], **LAYOUTS[layouts[1]])
        queue.run(
            Copy2d(
                rows=rows, src=a.va, dst=b.va, src_stride=src_stride, dst_stride=dst_stride,
                row_bytes=row_bytes,
            )
        )  # fmt: skip
        want = bytearray(b"\xee" * dst_size)
        for row in range(rows):
            at = row * src_stride
            want[row * dst_stride : row * dst_stride + row_bytes] = data[at : at + row_bytes]
        assert b.read() == bytes(want)


@pytest.fixture
def launch_once(npu: VnpuQtest):
    """One machine for all examples of a random test."""
    ctx = npu.context(1)
    return npu, ctx, npu.queue(2, ctx=ctx)


def test_copy_2d_does_not_touch_what_is_between_rows(npu, ctx):
    """The pages between the rows are not mapped."""
    queue = npu.queue(2, ctx=ctx)
    rows, stride = 8, 2 * const.PAGE_SIZE
    src, dst = (ctx.buffer(rows * stride, map=False) for _ in "ab")
    for buffer in (src, dst):
        (frame,) = buffer.frames
        for row in range(rows):
            at = row * stride
            ctx.table.map(buffer.va + at, frame.addr + at, const.PAGE_SIZE, vram=frame.vram)
    src.write(pattern(rows * stride))
    queue.run(
        Copy2d(
            rows=rows, src=src.va, dst=dst.va, src_stride=stride, dst_stride=stride, row_bytes=4096
        )
    )
    for row in range(rows):
        assert dst.read(row * stride, 4096) == src.read(row * stride, 4096)
        assert dst.read(row * stride + 4096, 4096) == bytes(4096)


def test_copy_2d_of_interleaved_rectangles(npu):
    """Source and destination take turns in one area without overlapping."""
    base = npu.alloc(64 * 100, vram=True)
    npu.store(True, base, pattern(6400))
    at = PHYS_VRAM | base
    npu.queue(2).run(
        Copy2d(rows=64, src=at, dst=at + 50, src_stride=100, dst_stride=100, row_bytes=50)
    )
    got = np.frombuffer(npu.load(True, base, 6400), np.uint8).reshape(64, 100)
    np.testing.assert_array_equal(got[:, 50:], got[:, :50])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("offset", "size"), [(0, 4), (4, 4096), (4092, 8), (8, 70000)])
def test_fill(npu, ctx, layout, offset, size):
    queue = npu.queue(2, ctx=ctx)
    buffer = ctx.buffer(size + 8, offset=offset, **LAYOUTS[layout])
    queue.run(Fill(pattern=0x8899AABB, dst=buffer.va + 4, size=size))
    assert buffer.read() == bytes(4) + b"\xbb\xaa\x99\x88" * (size // 4) + bytes(4)


def test_large_fill(mapped):
    npu, vram = mapped
    size = 40 << 20
    npu.queue(2).run(Fill(pattern=0x01020304, dst=PHYS_VRAM | 4, size=size))
    assert (vram[4 : 4 + size].view(np.uint32) == 0x01020304).all()
    assert not vram[:4].any() and not vram[4 + size :][:64].any()
