# SPDX-License-Identifier: MIT
"""Packages of Debian suites that this machine does not use, without touching its configuration.

A private apt configuration names the machine's own Debian sites with other
suites and keeps lists and downloads in the cache. Proxy, authentication and
certificate settings of the machine apply; signatures are checked as always.
Works for any user.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from debian.deb822 import Deb822
from debian.debian_support import NativeVersion

from vnpu.artifacts import aptbox
from vnpu.artifacts.sites import sites
from vnpu.base import cache, paths, progress
from vnpu.base.errors import BuildError, SetupError
from vnpu.base.locks import lock
from vnpu.base.tool import run

#: seconds for which fetched lists are believed
LISTS_AGE = 7 * 24 * 3600
#: where the machine may keep Debian's public keys, best first
_KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg",
)


def keyring() -> Path:
    for name in _KEYRINGS:
        if Path(name).exists():
            return Path(name)
    raise SetupError(
        "Debian's archive keys were not found", "install the package debian-archive-keyring"
    )


class Archive:
    """Some suites of the Debian archive, reachable through a private configuration."""

    def __init__(self, *suites: str, sources: bool = False) -> None:
        """``sources``: fetch the indexes of source packages instead of binary ones."""
        self.suites = tuple(suite for suite in suites if sites().of(suite))
        self.types = "deb-src" if sources else "deb"
        self.dir = paths.cache_dir() / "apt" / cache.digest(self.types, *self.suites, *_names())

    @property
    def _env(self) -> dict[str, str]:
        return {"APT_CONFIG": str(self.dir / "apt.conf")}

    def _configure(self) -> None:
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (self.dir / name).mkdir(parents=True, exist_ok=True)
        signed_by = keyring()
        (self.dir / "vnpu.sources").write_text(
            "\n\n".join(
                f"Types: {self.types}\nURIs: {sites().of(suite)}\nSuites: {suite}\n"
                f"Components: main\nSigned-By: {signed_by}"
                for suite in self.suites
            )
            + "\n"
        )
        settings = {
            "Dir::Etc::SourceList": self.dir / "vnpu.sources",
            "Dir::Etc::SourceParts": "-",
            # pinning of the machine is about what is installed, which nothing here is
            "Dir::Etc::Preferences": "-",
            "Dir::Etc::PreferencesParts": "-",
            "Dir::State::Lists": self.dir / "lists",
            "Dir::Cache": self.dir / "cache",
            "Dir::Cache::Archives": self.dir / "cache/archives",
            "APT::Sandbox::User": aptbox.user(),
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        text = "".join(f'{name} "{value}";\n' for name, value in settings.items())
        # hooks of the machine ("clean the cache after an update" and the like) are not ours
        text += "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        (self.dir / "apt.conf").write_text(text)

    def update(self, force: bool = False) -> None:
        """Fetch the lists unless they are young enough."""
        stamp = self.dir / "updated"
        if not force and _young(stamp):
            return
        with lock("apt"):
            if not force and _young(stamp):
                return
            self._configure()
            with progress.step(f"package lists of {', '.join(self.suites)}"):
                try:
                    self._fetch_lists()
                except BuildError as error:
                    if not stamp.exists():
                        raise _network(error) from error
                    progress.say("package lists could not be renewed; using the old ones")
            stamp.touch()

    def _fetch_lists(self) -> None:
        with aptbox.folder() as box:
            lists = box / "lists"
            # with the old ones, of which apt fetches only what has changed
            shutil.copytree(self.dir / "lists", lists, ignore=shutil.ignore_patterns("partial"))
            (lists / "partial").mkdir()
            aptbox.give(lists / "partial")
            run(
                ["apt-get", "update", "-q", "--error-on=any", "-o", f"Dir::State::Lists={lists}"],
                "fetch package lists",
                env=self._env,
                log=paths.log_dir() / "apt-update.log",
            )
            shutil.rmtree(lists / "partial")
            shutil.copytree(lists, self.dir / "lists", dirs_exist_ok=True)

    def _query(self, *argv: str) -> list[str]:
        self.update()
        return run(["apt-cache", *argv], "ask apt", env=self._env).lines

    def names(self, pattern: str) -> list[str]:
        """Names of the binary packages that match the regular expression, newest version last."""
        wanted = re.compile(pattern)
        names = [name for name in self._query("pkgnames") if wanted.fullmatch(name)]
        return sorted(names, key=NativeVersion)

    def show(self, package: str) -> dict[str, str]:
        """Fields of the newest version of a binary package; {} if there is none."""
        try:
            lines = self._query("show", "--no-all-versions", package)
        except BuildError:
            return {}
        return dict(Deb822(lines))

    def sources_of(self, package: str) -> list[dict[str, str]]:
        """All versions of a source package, newest first."""
        rows = self._query("showsrc", "--only-source", package)
        found = [dict(fields) for fields in Deb822.iter_paragraphs(rows, use_apt_pkg=False)]
        found = [fields for fields in found if fields.get("Package") == package]
        return sorted(found, key=lambda fields: NativeVersion(fields["Version"]), reverse=True)

    def download(self, package: str, folder: Path) -> Path:
        """Fetch the newest .deb of ``package`` into ``folder``; apt checks its hash."""
        self.update()
        try:
            return self._download(package, folder)
        except BuildError:
            self.update(force=True)  # the archive may have moved on since the lists came
        try:
            return self._download(package, folder)
        except BuildError as error:
            raise _network(error) from error

    def _download(self, package: str, folder: Path) -> Path:
        with aptbox.folder() as box:
            run(
                ["apt-get", "download", "-q", package],
                f"download {package}",
                cwd=box,
                env=self._env,
                log=paths.log_dir() / f"download-{package}.log",
            )
            (deb,) = box.glob("*.deb")
            return aptbox.keep(deb, folder / deb.name)


def fetch_file(url: str, sha256: str, target: Path) -> None:
    """Download one file with the machine's apt settings and check its SHA-256."""
    helper = shutil.which("apt-helper", path="/usr/lib/apt:" + os.environ.get("PATH", ""))
    if helper is None:
        raise SetupError("apt-helper was not found", "it belongs to Debian's package apt")
    name = url.rsplit("/", 1)[-1]
    with aptbox.folder() as box:
        run(
            [helper, "-o", f"APT::Sandbox::User={aptbox.user()}", "download-file", url,
             box / name, f"SHA256:{sha256}"],
            f"download {name}",
            log=paths.log_dir() / "download-file.log",
        )  # fmt: skip
        aptbox.keep(box / name, target)


def unpack_deb(deb: Path, folder: Path, *members: str) -> None:
    """Unpack a .deb (or only members that match tar patterns such as ``./boot/*``)."""
    if not members:
        run(["dpkg-deb", "-x", deb, folder], f"unpack {deb.name}")
        return
    wanted = " ".join(f"'{member}'" for member in members)
    run(
        ["sh", "-c", f'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards {wanted}',
         "sh", deb, folder],
        f"unpack {deb.name}",
    )  # fmt: skip


def _names() -> tuple[str, ...]:
    return (sites().main, sites().security or "")


def _young(stamp: Path) -> bool:
    try:
        return time.time() - stamp.stat().st_mtime < LISTS_AGE
    except FileNotFoundError:
        return False


def _network(error: BuildError) -> SetupError:
    return SetupError(
        error.message, "check the network, the proxy settings of apt and the room on the disk"
    )
