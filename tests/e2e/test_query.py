# SPDX-License-Identifier: MIT
"""DEV_QUERY and fdinfo."""

import errno
import re
import time

import pytest
from calls import name
from support import MIB, PAGE, Copier, Gate, raises_errno

from vnpu.accel import COPY, SYSTEM, TENSOR, VRAM, Engine
from vnpu.hw import const
from vnpu.hw.codes import Dtype
from vnpu.hw.packets import Fill, Gemm, Nop
from vnpu.uapi import abi

KINDS = {
    abi.DevQueryType.DEVICE: abi.DeviceInfo,
    abi.DevQueryType.MEMORY: abi.MemoryInfo,
    abi.DevQueryType.ENGINES: abi.EnginesInfo,
    abi.DevQueryType.TIMESTAMP: abi.TimestampInfo,
}
EACH = pytest.mark.parametrize("kind", KINDS, ids=name)


def test_every_kind_is_known_here():
    assert set(KINDS) == set(abi.DevQueryType)


def ask(npu, kind, size, pointer):
    return abi.dev_query(npu.proc, npu.fd, type=kind, size=size, pointer=pointer).size


@EACH
def test_null_asks_for_the_size(npu, kind):
    for size in (0, 1, 0xFFFFFFFF):
        assert ask(npu, kind, size, 0) == KINDS[kind]._size_


@EACH
def test_short_buffer_gets_the_beginning(npu, kind):
    """And not a byte more."""
    buffer = npu.proc.alloc(256)
    whole = KINDS[kind]._size_
    for size in (0, 1, 4, 7, whole - 1):
        buffer.write(b"\xaa" * 256)
        assert ask(npu, kind, size, buffer.addr) == size
        assert buffer[size:] == b"\xaa" * (256 - size)
    if kind == abi.DevQueryType.DEVICE:
        assert buffer[:4] == npu.query_device().hw_version.to_bytes(4, "little")


@EACH
def test_long_buffer_is_filled_with_zeros(npu, kind):
    buffer = npu.proc.alloc(2 * PAGE)
    buffer.write(b"\xaa" * (2 * PAGE))
    size = PAGE + 123
    assert ask(npu, kind, size, buffer.addr) in (KINDS[kind]._size_, size)
    assert not any(buffer[KINDS[kind]._size_ : size])
    assert buffer[size : size + 8] == b"\xaa" * 8


@EACH
def test_bad_pointer(npu, kind):
    for pointer in (8, 1 << 47, 1 << 63, 2**64 - 8):
        with raises_errno(errno.EFAULT):
            ask(npu, kind, KINDS[kind]._size_, pointer)


@EACH
def test_buffer_in_read_only_memory(npu, kind):
    page = npu.proc.alloc(PAGE)
    npu.proc.syscall("mprotect", page.addr, PAGE, 1)
    with raises_errno(errno.EFAULT):
        ask(npu, kind, KINDS[kind]._size_, page.addr)


@EACH
def test_buffer_at_the_end_of_mapped_memory(npu, kind):
    """It fits exactly; one byte later it does not."""
    size = KINDS[kind]._size_
    pages = npu.proc.alloc(2 * PAGE)
    npu.proc.syscall("munmap", pages.addr + PAGE, PAGE)
    assert ask(npu, kind, size, pages.addr + PAGE - size) == size
    with raises_errno(errno.EFAULT):
        ask(npu, kind, size, pages.addr + PAGE - size + 1)


def test_device_limits(npu):
    info = npu.query_device()
    assert info.hw_version >> 16 == 1
    assert info.page_size == PAGE
    assert info.max_cmd_bytes == const.CMD_MAX_BYTES
    assert 0 < info.max_queues < const.MAX_QUEUES
    assert 0 < info.max_vms < const.MAX_CONTEXTS
    assert 0 < info.va_start < info.va_end <= 1 << const.VA_BITS
    assert info.va_start % PAGE == 0 and info.va_end % PAGE == 0
    assert info.max_submit_cmds >= 16
    assert info.max_queue_priority == abi.QueuePriority.HIGH, "root may have any"


@pytest.mark.machine(queues=8)
def test_fewer_queues_in_the_device(npu):
    """The kernel keeps some for itself, the rest can be had, and not one more."""
    count = npu.query_device().max_queues
    assert 0 < count < 8
    vm = npu.vm_create()
    queues = [npu.queue_create(vm) for _ in range(count)]
    with raises_errno(errno.EBUSY):
        npu.queue_create(vm)
    queues[0].destroy()
    npu.queue_create(vm).submit([Nop()]).wait()


def test_memory_sizes(npu):
    info = npu.query_memory()
    assert info.vram_total == info.visible_total == 256 * MIB
    assert info.vram_used < 16 * MIB
    assert info.visible_used <= info.vram_used


