# SPDX-License-Identifier: MIT
"""Writes cpio archives in the format that the kernel unpacks (newc).

Written here because device nodes and root's files need no root this way, and
because the same input always gives the same bytes.
"""

from __future__ import annotations

import io
import stat

_TRAILER = "TRAILER!!!"


class Archive:
    """An archive under construction; everything belongs to root and is dated 1970."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._entries = 0

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Add an empty directory."""
        self._add(path, stat.S_IFDIR | mode, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self._add(path, stat.S_IFREG | mode, content)

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        """Add a device node."""
        self._add(path, stat.S_IFCHR | mode, b"", major, minor)

    def finish(self) -> bytes:
        """The whole archive; nothing may be added afterwards."""
        self._add(_TRAILER, 0, b"")
        return self._out.getvalue()

    def _add(self, path: str, mode: int, content: bytes, major: int = 0, minor: int = 0) -> None:
        self._entries += 1
        name = path.lstrip("/").encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (
            self._entries, mode, 0, 0, links, 0, len(content), 0, 0, major, minor, len(name), 0
        )  # fmt: skip
        self._out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
        self._pad()
        self._out.write(content)
        self._pad()

    def _pad(self) -> None:
        self._out.write(b"\0" * (-self._out.tell() % 4))
