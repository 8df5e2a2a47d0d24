# SPDX-License-Identifier: MIT
"""Every ioctl number of DRM core, with arguments that no program would make.

The numbers are taken as they come, whether this kernel has an ioctl there or
not, so one that a later kernel adds is swept as well.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from vnpu.guest import Process

#: below and above the numbers of drivers
NUMBERS = (*range(0x00, 0x40), *range(0xA0, 0x100))
#: more than the longest argument of DRM core
SIZE = 256
_IN_ONE_FRAME = 64


def number(nr: int) -> int:
    """An ioctl number that passes SIZE bytes both ways."""
    return 3 << 30 | SIZE << 16 | ord("d") << 8 | nr


def arguments(nr: int) -> Iterator[bytes]:
    """What an ioctl is called with: the same bytes in each run."""
    yield bytes(SIZE)
    yield b"\xff" * SIZE
    generator = random.Random(nr)
    for _ in range(2):
        yield generator.randbytes(SIZE)
    small = [generator.choice((0, 1, 2)) for _ in range(SIZE // 4)]
    yield b"".join(word.to_bytes(4, "little") for word in small)


def sweep(proc: Process, fd: int, bits: int) -> dict[int, set[int]]:
    """Make all the calls on *fd*; the results (0 or an errno) by number."""
    calls = [(nr, argument) for nr in NUMBERS for argument in arguments(nr)]
    table = proc.alloc(_IN_ONE_FRAME * SIZE, low=bits == 32)
    results: dict[int, set[int]] = {nr: set() for nr in NUMBERS}
    for first in range(0, len(calls), _IN_ONE_FRAME):
        part = calls[first : first + _IN_ONE_FRAME]
        batch = proc.batch()
        batch.write(table.addr, b"".join(argument for _, argument in part))
        enter = batch.syscall32 if bits == 32 else batch.syscall
        steps = [
            enter("ioctl", fd, number(nr), table.addr + i * SIZE, check=False)
            for i, (nr, _) in enumerate(part)
        ]
        batch.run(timeout_s=30)
        for (nr, _), step in zip(part, steps, strict=True):
            results[nr].add(-min(step.value, 0))
    return results