@pytest.mark.machine(vram=64 * MIB, aperture=16 * MIB)
def test_memory_sizes_with_a_small_aperture(npu):
    info = npu.query_memory()
    assert (info.vram_total, info.visible_total) == (64 * MIB, 16 * MIB)


def test_memory_use_follows_allocation(npu):
    before = npu.query_memory().vram_used
    bo = npu.bo_create(8 * MIB, placement=VRAM)
    bo.write(b"x")
    assert npu.query_memory().vram_used >= before + 8 * MIB
    bo.close()
    assert npu.query_memory().vram_used <= before + MIB


def test_system_memory_is_not_vram(npu):
    before = npu.query_memory().vram_used
    bo = npu.bo_create(8 * MIB, placement=SYSTEM)
    bo.write(b"x")
    assert npu.query_memory().vram_used == before


def test_engines(npu):
    assert npu.query_engines() == {Engine.COPY: 1, Engine.TENSOR: 1}


@pytest.mark.machine(device="copy-engines=2,tensor-engines=3")
def test_more_engines(npu):
    assert npu.query_engines() == {Engine.COPY: 2, Engine.TENSOR: 3}
    vm = npu.vm_create()
    for engine in (COPY, TENSOR):
        fences = [npu.queue_create(vm, engine=engine).submit([Nop()]) for _ in range(4)]
        for fence in fences:
            fence.wait()


def test_engine_table_is_zero_behind_its_end(npu):
    info = npu.query(abi.DevQueryType.ENGINES, abi.EnginesInfo)
    assert info.pad == 0
    assert all(e == abi.EngineInfo() for e in info.engines[info.count :])


def test_timestamps_increase(npu):
    got = [npu.query_timestamp() for _ in range(20)]
    for one, two in zip(got, got[1:], strict=False):
        assert one.device_ns < two.device_ns
        assert one.cpu_ns < two.cpu_ns


def test_timestamps_run_at_the_same_speed(npu):
    one = npu.query_timestamp()
    npu.proc.poll({}, timeout_ms=200)
    two = npu.query_timestamp()
    device, cpu = two.device_ns - one.device_ns, two.cpu_ns - one.cpu_ns
    assert cpu >= 200 * 10**6
    assert abs(device - cpu) < cpu * 0.2


def test_cpu_timestamp_is_clock_monotonic(npu):
    batch = npu.proc.batch()
    before, after = batch.scratch(16), batch.scratch(16)
    info = batch.scratch(16)
    buffer = npu.proc.alloc(32)
    arg = batch.scratch(
        bytes(abi.DevQuery(type=abi.DevQueryType.TIMESTAMP, size=16, pointer=buffer.addr))
    )
    batch.syscall("clock_gettime", 1, before)
    batch.syscall("ioctl", npu.fd, abi.DEV_QUERY.nr, arg)
    batch.syscall("clock_gettime", 1, after)
    first, last = batch.read(before, 16), batch.read(after, 16)
    batch.read(info, 16)
    batch.run()
    low, high = (
        int.from_bytes(step.data[:8], "little") * 10**9 + int.from_bytes(step.data[8:], "little")
        for step in (first, last)
    )
    assert low <= abi.TimestampInfo.from_bytes(buffer[:16]).cpu_ns <= high


# fdinfo


def test_fdinfo_has_the_keys_that_every_driver_has(npu):
    info = npu.fdinfo()
    assert info["drm-driver"] == "vnpu"
    assert re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", info["drm-pdev"])
    assert info["drm-client-id"].isdecimal()


def test_fdinfo_values_have_the_documented_form(npu):
    bo = npu.bo_create(3 * MIB)
    bo.write(b"x")
    engines = regions = 0
    for key, value in npu.fdinfo().items():
        if key.startswith("drm-engine-capacity-"):
            assert value.isdecimal()
        elif key.startswith("drm-engine-"):
            assert re.fullmatch(r"\d+ ns", value), f"{key}: {value}"
            engines += 1
        elif re.match(r"drm-(total|shared|active|resident|purgeable|memory)-", key):
            assert re.fullmatch(r"\d+( KiB| MiB)?", value), f"{key}: {value}"
            regions += 1
    assert engines == 2
    assert regions >= 4


def test_fdinfo_client_ids_differ(npu, other):
    assert npu.fdinfo()["drm-client-id"] != other.fdinfo()["drm-client-id"]


def test_fdinfo_of_a_duplicate_is_that_of_the_client(npu):
    twin = npu.proc.dup(npu.fd)
    text = npu.fdinfo()
    npu.fd, fd = twin, npu.fd
    assert npu.fdinfo()["drm-client-id"] == text["drm-client-id"]
    npu.fd = fd


def engine_ns(npu, engine):
    return int(npu.fdinfo()[f"drm-engine-{engine}"].split()[0])


