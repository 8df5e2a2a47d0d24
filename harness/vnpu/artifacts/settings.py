# SPDX-License-Identifier: MIT
"""What ``.config`` of the checkout says (see harness/Kconfig). Imports nothing to be installed."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from vnpu import target
from vnpu.base import paths
from vnpu.base.errors import SetupError

_LINE = re.compile(r'^CONFIG_(?P<name>\w+)=(?:"(?P<text>.*)"|(?P<plain>\S+))$')


def path() -> Path | None:
    """The file: $VNPU_CONFIG, else ``.config`` of the checkout; None without a checkout."""
    named = os.environ.get("VNPU_CONFIG")
    if named:
        return Path(named).expanduser()
    try:
        return paths.repo_root() / ".config"
    except SetupError:
        return None


def load() -> dict[str, str]:
    """All options that are set, without their ``CONFIG_``; {} if there is no file."""
    file = path()
    return dict(_parse(file)) if file else {}


@cache
def _parse(file: Path) -> tuple[tuple[str, str], ...]:
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return ()
    found = [match for match in map(_LINE.match, lines) if match]
    return tuple((match["name"], match["text"] or match["plain"] or "") for match in found)


def number(name: str, default: int) -> int:
    """An option that is a number."""
    return int(load().get(name, default))


def driver_options() -> list[str]:
    """The driver's options as make wants them, ``CONFIG_…=y``, sorted."""
    prefix = target.current().options
    return sorted(
        f"CONFIG_{name}={value}"
        for name, value in load().items()
        if prefix and name.startswith(f"{prefix}_") and not name.endswith("_KUNIT_TEST")
    )
