# SPDX-License-Identifier: MIT
"""State saved by one process and taken up by another, at rest and in the middle of work."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vnpu.base.errors import RigError
from vnpu.hw import golden, regs
from vnpu.hw.codes import Dtype, EngineType, Fault, QueueState
from vnpu.hw.packets import Copy, Eltwise, Fill, Gemm, Nop, RingNop, Signal, Wait
from vnpu.hw.regs import REGISTERS, EngineReg, QueueReg, Reg
from vnpu.qtest import QtestMachine, Queue, VnpuQtest, pci
from vnpu.qtest.npu import PHYS_VRAM, VRAM, device

MS = 1_000_000
ALL_ONES = (1 << 64) - 1

Move = Callable[[VnpuQtest], None]


@pytest.fixture
def move(launch, properties, shared_folder: Path) -> Move:
    """Save a device, and go on with it in a new process."""
    count = 0

    def to_new_process(npu: VnpuQtest) -> None:
        nonlocal count
        count += 1
        state = shared_folder / f"state{count}"
        npu.machine.save(state)
        target = launch([device(**properties)], incoming=True)
        target.load(state)
        npu.move_to(target)

    return to_new_process


def snapshot(npu: VnpuQtest) -> dict[str, int]:
    """All registers of some blocks, but those of time."""
    out = {}
    for key, reg in REGISTERS.items():
        if "TIMESTAMP" in key:
            continue
        for index in range(8) if reg.block else (0,):
            base = regs.BLOCKS[reg.block].at(index) if reg.block else 0
            out[f"{key}[{index}]"] = npu.read32(base + reg.offset)
    return out


def busy(npu: VnpuQtest, queue: Queue) -> bool:
    status = regs.unpack("ENGINE.STATUS", npu.engine(queue.engine, EngineReg.STATUS))
    return bool(status["BUSY"]) and status["QUEUE"] == queue.index


def test_registers_and_memory(npu, move):
    ctx = npu.context(3)
    npu.write32(Reg.SCRATCH, 0x1234)
    npu.events.take()
    done = npu.queue(1, ctx=ctx, log2=5)
    done.run(Nop())
    faulted = npu.queue(2)
    faulted.put(RingNop(opcode=0))
    faulted.doorbell()
    faulted.expect_fault()
    npu.queue(3, enable=False)
    content = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes()
    at = npu.alloc(len(content), vram=True)
    npu.store(True, at, content)

    # a stopped machine is what is saved: nothing moves between the two looks
    npu.machine.qmp("stop")
    before = snapshot(npu)
    move(npu)
    assert snapshot(npu) == before
    assert npu.load(True, at, len(content)) == content

    # and it works on: old queues, contexts, interrupts
    npu.interrupted(done.vector)
    done.run(Nop())
    npu.until(lambda: npu.interrupted(done.vector), "an interrupt")
    faulted.reset()
    faulted.enable()
    faulted.run(Nop())


def test_blocked_wait_and_work_behind_it(npu, move):
    """The command buffer's memory is overwritten meanwhile: the device has it."""
    word, target = npu.alloc(8, vram=False), npu.alloc(4096, vram=True)
    queue = npu.queue(2)
    at, size = queue.commands(
        Wait(addr=word, compare="GE", value=5, mask=ALL_ONES),
        Fill(pattern=0x77777777, dst=PHYS_VRAM | target, size=4096),
    )
    from vnpu.hw.packets import RingIndirect

    queue.put(RingIndirect(addr=at, size=size), queue.next_fence())
    queue.submit(Signal(op="SET", addr=word, value=99))
    npu.until(lambda: queue.state == QueueState.WAITING, "the WAIT")
    npu.store(False, at, bytes(size))

    move(npu)
    assert queue.state == QueueState.WAITING
    npu.qtest.clock_step(5 * MS)
    assert not queue.signaled(1)
    npu.qtest.write_int(word, 5, 8)
    queue.wait(step_ns=MS)
    assert npu.load(True, target, 4096) == b"\x77" * 4096
    assert npu.qtest.read_int(word, 8) == 99