def test_fdinfo_engine_time_grows_with_work(npu, other):
    c = Copier(npu)
    _, va = c.buffer(8 * MIB, VRAM)
    before = [engine_ns(npu, "copy"), engine_ns(npu, "tensor"), engine_ns(other, "copy")]
    c.queue.submit([Fill(pattern=1, dst=va, size=8 * MIB)]).wait()
    middle = engine_ns(npu, "copy")
    assert middle > before[0]
    c.queue.submit([Fill(pattern=2, dst=va, size=8 * MIB)] * 4).wait()
    assert engine_ns(npu, "copy") > middle
    assert engine_ns(npu, "tensor") == before[1], "another engine"
    assert engine_ns(other, "copy") == before[2], "another client"


def long_job(npu):
    """A queue, and the fence of a job that is one packet of some hundred milliseconds."""
    vm = npu.vm_create()
    n = 1536
    a, c = (vm.bind(npu.bo_create(n * n * 4, placement=VRAM)) for _ in range(2))
    queue = npu.queue_create(vm, engine=TENSOR)
    packet = Gemm(dtype=Dtype.F32, a=a, b=a, c=c, m=n, n=n, k=n, lda=n, ldb=n, ldc=n)
    return queue, queue.submit([packet])


@pytest.mark.parametrize("source", ["fdinfo", "query"])
def test_busy_time_of_a_job_that_runs(npu, source):
    """A tool that samples sees the engine busy all the time, not at the end of the job."""
    queue, fence = long_job(npu)

    def busy():
        return engine_ns(npu, "tensor") if source == "fdinfo" else queue.query().busy_ns

    start = time.monotonic_ns()
    running = []
    while not fence.done():
        running.append(busy())
    last = busy()
    assert len(running) > 5
    assert [*running, last] == sorted([*running, last])
    assert len(set(running[:-1])) > len(running) // 2, "it grows while the job runs"
    assert last <= time.monotonic_ns() - start + 10**9
    npu.proc.poll({}, timeout_ms=50)
    assert busy() == last, "it rests while nothing runs"


def test_busy_time_of_a_queue_that_is_destroyed(npu):
    """Its job runs on, and is the client's as before."""
    queue, fence = long_job(npu)
    while not engine_ns(npu, "tensor"):
        assert not fence.done()
    queue.destroy()
    before = engine_ns(npu, "tensor")
    assert not fence.done()
    while engine_ns(npu, "tensor") <= before:
        assert not fence.done()
    fence.wait()


def test_fdinfo_engine_time_is_kept_when_the_queue_goes(npu):
    c = Copier(npu)
    _, va = c.buffer(4 * MIB, VRAM)
    c.queue.submit([Fill(pattern=1, dst=va, size=4 * MIB)]).wait()
    busy = engine_ns(npu, "copy")
    c.queue.destroy()
    assert engine_ns(npu, "copy") >= busy > 0


def test_fdinfo_engine_time_does_not_count_waiting(npu):
    """A queue that waits in memory does not keep its engine busy."""
    c = Copier(npu)
    gate = Gate(npu, c.vm)
    before = engine_ns(npu, "copy")
    fence = c.queue.submit(gate.packets())
    npu.proc.poll({}, timeout_ms=300)
    gate.open()
    fence.wait()
    assert engine_ns(npu, "copy") - before < 150 * 10**6


def size_of(npu, key):
    number, _, unit = npu.fdinfo()[key].partition(" ")
    return int(number) * {"": 1, "KiB": 1 << 10, "MiB": MIB}[unit]


@pytest.mark.parametrize(("region", "placement"), [("vram", VRAM), ("system", SYSTEM)])
def test_fdinfo_memory_follows_allocation(npu, region, placement):
    before = size_of(npu, f"drm-total-{region}")
    bo = npu.bo_create(4 * MIB, placement=placement)
    bo.write(b"x")
    assert size_of(npu, f"drm-total-{region}") == before + 4 * MIB
    assert size_of(npu, f"drm-resident-{region}") >= 4 * MIB
    bo.close()
    assert size_of(npu, f"drm-total-{region}") == before


def test_fdinfo_memory_is_of_the_client_only(npu, other):
    before = size_of(npu, "drm-total-vram")
    other.bo_create(4 * MIB).write(b"x")
    assert size_of(npu, "drm-total-vram") == before


def test_fdinfo_shared_memory(npu):
    bo = npu.bo_create(4 * MIB)
    bo.write(b"x")
    assert size_of(npu, "drm-shared-vram") == 0
    fd = bo.export()
    assert size_of(npu, "drm-shared-vram") == 4 * MIB
    npu.proc.close(fd)


def test_fdinfo_active_memory(npu):
    c = Copier(npu)
    _, va = c.buffer(4 * MIB, VRAM)
    gate = Gate(npu, c.vm)
    fence = c.queue.submit([*gate.packets(), Fill(pattern=1, dst=va, size=PAGE)])
    assert size_of(npu, "drm-active-vram") >= 4 * MIB
    gate.open()
    fence.wait()
    assert size_of(npu, "drm-active-vram") == 0
