# SPDX-License-Identifier: MIT
"""Where things are: the repository, the cache, the files that come with the package."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from vnpu.base.errors import SetupError

#: a directory is the repository when it holds these
_LANDMARKS = ("spec/vnpu.yaml", "kernel", "qemu-device")

#: marks a directory that may be removed as a whole, for us and for backup programs; see
#: https://bford.info/cachedir/
TAG = "CACHEDIR.TAG"
TAG_TEXT = """\
Signature: 8a477f597d28d172789f06886806bc55
# The cache of vnpu: everything in it can be fetched or built again.
"""
#: the folders of a cache
KINDS = frozenset(
    "agent apt bare bare-base initramfs kernel-debug kernel-stock kunit kvm lock log module "
    "module-build package qemu qemu-scripts qemu-src qemu-src-successor qemu-tree templates "
    "uapi".split()
)
#: those that no other directory is likely to have
_UNMISTAKABLE = frozenset(("kernel-debug", "kernel-stock", "qemu-src", "qemu-tree"))


#: where a built package carries the sources of driver, device, agent and tests
_CARRIED = Path(__file__).resolve().parents[1] / "_sources"


def repo_root() -> Path:
    """The directory with the sources of driver, device, agent and tests.

    It is the checkout that $VNPU_REPO names, else the one around the current
    directory, else the one that this package is in, else what a built package
    carries. Raises SetupError if $VNPU_REPO is none, or there is none.
    """
    return _root_of(os.environ.get("VNPU_REPO"), Path.cwd())


@cache
def _root_of(named: str | None, here: Path) -> Path:
    if named:
        root = Path(named).expanduser().resolve()
        if not _is_repo(root):
            raise SetupError(f"{root} is no checkout of vnpu", "--repo or VNPU_REPO names one")
        return root
    for candidate in (here, *here.parents, home_checkout(), _CARRIED):
        if candidate and _is_repo(candidate):
            return candidate
    raise SetupError(
        "no checkout of vnpu was found, and this package carries no sources",
        "run from inside a checkout, or name one with --repo",
    )


def _is_repo(folder: Path) -> bool:
    return all((folder / mark).exists() for mark in _LANDMARKS)


def is_carried() -> bool:
    """Whether the sources are those of the package, which nothing may be written to."""
    return repo_root() == _CARRIED


def home_checkout() -> Path | None:
    """The checkout that this package is in, if it is in one."""
    return next(filter(_is_repo, Path(__file__).resolve().parents), None)


def report_dir() -> Path:
    """Where reports go: ``build/report`` of the checkout, else ``vnpu-report`` right here."""
    return Path.cwd() / "vnpu-report" if is_carried() else repo_root() / "build/report"


def cache_dir() -> Path:
    """The root of everything downloaded and built: $VNPU_CACHE, else ~/.cache/vnpu."""
    configured = os.environ.get("VNPU_CACHE")
    if configured:
        return Path(configured).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vnpu"


def made(*names: str) -> Path:
    """The folder of the cache that is called so; it exists after this call.

    Raises SetupError if the cache is to be in a directory of something else,
    whose files would be taken for old entries.
    """
    root = cache_dir()
    if not is_marked(root):
        root.mkdir(parents=True, exist_ok=True)
        if not _is_ours(root):
            raise SetupError(
                f"{root} holds other things, and is not marked as a cache of vnpu by its {TAG}",
                "VNPU_CACHE= names a directory that is new, or empty",
            )
        _mark(root)
    path = root.joinpath(*names)
    path.mkdir(parents=True, exist_ok=True)
    return path


def require_plain() -> None:
    """Raises SetupError if makefiles cannot cope with the path of the cache."""
    root = cache_dir()
    if any(letter.isspace() or letter in ":%#" for letter in str(root)):
        raise SetupError(
            f"QEMU and the kernel cannot be built in {root}: its path has a blank or colon",
            "VNPU_CACHE= names another place for the cache",
        )


def _mark(root: Path) -> None:
    """Whole or not at all: another process may look at the same moment."""
    new = root / f".{TAG}.{os.getpid()}"
    new.write_text(TAG_TEXT)
    new.replace(root / TAG)


def is_marked(root: Path) -> bool:
    """Whether the directory says of itself that it is a cache of vnpu."""
    try:
        return "cache of vnpu" in (root / TAG).read_text(errors="replace")
    except OSError:
        return False


def _is_ours(root: Path) -> bool:
    """Whether there is nothing in the directory yet, or only what older versions put there."""
    found = {path.name for path in root.iterdir() if not path.name.startswith(f".{TAG}.")}
    if TAG in found:  # by a process that was quicker
        return is_marked(root)
    return not found or (found <= KINDS and bool(found & _UNMISTAKABLE))


def log_dir() -> Path:
    """Whole outputs of build tools; it exists after this call."""
    return made("log")


def data(name: str) -> Path:
    """A data file that comes with the package: of the folder ``artifacts/data``."""
    return Path(__file__).resolve().parents[1] / "artifacts" / "data" / name
