# SPDX-License-Identifier: MIT
"""Valid ioctl arguments, and ways to send them with one thing changed.

A test of an error begins with an argument that works; then the error can only
come from what was changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from support import PAGE

from vnpu.accel import SYSTEM, VRAM, Bo, Device, Fence
from vnpu.hw.packets import Nop
from vnpu.uapi import abi

BASE = 0x20_0000_0000
ELEMENTS = (abi.VmBindOp, abi.Sync, abi.Cmd, abi.SubmitJob)
ARGUMENTS = tuple(ioctl.struct for ioctl in abi.IOCTLS)
BY_STRUCT = {ioctl.struct: ioctl for ioctl in abi.IOCTLS}


def fields(*, of: tuple[type[abi.Struct], ...] = ARGUMENTS + ELEMENTS) -> Iterator[tuple]:
    """(struct, field) of everything that a caller passes in."""
    for cls in of:
        for field in cls._fields_:
            if not field.output:
                yield cls, field


def name(value: object) -> str:
    """Test id of a struct, field or ioctl."""
    return getattr(value, "__name__", None) or getattr(value, "name", None) or str(value)


class Calls:
    """Objects of one client, and arguments that use them."""

    def __init__(self, npu: Device) -> None:
        self.npu = npu
        self.proc = npu.proc
        self.vm = npu.vm_create()
        self.queue = npu.queue_create(self.vm)
        self.bo: Bo = npu.bo_create(4 * PAGE, placement=VRAM)
        self.sync = npu.syncobj_create(signaled=True)
        cmds = npu.bo_create(PAGE, placement=SYSTEM)
        self.packet = bytes(Nop())
        cmds.write(self.packet)
        self.cmd_va = self.vm.bind(cmds)
        # a page for whatever a test likes, one for output, and one for each kind of element
        self.memory = self.proc.alloc((2 + len(ELEMENTS)) * PAGE)

    def array(self, *structs: abi.Struct, **changes: int) -> abi.Array:
        """The structs in memory of the process, described with some fields changed."""
        slot = (2 + ELEMENTS.index(type(structs[0]))) * PAGE if structs else 0
        self.memory.write(abi.concat(structs), slot)
        stride = structs[0]._size_ if structs else 0
        made = abi.Array(stride=stride, count=len(structs), array=self.memory.addr + slot)
        return made.replace(**changes)

    def valid(self, cls: type[abi.Struct], **changes: object) -> abi.Struct:
        """An argument, or an element of an array, that the kernel accepts."""
        return self._valid(cls).replace(**changes)

    def _valid(self, cls: type[abi.Struct]) -> abi.Struct:
        match cls:
            case abi.DevQuery:
                size, addr = abi.DeviceInfo._size_, self.memory.addr + PAGE
                return abi.DevQuery(infos=abi.Array(stride=size, count=1, array=addr))
            case abi.BoCreate:
                return abi.BoCreate(size=PAGE, placements=self.npu.placements(SYSTEM))
            case abi.BoMmapOffset:
                return abi.BoMmapOffset(handle=self.bo.handle)
            case abi.VmDestroy:
                return abi.VmDestroy(id=self.npu.vm_create().id)
            case abi.VmBindOp:
                return abi.VmBindOp(handle=self.bo.handle, va=BASE, size=PAGE)
            case abi.VmBind:
                return abi.VmBind(vm_id=self.vm.id, ops=self.array(self.valid(abi.VmBindOp)))
            case abi.QueueCreate:
                return abi.QueueCreate(vm_id=self.vm.id, priority=abi.QueuePriority.NORMAL)
            case abi.QueueDestroy:
                return abi.QueueDestroy(id=self.npu.queue_create(self.vm).id)
            case abi.QueueQuery:
                return abi.QueueQuery(id=self.queue.id)
            case abi.Cmd:
                return abi.Cmd(va=self.cmd_va, size=len(self.packet))
            case abi.Sync:
                kind, op = abi.SyncType.BINARY, abi.SyncOp.WAIT
                return abi.Sync(type=kind, op=op, handle=self.sync.handle)
            case abi.SubmitJob:
                return self.job(cmds=self.array(self.valid(abi.Cmd)))
            case abi.Submit:
                return abi.Submit(jobs=self.array(self.valid(abi.SubmitJob)))
            case abi.VmCreate:
                return abi.VmCreate()
        raise KeyError(cls)

    def job(self, **fields: object) -> abi.SubmitJob:
        """A job of our queue."""
        return abi.SubmitJob(**({"queue_id": self.queue.id} | fields))

    def carrier(self, element: abi.Struct, array: abi.Array | None = None) -> abi.Struct:
        """The argument of an ioctl that takes *element*, or *array* with its like."""
        array = array or self.array(element)
        if type(element) in (abi.Cmd, abi.Sync):
            job = self._job_of(element, array)
            return abi.Submit(jobs=self.array(job))
        return self._around(element, array)

    def _job_of(self, element: abi.Struct, array: abi.Array) -> abi.SubmitJob:
        return self.job(**{"cmds" if isinstance(element, abi.Cmd) else "syncs": array})

    def _around(self, element: abi.Struct, array: abi.Array) -> abi.Struct:
        match element:
            case abi.VmBindOp():
                return abi.VmBind(vm_id=self.vm.id, ops=array)
            case abi.SubmitJob():
                return abi.Submit(jobs=array)
        raise KeyError(element)

    def send(self, struct: abi.Struct) -> abi.Struct:
        """Make the ioctl that takes *struct*, which may be an element of an array."""
        arg = struct if type(struct) in BY_STRUCT else self.carrier(struct)
        return abi.call(self.proc, self.npu.fd, BY_STRUCT[type(arg)], arg)

    def send_bytes(self, ioctl: abi.Ioctl, data: bytes, nr: int | None = None) -> bytes:
        """Make an ioctl with any bytes as its argument, which comes back."""
        return self.npu.ioctl(ioctl.nr if nr is None else nr, data)[1]

    def errors(self, structs: Sequence[abi.Struct]) -> list[int]:
        """The errno (or 0) of each when all are sent, in one round trip."""
        size = max(struct._size_ for struct in structs) + abi.SubmitJob._size_
        table = self.proc.alloc(size * len(structs))
        batch = self.proc.batch()
        steps = []
        for i, struct in enumerate(structs):
            arg, at = struct, table.addr + i * size
            while type(arg) not in BY_STRUCT:
                batch.write(at, bytes(arg))
                array = abi.Array(stride=arg._size_, count=1, array=at)
                at += arg._size_
                inner = type(arg) in (abi.Cmd, abi.Sync)
                arg = self._job_of(arg, array) if inner else self._around(arg, array)
            nr = BY_STRUCT[type(arg)].nr
            place = batch.scratch(bytes(arg))
            steps.append(batch.syscall("ioctl", self.npu.fd, nr, place, check=False))
        batch.run(timeout_s=30)
        table.unmap()
        return [max(0, -step.value) for step in steps]

    def check_usable(self) -> None:
        """The client can still work."""
        fence: Fence = self.queue.submit([(self.cmd_va, len(self.packet))])
        fence.wait()
        assert self.queue.query().state == 0
