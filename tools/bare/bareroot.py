# SPDX-License-Identifier: MIT
"""Root directories of bare Debian machines, made from this machine's own apt configuration.

A root holds what debootstrap calls minbase, certificates and make. Commands
run inside it in namespaces of their own, so that nothing stays mounted or
running, however they end. Needs root and mmdebstrap.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vnpu.artifacts import debian
from vnpu.artifacts.sites import sites
from vnpu.base import cache, locks, paths, progress
from vnpu.base.errors import BuildError, SetupError, VnpuError
from vnpu.base.tool import run, stream

#: what a root has beside minbase
INCLUDE = "ca-certificates,make"
#: to be raised when a change of this code makes another base from the same inputs
RECIPE = 1
#: user of a root, and the home with the project in it
USER = "tester"
_HOMES = {"root": Path("/root"), USER: Path(f"/home/{USER}")}
_ENTER = Path(__file__).with_name("enter.sh")
#: settings of apt that say how a site is reached; nothing else comes along
_REACHING = re.compile(
    r"^(Acquire::(https?|ftp|socks)::|Acquire::(Check-|Retries|ForceIPv)|Acquire::\w+::Proxy).*"
)
#: variables that say how the registries are reached
_VARIABLES = """
    http_proxy https_proxy ftp_proxy all_proxy no_proxy
    HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
    SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE PIP_CERT PIP_CLIENT_CERT
    PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_PROXY PIP_DEFAULT_TIMEOUT PIP_RETRIES
""".split()
#: certificates, as Debian keeps them
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class CommandFailed(VnpuError):
    """A command inside a root failed; ``status`` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def require() -> None:
    """Raises SetupError if this machine or user cannot make roots."""
    if os.geteuid() != 0:
        raise SetupError(
            "bare machines are made by root only: they need mounts and namespaces",
            "sudo make check-bare",
        )
    for tool, package in {"mmdebstrap": "mmdebstrap", "unshare": "util-linux"}.items():
        if shutil.which(tool) is None:
            raise SetupError(f"{tool} was not found", f"install it: apt-get install {package}")
    try:
        run(["unshare", "--mount", "--pid", "--fork", "true"], "make namespaces")
    except BuildError as error:
        raise SetupError(
            "this system does not let root make mount and process namespaces",
            "a container has to be a privileged one",
        ) from error


def base(release: str) -> Path:
    """The unpacked base of a Debian release (``bookworm``), made if it is not in the cache."""
    sources = _sources(release)
    settings = _apt_settings()
    key = cache.digest(release, sources, *settings, INCLUDE, f"recipe {RECIPE}")

    def make(work: Path) -> None:
        listing = work.with_name(f"{work.name}.sources")
        listing.write_text(sources)
        options = [f"--aptopt={setting}" for setting in settings]
        try:
            with progress.step(f"make a bare Debian {release}"):
                run(
                    ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
                     f"--include={INCLUDE}", *options, release, work, listing],
                    "make a bare Debian",
                    log=paths.log_dir() / f"bare-{release}.log",
                )  # fmt: skip
        finally:
            listing.unlink()

    return cache.artifact("bare-base", f"{release}-{key}", make)


def _sources(release: str) -> str:
    """Sources as the installer of the release would write them, with this machine's sites."""
    known = sites()
    rows = [(known.main, f"{release} {release}-updates")]
    if known.security:
        rows.append((known.security, f"{release}-security"))
    keyring = debian.keyring()
    return "\n".join(
        f"Types: deb\nURIs: {site}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n"
        for site, suites in rows
    )


def _apt_settings() -> list[str]:
    return [line for line in run(["apt-config", "dump"], "ask apt").lines if _REACHING.match(line)]


