# SPDX-License-Identifier: MIT
"""What vnpu.accel works out by itself, before any system call."""

import pytest

from vnpu.accel import Bo, Fence, Syncobj, Vm
from vnpu.accel.device import parse_fdinfo
from vnpu.accel.queue import group
from vnpu.accel.sync import sync_ops
from vnpu.uapi import abi


def test_neighbouring_packets_share_a_command_buffer():
    assert group([b"a" * 8, b"b" * 16, b"c" * 8], limit=64) == [b"a" * 8 + b"b" * 16 + b"c" * 8]


def test_command_buffers_end_at_packet_boundaries():
    assert group([b"a" * 24, b"b" * 24, b"c" * 24], limit=56) == [b"a" * 24 + b"b" * 24, b"c" * 24]


def test_ranges_keep_their_place():
    assert group([b"a" * 8, (0x1000, 16), b"b" * 8, b"c" * 8], limit=64) == [
        b"a" * 8,
        (0x1000, 16),
        b"b" * 8 + b"c" * 8,
    ]


def test_nothing_to_group():
    assert group([], limit=64) == []


def test_sync_array():
    one, line = abi.SyncType.BINARY, abi.SyncType.TIMELINE
    wait, signal = abi.SyncOp.WAIT, abi.SyncOp.SIGNAL
    binary, timeline, own = Syncobj(None, 1), Syncobj(None, 2), Fence(Syncobj(None, 3))
    assert sync_ops([binary, (timeline, 7), own], [(timeline, 8), binary]) == [
        abi.Sync(type=one, op=wait, handle=1),
        abi.Sync(type=line, op=wait, handle=2, timeline_value=7),
        abi.Sync(type=one, op=wait, handle=3),
        abi.Sync(type=line, op=signal, handle=2, timeline_value=8),
        abi.Sync(type=one, op=signal, handle=1),
    ]


def test_chosen_addresses_do_not_overlap_and_suit_large_pages():
    vm = Vm(None, 1)
    sizes = [4096, 5 << 20, 12288, 2 << 20]
    ranges = [(vm.reserve(size), size) for size in sizes]
    for (va, size), (following, _) in zip(ranges, ranges[1:], strict=False):
        assert va + size < following, "there is a gap that faults"
    for va, size in ranges:
        assert va % 4096 == 0
        if size >= 2 << 20:
            assert va % (2 << 20) == 0


@pytest.mark.parametrize(("offset", "size"), [(0, 4097), (4096, 1), (-1, 1), (0, -1), (4000, 97)])
def test_access_outside_a_bo(offset, size):
    bo = Bo(None, 1, 4096)
    with pytest.raises(ValueError, match="BO of 4096"):
        bo.read(size, offset)


def test_fdinfo_text():
    text = "pos:\t0\ndrm-driver:\tvnpu\ndrm-engine-copy:\t12 ns\ndrm-pdev:\t0000:00:02.0\n"
    assert parse_fdinfo(text) == {
        "pos": "0",
        "drm-driver": "vnpu",
        "drm-engine-copy": "12 ns",
        "drm-pdev": "0000:00:02.0",
    }
