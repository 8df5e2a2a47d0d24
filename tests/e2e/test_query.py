# SPDX-License-Identifier: MIT
"""DEV_QUERY and fdinfo."""

import errno
import re
import time

import pytest
from calls import name
from support import MIB, PAGE, Copier, Gate, raises_errno

from vnpu.accel import COPY, SYSTEM, TENSOR, VRAM, Bo, Device, Engine
from vnpu.hw import const
from vnpu.hw.codes import Dtype
from vnpu.hw.packets import Fill, Gemm, Nop
from vnpu.uapi import abi

KINDS = {
    abi.DevQueryType.DEVICE: abi.DeviceInfo,
    abi.DevQueryType.REGIONS: abi.RegionInfo,
    abi.DevQueryType.ENGINES: abi.EngineInfo,
    abi.DevQueryType.CLOCKS: abi.ClockInfo,
}
#: how many elements there are on a device with one engine of each class
COUNTS = dict(zip(KINDS, (1, 2, 2, 1), strict=True))
EACH = pytest.mark.parametrize("kind", KINDS, ids=name)


def test_every_kind_is_known_here():
    assert set(KINDS) == set(abi.DevQueryType)


def ask(npu, kind, addr, stride, count=1):
    """DEV_QUERY; the (stride, count) that comes back."""
    infos = abi.Array(stride=stride, count=count, array=addr)
    got = abi.dev_query(npu.proc, npu.fd, type=kind, infos=infos).infos
    assert got.array == addr
    return got.stride, got.count


@EACH
def test_no_room_asks_for_size_and_number(npu, kind):
    for addr, stride in ((0, 0), (8, 1), (2**64 - 1, 0xFFFFFFFF)):
        assert ask(npu, kind, addr, stride, count=0) == (KINDS[kind]._size_, COUNTS[kind])


@EACH
def test_short_elements_are_cut(npu, kind):
    """A program that knows an earlier, shorter struct; and not a byte more is written."""
    buffer = npu.proc.alloc(PAGE)
    size, count = KINDS[kind]._size_, COUNTS[kind]
    ask(npu, kind, buffer.addr, size, count)
    whole = [buffer[i * size : (i + 1) * size] for i in range(count)]
    fixed = 16 if kind == abi.DevQueryType.CLOCKS else size - 1  # a clock goes on
    for stride in {1, 4, 7, min(16, fixed), fixed}:
        buffer.write(b"\xaa" * PAGE)
        assert ask(npu, kind, buffer.addr, stride, count) == (size, count)
        assert buffer[: stride * count] == b"".join(element[:stride] for element in whole)
        assert buffer[stride * count :] == b"\xaa" * (PAGE - stride * count)


@EACH
def test_long_elements_are_filled_with_zeros(npu, kind):
    """A program that knows a later, longer struct."""
    size, count, stride = KINDS[kind]._size_, COUNTS[kind], 4096
    buffer = npu.proc.alloc((count + 1) * stride)
    buffer.write(b"\xaa" * buffer.size)
    assert ask(npu, kind, buffer.addr, stride, count) == (size, count)
    for i in range(count):
        element = buffer[i * stride : (i + 1) * stride]
        assert any(element[:size])
        assert not any(element[size:])
    assert buffer[count * stride :] == b"\xaa" * stride


@EACH
def test_room_for_more_or_fewer(npu, kind):
    size, count = KINDS[kind]._size_, COUNTS[kind]
    buffer = npu.proc.alloc(PAGE)
    for room in range(count + 3):
        buffer.write(b"\xaa" * PAGE)
        assert ask(npu, kind, buffer.addr, size, room) == (size, count)
        written = min(room, count) * size
        assert buffer[written:] == b"\xaa" * (PAGE - written)


@EACH
@pytest.mark.parametrize("stride", [0, 4097, 0x80000000, 0xFFFFFFFF])
def test_bad_stride(npu, kind, stride):
    buffer = npu.proc.alloc(2 * PAGE)
    with raises_errno(errno.EINVAL):
        ask(npu, kind, buffer.addr, stride)


@EACH
def test_more_room_than_there_is_memory(npu, kind):
    """Only what is written has to be there."""
    buffer = npu.proc.alloc(PAGE)
    size, count = KINDS[kind]._size_, COUNTS[kind]
    assert ask(npu, kind, buffer.addr, size, 0xFFFFFFFF) == (size, count)


@EACH
def test_bad_pointer(npu, kind):
    for pointer in (0, 8, 1 << 47, 1 << 63, 2**64 - 8):
        with raises_errno(errno.EFAULT):
            ask(npu, kind, pointer, KINDS[kind]._size_)


@EACH
def test_buffer_in_read_only_memory(npu, kind):
    page = npu.proc.alloc(PAGE)
    npu.proc.syscall("mprotect", page.addr, PAGE, 1)
    with raises_errno(errno.EFAULT):
        ask(npu, kind, page.addr, KINDS[kind]._size_)


@EACH
def test_buffer_at_the_end_of_mapped_memory(npu, kind):
    """It fits exactly; one byte later it does not."""
    size, count = KINDS[kind]._size_, COUNTS[kind]
    pages = npu.proc.alloc(2 * PAGE)
    npu.proc.syscall("munmap", pages.addr + PAGE, PAGE)
    at = pages.addr + PAGE - size * count
    assert ask(npu, kind, at, size, count) == (size, count)
    with raises_errno(errno.EFAULT):
        ask(npu, kind, at + 1, size, count)


