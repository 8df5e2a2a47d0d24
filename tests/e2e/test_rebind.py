# SPDX-License-Identifier: MIT
"""Page tables that a submit has to write anew because BOs were evicted."""

import re

import pytest
from support import MIB, PAGE, Copier, check_words, debugfs

from vnpu.accel import SYSTEM, VRAM, Device
from vnpu.hw.packets import Copy, Fill
from vnpu.uapi import abi

SIZE = 8 * MIB

pytestmark = pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB)


def bind_jobs(guest):
    """Page-table updates of all clients so far."""
    text = guest.read_file(f"{debugfs(guest)}/queues").decode()
    return int(re.search(r"vnpu-mmu .* jobs=\d+/(\d+)", text)[1])


@pytest.mark.parametrize("mappings", [1, 300])
def test_many_mappings_come_back_in_parts(guest, npu, mappings):
    """No job writes more than a part of them: binds of other clients come in between."""
    c = Copier(npu)
    bo = npu.bo_create(SIZE, placement=VRAM)
    base = 1 << 42
    op = abi.VmBindOp(op=abi.VmBindOpType.MAP, handle=bo.handle, size=SIZE)
    c.vm.bind_ops([op.replace(va=base + i * SIZE) for i in range(mappings)])
    out, va_out = c.buffer(SIZE, SYSTEM)
    c.queue.submit([Fill(pattern=7, dst=base, size=SIZE)]).wait()
    other = Device.open(guest.spawn())
    memory = other.query_memory()
    size = memory.vram_total - memory.vram_used + SIZE
    other.bo_create(size, placement=VRAM).close()
    before = bind_jobs(guest)
    last = base + (mappings - 1) * SIZE
    c.queue.submit([Copy(src=last, dst=va_out, size=SIZE)]).wait()
    parts = bind_jobs(guest) - before
    check_words(out, 7)
    assert parts == -(-mappings * SIZE // PAGE // (1 << 18))
    middle = base + mappings // 2 * SIZE
    c.queue.submit([Copy(src=middle, dst=va_out, size=SIZE)]).wait()
    check_words(out, 7)