@dataclass
class Root:
    """A root with a fresh clone of a checkout; ``log`` takes what the commands write."""

    path: Path
    log: IO[str]

    def run(self, *command: str, user: str = "root", expect: int = 0) -> str:
        """Run a command in the user's clone, if there is one; gives what it wrote.

        Raises CommandFailed unless its status is ``expect``.
        """
        home = _HOMES[user]
        clone = self.path / home.relative_to("/") / "project"
        directory = home / "project" if clone.is_dir() else Path("/")
        argv = [
            # Its namespaces, and all that is in them, go with it.
            "setpriv", "--pdeathsig", "KILL",
            "unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL",
            "--propagation=private",
            "sh", _ENTER, self.path, user, directory, *command,
        ]  # fmt: skip
        lines: list[str] = []

        def take(line: str) -> None:
            lines.append(f"{line}\n")
            self.log.write(f"{line}\n")

        status = stream(
            [str(part) for part in argv],
            "run a command in the bare machine",
            take,
            env=_environment(user, home),
            patience_s=0,  # unshare heeds no other signal
        )
        if status != expect:
            told = "".join(lines[-40:])
            raise CommandFailed(f"{' '.join(command)}: exit {status}\n{told}", status)
        return "".join(lines)

    def clone(self, checkout: Path, user: str) -> None:
        """Put a clone of what is committed in ``checkout`` into the user's home."""
        project = self.path / _HOMES[user].relative_to("/") / "project"
        with tempfile.NamedTemporaryFile("w", suffix=".gitconfig") as config:
            # The checkout may be another user's, and git is asked to read it only.
            config.write("[safe]\n\tdirectory = *\n")
            config.flush()
            run(
                ["git", "clone", "-q", "--depth=1", "--no-local", checkout, project],
                "clone the checkout",
                env={"GIT_CONFIG_GLOBAL": config.name},
            )
        if user != "root":
            run(["chroot", self.path, "chown", "-R", f"{user}:", _HOMES[user]], "give the clone")


def _environment(user: str, home: Path) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    return {
        **passed,
        "HOME": str(home),
        "USER": user,
        "LOGNAME": user,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }


@contextlib.contextmanager
def fresh(release: str, log: Path) -> Iterator[Root]:
    """A root of its own for as long as the block lasts."""
    origin = base(release)
    place, held = _place(release)
    with held:
        try:
            path = place / "root"
            run(["cp", "-a", "--reflink=auto", origin, path], "copy the bare machine")
            _connect(path)
            run(["chroot", path, "useradd", "-m", "-s", "/bin/bash", USER], "add a user")
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w", buffering=1) as sink:
                yield Root(path, sink)
        finally:
            _remove(place)


def _place(release: str) -> tuple[Path, locks.Held]:
    """A directory for a root, and the lock that says that its owner lives."""
    folder = paths.made("bare")
    # One at a time: else another run takes a directory that is not locked yet for abandoned.
    with locks.lock("bare-roots"):
        _sweep(folder)
        place = Path(tempfile.mkdtemp(prefix=f"{release}-", dir=folder))
        held = locks.take(place / "lock")
    assert held is not None
    return place, held


def _connect(root: Path) -> None:
    """Give a root what it takes to reach the registries."""
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", str(_CERTIFICATES)):
        _copy(Path(name), root)
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for own in (config / "pip/pip.conf", Path.home() / ".pip/pip.conf"):
        if own.is_file():
            target = root / "etc/xdg/pip/pip.conf"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own, target)
            break
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"):
        if os.environ.get(variable):
            _copy(Path(os.environ[variable]), root)
    for name in ("/etc/apt/auth.conf", "/etc/apt/auth.conf.d", "/usr/local/share/ca-certificates"):
        source = Path(name)
        files = source.rglob("*") if source.is_dir() else [source]
        for file in files:
            _copy(file, root)


def _copy(file: Path, root: Path) -> None:
    """The same file at the same place; what is no file is left out."""
    if not file.is_file():
        return
    target = root / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(file, target)


def _sweep(folder: Path) -> None:
    """Remove the roots of runs that were killed."""
    for place in folder.iterdir():
        held = locks.take(place / "lock", wait=False)
        if held is not None:
            with held:
                _remove(place)


def _remove(place: Path) -> None:
    # No mount can be in it, unless somebody made one by hand: then stop there.
    run(["rm", "-rf", "--one-file-system", place], "remove the bare machine")
