# SPDX-License-Identifier: MIT
"""An open device file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from vnpu.accel.bo import Bo
from vnpu.accel.queue import Queue
from vnpu.accel.sync import Syncobj
from vnpu.accel.vm import Vm
from vnpu.uapi import abi

if TYPE_CHECKING:
    from vnpu.guest import Process

Info = TypeVar("Info", bound=abi.Struct)


class Device:
    """A file of the driver, open in a process of the guest."""

    def __init__(self, proc: Process, fd: int) -> None:
        self.proc = proc
        self.fd = fd
        self._limits: abi.DeviceInfo | None = None

    @classmethod
    def open(cls, proc: Process, path: str = "/dev/accel/accel0") -> Device:
        """Open *path* in *proc*, close-on-exec."""
        return cls(proc, proc.open(path, os.O_RDWR | os.O_CLOEXEC, 0))

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            self.proc.close(fd)

    def ioctl(self, nr: int, arg: abi.Struct | bytes | int) -> tuple[int, bytes]:
        """Any ioctl with any argument; returns its result and the argument's bytes."""
        return self.proc.ioctl(self.fd, nr, bytes(arg) if isinstance(arg, abi.Struct) else arg)

    def version(self) -> abi.Version:
        """DRM_IOCTL_VERSION without its strings."""
        return abi.version(self.proc, self.fd)

    def name(self) -> str:
        """Name of the driver, from DRM_IOCTL_VERSION."""
        buffer = abi.scratch(self.proc, 64)
        got = abi.version(self.proc, self.fd, name=buffer.addr, name_len=64)
        return self.proc.read_mem(buffer.addr, got.name_len).decode()

    def query(self, kind: int, cls: type[Info]) -> Info:
        """DEV_QUERY of one kind of information."""
        buffer = abi.scratch(self.proc, cls._size_)
        abi.dev_query(self.proc, self.fd, type=kind, size=cls._size_, pointer=buffer.addr)
        return cls.from_bytes(self.proc.read_mem(buffer.addr, cls._size_))

    def query_device(self) -> abi.DeviceInfo:
        """Properties and limits."""
        return self.query(abi.DevQueryType.DEVICE, abi.DeviceInfo)

    def query_memory(self) -> abi.MemoryInfo:
        """Sizes and use of VRAM, in bytes."""
        return self.query(abi.DevQueryType.MEMORY, abi.MemoryInfo)

    def query_engines(self) -> dict[abi.EngineClass, int]:
        """Number of engines by class."""
        info = self.query(abi.DevQueryType.ENGINES, abi.EnginesInfo)
        return {abi.EngineClass(e.engine_class): e.count for e in info.engines[: info.count]}

    def query_timestamp(self) -> abi.TimestampInfo:
        """Device and CPU clock, in ns."""
        return self.query(abi.DevQueryType.TIMESTAMP, abi.TimestampInfo)

    def limits(self) -> abi.DeviceInfo:
        """query_device(), asked once."""
        if self._limits is None:
            self._limits = self.query_device()
        return self._limits

    def bo_create(
        self,
        size: int,
        placement: int = abi.PlacementFlag.VRAM,
        flags: int = 0,
        vm: Vm | None = None,
    ) -> Bo:
        """A buffer object of *size* bytes, rounded up to pages; private to *vm* if given."""
        made = abi.bo_create(
            self.proc,
            self.fd,
            size=size,
            placements=placement,
            flags=flags,
            vm_id=vm.id if vm else 0,
        )
        return Bo(self, made.handle, made.size)

    def vm_create(self) -> Vm:
        """A new address space."""
        return Vm(self, abi.vm_create(self.proc, self.fd).id)

    def queue_create(
        self,
        vm: Vm,
        engine: int = abi.EngineClass.COPY,
        priority: int = abi.QueuePriority.NORMAL,
    ) -> Queue:
        """A queue for an engine class, whose command buffers run in *vm*."""
        made = abi.queue_create(
            self.proc, self.fd, vm_id=vm.id, engine_class=engine, priority=priority
        )
        return Queue(self, vm, made.id)

    def syncobj_create(self, signaled: bool = False) -> Syncobj:
        """A syncobj; usable as a binary or as a timeline one."""
        flags = abi.DRM_SYNCOBJ_CREATE_SIGNALED if signaled else 0
        return Syncobj(self, abi.syncobj_create(self.proc, self.fd, flags=flags).handle)

    def prime_import(self, fd: int) -> Bo:
        """The buffer object of a dma-buf of this process."""
        handle = abi.prime_fd_to_handle(self.proc, self.fd, fd=fd).handle
        return Bo(self, handle, self.proc.syscall("lseek", fd, 0, os.SEEK_END))

    def fdinfo(self) -> dict[str, str]:
        """What /proc says about this file, by key."""
        fd = self.proc.open(f"/proc/self/fdinfo/{self.fd}", os.O_RDONLY, 0)
        try:
            text = self.proc.read(fd, 8192).decode()
        finally:
            self.proc.close(fd)
        return parse_fdinfo(text)


def parse_fdinfo(text: str) -> dict[str, str]:
    """``key:<white space>value`` lines to a dictionary."""
    pairs = (line.split(":", 1) for line in text.splitlines() if line)
    return {key: value.strip() for key, value in pairs}
