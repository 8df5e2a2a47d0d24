# SPDX-License-Identifier: MIT
"""The text of the generated modules."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from vnpu.uapi.gen import model
from vnpu.uapi.gen.cheader import Doc, Header
from vnpu.uapi.gen.extract import Abi, IoctlNumber, Layout, Member

_HEAD = '''\
# SPDX-License-Identifier: MIT
"""Generated from {origin} by `python -m vnpu.uapi`; do not edit."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

{imports}from typing import TYPE_CHECKING

from vnpu.uapi.base import Field, Ioctl, Struct
from vnpu.uapi.call import call

if TYPE_CHECKING:
    from vnpu.guest import Process

HEADER_SHA256 = "{sha256}"
'''


class Renderer:
    """Writes one module. *fixed* are constants kept under their C names."""

    def __init__(self, abi: Abi, header: Header, origin: str, sha256: str) -> None:
        self.abi = abi
        self.header = header
        self.origin = origin
        self.sha256 = sha256
        self.flags = model.flag_sets(abi, header) if header.docs else {}

    def text(self) -> str:
        """The whole module."""
        imports = "from enum import IntEnum, IntFlag\n" if self.abi.enums else ""
        parts = ["\n".join(self._constants())]
        parts += [self._enum(name, values) for name, values in self.abi.enums.items()]
        parts += [self._flag_set(flag_set) for flag_set in self.flags.values()]
        parts += [self._struct(name, layout) for name, layout in self.abi.structs.items()]
        parts += ["\n".join(self._ioctls())]
        parts += [self._function(name, ioctl) for name, ioctl in self.abi.ioctls.items()]
        parts += ["# The same under their C names\n" + "\n".join(self._c_names())]
        body = "\n\n\n".join(part.strip("\n") for part in parts) + "\n"
        if "Sequence[" in body:
            imports = "from collections.abc import Sequence\n" + imports
        head = _HEAD.format(origin=self.origin, sha256=self.sha256, imports=imports)
        return head + "\n" + body

    def _doc(self, name: str) -> Doc:
        return self.header.docs.get(name, Doc())

    def _constants(self) -> Iterator[str]:
        grouped = {macro for flags in self.flags.values() for macro in flags.members.values()}
        for name, value in self.abi.constants.items():
            if name not in grouped:
                yield f"{name.removeprefix('DRM_VNPU_')} = {value:#x}"
                if title := self._doc(name).title:
                    yield f'"""{title}"""'

    def _c_names(self) -> Iterator[str]:
        for name in self.abi.structs:
            if name.startswith("drm_"):  # others are names of functions, too
                yield f"{name} = {model.class_name(name)}"
        for values in self.abi.enums.values():
            yield from (f"{name} = {value}" for name, value in values.items())
        for flags in self.flags.values():
            yield from (f"{macro} = {flags.name}.{m}" for m, macro in flags.members.items())
        for name, ioctl in self.abi.ioctls.items():
            if name != model.function_name(name).upper():
                yield f"{name} = {ioctl.nr:#010x}"

    def _enum(self, name: str, values: dict[str, int]) -> str:
        prefix = model.common_prefix(list(values))
        doc = self._doc(name)
        lines = [f"class {model.class_name(name)}(IntEnum):", f'    """{doc.title}"""', ""]
        for member, value in values.items():
            lines.append(f"    {member.removeprefix(prefix)} = {value}")
            if text := doc.members.get(member):
                lines.append(_docstring(_wrapped(text), 4))
        return "\n".join(lines)

    def _flag_set(self, flags: model.FlagSet) -> str:
        lines = [f"class {flags.name}(IntFlag):", f'    """{flags.prefix}*"""', ""]
        for member, macro in flags.members.items():
            lines.append(f"    {member} = {self.abi.constants[macro]:#x}")
            if text := self._doc(macro).title:
                lines.append(_docstring(_wrapped(text), 4))
        return "\n".join(lines)

    def _struct(self, name: str, layout: Layout) -> str:
        doc = self._doc(name)
        flexible = any(m.kind == "flexible" for m in layout.members)
        members = [m for m in layout.members if m.kind != "flexible"]
        about = [f"struct {name}" + (f" - {doc.title}" if doc.title else "")]
        about += [doc.text] if doc.text else []
        about += ["An array follows the fields in memory."] if flexible else []
        about += [_field_docs(doc, members)] if doc.members else []
        return "\n".join(
            [
                f"class {model.class_name(name)}(Struct):",
                _docstring("\n\n".join(about), 4),
                "",
                f'    _c_name_ = "struct {name}"',
                f"    _size_ = {layout.size}",
                "    _fields_ = (",
                *(f"        {self._field(m, doc.members.get(m.name, ''))}," for m in members),
                "    )",
                "    __slots__ = (",
                *(f'        "{m.name}",' for m in members),
                "    )",
                *(f"    {m.name}: {_attribute_type(m)}" for m in members),
                "",
                "    def __init__(",
                "        self,",
                "        *,",
                *(f"        {m.name}: {_argument_type(m)} = {_default(m)}," for m in members),
                "    ) -> None:",
                *(f"        self.{m.name} = {_assigned(m)}" for m in members),
            ]
        )

    def _field(self, member: Member, doc: str) -> str:
        args = [f'"{member.name}"', str(member.offset), f'"{member.kind}"']
        if member.count:
            args.append(f"count={member.count}")
        if member.struct:
            args.append(f"struct={model.class_name(member.struct)}")
        if symbols := model.symbols(member, doc, self.flags):
            args.append(f"symbols={symbols}")
        if element := model.element(doc):
            args.append(f"element={element}")
        if model.is_output(doc):
            args.append("output=True")
        if model.is_zero(doc):
            args.append("zero=True")
        return f"Field({', '.join(args)})"

    def _ioctls(self) -> Iterator[str]:
        for macro, ioctl in self.abi.ioctls.items():
            name = model.function_name(macro)
            struct = model.class_name(ioctl.struct)
            yield f'{name.upper()} = Ioctl("{macro}", {ioctl.nr:#010x}, {struct})'
        structs = ", ".join(map(model.class_name, self.abi.structs))
        names = ", ".join(model.function_name(macro).upper() for macro in self.abi.ioctls)
        yield f"STRUCTS: tuple[type[Struct], ...] = ({structs},)"
        yield f"IOCTLS: tuple[Ioctl, ...] = ({names},)"

    def _function(self, macro: str, ioctl: IoctlNumber) -> str:
        name = model.function_name(macro)
        struct = model.class_name(ioctl.struct)
        doc = self._doc(ioctl.struct)
        members = [
            m
            for m in self.abi.structs[ioctl.struct].members
            if m.kind != "flexible" and not model.is_output(doc.members.get(m.name, ""))
        ]
        elements = {m.name: model.element(doc.members.get(m.name, "")) for m in members}
        arrays = {n: e for n, e in elements.items() if e}
        plain = ", ".join(f"{m.name}={m.name}" for m in members if m.name not in arrays)
        passed = ", {" + ", ".join(f'"{n}": {n}' for n in arrays) + "}" if arrays else ""
        about = [macro] + ([doc.text] if doc.text else [])
        about += [_field_docs(doc, members)] if doc.members else []
        about += ["Returns the argument as the kernel left it. Raises OSError."]
        return "\n".join(
            [
                f"def {name}(",
                "    proc: Process,",
                "    file: int,",
                "    /,",
                "    *,",
                *(f"    {_parameter(m, elements[m.name])}," for m in members),
                f") -> {struct}:",
                _docstring("\n\n".join(about), 4),
                f"    arg = {struct}({plain})",
                f"    return call(proc, file, {name.upper()}, arg{passed})",
            ]
        )


def _parameter(member: Member, element: str | None) -> str:
    if element:
        return f"{member.name}: {model.class_name(member.struct)} | Sequence[{element}] = ()"
    return f"{member.name}: {_argument_type(member)} = {_default(member)}"


def _attribute_type(member: Member) -> str:
    if member.kind == "char":
        return "bytes"
    one = model.class_name(member.struct) if member.struct else "int"
    return f"tuple[{one}, ...]" if member.count else one


def _argument_type(member: Member) -> str:
    if member.kind == "char":
        return "bytes"
    one = model.class_name(member.struct) if member.struct else "int"
    if member.count:
        return f"Sequence[{one}]"
    return f"{one} | None" if member.struct else one


def _default(member: Member) -> str:
    if member.kind == "char":
        return 'b""'
    if member.count:
        return "()"
    return "None" if member.struct else "0"


def _assigned(member: Member) -> str:
    if member.count and member.kind != "char":
        return f"tuple({member.name})"
    if member.struct:
        return f"{model.class_name(member.struct)}() if {member.name} is None else {member.name}"
    return member.name


def _field_docs(doc: Doc, members: list[Member]) -> str:
    lines = []
    for member in members:
        if text := doc.members.get(member.name):
            lines += textwrap.wrap(
                f"{member.name}: {text.replace('@', '')}", 86, subsequent_indent="    "
            )
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 88)


def _docstring(text: str, indent: int) -> str:
    body = text.replace("@", "")
    lines = [f'"""{body}"""'] if "\n" not in body else [f'"""{body}', '"""']
    return textwrap.indent("\n".join(lines), " " * indent)
