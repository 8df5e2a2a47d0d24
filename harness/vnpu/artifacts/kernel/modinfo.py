# SPDX-License-Identifier: MIT
"""What kernel modules say about themselves, and the order in which to load them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from elftools.elf.elffile import ELFFile

from vnpu.base.errors import BuildError


def read(module: Path) -> dict[str, str]:
    """The ``.modinfo`` of an uncompressed module."""
    with open(module, "rb") as handle:
        section = ELFFile(handle).get_section_by_name(".modinfo")
        if section is None:
            raise BuildError(f"{module} is not a kernel module")
        rows = section.data().split(b"\0")
    pairs = (row.decode(errors="replace").partition("=") for row in rows if b"=" in row)
    return {name: value for name, _, value in pairs}


def name_of(module: Path) -> str:
    """A module's name as the kernel spells it, from its file name."""
    return module.name.split(".", 1)[0].replace("-", "_")


def depends(module: Path) -> list[str]:
    """Names of the modules that this one needs."""
    return [name.replace("-", "_") for name in read(module).get("depends", "").split(",") if name]


def load_order(roots: Iterable[Path], find: Callable[[str], Path]) -> list[Path]:
    """``roots`` and all that they need, each after what it needs.

    ``find`` gives the file of a module by name; it raises if there is none.
    """
    order: list[Path] = []
    done: set[str] = set()

    def visit(module: Path) -> None:
        if name_of(module) in done:
            return
        done.add(name_of(module))
        for name in depends(module):
            visit(find(name))
        order.append(module)

    for root in roots:
        visit(root)
    return order
