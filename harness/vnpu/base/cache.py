# SPDX-License-Identifier: MIT
"""The cache of things built: named by the hash of what they were made from.

Two kinds of entries, and neither is trusted half-made:

- an *artifact* is made in a temporary directory and renamed into place;
- a *tree* is a source or build tree, which has to stay where it was made. It
  counts only once its stamp file is there, which is written last.

Whoever was given an entry holds a shared lock on it until it ends, and only an
entry that nobody has locked is ever removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vnpu.base import locks, paths
from vnpu.base.locks import lock

_STAMP = ".complete"
#: how many unused entries of a kind survive; more only fill the disk
_KEEP = 4
#: seconds for which an entry is young, and how many times ``keep`` young ones are too many
_YOUNG_S = 24 * 3600
_MANY = 4
#: how directories begin that are being made, and removed
_MAKING = ".making-"
_DOOMED = ".doomed-"


def digest(*parts: str | bytes | Path) -> str:
    """A short hash of strings, bytes and files (a directory counts with all its files)."""
    total = hashlib.sha256()
    for part in parts:
        for name, content in _contents(part):
            total.update(f"{len(name)}:{name}:{len(content)}:".encode())
            total.update(content)
    return total.hexdigest()[:16]


def source_files(folder: Path) -> list[Path]:
    """The files under ``folder``, sorted, without editor leftovers and hidden files."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.name.endswith(("~", ".orig", ".rej", ".pyc"))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _contents(part: str | bytes | Path) -> Iterable[tuple[str, bytes]]:
    if isinstance(part, bytes):
        yield "", part
    elif isinstance(part, str):
        yield "", part.encode()
    elif part.is_dir():
        for path in source_files(part):
            yield str(path.relative_to(part)), path.read_bytes()
    else:
        yield part.name, part.read_bytes()


def artifact(kind: str, key: str, make: Callable[[Path], None], keep: int = _KEEP) -> Path:
    """The directory ``kind/key``, made by ``make(directory)`` unless it is there already.

    It stays there as long as this process lives. ``keep`` is how many unused
    entries of the kind survive.
    """
    final = paths.made(kind) / key
    _use(kind, key)
    if _fresh(final):
        return final
    with lock(_lock_name(kind, key)):
        if _fresh(final):
            return final
        work = Path(tempfile.mkdtemp(prefix=f"{_MAKING}{key}-", dir=final.parent))
        try:
            make(work)
            work.chmod(0o755)
            os.rename(work, final)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    prune(kind, keep)
    return final


def tree(kind: str, key: str, make: Callable[[Path], None], keep: int = 2) -> Path:
    """The tree ``kind/key``, made in place by ``make(directory)`` unless it is complete.

    It stays there as long as this process lives. The caller holds a lock of
    its own while it changes the tree afterwards.
    """
    final = paths.made(kind) / key
    stamp = final / _STAMP
    _use(kind, key)
    if not stamp.exists():
        with lock(_lock_name(kind, key)):
            if not stamp.exists():
                shutil.rmtree(final, ignore_errors=True)
                final.mkdir()
                make(final)
                stamp.touch()
        prune(kind, keep)
    _fresh(final)
    return final


def _fresh(final: Path) -> bool:
    """Whether the entry is there; marks it as used now, which is what pruning goes by."""
    try:
        os.utime(final)
    except FileNotFoundError:
        return False
    return True


def _lock_name(kind: str, key: str) -> str:
    return f"{kind}-{key}".replace("/", "-")


# --- who uses what ----------------------------------------------------------------------

_used: dict[Path, locks.Held] = {}


def _use(kind: str, key: str) -> None:
    """Have the entry stay, from before this process looks for it until it ends."""
    path = _use_file(kind, key)
    if path not in _used:
        held = locks.take(path, shared=True)
        assert held is not None
        _used[path] = held


def _use_file(kind: str, key: str) -> Path:
    return locks.named(f"use-{_lock_name(kind, key)}")


def release_all() -> None:
    """Use no entry any more."""
    while _used:
        _used.popitem()[1].close()


def prune(kind: str, keep: int = _KEEP) -> None:
    """Remove what nobody uses: entries beyond the ``keep`` most recently used ones, and leftovers.

    Entries that were used today stay too, unless they are very many: the user
    may be between two commands. Returns at once if another process does it.
    """
    held = locks.take(locks.named(f"prune-{kind}"), wait=False)
    if held is None:
        return
    with held:
        folder = paths.made(kind)
        _sweep(kind, folder)
        used = sorted(_entries(folder), reverse=True)
        for position, (when, entry) in enumerate(used):
            if position < keep:
                continue
            if when < time.time() - _YOUNG_S or position >= keep * _MANY:
                _remove(kind, entry)


def _entries(folder: Path) -> Iterator[tuple[float, Path]]:
    """The entries of a kind, each with the time of its last use."""
    for entry in folder.iterdir():
        # Another process may remove or finish one at any moment.
        with contextlib.suppress(FileNotFoundError):
            if entry.name[0] != "." and entry.is_dir():
                yield entry.stat().st_mtime, entry


def remove_unused(kind: str) -> list[Path]:
    """Remove the entries that nobody uses, and tell which."""
    folder = paths.made(kind)
    held = locks.take(locks.named(f"prune-{kind}"))
    assert held is not None
    with held:
        _sweep(kind, folder)
        return [entry for _, entry in sorted(_entries(folder)) if _remove(kind, entry)]


def _remove(kind: str, entry: Path) -> bool:
    """Remove an entry unless somebody uses it; whether it is gone. The lock of pruning is held."""
    path = _use_file(kind, entry.name)
    held = locks.take(path, wait=False)
    if held is None:
        return False
    with held:
        doomed = Path(tempfile.mkdtemp(prefix=_DOOMED, dir=entry.parent))
        with contextlib.suppress(OSError):
            os.rename(entry, doomed / entry.name)
            path.unlink()
    # From here on the entry can be made anew, while the old one is removed.
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _sweep(kind: str, folder: Path) -> None:
    """Remove what killed processes left half made or half removed. The lock of pruning is held."""
    for path in folder.glob(f"{_DOOMED}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{_MAKING}*"):
        key = path.name.removeprefix(_MAKING).rpartition("-")[0]
        if not key and not _is_old(path):
            continue  # of an older version, which did not say for what entry it was
        held = locks.take(locks.named(_lock_name(kind, key)), wait=False)
        if held is not None:  # else its maker is at it
            with held:
                shutil.rmtree(path, ignore_errors=True)


def _is_old(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - _YOUNG_S
    except FileNotFoundError:
        return True


def sync(source: Path, target: Path, keep: Iterable[str] = ()) -> bool:
    """Make the sources in ``target`` equal to those in ``source``; True if anything changed.

    Only files that differ are written, so that make and ninja rebuild what they
    must; sources that are gone are removed, build products (known by not having
    come from here) stay. Names in ``keep`` are never touched.
    """
    listing = target / ".synced"
    old = set(listing.read_text().split("\n")) if listing.exists() else set()
    new = {str(path.relative_to(source)) for path in source_files(source)} - set(keep)
    changed = False
    for name in sorted(new):
        content = (source / name).read_bytes()
        copy = target / name
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
            changed = True
    for name in sorted(old - new - {""}):
        (target / name).unlink(missing_ok=True)
        changed = True
    target.mkdir(parents=True, exist_ok=True)
    listing.write_text("\n".join(sorted(new)))
    return changed
