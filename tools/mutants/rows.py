# SPDX-License-Identifier: MIT
"""The rows of tests/mutants: bugs, each a few lines of text and what replaces them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import yaml

from vnpu.base.errors import SetupError

#: where the rows are, relative to the checkout
FOLDER = Path("tests/mutants")
#: folders that a mutant may be in
ROOMS = ("kernel", "qemu-device")


@dataclass(frozen=True)
class Mutant:
    """One bug.

    ``old`` occurs once in the C files right in the folder ``room``; ``new``
    takes its place. ``lane`` is the kernel that can tell, ``kmemleak`` that it
    has to look for lost memory. ``equivalent``: why no test can tell. ``first``:
    files of tests that are the most likely to notice it.
    """

    group: str
    room: str
    name: str
    why: str
    old: str
    new: str
    lane: str = "stock"
    kmemleak: bool = False
    equivalent: str = ""
    first: tuple[str, ...] = ()

    def file(self, root: Path) -> Path:
        """The file of the checkout ``root`` that it changes.

        Raises SetupError if there is not exactly one place for it.
        """
        found = [
            (path, path.read_text().count(self.old))
            for path in sorted((root / self.room).glob("*.[ch]"))
        ]
        places = [path for path, count in found if count]
        if sum(count for _, count in found) != 1:
            where = ", ".join(path.name for path in places) or "no file"
            raise SetupError(
                f"mutant {self.name}: its text should be in {self.room} once, it is in {where}",
                f"the code has changed: mend the row in {FOLDER}/{self.group}.yaml",
            )
        return places[0]

    def changed(self, root: Path) -> str:
        """The text of its file with the bug in it."""
        return self.file(root).read_text().replace(self.old, self.new)


def load(root: Path) -> list[Mutant]:
    """All rows of a checkout. Raises SetupError for a row that is not well formed."""
    mutants = [mutant for path in sorted((root / FOLDER).glob("*.yaml")) for mutant in _file(path)]
    names = [mutant.name for mutant in mutants]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SetupError(f"mutants of the same name: {', '.join(sorted(twice))}")
    return mutants


def _file(path: Path) -> Iterable[Mutant]:
    table = yaml.safe_load(path.read_text())
    if table["room"] not in ROOMS:
        raise SetupError(f"{path.name}: {table['room']} is none of {', '.join(ROOMS)}")
    for row in table["mutants"]:
        try:
            yield Mutant(path.stem, table["room"], first=tuple(table.get("first", ())), **row)
        except TypeError as error:
            raise SetupError(f"{path.name}: {row.get('name', row)}: {error}") from None


def choose(mutants: Sequence[Mutant], patterns: Sequence[str]) -> list[Mutant]:
    """Those whose name or group matches one of the shell patterns; all without any.

    Raises SetupError for a pattern that matches none.
    """
    for pattern in patterns:
        if not any(_matches(mutant, pattern) for mutant in mutants):
            raise SetupError(f"no mutant matches {pattern}")
    return [m for m in mutants if not patterns or any(_matches(m, p) for p in patterns)]


def _matches(mutant: Mutant, pattern: str) -> bool:
    return fnmatch(mutant.name, pattern) or fnmatch(mutant.group, pattern)
