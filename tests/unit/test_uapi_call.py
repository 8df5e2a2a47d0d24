# SPDX-License-Identifier: MIT
"""How an ioctl reaches a process: arrays in memory, results, traces.

The process here is only a piece of memory and a kernel that answers once.
"""

import errno

import pytest

from vnpu.uapi import abi, trace


class Memory:
    def __init__(self, proc, size):
        self.proc, self.size = proc, size
        self.addr = 0x100000 * (len(proc.buffers) + 1)
        self.data = bytearray(size)


class Step:
    value = 0
    data = b""


class Batch:
    def __init__(self, proc):
        self.proc = proc
        self.argument = Step()
        self.result = Step()

    def scratch(self, data):
        self.argument.data = data
        return self.argument

    def write(self, addr, data):
        for memory in self.proc.buffers:
            if memory.addr <= addr < memory.addr + memory.size:
                start = addr - memory.addr
                memory.data[start : start + len(data)] = data

    def syscall(self, name, fd, nr, place):
        assert (name, place) == ("ioctl", self.argument)
        self.proc.calls.append((fd, nr, place.data))
        return Step()

    def read(self, place, size):
        assert place is self.argument and size == len(place.data)
        return self.result

    def run(self, timeout_s=None):
        self.result.data = self.proc.answer(self.proc.calls[-1][1], self.argument.data)


class Process:
    pid = 42

    def __init__(self, answer=lambda nr, arg: arg):
        self.buffers = []
        self.answer = answer
        self.calls = []

    def alloc(self, size):
        self.buffers.append(Memory(self, size))
        return self.buffers[-1]

    def batch(self):
        return Batch(self)


def test_argument_and_result():
    proc = Process(lambda nr, arg: bytes(abi.BoCreate(size=8192, handle=3)))
    made = abi.bo_create(proc, 5, size=4097, placements=1)
    assert (made.size, made.handle) == (8192, 3)
    assert proc.calls == [(5, abi.BO_CREATE.nr, bytes(abi.BoCreate(size=4097, placements=1)))]


def test_arrays_are_placed():
    proc = Process()
    syncs = [abi.Sync(handle=1)]
    ops = [abi.VmBindOp(va=0x1000, size=8), abi.VmBindOp(va=0x2000, size=16)]
    abi.vm_bind(proc, 5, vm_id=1, ops=ops, syncs=syncs)
    (memory,) = proc.buffers
    sent = abi.VmBind.from_bytes(proc.calls[0][2])
    assert sent.ops == abi.Array(stride=40, count=2, array=memory.addr)
    assert sent.syncs == abi.Array(stride=24, count=1, array=memory.addr + 80)
    assert bytes(memory.data[:104]) == abi.concat([*ops, *syncs])


def test_arrays_of_elements_are_placed():
    """An element knows where its own arrays are when it is written."""
    proc = Process()
    cmds, syncs = [abi.Cmd(va=0x1000, size=8)] * 2, [abi.Sync(handle=1)]
    first = abi.Nested(abi.SubmitJob(queue_id=1), {"cmds": cmds, "syncs": syncs})
    second = abi.SubmitJob(queue_id=2)
    abi.call(proc, 5, abi.SUBMIT, abi.Submit(), arrays={"jobs": [first, second]})
    (memory,) = proc.buffers
    sent = abi.Submit.from_bytes(proc.calls[0][2])
    assert sent.jobs == abi.Array(stride=40, count=2, array=memory.addr + 56)
    job = abi.SubmitJob(
        queue_id=1,
        cmds=abi.Array(stride=16, count=2, array=memory.addr),
        syncs=abi.Array(stride=24, count=1, array=memory.addr + 32),
    )
    assert bytes(memory.data[: 56 + 80]) == abi.concat([*cmds, *syncs, job, second])


def test_memory_for_arrays_is_reused_and_grows():
    proc = Process()
    for count in (1, 100, 4096, 4096):
        abi.vm_bind(proc, 5, vm_id=1, ops=[abi.VmBindOp()] * count)
    assert [m.size for m in proc.buffers] == [64 << 10, 256 << 10]
    assert abi.VmBind.from_bytes(proc.calls[-1][2]).ops.array == proc.buffers[-1].addr


def test_empty_arrays_need_no_memory():
    proc = Process()
    abi.vm_bind(proc, 5, vm_id=1)
    assert proc.buffers == []
    assert bytes(abi.VmBind(vm_id=1)) == proc.calls[0][2]


def test_descriptor_is_passed_as_it_is():
    proc = Process()
    odd = abi.Array(stride=3, count=0xFFFFFFFF, array=1)
    assert abi.vm_bind(proc, 5, syncs=odd).syncs == odd


def test_element_of_another_kind():
    proc = Process()
    with pytest.raises(TypeError, match="needs VmBindOp"):
        abi.vm_bind(proc, 5, ops=[abi.Sync()])
    assert proc.calls == []


def test_bad_field_reaches_nobody():
    proc = Process()
    with pytest.raises(TypeError):
        abi.bo_create(proc, 5, sise=1)
    with pytest.raises(ValueError, match="placements"):
        abi.bo_create(proc, 5, placements=1 << 40)
    assert proc.calls == []


@pytest.fixture
def lines(monkeypatch):
    got = []
    monkeypatch.setattr(trace, "hooks", [lambda call: got.append(str(call))])
    return got


def test_trace_of_success(lines):
    proc = Process(lambda nr, arg: bytes(abi.BoCreate(size=4096, placements=1, handle=7)))
    abi.bo_create(proc, 5, size=4096, placements=1)
    (line,) = lines
    assert line.startswith(
        "[42] DRM_IOCTL_VNPU_BO_CREATE(fd=5, BoCreate(size=0x1000, placements=1)) = 0 handle=7"
    )
    assert line.endswith(" ms")


def test_trace_of_failure(lines):
    def refuse(nr, arg):
        raise OSError(errno.ENOENT, "no")

    with pytest.raises(OSError):
        abi.queue_query(Process(refuse), 5, id=3)
    assert lines[0].startswith("[42] DRM_IOCTL_VNPU_QUEUE_QUERY(fd=5, QueueQuery(id=3)) = -ENOENT")
