# SPDX-License-Identifier: MIT
"""The qtest wire protocol: one line a command, one line an answer."""

from __future__ import annotations

import base64
import socket

from vnpu.base import deadline
from vnpu.base.errors import RigError

_WIDTHS = {1: "b", 2: "w", 4: "l", 8: "q"}
#: bytes moved by one command; QEMU keeps a line in memory
_CHUNK = 1 << 20


class QtestProtocol:
    """Commands over a connected socket. Raises RigError when QEMU is gone or says no."""

    def __init__(self, sock: socket.socket, timeout_s: float = 60.0) -> None:
        self._sock = sock
        sock.settimeout(deadline.scaled(timeout_s))
        self._buffer = b""

    def close(self) -> None:
        self._sock.close()

    def command(self, line: str) -> list[str]:
        """Send a command; the words of the answer after OK."""
        try:
            self._sock.sendall(line.encode() + b"\n")
            while True:
                answer = self._line()
                # with irq_intercept, interrupts are announced in between
                if not answer.startswith("IRQ "):
                    break
        except OSError as error:
            raise RigError(f"QEMU does not answer `{line[:60]}`: {error}") from error
        words = answer.split()
        if not words or words[0] != "OK":
            raise RigError(f"qtest refused `{line[:60]}`: {answer}")
        return words[1:]

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            data = self._sock.recv(1 << 18)
            if not data:
                raise ConnectionResetError("QEMU closed the qtest connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def read_int(self, addr: int, size: int) -> int:
        """A load of 1, 2, 4 or 8 bytes at a physical address."""
        return int(self.command(f"read{_WIDTHS[size]} {addr:#x}")[0], 16)

    def write_int(self, addr: int, value: int, size: int) -> None:
        self.command(f"write{_WIDTHS[size]} {addr:#x} {value:#x}")

    def read(self, addr: int, size: int) -> bytes:
        """Bytes of physical memory."""
        parts = []
        for at in range(0, size, _CHUNK):
            n = min(_CHUNK, size - at)
            parts.append(base64.b64decode(self.command(f"b64read {addr + at:#x} {n:#x}")[0]))
        return b"".join(parts)

    def write(self, addr: int, data: bytes) -> None:
        for at in range(0, len(data), _CHUNK):
            part = data[at : at + _CHUNK]
            text = base64.b64encode(part).decode()
            self.command(f"b64write {addr + at:#x} {len(part):#x} {text}")

    def fill(self, addr: int, size: int, byte: int) -> None:
        self.command(f"memset {addr:#x} {size:#x} {byte:#x}")

    def outl(self, port: int, value: int) -> None:
        self.command(f"outl {port:#x} {value:#x}")

    def outw(self, port: int, value: int) -> None:
        self.command(f"outw {port:#x} {value:#x}")

    def outb(self, port: int, value: int) -> None:
        self.command(f"outb {port:#x} {value:#x}")

    def inl(self, port: int) -> int:
        return int(self.command(f"inl {port:#x}")[0], 16)

    def clock_step(self, ns: int) -> int:
        """Advance the virtual clock; its new value in ns."""
        return int(self.command(f"clock_step {ns}")[0])
