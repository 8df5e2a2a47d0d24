# SPDX-License-Identifier: MIT
"""An open device file."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from vnpu.accel.bo import Bo
from vnpu.accel.placement import Placement
from vnpu.accel.queue import Queue
from vnpu.accel.sync import Syncobj
from vnpu.accel.vm import Vm
from vnpu.uapi import abi

if TYPE_CHECKING:
    from vnpu.guest import Process

Info = TypeVar("Info", bound=abi.Struct)


@dataclass(frozen=True)
class Memory:
    """VRAM, all of it and the part that the CPU can map, in bytes."""

    vram_total: int
    vram_used: int
    visible_total: int
    visible_used: int


@dataclass(frozen=True)
class Timestamp:
    """Two clocks at the same time, in ns."""

    device_ns: int
    cpu_ns: int


class Device:
    """A file of the driver, open in a process of the guest."""

    def __init__(self, proc: Process, fd: int) -> None:
        self.proc = proc
        self.fd = fd
        self._limits: abi.DeviceInfo | None = None
        self._instances: list[tuple[int, int]] | None = None

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

    def query(self, kind: int, cls: type[Info], room: int = 32) -> list[Info]:
        """DEV_QUERY of one kind of information: its elements, *room* at most."""
        buffer = abi.scratch(self.proc, room * cls._size_)
        infos = abi.Array(stride=cls._size_, count=room, array=buffer.addr)
        count = min(abi.dev_query(self.proc, self.fd, type=kind, infos=infos).infos.count, room)
        data = self.proc.read_mem(buffer.addr, count * cls._size_)
        return [cls.from_bytes(data[i * cls._size_ :]) for i in range(count)]

    def query_device(self) -> abi.DeviceInfo:
        """Properties and limits."""
        (info,) = self.query(abi.DevQueryType.DEVICE, abi.DeviceInfo)
        return info

    def query_regions(self) -> list[abi.RegionInfo]:
        """Regions of memory, and their use."""
        return self.query(abi.DevQueryType.REGIONS, abi.RegionInfo)

    def query_memory(self) -> Memory:
        """Sizes and use of VRAM, in bytes."""
        (vram,) = (r for r in self.query_regions() if r.kind == abi.RegionKind.VRAM)
        return Memory(vram.size, vram.used, vram.cpu_visible_size, vram.cpu_visible_used)

    def query_engines(self) -> dict[abi.EngineClass, int]:
        """Number of engines by class."""
        engines = self.query(abi.DevQueryType.ENGINES, abi.EngineInfo)
        return dict(Counter(abi.EngineClass(engine.engine_class) for engine in engines))

    def query_timestamp(self) -> Timestamp:
        """Device and CPU clock, in ns."""
        clocks = self.query(abi.DevQueryType.CLOCKS, abi.ClockInfo)
        (clock,) = (c for c in clocks if c.id == abi.ClockId.DEVICE)
        return Timestamp(clock.ticks * 10**9 // clock.frequency, clock.cpu_ns)

    def placements(self, kinds: int) -> int:
        """The mask of regions that are of the kinds in the mask *kinds* (Placement)."""
        if self._instances is None:
            self._instances = [(r.kind, r.instance) for r in self.query_regions()]
        return sum(1 << i for kind, i in self._instances if kinds & Placement.of(kind))

    def limits(self) -> abi.DeviceInfo:
        """query_device(), asked once."""
        if self._limits is None:
            self._limits = self.query_device()
        return self._limits

    def bo_create(
        self,
        size: int,
        placement: int = Placement.VRAM,
        flags: int = 0,
        vm: Vm | None = None,
    ) -> Bo:
        """A buffer object of *size* bytes, rounded up to pages; private to *vm* if given."""
        made = abi.bo_create(
            self.proc,
            self.fd,
            size=size,
            placements=self.placements(placement),
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
        """A queue for an engine class, whose command buffers run in *vm*, or for its binds."""
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
