# SPDX-License-Identifier: MIT
"""Layouts, enums, constants and ioctl numbers of C headers, from DWARF.

A generated C file includes the headers and names everything that is wanted;
gcc compiles it with debug information, pyelftools reads the object.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from vnpu.base import scratch
from vnpu.base.errors import BuildError, SetupError


@dataclass(frozen=True)
class Wanted:
    """What to look for: ``includes`` are the arguments of #include lines."""

    includes: Sequence[str]
    structs: Sequence[str] = ()
    enums: Sequence[str] = ()
    constants: Sequence[str] = ()
    ioctls: Sequence[str] = ()


@dataclass
class Member:
    """A member of a struct; *kind* as in vnpu.uapi.base.Field."""

    name: str
    offset: int
    size: int
    kind: str
    count: int = 0
    struct: str = ""


@dataclass
class Layout:
    """A struct."""

    size: int
    align: int
    members: list[Member]


@dataclass
class IoctlNumber:
    """An ioctl and the struct of its argument."""

    nr: int
    struct: str


@dataclass
class Abi:
    """Everything that was wanted, as the compiler sees it."""

    structs: dict[str, Layout] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    ioctls: dict[str, IoctlNumber] = field(default_factory=dict)

    def to_json(self) -> str:
        """Text for the cache."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Abi:
        """The reverse of to_json()."""
        raw = json.loads(text)
        structs = {
            name: Layout(s["size"], s["align"], [Member(**m) for m in s["members"]])
            for name, s in raw["structs"].items()
        }
        ioctls = {name: IoctlNumber(**value) for name, value in raw["ioctls"].items()}
        return cls(structs, raw["enums"], raw["constants"], ioctls)


def extract(
    wanted: Wanted, include_dirs: Iterable[Path], bits: int = 64, cache: Path | None = None
) -> Abi:
    """Compile for 32 or 64 bits and read the result.

    With *cache* (a directory) a result is kept by the hash of the preprocessed
    text, the compiler and this file, so that nothing is compiled twice. Raises
    SetupError without a compiler, BuildError if the headers do not compile.
    """
    source = _c_source(wanted)
    flags = [*target_flags(bits), "-D__user=", *(f"-I{folder}" for folder in include_dirs)]
    # without line markers, which differ between machines and split expressions
    text = _gcc(["-E", "-P", *flags], source).decode()
    entry = cache / f"{_key(text, bits)}.json" if cache else None
    if entry and entry.is_file():
        return Abi.from_json(entry.read_text())
    image = _compile(flags, source)
    abi = _read(image, wanted, _ioctl_structs(text))
    if entry:
        _store(entry, abi)
    return abi


def target_flags(bits: int) -> list[str]:
    """Options that compile headers for ``bits`` without a C library for them.

    The kernel's headers for programs are the same for 32 and 64 bits. Debian
    keeps <asm/...> where the compiler looks for its own size only, so the
    directory is named: a 32-bit C library would bring the same, but its
    package shuts out every cross compiler.
    """
    flags = [f"-m{bits}", "-ffreestanding"]
    multiarch = _gcc(["-print-multiarch"]).decode().strip()
    return [*flags, f"-idirafter/usr/include/{multiarch}"] if multiarch else flags


def _key(text: str, bits: int) -> str:
    digest = hashlib.sha256(f"{bits}\n{_gcc(['--version']).decode()}".encode())
    digest.update(text.encode())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:32]


def _store(entry: Path, abi: Abi) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=entry.parent, delete=False) as file:
        file.write(abi.to_json())
    Path(file.name).replace(entry)


def _c_source(wanted: Wanted) -> str:
    lines = [f"#include {include}" for include in wanted.includes]
    lines += [f"struct {name} probe_struct_{name};" for name in wanted.structs]
    lines += [f"enum {name} probe_enum_{name};" for name in wanted.enums]
    lines += [
        f"const unsigned long long probe_value_{name} = {name};"
        for name in (*wanted.constants, *wanted.ioctls)
    ]
    return "\n".join(lines) + "\n"


def _ioctl_structs(text: str) -> dict[str, str]:
    """The struct whose size an ioctl's number holds, from its expanded macro."""
    found = {}
    for name, value in re.findall(r"probe_value_(\w+) =(.*?);", text, re.S):
        if match := re.search(r"sizeof\s*\(\s*struct\s+(\w+)\s*\)", value):
            found[name] = match[1]
    return found


def _gcc(args: list[str], source: str | None = None) -> bytes:
    """Run the compiler, on ``source`` if there is one."""
    if shutil.which("gcc") is None:
        raise SetupError("gcc was not found; it is required to read the layout of the uAPI")
    command = ["gcc", *args, *([] if source is None else ["-x", "c", "-"])]
    done = subprocess.run(command, input=(source or "").encode(), capture_output=True, check=False)
    if done.returncode:
        text = done.stderr.decode(errors="replace")
        first = next((line for line in text.splitlines() if "error" in line), text)
        raise BuildError(f"the uAPI headers do not compile: {first}")
    return done.stdout


