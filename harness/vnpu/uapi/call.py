# SPDX-License-Identifier: MIT
"""Ioctls in processes of the guest, with user arrays placed for the caller."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from vnpu.uapi import trace
from vnpu.uapi.base import Ioctl, Struct, concat

if TYPE_CHECKING:
    from vnpu.guest import Buffer, Process
    from vnpu.guest.batch import Batch, Scratch

S = TypeVar("S", bound=Struct)

_SCRATCH_BYTES = 64 << 10  # holds the largest arrays of an ordinary test
_scratch: weakref.WeakKeyDictionary[Any, Buffer] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Nested:
    """An element of an array that has arrays of its own, as ``call`` takes them."""

    struct: Struct
    arrays: Arrays


Arrays: TypeAlias = "Mapping[str, Struct | Sequence[Struct | Nested]]"


def scratch(proc: Process, size: int) -> Buffer:
    """Memory of *proc* with at least *size* bytes, reused by the next call.

    Each thread and each forked process is a Process of its own, so a blocked
    call in one of them does not see its arrays change.
    """
    buffer = _scratch.get(proc)
    if buffer is None or buffer.size < size:
        buffer = proc.alloc(max(_SCRATCH_BYTES, 1 << (size - 1).bit_length()))
        _scratch[proc] = buffer
    return buffer


def call(
    proc: Process,
    fd: int,
    ioctl: Ioctl,
    arg: S,
    arrays: Arrays | None = None,
    writes: Sequence[tuple[int, bytes]] = (),
    timeout_s: float | None = None,
    then: Callable[[Batch, Scratch], None] = lambda _batch, _arg: None,
) -> S:
    """Make *ioctl* and return its argument as the kernel left it.

    *arrays* names fields that describe an array in user memory: a descriptor
    is passed as it is, a sequence of structs is written to the process first,
    with the arrays of ``Nested`` ones, as are the bytes of *writes* (address,
    data). *then* adds steps that come after the ioctl and may use its argument,
    which they find in the scratch memory. All of it is one round trip to the
    guest, which may take *timeout_s* (default: the guest's own limit). Raises
    OSError with the errno of the kernel.
    """
    batch = proc.batch()
    for addr, data in (*writes, *_place(proc, arg, arrays or {})):
        batch.write(addr, data)
    place = batch.scratch(bytes(arg))
    step = batch.syscall("ioctl", fd, ioctl.nr, place)
    out = batch.read(place, ioctl.struct._size_)
    then(batch, place)
    start = time.monotonic()
    try:
        batch.run(timeout_s=timeout_s)
    except OSError as error:
        trace.emit(proc, fd, ioctl, arg, None, error, time.monotonic() - start)
        raise
    result = type(arg).from_bytes(out.data)
    trace.emit(proc, fd, ioctl, arg, result, step.value, time.monotonic() - start)
    return result


def _place(proc: Process, arg: Struct, arrays: Arrays) -> list[tuple[int, bytes]]:
    """Point *arg* at its arrays; returns what has to be written where."""
    placed = list(_collect(arg, arrays))
    if not placed:
        return []
    addr = start = scratch(proc, sum(items[0]._size_ * len(items) for _, _, items in placed)).addr
    for owner, name, items in placed:
        descriptor = owner._index_[name].struct
        assert descriptor is not None
        setattr(owner, name, descriptor(stride=items[0]._size_, count=len(items), array=addr))  # type: ignore[call-arg]
        addr += items[0]._size_ * len(items)
    # By now every element knows where its own arrays are.
    return [(start, b"".join(concat(items) for _, _, items in placed))]


def _collect(arg: Struct, arrays: Arrays) -> Iterator[tuple[Struct, str, Sequence[Struct]]]:
    """(struct, field, elements) of each array that has to be placed."""
    for name, value in arrays.items():
        if isinstance(value, Struct):
            setattr(arg, name, value)
            continue
        items = [item.struct if isinstance(item, Nested) else item for item in value]
        for item in value:
            if isinstance(item, Nested):
                yield from _collect(item.struct, item.arrays)
        if items:
            yield arg, name, _checked(arg, name, items)


def _checked(arg: Struct, name: str, value: Sequence[Struct]) -> Sequence[Struct]:
    element = arg._index_[name].element
    for item in value:
        if element is not None and not isinstance(item, element):
            raise TypeError(f"{name}: needs {element.__name__}, not {item!r}")
    return value