@pytest.mark.parametrize("moves", [1, 3])
def test_in_the_middle_of_work(npu, move, moves):
    """A chain of dependent packets on two engines, moved at random points."""
    rounds, count = 400, 300_000
    data = np.random.default_rng(moves).integers(-100, 100, count, np.int32)
    a, b, word = (npu.alloc(size, vram=True) for size in (count * 4, count * 4, 8))
    npu.store(True, a, data.tobytes())
    pa, pb, pw = (PHYS_VRAM | at for at in (a, b, word))
    copier, adder = npu.queue(2), npu.queue(3, kind=EngineType.TENSOR)
    copies: list[Any] = []
    adds: list[Any] = []
    for n in range(rounds):
        copies += [
            Wait(addr=pw, compare="EQ", value=2 * n, mask=ALL_ONES),
            Copy(src=pa, dst=pb, size=count * 4),
            Signal(op="ADD", addr=pw, value=1),
        ]
        adds += [
            Wait(addr=pw, compare="EQ", value=2 * n + 1, mask=ALL_ONES),
            Eltwise(op="ADD", dtype="I32", a=pa, b=pb, dst=pa, count=count),
            Signal(op="ADD", addr=pw, value=1),
        ]
    copier.submit(*copies)
    adder.submit(*adds)
    for n in range(moves):
        goal = (n + 1) * 2 * rounds // (moves + 2)
        npu.until(lambda goal=goal: npu.vram64(word) >= goal, "some progress")
        move(npu)
    assert npu.vram64(word) < 2 * rounds
    for queue in (copier, adder):
        queue.wait(timeout_s=60)
    got = np.frombuffer(npu.load(True, a, count * 4), np.int32)
    with np.errstate(over="ignore"):
        want = data.astype(np.int64) << min(rounds, 40)
    np.testing.assert_array_equal(got, want.astype(np.int32))


@pytest.mark.parametrize("dtype", ["I8", "F32"])
def test_in_the_middle_of_a_gemm(npu, move, dtype):
    """One packet that takes long, and adds to its result: no block may be done twice."""
    m, n, k = 1500, 700, 1500
    rng = np.random.default_rng(1)
    if dtype == "I8":
        a, b = (golden.random(rng, s, dtype) for s in ((m, k), (k, n)))
    else:
        # small integers: sums are exact, in any order
        a, b = (rng.integers(-4, 5, s).astype(np.float32) for s in ((m, k), (k, n)))
    c = rng.integers(-9, 9, (m, n)).astype(golden.stored(golden.result(dtype)))
    places = []
    for matrix in (a, b, c):
        at = npu.alloc(matrix.nbytes, vram=True)
        npu.store(True, at, matrix.tobytes())
        places.append(at)
    queue = npu.queue(2, kind=EngineType.TENSOR)
    pa, pb, pc = (PHYS_VRAM | at for at in places)
    repeat = 6
    gemm = Gemm(
        dtype=Dtype[dtype], flags="ACCUMULATE", a=pa, b=pb, c=pc, m=m, n=n, k=k, lda=k, ldb=n, ldc=n
    )
    queue.submit(*[gemm] * repeat)
    npu.until(lambda: busy(npu, queue), "the GEMM on its engine")
    move(npu)
    assert not queue.signaled(1)
    queue.wait(timeout_s=200)
    got = np.frombuffer(npu.load(True, places[2], c.nbytes), c.dtype).reshape(m, n)
    product = golden.gemm(a, b, dtype).astype(np.int64)
    np.testing.assert_array_equal(got, (c + repeat * product).astype(c.dtype))


def test_masked_interrupt_stays_pending(npu, move):
    queue = npu.queue(2)
    npu.mask_vector(queue.vector, True)
    queue.run(Nop())
    npu.until(lambda: npu.vector_pending(queue.vector), "the pending bit")
    move(npu)
    assert npu.vector_pending(queue.vector)
    assert not npu.interrupted(queue.vector)
    npu.mask_vector(queue.vector, False)
    assert npu.interrupted(queue.vector)


def test_disabled_queue_with_work_left(npu, move):
    queue = npu.queue(2)
    word = npu.alloc(8, vram=False)
    queue.submit(Wait(addr=word, compare="EQ", value=1, mask=ALL_ONES))
    npu.until(lambda: queue.state == QueueState.WAITING, "the WAIT")
    queue.enable(False)
    move(npu)
    assert queue.state == QueueState.DISABLED
    npu.qtest.write_int(word, 1, 8)
    queue.enable()
    queue.wait(step_ns=MS)


