# SPDX-License-Identifier: MIT
"""Addresses of a stack as source lines, from the debug information that a build keeps."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from vnpu.base import deadline

#: a place in a stack or register dump: "vnpu_bo_free+0x24/0x90 [vnpu]"
_PLACE = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*)\+(?P<at>0x[0-9a-f]+)/0x[0-9a-f]+( \[(?P<mod>\w+)\b)?"
)
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Symbols:
    """Files with debug information: the kernel's under "", modules' under their names.

    ``roots`` are directories that source paths begin with, and what to write for them.
    """

    files: tuple[tuple[str, Path], ...] = ()
    roots: tuple[tuple[str, str], ...] = ()

    def decode(self, text: str) -> str:
        """The text with " (FILE:LINE)" behind the places that are known; else as it is."""
        lines = text.splitlines()
        wanted: dict[str, dict[int, str]] = defaultdict(dict)
        for number, line in enumerate(lines):
            place = _PLACE.search(line)
            if place:
                wanted[place["mod"] or ""][number] = f"{place['name']}+{_call(line, place['at'])}"
        for module, file in self.files:
            found = self._ask(file, list(wanted.get(module, {}).values()))
            for number, source in zip(wanted.get(module, {}), found, strict=False):
                if source:
                    lines[number] += f" ({source})"
        return "\n".join(lines)

    def _ask(self, file: Path, places: list[str]) -> list[str]:
        """Source of each place, "" if unknown. Nothing is known if the tool fails."""
        tool = shutil.which("addr2line")
        if not places or not tool:
            return []
        try:
            done = subprocess.run(
                [tool, "-a", "-f", "-i", "-e", str(file), *places],
                capture_output=True,
                text=True,
                timeout=deadline.scaled(_TIMEOUT_S),
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        answers = re.split(r"^0x[0-9a-f]+\n", done.stdout, flags=re.M)[1:]
        if len(answers) != len(places):
            return []
        return [self._source(*pair) for pair in zip(places, answers, strict=True)]

    def _source(self, place: str, answer: str) -> str:
        """The line, from pairs of function and line, an inlined function before its caller."""
        functions, sources = answer.splitlines()[::2], answer.splitlines()[1::2]
        # The tool takes a name that it does not know for zero; then it is another's line.
        if not sources or sources[0].startswith("?") or functions[-1] != _plain(place):
            return ""
        return self._short(sources[0])

    def _short(self, source: str) -> str:
        source = source.split(" (discriminator")[0]
        for root, name in self.roots:
            if source.startswith(root):
                return name + source[len(root) :]
        return source


def _call(line: str, at: str) -> str:
    """The offset of the call: what a stack holds is where to return to, behind it."""
    offset = int(at, 16)
    return hex(offset if "RIP:" in line or not offset else offset - 1)


def _plain(place: str) -> str:
    """The function as the source has it: compilers add ".isra.0", ".cold" to parts of it."""
    return place.split("+")[0].split(".")[0]
