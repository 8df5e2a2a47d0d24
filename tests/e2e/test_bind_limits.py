# SPDX-License-Identifier: MIT
"""How much one bind may do."""

import errno

import pytest
from support import MIB, PAGE, Copier, map_op, raises_errno

from vnpu.accel import SYSTEM
from vnpu.hw.packets import Fill


@pytest.mark.parametrize("asynchronous", [False, True])
def test_too_many_entries_in_one_call(npu, asynchronous):
    """4096 maps of 8192 pages each: refused before much is done, and nothing has changed."""
    c = Copier(npu)
    word, va_word = c.buffer(PAGE)
    bo = npu.bo_create(32 * MIB, placement=SYSTEM)
    # not where pages of 2 MiB can be used
    va = (1 << 44) + PAGE
    with raises_errno(errno.E2BIG):
        c.vm.bind_ops([map_op(bo, va, bo.size)] * 4096, asynchronous=asynchronous)
    with raises_errno(errno.E2BIG):
        c.vm.bind_ops(
            [map_op(word, va_word + MIB, PAGE)] + [map_op(bo, va, bo.size)] * 513,
            asynchronous=asynchronous,
        )
    c.queue.submit([Fill(pattern=1, dst=va_word, size=PAGE)]).wait()
    c.vm.bind(bo, va=va)
    fill = c.queue.submit([Fill(pattern=5, dst=va, size=PAGE)])
    fill.wait()
    assert bo.map().read_u32() == 5
    fault = c.queue.submit([Fill(pattern=5, dst=va_word + MIB, size=PAGE)])
    fault.wait(check=False)
    assert fault.error() == errno.EIO