def test_fault_is_not_told_twice(npu, move):
    npu.events.take()
    queue = npu.queue(2)
    queue.put(RingNop(opcode=0))
    queue.doorbell()
    queue.expect_fault()
    move(npu)
    assert npu.read32(Reg.EVENT_TAIL) == 1
    assert npu.events.take() == []
    assert queue.fault == Fault.OPCODE


def test_many_clones_of_one_template(launch, shared_folder):
    """Memory in files, shared copy-on-write: how the rig restores a booted guest."""
    ram, vram, state = (shared_folder / name for name in ("ram", "vram", "state"))

    def line(share: bool) -> list[str]:
        options = "share=on" if share else "share=off,readonly=on,rom=off"
        return [
            *("-machine", "memory-backend=pc.ram"),
            *("-object", f"memory-backend-file,id=pc.ram,size=64M,mem-path={ram},{options}"),
            *("-object", f"memory-backend-file,id=vram,size={VRAM},mem-path={vram},{options}"),
        ]

    template = launch([device(memdev="vram")], line(True))
    npu = VnpuQtest(template)
    queue = npu.queue(2)
    target = npu.alloc(4096, vram=True)
    queue.run(Fill(pattern=0x11111111, dst=PHYS_VRAM | target, size=64))
    template.save(state, ["x-ignore-shared"])
    assert template.close() == 0

    for n in range(2, 5):
        machine = launch([device(memdev="vram")], line(False), incoming=True)
        machine.load(state, ["x-ignore-shared"])
        npu.move_to(machine)
        assert npu.load(True, target, 64) == b"\x11" * 64
        queue.fence, queue.tail = 1, queue.read32(QueueReg.TAIL)
        queue.run(Fill(pattern=n, dst=PHYS_VRAM | target, size=64))
        assert npu.load(True, target, 1) == bytes([n])
    assert vram.read_bytes()[target : target + 64] == b"\x11" * 64


def test_different_device_refuses_the_state(npu, launch, shared_folder):
    state = shared_folder / "state"
    npu.machine.save(state)
    with QtestMachine([device(queues=8)], incoming=True) as other, pytest.raises(RigError):
        other.load(state)


@pytest.mark.device(copy_engines=1, tensor_engines=2)
@pytest.mark.parametrize(
    "other", [{"copy_engines": 2, "tensor_engines": 1}, {"sync": "on"}], ids=["split", "caps"]
)
def test_engines_of_another_kind_refuse_the_state(npu, properties, shared_folder, other):
    """As many engines, but a queue would be on one of the other type; or other CAPS."""
    state = shared_folder / "state"
    npu.machine.save(state)
    with (
        QtestMachine([device(**properties | other)], incoming=True) as machine,
        pytest.raises(RigError),
    ):
        machine.load(state)


def test_refused_state_does_not_run(launch, shared_folder):
    """Rewound to a state that cannot be: "cont" is refused until a good one is there."""
    machine = launch([device(), "vm-rewind,id=rewind"])
    npu = VnpuQtest(machine)
    queue = npu.queue(2)
    word = npu.alloc(8, vram=False)
    queue.submit(Wait(addr=word, compare="EQ", value=1, mask=ALL_ONES))
    npu.until(lambda: queue.state == QueueState.WAITING, "the WAIT")
    good, bad = shared_folder / "good", shared_folder / "bad"
    machine.save(good)
    data = bytearray(good.read_bytes())
    at = data.rindex(struct.pack(">QI", queue.ring, queue.config))
    engine = regs.pack("QUEUE.CONFIG", ENGINE=15)
    data[at : at + 12] = struct.pack(">QI", queue.ring, queue.config | engine)
    bad.write_bytes(data)
    rewind = {"path": "/machine/peripheral/rewind", "property": "state"}
    with pytest.raises(RigError):
        machine.qmp("qom-set", **rewind, value=str(bad))
    with pytest.raises(RigError, match="[Rr]eset"):
        machine.qmp("cont")
    machine.qmp("qom-set", **rewind, value=str(good))
    machine.qmp("cont")
    assert queue.state == QueueState.WAITING
    npu.qtest.write_int(word, 1, 8)
    queue.wait(step_ns=MS)