@EACH
@pytest.mark.parametrize("uid", [0, 65534])
def test_nothing_but_use_depends_on_the_caller(guest, npu, kind, uid):
    """Who may not look at others' use sees zeros in its place, and all else as root does."""
    npu.bo_create(MIB).write(b"x")
    guest.shell("chmod 666 /dev/accel/accel0")
    dev = Device.open(guest.spawn(uid=uid, gid=uid))
    mine, theirs = npu.query(kind, KINDS[kind]), dev.query(kind, KINDS[kind])
    if kind == abi.DevQueryType.CLOCKS:
        mine, theirs = ([c.replace(ticks=0, cpu_ns=0) for c in x] for x in (mine, theirs))
    if kind == abi.DevQueryType.REGIONS:
        assert any(r.used for r in mine)
        if uid:
            assert not any(r.used or r.cpu_visible_used for r in theirs)
            mine = [r.replace(used=0, cpu_visible_used=0) for r in mine]
    assert mine == theirs


def test_device_limits(npu):
    info = npu.query_device()
    assert info.features & ~sum(set(abi.FeatureFlag)) == 0
    assert info.page_size == PAGE
    assert info.max_cmd_bytes == const.CMD_MAX_BYTES
    assert 0 < info.max_queues < const.MAX_QUEUES
    assert 0 < info.max_vms < const.MAX_CONTEXTS
    assert 0 < info.va_start < info.va_end <= 1 << const.VA_BITS
    assert info.va_start % PAGE == 0 and info.va_end % PAGE == 0
    assert info.max_submit_cmds >= 16
    assert (info.max_submit_jobs, info.max_bind_ops, info.max_syncs) == (64, 4096, 1024)
    assert info.max_jobs == 4096
    assert info.max_table_bytes == npu.query_memory().visible_total // 4


@pytest.mark.machine(device="sync=on")
def test_feature_of_a_device_that_runs_jobs_inline(npu):
    assert npu.query_device().features & abi.FeatureFlag.INLINE_JOBS


def test_feature_of_a_device_with_threads(npu):
    assert not npu.query_device().features & abi.FeatureFlag.INLINE_JOBS


@pytest.mark.machine(queues=8)
def test_fewer_queues_in_the_device(npu):
    """The kernel keeps some for itself, a client can have half of the rest, not one more."""
    count = npu.query_device().max_queues
    assert count == 3
    vm = npu.vm_create()
    queues = [npu.queue_create(vm) for _ in range(count)]
    with raises_errno(errno.EDQUOT):
        npu.queue_create(vm)
    queues[0].destroy()
    npu.queue_create(vm).submit([Nop()]).wait()


def test_regions(npu):
    """Each is the instance of its place, and placements name it."""
    regions = npu.query_regions()
    assert [r.instance for r in regions] == [0, 1]
    assert [r.kind for r in regions] == [abi.RegionKind.VRAM, abi.RegionKind.SYSTEM]
    for region in regions:
        assert region.pad == 0
        assert region.page_size == PAGE
        assert region.used <= region.size
        assert region.cpu_visible_used <= region.cpu_visible_size <= region.size
        before = region.used
        made = abi.bo_create(npu.proc, npu.fd, size=MIB, placements=1 << region.instance)
        Bo(npu, made.handle, made.size).write(b"x")
        assert npu.query_regions()[region.instance].used >= before + MIB


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


@pytest.mark.machine(device="copy-engines=2,tensor-engines=3")
def test_each_engine(npu):
    engines = npu.query(abi.DevQueryType.ENGINES, abi.EngineInfo)
    assert [(e.engine_class, e.instance) for e in engines] == [
        (Engine.COPY, 0), (Engine.COPY, 1), (Engine.TENSOR, 0), (Engine.TENSOR, 1),
        (Engine.TENSOR, 2),
    ]  # fmt: skip
    cap = abi.EngineCapFlag
    expected = {
        Engine.COPY: cap.COPY | cap.COPY_2D | cap.FILL,
        Engine.TENSOR: cap.GEMM | cap.ELTWISE | cap.REDUCE,
    }
    assert all(e.capabilities == expected[e.engine_class] for e in engines)


def test_clock(npu):
    (clock,) = npu.query(abi.DevQueryType.CLOCKS, abi.ClockInfo)
    assert (clock.id, clock.frequency, clock.pad) == (abi.ClockId.DEVICE, 10**9, 0)


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
    buffer = npu.proc.alloc(abi.ClockInfo._size_)
    infos = abi.Array(stride=buffer.size, count=1, array=buffer.addr)
    arg = batch.scratch(bytes(abi.DevQuery(type=abi.DevQueryType.CLOCKS, infos=infos)))
    batch.syscall("clock_gettime", 1, before)
    batch.syscall("ioctl", npu.fd, abi.DEV_QUERY.nr, arg)
    batch.syscall("clock_gettime", 1, after)
    first, last = batch.read(before, 16), batch.read(after, 16)
    batch.run()
    low, high = (
        int.from_bytes(step.data[:8], "little") * 10**9 + int.from_bytes(step.data[8:], "little")
        for step in (first, last)
    )
    assert low <= abi.ClockInfo.from_bytes(buffer.read()).cpu_ns <= high


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
    """A queue, and the fence of a job that is one packet of a second or so."""
    vm = npu.vm_create()
    n = 3072
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
    assert [*running, last] == sorted([*running, last])
    assert len(set(running)) >= 3, "it grows while the job runs"
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
