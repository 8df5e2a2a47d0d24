# SPDX-License-Identifier: MIT
"""Where this machine gets its Debian packages from. Imports nothing that needs installing."""

from __future__ import annotations

import functools
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vnpu.base import scratch
from vnpu.base.errors import SetupError
from vnpu.base.tool import run

_INRELEASE = re.compile(r"^'(?P<site>\S+?)/dists/(?P<suite>\S+?)/InRelease'")
_BRING = "set QEMU= or QEMU_SRC= and KDIR= to use your own, see docs/setup.md"
_SUITES = re.compile(r"^(bookworm|trixie|forky|duke|sid|stable|testing|unstable)(-\w+)?$")


@dataclass(frozen=True)
class Sites:
    """The machine's Debian sites: the archive, and the one of security updates."""

    main: str
    security: str | None

    def of(self, suite: str) -> str | None:
        """The site that carries ``suite``; None if the machine knows none."""
        return self.security if suite.endswith("-security") else self.main


def codename() -> str:
    """The Debian release of this machine, such as ``bookworm``."""
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        text = ""
    found = re.search(r'^VERSION_CODENAME="?(\w+)', text, re.M)
    return found.group(1) if found else ""


@functools.cache
def sites() -> Sites:
    """Find the Debian sites in the machine's own sources (needs no network and no lists).

    Raises SetupError on a machine that has none.
    """
    if shutil.which("apt-get") is None:
        raise SetupError("this is no Debian system, so it knows no Debian archive", _BRING)
    with scratch.folder("sites") as empty:
        (empty / "partial").mkdir()
        result = run(
            ["apt-get", "update", "--print-uris", "-o", f"Dir::State::Lists={empty}"],
            "find the machine's package sources",
        )
    return choose(result.lines)


def choose(uris: Iterable[str]) -> Sites:
    """The Debian sites among what ``apt-get update --print-uris`` prints.

    Other archives use Debian's names for their suites as well, but have no
    updates, backports and security of them: the site with most suites wins.
    """
    found = [match.groupdict() for match in map(_INRELEASE.match, uris) if match]
    debian = [row for row in found if _SUITES.match(row["suite"])]
    main = Counter(row["site"] for row in debian if not row["suite"].endswith("-security"))
    security = [row["site"] for row in debian if row["suite"].endswith("-security")]
    if not main:
        raise SetupError("no Debian archive is among this machine's package sources", _BRING)
    return Sites(main.most_common(1)[0][0], security[0] if security else None)