def _compile(flags: list[str], source: str) -> bytes:
    with scratch.folder("uapi") as directory:
        target = directory / "probe.o"
        _gcc(["-g", "-gdwarf-4", "-O0", *flags, "-c", "-o", str(target)], source)
        return target.read_bytes()


def _read(image: bytes, wanted: Wanted, ioctl_structs: dict[str, str]) -> Abi:
    elf = ELFFile(io.BytesIO(image))
    variables = {
        die.attributes["DW_AT_name"].value.decode(): die
        for unit in elf.get_dwarf_info().iter_CUs()
        for die in unit.iter_DIEs()
        if die.tag == "DW_TAG_variable" and "DW_AT_name" in die.attributes
    }
    values = _values(elf)
    abi = Abi()
    for name in wanted.structs:
        abi.structs[name] = _layout(_type(variables[f"probe_struct_{name}"]))
    for name in wanted.enums:
        abi.enums[name] = _enumerators(_type(variables[f"probe_enum_{name}"]))
    abi.constants = {name: values[f"probe_value_{name}"] for name in wanted.constants}
    for name in wanted.ioctls:
        nr = values[f"probe_value_{name}"] & 0xFFFFFFFF
        abi.ioctls[name] = IoctlNumber(nr, ioctl_structs.get(name, ""))
    return abi


def _values(elf: ELFFile) -> dict[str, int]:
    """Contents of the 64-bit constants, through the symbol table."""
    found = {}
    symtab: Any = elf.get_section_by_name(".symtab")
    for symbol in symtab.iter_symbols():
        if symbol.name.startswith("probe_value_"):
            data = elf.get_section(symbol["st_shndx"]).data()
            offset = symbol["st_value"]
            found[symbol.name] = int.from_bytes(data[offset : offset + 8], "little")
    return found


def _type(die: DIE) -> DIE:
    """The type of a variable, member or typedef, without names and qualifiers."""
    die = die.get_DIE_from_attribute("DW_AT_type")
    while die.tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"):
        die = die.get_DIE_from_attribute("DW_AT_type")
    return die


def _attr(die: DIE, name: str) -> Any:
    return die.attributes[name].value


def _enumerators(die: DIE) -> dict[str, int]:
    return {
        _attr(child, "DW_AT_name").decode(): _attr(child, "DW_AT_const_value")
        for child in die.iter_children()
        if child.tag == "DW_TAG_enumerator"
    }


def _layout(die: DIE) -> Layout:
    children = [c for c in die.iter_children() if c.tag == "DW_TAG_member"]
    align = max((_align(_type(child)) for child in children), default=1)
    return Layout(_attr(die, "DW_AT_byte_size"), align, [_member(c) for c in children])


def _align(die: DIE) -> int:
    if die.tag == "DW_TAG_array_type":
        return _align(_type(die))
    if die.tag == "DW_TAG_structure_type":
        return _layout(die).align
    return int(_attr(die, "DW_AT_byte_size"))


def _member(die: DIE) -> Member:
    kind = _type(die)
    count = 0
    if kind.tag == "DW_TAG_array_type":
        (bounds,) = (c for c in kind.iter_children() if c.tag == "DW_TAG_subrange_type")
        # a flexible array member has no upper bound and takes no room
        upper = bounds.attributes.get("DW_AT_upper_bound")
        count = upper.value + 1 if upper is not None else 0
        if not count:
            return Member(_name(die), _offset(die), 0, "flexible", 0, "")
        kind = _type(kind)
    name, struct = _kind(kind)
    if name == "char" and not count:
        name = "s8"
    size = _attr(kind, "DW_AT_byte_size") * (count or 1)
    return Member(_name(die), _offset(die), size, name, count, struct)


def _name(die: DIE) -> str:
    return str(_attr(die, "DW_AT_name").decode())


def _offset(die: DIE) -> int:
    return int(_attr(die, "DW_AT_data_member_location"))


_ENCODINGS = {5: "s", 6: "s", 7: "u", 8: "u"}  # DW_ATE_signed, signed_char, unsigned, unsigned_char


def _kind(die: DIE) -> tuple[str, str]:
    """Kind of a member, and the name of its struct."""
    if die.tag == "DW_TAG_structure_type":
        return "struct", _name(die)
    if die.tag == "DW_TAG_pointer_type":
        return "ptr", ""
    if die.tag == "DW_TAG_enumeration_type":
        return f"u{_attr(die, 'DW_AT_byte_size') * 8}", ""
    if die.tag != "DW_TAG_base_type" or _attr(die, "DW_AT_encoding") not in _ENCODINGS:
        raise BuildError(f"a member of type {die.tag} cannot be expressed in Python")
    if _name(die) == "char":
        return "char", ""
    return f"{_ENCODINGS[_attr(die, 'DW_AT_encoding')]}{_attr(die, 'DW_AT_byte_size') * 8}", ""