def own_section(data: bytes, name: bytes = b"/vnpu") -> tuple[int, int]:
    """Where a state says the version of the device, and where its section ends."""
    version = data.index(name + struct.pack(">I", 0)) + len(name) + 4
    end = data.find(b"\x7e", version)
    section = data[data.rindex(b"\x04", 0, version - len(name)) + 1 :][:4]
    while end >= 0 and data[end + 1 : end + 5] != section:
        end = data.find(b"\x7e", end + 1)
    assert end > version
    return version, end


SPOILT = [
    "version-1",
    "version-3",
    *(f"cut-{percent}" for percent in (0, 3, 20, 50, 80, 99)),
    "split",
]


@pytest.mark.parametrize("how", SPOILT)
def test_state_that_is_not_one_is_refused(launch, shared_folder, how):
    """Of another version, or not all of it: the device is as after a reset, and works."""
    machine = launch([device(), "vm-rewind,id=rewind"])
    npu = VnpuQtest(machine)
    queue = npu.queue(2)
    npu.write32(Reg.SCRATCH, 0x600DCAFE)
    state = shared_folder / "state"
    machine.save(state)
    # the machine's own end of a migration comes a little after the state's
    npu.until(lambda: machine.qmp("query-status")["status"] == "postmigrate", "the end of it")
    data = bytearray(state.read_bytes())
    version, end = own_section(data)
    assert struct.unpack_from(">I", data, version) == (2,)
    kind, _, number = how.partition("-")
    if kind == "version":
        struct.pack_into(">I", data, version, int(number))
    elif kind == "cut":
        del data[version + 4 + (end - version - 4) * int(number) // 100 :]
    else:
        # one engine more than there are, in the middle of what is checked to be equal
        at = data.rindex(struct.pack(">II", npu.read32(Reg.QUEUES), npu.read32(Reg.ENGINES)))
        data[at + 7] += 1
    state.write_bytes(data)
    rewind = {"path": "/machine/peripheral/rewind", "property": "state", "value": str(state)}
    with pytest.raises(RigError):
        machine.qmp("qom-set", **rewind)
    with pytest.raises(RigError, match="[Rr]eset"):
        machine.qmp("cont")
    machine.qmp("system_reset")
    machine.qmp("cont")
    npu.assign()
    assert npu.read32(Reg.SCRATCH) == 0
    assert queue.state == QueueState.DISABLED
    npu.enable_msix()
    npu.queue(3).run(Nop())


@pytest.mark.parametrize("seed", range(12))
def test_damaged_state_is_survived(npu, shared_folder, seed):
    """Bits flipped where the device's own state is: it is refused or loaded, never a crash."""
    queue = npu.queue(2)
    word = npu.alloc(8, vram=False)
    queue.submit(Wait(addr=word, compare="EQ", value=1, mask=ALL_ONES))
    npu.until(lambda: queue.state == QueueState.WAITING, "the WAIT")
    npu.write32(Reg.SCRATCH, 0x600DCAFE)
    state = shared_folder / "state"
    npu.machine.save(state)
    data = bytearray(state.read_bytes())
    # numbers are saved in network order
    scratch = data.rindex(bytes.fromhex("600dcafe"))
    rng = random.Random(seed)
    for _ in range(rng.choice([1, 4, 32])):
        data[scratch + rng.randrange(-64, 9000)] ^= 1 << rng.randrange(8)
    state.write_bytes(data)

    machine = QtestMachine([device()], incoming=True)
    with machine:
        try:
            machine.load(state)
            npu.move_to(machine)
            npu.qtest.clock_step(5 * MS)
            npu.reset()
            assert npu.read32(Reg.SCRATCH) == 0
        except RigError:
            pass
        status = machine.close()
        assert status >= 0, f"QEMU died of signal {-status}: {machine.log}"


# What takes time


def test_changes_go_on_where_they_were(npu, move):
    """The clock of the new process is another one: what is left of the time counts."""
    npu.qtest.clock_step(1000 * MS)
    queue = npu.queue(2, enable=False)
    other = npu.queue(3)
    ctx = npu.context(4)
    ctx.valid(False)
    npu.qtest.clock_step(1000 * MS)
    queue.enable(wait=False)
    other.reset(wait=False)
    ctx.valid(True, wait=False)
    npu.reset_engine(0, wait=False)
    npu.qtest.clock_step(15_000)
    move(npu)
    npu.qtest.clock_step(4_999)
    assert queue.state == QueueState.CHANGING and ctx.control == {"VALID": 1, "CHANGING": 1}
    npu.qtest.clock_step(1)
    assert queue.state == QueueState.IDLE and ctx.control == {"VALID": 1, "CHANGING": 0}
    npu.qtest.clock_step(79_999)
    assert other.state == QueueState.CHANGING and npu.engine_resetting(0)
    npu.qtest.clock_step(1)
    assert other.state == QueueState.DISABLED and not npu.engine_resetting(0)
    queue.run(Nop())


def test_reset_of_the_device_goes_on(npu, move):
    npu.qtest.clock_step(1000 * MS)
    npu.reset(wait=False)
    move(npu)
    npu.qtest.clock_step(99_999)
    assert not npu.ready
    npu.qtest.clock_step(1)
    assert npu.ready


def test_function_level_reset_goes_on(npu, move):
    npu.qtest.clock_step(1000 * MS)
    npu.pci.function_reset()
    npu.qtest.clock_step(4 * MS)
    move(npu)
    assert npu.pci.read(0) == 0xFFFFFFFF
    assert npu.read32(Reg.ID) == 0xFFFFFFFF, "the BARs are where they were"
    npu.qtest.clock_step(5 * MS)
    assert npu.pci.read(0) == 0xFFFFFFFF
    npu.qtest.clock_step(1 * MS)
    assert npu.pci.read(0) != 0xFFFFFFFF


# Errors on the bus


def test_error_log_of_a_device_on_the_root_bus(npu, move):
    """The device alone has written it, and a new one has another."""
    aer = npu.pci.extended_capability(pci.EXT_CAP_AER)
    npu.qtest.write_int(npu.regs + Reg.SCRATCH + 1, 0xFF, 1)
    before = npu.pci.space()
    assert before[aer + pci.AER_UNCORRECTABLE >> 2] == pci.AER_UNSUPPORTED
    move(npu)
    assert npu.pci.space() == before
    assert npu.pci.read_extended(aer + pci.AER_HEADER) == 0x40000001
    npu.queue(2).run(Nop())


#: an access that is too narrow; and what only a tester makes, with all that can be logged
ERRORS = {
    "write": lambda errors: errors.npu.qtest.write_int(errors.npu.regs, 0, 1),
    "injected": lambda errors: errors.inject(
        "POISON_TLP", *(f"{0x11111111 * n:#x}" for n in range(1, 9))
    ),
}


@pytest.mark.parametrize("how", ERRORS)
def test_errors_that_were_told_to_the_port(errors, shared_folder, how):
    """Log and status of the device, and what the port has heard from whom."""
    state = shared_folder / "state"
    ERRORS[how](errors)
    before = errors.npu.pci.space(), errors.port.space()
    assert errors.at_root() & 0x24 == 0x24, "an uncorrectable error, nonfatal"
    assert errors.status(pci.AER_HEADER) and errors.status(pci.AER_CONTROL) & 0x1F
    prefixes = how == "injected"
    assert bool(errors.status(pci.AER_PREFIX)) == prefixes
    assert bool(errors.status(pci.AER_CONTROL) & pci.AER_PREFIX_LOGGED) == prefixes
    errors.machine.save(state)
    target = errors.another(incoming=True)
    target.load(state)
    errors.move_to(target)
    assert (errors.npu.pci.space(), errors.port.space()) == before
    errors.npu.queue(2).run(Nop())


@pytest.mark.parametrize("how", ERRORS)
def test_errors_that_came_after_the_state(errors, shared_folder, how):
    """Rewound to before them: nothing tells of them."""
    state = shared_folder / "state"
    before = errors.npu.pci.space(), errors.port.space()
    errors.machine.save(state)
    errors.machine.qmp("cont")
    ERRORS[how](errors)
    assert errors.npu.pci.space() != before[0] and errors.port.space() != before[1]
    rewind = {"path": "/machine/peripheral/rewind", "property": "state", "value": str(state)}
    errors.machine.qmp("qom-set", **rewind)
    errors.machine.qmp("cont")
    assert (errors.npu.pci.space(), errors.port.space()) == before
    errors.npu.queue(2).run(Nop())
