# SPDX-License-Identifier: MIT
"""Every field of every ioctl wrong in turn, from the derived ABI.

A field that is added to the header gets its cases here by itself, or makes
test_every_input_field_is_covered fail.
"""

import enum
import errno

import pytest
from calls import ARGUMENTS, BASE, BY_STRUCT, ELEMENTS, fields, name
from support import PAGE, raises_errno, submit

from vnpu.accel import SYSTEM
from vnpu.uapi import abi

pytestmark = pytest.mark.exhaustive

ZERO = [(c, f) for c in ARGUMENTS + ELEMENTS for f in c._fields_ if f.zero]
FLAGS = [(c, f) for c, f in fields() if f.symbols and issubclass(f.symbols, enum.IntFlag)]
ENUMS = [(c, f) for c, f in fields() if f.symbols and not issubclass(f.symbols, enum.IntFlag)]
IDS = [(c, f) for c, f in fields() if f.name in ("handle", "vm_id", "queue_id", "id")]
ARRAYS = [(c, f) for c, f in fields() if f.element]

# what is left, with values that cannot be right, and the errno for each
WRONG_VALUES = {
    (abi.BoCreate, "size"): {
        0: errno.EINVAL,
        1 << 52: errno.E2BIG,
        2**63: errno.E2BIG,
        2**64 - PAGE: errno.E2BIG,
        2**64 - 1: errno.E2BIG,
    },
    (abi.BoCreate, "placements"): dict.fromkeys((0, 4, 5, 1 << 31, 2**32 - 1), errno.EINVAL),
    (abi.VmBind, "bind_queue_id"): dict.fromkeys((1, 999, 2**32 - 1), errno.ENOENT),
    (abi.VmBindOp, "bo_offset"): {
        1: errno.EINVAL,
        PAGE // 2: errno.EINVAL,
        4 * PAGE: errno.EINVAL,
        2**64 - PAGE: errno.EINVAL,
        2**63: errno.EINVAL,
    },
    (abi.VmBindOp, "va"): {
        BASE + 1: errno.EINVAL,
        0: errno.EINVAL,
        (1 << 48) - PAGE: errno.EINVAL,
        1 << 48: errno.EINVAL,
        2**64 - PAGE: errno.EINVAL,
    },
    (abi.VmBindOp, "size"): {
        0: errno.EINVAL,
        1: errno.EINVAL,
        PAGE + 8: errno.EINVAL,
        5 * PAGE: errno.EINVAL,
        2**64 - PAGE: errno.EINVAL,
        2**63: errno.EINVAL,
    },
    (abi.Sync, "timeline_value"): {1: errno.EINVAL, 2**64 - 1: errno.EINVAL},
    (abi.Cmd, "va"): {BASE + 4: errno.EINVAL, BASE + 1: errno.EINVAL, 2**64 - 8: errno.EINVAL},
    (abi.Cmd, "size"): {
        0: errno.EINVAL,
        4: errno.EINVAL,
        12: errno.EINVAL,
        65544: errno.EINVAL,
        2**32 - 8: errno.EINVAL,
    },
}  # fmt: skip
FREE = {(abi.DevQuery, "infos")}  # filled by the kernel: test_query.py


def unknown_bits(field):
    known = sum(set(field.symbols))
    return [1 << bit for bit in range(32) if not known >> bit & 1]


def test_every_input_field_is_covered():
    covered = {(c, f.name) for group in (ZERO, FLAGS, ENUMS, IDS, ARRAYS) for c, f in group}
    missing = {(c, f.name) for c, f in fields()} - covered - set(WRONG_VALUES) - FREE
    assert missing == set()


@pytest.mark.parametrize("cls", ARGUMENTS + ELEMENTS, ids=name)
def test_unchanged_argument_works(calls, cls):
    calls.send(calls.valid(cls))
    calls.check_usable()


@pytest.mark.parametrize(("cls", "field"), ZERO, ids=name)
def test_reserved_field_is_not_zero(calls, cls, field):
    arg = calls.valid(cls)
    bits = range(field.size * 8)
    got = calls.errors([arg.replace(**{field.name: 1 << bit}) for bit in bits])
    assert got == [errno.EINVAL] * len(bits)
    calls.check_usable()


@pytest.mark.parametrize(("cls", "field"), FLAGS, ids=name)
def test_unknown_flag(calls, cls, field):
    arg = calls.valid(cls)
    bits = unknown_bits(field)
    flags = getattr(arg, field.name)
    got = calls.errors([arg.replace(**{field.name: flags | bit}) for bit in bits])
    assert got == [errno.EINVAL] * len(bits)
    calls.check_usable()


