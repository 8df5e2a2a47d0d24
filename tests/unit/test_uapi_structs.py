# SPDX-License-Identifier: MIT
"""The generated struct classes: encodings, and errors before the guest sees anything."""

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpu.uapi import _drm, _generated, abi
from vnpu.uapi.base import Field, Struct


def test_layout_of_a_known_struct():
    raw = bytes(abi.BoCreate(size=0x1122334455667788, placements=3, flags=1, vm_id=7, handle=9))
    assert raw.hex() == "887766554433221103000000010000000700000009000000"


def test_misspelled_keyword():
    with pytest.raises(TypeError, match="sizee"):
        abi.BoCreate(sizee=1)


def test_misspelled_attribute():
    struct = abi.BoCreate()
    with pytest.raises(AttributeError, match=r"sizee.*it has size, placements"):
        struct.sizee = 1


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_value_does_not_fit(value):
    with pytest.raises(ValueError, match="vm_id"):
        abi.BoCreate(vm_id=value)
    struct = abi.BoCreate()
    with pytest.raises(ValueError, match="vm_id"):
        struct.vm_id = value


@pytest.mark.parametrize("value", [1.0, "1", None, b"1"])
def test_value_is_not_an_integer(value):
    with pytest.raises(TypeError, match="size"):
        abi.BoCreate(size=value)


def test_signed_field():
    assert bytes(abi.PrimeHandle(fd=-1))[8:] == b"\xff" * 4
    with pytest.raises(ValueError, match="fd"):
        abi.PrimeHandle(fd=1 << 31)


def test_nested_struct_needs_its_class():
    with pytest.raises(TypeError, match="needs Array"):
        abi.VmBind(ops=abi.Sync())
    raw = bytes(abi.VmBind(ops=abi.Array(stride=40, count=1, array=0x1000)))
    assert raw[16:32].hex() == "28000000010000000010000000000000"


class Table(Struct):
    """What no struct of the ABI has: an array of structs inside."""

    __slots__ = ("count", "syncs")
    _c_name_ = "table"
    _size_ = 56
    _fields_ = (
        Field("count", 0, "u64"),
        Field("syncs", 8, "struct", count=2, struct=abi.Sync),
    )

    def __init__(self, count=0, syncs=()):
        self.count = count
        self.syncs = syncs


def test_array_field():
    table = Table(syncs=[abi.Sync(handle=1)])
    assert len(table.syncs) == 2
    assert (table.syncs[0].handle, table.syncs[1].handle) == (1, 0)
    assert Table.from_bytes(bytes(table)) == table
    with pytest.raises(ValueError, match="3 elements"):
        Table(syncs=[abi.Sync()] * 3)


def test_text_field():
    assert abi.SyncFileInfo.from_bytes(bytes(abi.SyncFileInfo(name=b"job"))).name == b"job"
    with pytest.raises(ValueError, match="33 bytes"):
        abi.SyncFileInfo(name=b"x" * 33)


def test_from_bytes_needs_enough():
    with pytest.raises(ValueError, match="24 bytes"):
        abi.BoCreate.from_bytes(bytes(23))


def test_repr_is_symbolic():
    assert repr(abi.QueueQuery(id=4096, state=3)) == "QueueQuery(id=0x1000, state=BANNED|FAULT)"
    assert repr(abi.QueueQuery(state=0x101)) == "QueueQuery(state=BANNED|0x100)"
    assert repr(abi.QueueCreate(engine_class=1, priority=77)) == (
        "QueueCreate(engine_class=TENSOR, priority=0x4d)"
    )
    assert repr(abi.VmBind(ops=abi.Array(count=1))) == "VmBind(ops=Array(count=1))"


def test_replace_leaves_the_original():
    one = abi.Sync(handle=1)
    two = one.replace(op=abi.SyncOp.SIGNAL)
    assert (one.op, two.op, two.handle) == (0, 2, 1)


def test_c_names():
    assert abi.drm_vnpu_bo_create is abi.BoCreate
    assert abi.SUBMIT.nr == abi.DRM_IOCTL_VNPU_SUBMIT
    assert abi.DRM_VNPU_VM_BIND_OP_UNMAP == abi.VmBindOpType.UNMAP
    assert abi.DRM_VNPU_QUEUE_STATE_FAULT == abi.QueueStateFlag.FAULT


def test_the_two_modules_share_no_name():
    machinery = {"call", "annotations", "Field", "Ioctl", "Struct", "Sequence", "TYPE_CHECKING"}
    machinery |= {"HEADER_SHA256", "IOCTLS", "STRUCTS"}
    # "@" starts what pytest adds to a module whose assertions it rewrites
    names = [{n for n in vars(m) if not n.startswith(("__", "@"))} for m in (_drm, _generated)]
    assert (names[0] & names[1]) - machinery == set()


@pytest.mark.parametrize("ioctl", abi.IOCTLS + abi.DRM_IOCTLS, ids=lambda i: i.name)
def test_function_takes_fields_of_its_struct_by_keyword_only(ioctl):
    name = next(n for n, v in vars(abi).items() if v is ioctl).lower()
    function = getattr(abi, name)
    parameters = inspect.signature(function).parameters
    given_by_name = {n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert given_by_name <= {f.name for f in ioctl.struct._fields_}
    assert len(parameters) == len(given_by_name) + 2
    assert inspect.signature(function).return_annotation == ioctl.struct.__name__
    assert function.__doc__ and function.__doc__.startswith(ioctl.name)


def test_outputs_are_not_parameters():
    assert "handle" not in inspect.signature(abi.bo_create).parameters
    assert "size" in inspect.signature(abi.bo_create).parameters


@pytest.mark.parametrize("cls", abi.STRUCTS + abi.DRM_STRUCTS, ids=lambda c: c.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_bytes_round_trip(cls, data):
    raw = data.draw(st.binary(min_size=cls._size_, max_size=cls._size_))
    covered = bytearray(cls._size_)
    for field in cls._fields_:
        covered[field.offset : field.offset + field.size] = b"\xff" * field.size
    struct = cls.from_bytes(raw)
    assert bytes(struct) == bytes(a & b for a, b in zip(raw, covered, strict=True))
    assert cls.from_bytes(bytes(struct)) == struct


@settings(max_examples=50, deadline=None)
@given(size=st.integers(0, 0x3FFF))
def test_resized_number_differs_in_the_size_only(size):
    nr = abi.SUBMIT.resized(size)
    assert nr >> 16 & 0x3FFF == size
    assert nr & ~(0x3FFF << 16) == abi.SUBMIT.nr & ~(0x3FFF << 16)
