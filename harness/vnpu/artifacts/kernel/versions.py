# SPDX-License-Identifier: MIT
"""Which kernels the Debian archive offers, and which of them is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vnpu.artifacts import debian
from vnpu.artifacts.kernel import choice
from vnpu.artifacts.sites import codename
from vnpu.base.errors import SetupError

#: the long-term series that is taken if nobody says otherwise
SERIES = "6.12"
#: asks for the newest kernel that this machine's release and its backports offer
NEWEST = "newest"
#: the driver needs at least this
_OLDEST = (6, 12)
#: where the kernels of a release are; one of 6.12 or later, that is
_SUITES = {
    "bookworm": ("bookworm-security", "bookworm-backports"),
    "trixie": ("trixie", "trixie-security"),
    "trixie-backports": ("trixie-backports",),
    "sid": ("sid",),
}
#: a package that holds a kernel: not one of the names that only depend on the newest
_PACKAGE = re.compile(r"linux-image-(?P<release>(\d+)\.(\d+)\.\d[\w.+~]*(-\d+)?-amd64)")


@dataclass(frozen=True)
class Release:
    """A kernel of the archive: its name as ``uname -r`` tells it, and where it is."""

    name: str
    archive: debian.Archive


def find(wanted: str | None = None) -> Release:
    """The newest kernel that is meant by ``wanted``, or by $KERNEL_VERSION if it is None.

    ``wanted`` is the beginning of a version (``7.3``, ``6.12.117``), a whole
    name (``6.12.117+deb12-amd64``), ``newest``, or empty for the default
    series. Suites of this machine's release come first; kernels are only
    unpacked, so any other will do. Raises SetupError if there is none.
    """
    if wanted is None:
        wanted = choice.kernel_version()
    for suites in _places(wanted):
        archive = debian.Archive(*suites)
        names = _releases(archive)
        if wanted != NEWEST:
            names = [name for name in names if matches(name, wanted or SERIES)]
        if names:
            return Release(names[-1], archive)
    raise SetupError(
        f"no suite of the package archive has a kernel {wanted or SERIES} for amd64",
        "KERNEL_VERSION= takes the beginning of a version from 6.12 on, such as 7.3; "
        "or use LANE=debug, or your own built tree with KDIR=",
    )


def matches(name: str, wanted: str) -> bool:
    """Whether a kernel is of the version: 6.1 is not the beginning of 6.12."""
    return re.match(rf"{re.escape(wanted)}(?![0-9])", name) is not None


def _places(wanted: str) -> Iterator[tuple[str, ...]]:
    """Groups of suites to look at, one after the other."""
    own = codename()
    if wanted == NEWEST:
        release = own if own in _SUITES else "sid"
        yield _SUITES[release] + _SUITES.get(f"{release}-backports", ())
        return
    first = [own] if own in _SUITES else []
    others = [name for name in _SUITES if name != own and (wanted or name != "bookworm")]
    for name in (*first, *others):
        yield _SUITES[name]


def _releases(archive: debian.Archive) -> list[str]:
    """Names of the kernels that the driver can be built for, oldest first."""
    found = []
    for package in archive.names(_PACKAGE.pattern):
        match = _PACKAGE.fullmatch(package)
        assert match is not None
        if (int(match[2]), int(match[3])) >= _OLDEST:
            found.append(match["release"])
    return found
