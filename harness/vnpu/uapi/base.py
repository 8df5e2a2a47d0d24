# SPDX-License-Identifier: MIT
"""What the generated struct classes are made of."""

from __future__ import annotations

import enum
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

_SCALARS = {
    "u8": (1, False), "u16": (2, False), "u32": (4, False), "u64": (8, False),
    "s8": (1, True), "s16": (2, True), "s32": (4, True), "s64": (8, True),
    "ptr": (8, False),
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One member of a struct. Offsets and sizes are in bytes."""

    name: str
    offset: int
    kind: str  # a key of _SCALARS, "char" (bytes, NUL padded) or "struct"
    count: int = 0  # elements of an array, 0 for a single value
    struct: type[Struct] | None = None
    symbols: type[enum.IntEnum] | type[enum.IntFlag] | None = None
    element: type[Struct] | None = None  # of the user array that this field describes
    output: bool = False  # only the kernel writes it
    zero: bool = False  # has to be zero when passed in: padding, and flags to come

    @property
    def unit(self) -> int:
        """Size of one element."""
        if self.kind == "struct":
            assert self.struct is not None
            return self.struct._size_
        return 1 if self.kind == "char" else _SCALARS[self.kind][0]

    @property
    def size(self) -> int:
        """Size of the whole member."""
        return self.unit * (self.count or 1)

    @property
    def default(self) -> Any:
        """The value of a member that is all zero bytes."""
        if self.kind == "char":
            return b""
        return (self._zero(),) * self.count if self.count else self._zero()

    def _zero(self) -> Any:
        return self.struct() if self.struct is not None else 0

    def check(self, value: Any) -> Any:
        """Return *value* in its stored form.

        Raises TypeError for a value of another kind, ValueError for one that
        does not fit: C would cut both silently.
        """
        if self.kind == "char":
            data = bytes(value)
            if len(data) > self.count:
                raise ValueError(f"{self.name}: {len(data)} bytes do not fit into {self.count}")
            return data
        if not self.count:
            return self._check_one(value)
        items = tuple(self._check_one(item) for item in value)
        if len(items) > self.count:
            raise ValueError(f"{self.name}: {len(items)} elements do not fit into {self.count}")
        return items + (self._zero(),) * (self.count - len(items))

    def _check_one(self, value: Any) -> Any:
        if self.struct is not None:
            if not isinstance(value, self.struct):
                raise TypeError(f"{self.name}: needs {self.struct.__name__}, not {value!r}")
            return value
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{self.name}: needs an integer, not {value!r}") from None
        size, signed = _SCALARS[self.kind]
        low, high = (-(1 << size * 8 - 1), 1 << size * 8 - 1) if signed else (0, 1 << size * 8)
        if not low <= number < high:
            raise ValueError(f"{self.name}: {number:#x} does not fit into {self.kind}")
        return number

    def pack(self, value: Any) -> bytes:
        """Bytes of a checked value."""
        if self.kind == "char":
            return bytes(value).ljust(self.count, b"\0")
        items = value if self.count else (value,)
        if self.kind == "struct":
            return b"".join(bytes(item) for item in items)
        size, signed = _SCALARS[self.kind]
        return b"".join(item.to_bytes(size, "little", signed=signed) for item in items)

    def unpack(self, data: bytes) -> Any:
        """Value of the member in the bytes of a whole struct."""
        raw = data[self.offset : self.offset + self.size]
        if self.kind == "char":
            return raw.rstrip(b"\0")
        parts = [raw[i : i + self.unit] for i in range(0, len(raw), self.unit)]
        items = tuple(self._unpack_one(part) for part in parts)
        return items if self.count else items[0]

    def _unpack_one(self, raw: bytes) -> Any:
        if self.struct is not None:
            return self.struct.from_bytes(raw)
        return int.from_bytes(raw, "little", signed=_SCALARS[self.kind][1])

    def show(self, value: Any) -> str:
        """Readable form of a value: symbols where the field has them."""
        if self.kind == "char":
            return repr(value)
        if self.count:
            return "[" + ", ".join(self._show_one(item) for item in value) + "]"
        return self._show_one(value)

    def _show_one(self, value: Any) -> str:
        if self.struct is not None:
            return repr(value)
        return symbolic(self.symbols, value)


def symbolic(symbols: type[enum.IntEnum] | type[enum.IntFlag] | None, value: int) -> str:
    """*value* in the names of *symbols*, bits or values without a name in hex."""
    if symbols is None or (value == 0 and issubclass(symbols, enum.IntFlag)):
        return str(value) if -10 < value < 10 else hex(value)
    if not issubclass(symbols, enum.IntFlag):
        return next((m.name for m in symbols if m == value), hex(value))
    names = [m.name or "" for m in symbols if m & value]
    rest = value
    for member in symbols:
        rest &= ~int(member)
    return "|".join(names + ([hex(rest)] if rest else []))


class Struct:
    """Base of the generated classes.

    Attributes are checked when they are set: a name that is not a field raises
    AttributeError, a value that does not fit raises ValueError.
    """

    __slots__ = ()
    _c_name_: ClassVar[str]
    _size_: ClassVar[int]
    _fields_: ClassVar[tuple[Field, ...]]
    _index_: ClassVar[dict[str, Field]]

    def __init_subclass__(cls) -> None:
        cls._index_ = {field.name: field for field in cls._fields_}

    def __setattr__(self, name: str, value: Any) -> None:
        field = self._index_.get(name)
        if field is None:
            raise AttributeError(
                f"{self._c_name_} has no field {name!r}; it has {', '.join(self._index_)}"
            )
        object.__setattr__(self, name, field.check(value))

    def __bytes__(self) -> bytes:
        out = bytearray(self._size_)
        for field in self._fields_:
            out[field.offset : field.offset + field.size] = field.pack(getattr(self, field.name))
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """Decode the first bytes of *data*; ValueError if there are too few."""
        raw = bytes(data)
        if len(raw) < cls._size_:
            raise ValueError(f"{cls._c_name_} needs {cls._size_} bytes, not {len(raw)}")
        self = cls.__new__(cls)
        for field in cls._fields_:
            object.__setattr__(self, field.name, field.unpack(raw))
        return self

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        copy = type(self).from_bytes(bytes(self))
        for name, value in changes.items():
            setattr(copy, name, value)
        return copy

    @classmethod
    def field(cls, name: str) -> Field:
        """The field of this name. Raises KeyError."""
        return cls._index_[name]

    def items(self) -> Iterator[tuple[Field, Any]]:
        """The fields with their values, in the order of the struct."""
        return ((field, getattr(self, field.name)) for field in self._fields_)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bytes(other) == bytes(self)

    def __hash__(self) -> int:
        return hash((type(self), bytes(self)))

    def __repr__(self) -> str:
        shown = (f"{f.name}={f.show(v)}" for f, v in self.items() if v != f.default)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True)
class Ioctl:
    """An ioctl: its C name, its number and the struct of its argument."""

    name: str
    nr: int
    struct: type[Struct]

    @property
    def direction(self) -> int:
        """_IOC_DIR: 1 for write (to the kernel), 2 for read, 3 for both."""
        return self.nr >> 30

    @property
    def size(self) -> int:
        """_IOC_SIZE, in bytes."""
        return self.nr >> 16 & 0x3FFF

    def resized(self, size: int) -> int:
        """The number of this ioctl for an argument of *size* bytes."""
        if not 0 <= size < 1 << 14:
            raise ValueError(f"{size} is not an ioctl argument size")
        return self.nr & ~(0x3FFF << 16) | size << 16


def concat(structs: Iterable[Struct]) -> bytes:
    """The bytes of a C array of *structs*."""
    return b"".join(bytes(struct) for struct in structs)