@pytest.mark.parametrize(("cls", "field"), ENUMS, ids=name)
def test_unknown_enumerator(calls, cls, field):
    known = set(field.symbols)
    beside = {symbol + i for symbol in known for i in (1, 2)}
    far = {0x80, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
    values = sorted((beside | far | {0}) - known)
    arg = calls.valid(cls)
    got = calls.errors([arg.replace(**{field.name: value}) for value in values])
    assert got == [errno.EINVAL] * len(values)
    calls.check_usable()


@pytest.mark.parametrize(("cls", "field"), IDS, ids=name)
def test_no_such_object(calls, cls, field):
    values = [999, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    if (cls, field.name) != (abi.BoCreate, "vm_id"):  # where zero means none
        values.append(0)
    arg = calls.valid(cls)
    got = calls.errors([arg.replace(**{field.name: value}) for value in values])
    assert got == [errno.ENOENT] * len(values)
    calls.check_usable()


@pytest.mark.parametrize(("cls", "field"), IDS, ids=name)
def test_object_of_another_file(calls, other, cls, field):
    """Valid numbers, but in another client, which has no such object."""
    arg = calls.valid(cls)
    if (cls, field.name) == (abi.BoCreate, "vm_id"):
        arg = arg.replace(vm_id=calls.vm.id)
    if cls is abi.SubmitJob:
        arg = calls.job()
    number = getattr(arg, field.name)
    with raises_errno(errno.ENOENT):
        if cls is abi.VmBindOp:
            vm = other.vm_create()
            vm.bind_ops([arg])
        elif cls is abi.Sync:
            job = abi.SubmitJob(queue_id=other.queue_create(other.vm_create()).id)
            submit(other, job, syncs=[arg])
        elif cls is abi.SubmitJob:
            submit(other, arg)
        else:
            abi.call(other.proc, other.fd, BY_STRUCT[cls], arg)
    assert number, "the case would be that of zero"
    calls.check_usable()


@pytest.mark.parametrize(
    ("cls", "field", "value", "error"),
    [
        pytest.param(cls, field, value, error, id=f"{cls.__name__}-{field}-{value:#x}")
        for (cls, field), cases in WRONG_VALUES.items()
        for value, error in cases.items()
    ],
)
def test_wrong_value(calls, cls, field, value, error):
    with raises_errno(error):
        calls.send(calls.valid(cls, **{field: value}))
    calls.check_usable()


def bad_arrays(field):
    size = field.element._size_
    return {
        "stride zero": ({"stride": 0}, errno.EINVAL),
        "stride above the limit": ({"stride": 4097}, errno.EINVAL),
        "stride all ones": ({"stride": 0xFFFFFFFF}, errno.EINVAL),
        "count all ones": ({"count": 0xFFFFFFFF}, errno.E2BIG),
        "count times stride wraps 32 bits": (
            {"count": 1 << 28, "stride": 16 if size < 16 else size},
            errno.E2BIG,
        ),
        "null": ({"array": 0}, errno.EFAULT),
        "kernel address": ({"array": 0xFFFF_8880_0000_0000}, errno.EFAULT),
        "not canonical": ({"array": 1 << 60}, errno.EFAULT),
        "wraps the address space": ({"array": 2**64 - 8}, errno.EFAULT),
    }


@pytest.mark.parametrize(("cls", "field"), ARRAYS, ids=name)
@pytest.mark.parametrize("case", bad_arrays(ARRAYS[0][1]))
def test_bad_array(calls, cls, field, case):
    changes, error = bad_arrays(field)[case]
    array = calls.array(calls.valid(field.element)).replace(**changes)
    arg = calls.valid(cls)
    if cls is abi.VmBind and field.name == "syncs":
        arg = abi.VmBind(vm_id=calls.vm.id, flags=abi.VmBindFlag.ASYNC)
    if cls is abi.SubmitJob and field.name == "syncs":
        arg = calls.job()
    with raises_errno(error):
        calls.send(arg.replace(**{field.name: array}))
    calls.check_usable()


@pytest.mark.parametrize(("cls", "field"), ARRAYS, ids=name)
def test_array_that_ends_in_unmapped_memory(calls, cls, field):
    """The second element is where nothing is mapped."""
    size = field.element._size_
    pages = calls.proc.alloc(2 * PAGE)
    calls.proc.syscall("munmap", pages.addr + PAGE, PAGE)
    pages.write(bytes(calls.valid(field.element)), PAGE - size)
    array = abi.Array(stride=size, count=2, array=pages.addr + PAGE - size)
    flags = abi.VmBindFlag.ASYNC if cls is abi.VmBind else 0
    with raises_errno(errno.EFAULT):
        calls.send(calls.valid(cls, flags=flags, **{field.name: array}))
    calls.check_usable()


@pytest.mark.parametrize("element", ELEMENTS, ids=name)
def test_longer_element_with_zero_tail(calls, element):
    """A program built against a later header, that uses nothing new."""
    arg = calls.valid(element)
    calls.memory.write(bytes(arg).ljust(4096, b"\0"))
    calls.send(calls.carrier(arg, abi.Array(stride=4096, count=1, array=calls.memory.addr)))


@pytest.mark.parametrize("element", ELEMENTS, ids=name)
def test_longer_element_with_something_in_its_tail(calls, element):
    """A program that uses what this kernel does not know."""
    size = element._size_
    arg = calls.valid(element)
    for at in (size, size + 7, 4095):
        raw = bytearray(bytes(arg).ljust(4096, b"\0"))
        raw[at] = 1
        calls.memory.write(bytes(raw))
        longer = abi.Array(stride=4096, count=1, array=calls.memory.addr)
        with raises_errno(errno.E2BIG):
            calls.send(calls.carrier(arg, longer))
    calls.check_usable()


@pytest.mark.parametrize("element", ELEMENTS, ids=name)
def test_element_shorter_than_any_ever_was(calls, element):
    """These are the first versions of the structs; no program knows shorter ones."""
    arg = calls.valid(element)
    calls.memory.write(bytes(arg))
    for stride in (element._size_ - 1, element._size_ - 8, 1):
        short = abi.Array(stride=stride, count=1, array=calls.memory.addr)
        with raises_errno(errno.EINVAL):
            calls.send(calls.carrier(arg, short))
    calls.check_usable()


def test_empty_array_may_point_anywhere(calls):
    nowhere = abi.Array(stride=0, count=0, array=2**64 - 1)
    calls.send(calls.job(cmds=nowhere, syncs=nowhere))


def test_submit_without_jobs(calls):
    for array in (abi.Array(), abi.Array(stride=abi.SubmitJob._size_, array=calls.memory.addr)):
        with raises_errno(errno.EINVAL):
            calls.send(abi.Submit(jobs=array))
    calls.check_usable()


def test_gang_is_reserved(calls):
    with raises_errno(errno.EOPNOTSUPP):
        calls.send(calls.valid(abi.Submit, flags=abi.SubmitFlag.GANG))
    calls.check_usable()


def test_range_wraps_in_a_bind(calls):
    """Start and size are fine one by one; their sum passes 2^64 or the end of the space."""
    end = calls.npu.query_device().va_end
    for va, size in ((2**64 - PAGE, 2 * PAGE), (end - PAGE, 2 * PAGE), (PAGE, 2**64 - PAGE)):
        for op in (abi.VmBindOpType.MAP, abi.VmBindOpType.UNMAP):
            handle = calls.bo.handle if op == abi.VmBindOpType.MAP else 0
            with raises_errno(errno.EINVAL):
                calls.send(abi.VmBindOp(op=op, handle=handle, va=va, size=size))
    calls.check_usable()


def test_range_wraps_in_a_bo(calls):
    for offset, size in ((2**64 - PAGE, 2 * PAGE), (3 * PAGE, 2 * PAGE), (PAGE, 2**64 - PAGE)):
        with raises_errno(errno.EINVAL):
            calls.send(calls.valid(abi.VmBindOp, bo_offset=offset, size=size))
    calls.check_usable()


@pytest.mark.parametrize("field", ["flags", "handle", "bo_offset"])
def test_unmap_takes_no_bo(calls, field):
    calls.send(calls.valid(abi.VmBindOp))
    unmap = abi.VmBindOp(op=abi.VmBindOpType.UNMAP, va=BASE, size=PAGE)
    value = {"flags": 1, "handle": calls.bo.handle, "bo_offset": PAGE}[field]
    with raises_errno(errno.EINVAL):
        calls.send(unmap.replace(**{field: value}))
    calls.send(unmap)


def test_failed_call_leaves_no_object(calls):
    """Errors found late do not use up IDs: the next ones are as if nothing had been."""
    before = calls.npu.query_memory().vram_used
    bad = [
        calls.valid(abi.QueueCreate, pad=1),
        abi.VmCreate(flags=1),
        calls.valid(abi.BoCreate, placements=1, flags=1 << 9),
    ]
    for _ in range(10):
        assert calls.errors(bad * 30) == [errno.EINVAL] * 90
    assert calls.npu.query_memory().vram_used == before
    calls.send(calls.valid(abi.QueueCreate))
    calls.send(calls.valid(abi.VmCreate))


def test_high_priority_is_refused_without_capability(guest):
    from vnpu.accel import Device

    guest.shell("chmod 666 /dev/accel/accel0")
    plain = Device.open(guest.spawn(uid=1000, gid=1000))
    vm = plain.vm_create()
    with raises_errno(errno.EACCES):
        plain.queue_create(vm, priority=abi.QueuePriority.HIGH)
    plain.queue_create(vm, priority=abi.QueuePriority.NORMAL)


def test_cpu_visible_needs_vram(calls):
    with raises_errno(errno.EINVAL):
        calls.npu.bo_create(PAGE, placement=SYSTEM, flags=abi.BoFlag.CPU_VISIBLE)
