# SPDX-License-Identifier: MIT
"""The cache of things built: named by the hash of what they were made from.

Two kinds of entries, and neither is trusted half-made:

- an *artifact* is made in a temporary directory and renamed into place;
- a *tree* is a source or build tree, which has to stay where it was made. It
  counts only once its stamp file is there, which is written last.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from vnpu.base import paths
from vnpu.base.locks import lock

_STAMP = ".complete"
#: how many entries of a kind survive; more only fill the disk
_KEEP = 4


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
    """The directory ``kind/key``, made by ``make(directory)`` unless it is there already."""
    final = paths.cache_dir() / kind / key
    if _fresh(final):
        return final
    with lock(f"{kind}-{key}".replace("/", "-")):
        if _fresh(final):
            return final
        final.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".making-", dir=final.parent))
        try:
            make(work)
            work.chmod(0o755)
            os.rename(work, final)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    prune(kind, keep)
    return final


def _fresh(final: Path) -> bool:
    """Whether the entry is there; marks it as used now, which is what pruning goes by."""
    try:
        os.utime(final)
    except FileNotFoundError:
        return False
    return True


def tree(kind: str, key: str, make: Callable[[Path], None], keep: int = 2) -> Path:
    """The tree ``kind/key``, made in place by ``make(directory)`` unless it is complete.

    The caller holds a lock of its own while it changes the tree afterwards.
    """
    final = paths.cache_dir() / kind / key
    stamp = final / _STAMP
    if not stamp.exists():
        with lock(f"{kind}-{key}".replace("/", "-")):
            if not stamp.exists():
                shutil.rmtree(final, ignore_errors=True)
                final.mkdir(parents=True)
                make(final)
                stamp.touch()
        prune(kind, keep)
    os.utime(final)
    return final


def prune(kind: str, keep: int = _KEEP) -> None:
    """Remove all but the ``keep`` most recently used entries of ``kind``."""
    folder = paths.cache_dir() / kind
    entries = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."]
    entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in entries[keep:]:
        doomed = entry.with_name(f".making-doomed-{entry.name}")
        try:
            os.rename(entry, doomed)
        except OSError:
            continue
        shutil.rmtree(doomed, ignore_errors=True)


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
