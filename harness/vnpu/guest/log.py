# SPDX-License-Identifier: MIT
"""The kernel's log, read inside the guest: unlike on the console, each line has its level."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vnpu.guest.guest import Guest

# actions of syslog(2): the next unread lines, taken; the size of the kernel's buffer
_READ, _SIZE_BUFFER = 2, 10
_PART = 16 << 10
_O_WRONLY = 1
_AT_FDCWD = -100


class KernelLog:
    """What the kernel has logged since the snapshot, as far as it was taken.

    The kernel remembers what was read, also in a snapshot, so that a restored
    guest goes on behind its boot. One reader only.
    """

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        #: lines as "<LEVEL>[SECONDS] TEXT", LEVEL with the facility above its lowest three bits
        self.text = ""
        #: whether the kernel's buffer may have been too small for all of it
        self.overrun = False

    def update(self) -> str:
        """Take what came since the last time, all of it, and return everything so far.

        One round trip for up to 16 KiB. Raises as any call of the guest does.
        """
        # It also ends a line that was logged without an end, which nobody could read before.
        marker = self._guest.new_marker()
        batch = self._guest.service.batch()
        fd = batch.syscall("openat", _AT_FDCWD, "/dev/kmsg", _O_WRONLY, 0)
        line = f"<6>{marker}\n".encode()
        batch.syscall("write", fd, line, len(line))
        batch.syscall("close", fd)
        place = batch.scratch(_PART)
        # Never blocks: the marker is there to be read.
        size = batch.syscall("syslog", _READ, place, _PART)
        data = batch.read(place, size)
        batch.run()
        new = data.data
        while marker.encode() not in new:
            new += self._read_more()
        self.overrun = self.overrun or self._fills(len(new))
        self.text += new.decode(errors="replace")
        return self.text

    def forget(self) -> None:
        """Begin anew with what comes from here on; what was logged before has been judged."""
        self.update()
        self.text = ""
        self.overrun = False

    def _read_more(self) -> bytes:
        batch = self._guest.service.batch()
        place = batch.scratch(_PART)
        data = batch.read(place, batch.syscall("syslog", _READ, place, _PART))
        batch.run()
        return data.data

    def _fills(self, size: int) -> bool:
        """Whether so much at a time may be the rest of more: a good part of the buffer."""
        return size > _PART and 4 * size > self._guest.service.syscall("syslog", _SIZE_BUFFER, 0, 0)
