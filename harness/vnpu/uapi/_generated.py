# SPDX-License-Identifier: MIT
"""Generated from kernel/include/uapi/drm/vnpu_accel.h by `python -m vnpu.uapi`; do not edit."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

from vnpu.uapi.base import Field, Ioctl, Struct
from vnpu.uapi.call import call

if TYPE_CHECKING:
    from vnpu.guest import Process

HEADER_SHA256 = "c72e9de7303b24914e1d456091691f2c9270de13d5f90418c0eb65d686324ddf"




class IoctlId(IntEnum):
    """IOCTL numbers, added to DRM_COMMAND_BASE"""

    DEV_QUERY = 0
    """Query device properties."""
    BO_CREATE = 1
    """Create a buffer object."""
    BO_MMAP_OFFSET = 2
    """Get the offset to mmap a buffer object at."""
    VM_CREATE = 3
    """Create an address space."""
    VM_DESTROY = 4
    """Destroy an address space."""
    VM_BIND = 5
    """Map and unmap ranges of an address space."""
    QUEUE_CREATE = 6
    """Create a queue."""
    QUEUE_DESTROY = 7
    """Destroy a queue."""
    QUEUE_QUERY = 8
    """Query the state of a queue."""
    SUBMIT = 9
    """Submit jobs to queues."""


class SyncType(IntEnum):
    """What is waited for or signalled"""

    BINARY = 1
    """The one fence of a syncobj."""
    TIMELINE = 2
    """A point of the timeline of a syncobj."""


class SyncOp(IntEnum):
    """What is done with it"""

    WAIT = 1
    """Wait before the work begins. There has to be a fence at the time of the ioctl (else
    EINVAL).
    """
    SIGNAL = 2
    """Signal when the work has ended."""


class EngineClass(IntEnum):
    """What a queue can run"""

    COPY = 0
    """Copies and fills."""
    TENSOR = 1
    """Matrix products, elementwise, reductions."""
    BIND = 65536
    """No engine: the queue takes VM_BINDs, see struct drm_vnpu_vm_bind, and no jobs."""


class DevQueryType(IntEnum):
    """What DRM_VNPU_DEV_QUERY returns"""

    DEVICE = 0
    """One struct drm_vnpu_device_info."""
    REGIONS = 1
    """A struct drm_vnpu_region_info for each."""
    ENGINES = 2
    """A struct drm_vnpu_engine_info for each."""
    CLOCKS = 3
    """A struct drm_vnpu_clock_info for each."""


class RegionKind(IntEnum):
    """What a region is"""

    VRAM = 1
    """Memory of the device."""
    SYSTEM = 2
    """Memory of the CPU, in pages of its own size."""


class ClockId(IntEnum):
    """Clocks"""

    DEVICE = 1
    """That of the device."""


class VmBindOpType(IntEnum):
    """Operations of VM_BIND"""

    MAP = 0
    """Map a range of a BO; what the range of addresses held before is unmapped, mappings that
    reach out of it are cut.
    """
    UNMAP = 1
    """Unmap a range; it may hold any number of mappings or none, mappings that reach out of it
    are cut.
    """


class QueuePriority(IntEnum):
    """Priorities of a queue"""

    LOW = 0
    """Background."""
    NORMAL = 1
    """Default."""
    HIGH = 2
    """Needs CAP_SYS_NICE."""


class FeatureFlag(IntFlag):
    """DRM_VNPU_FEATURE_*"""

    INLINE_JOBS = 0x1
    """Jobs run while they are handed over."""
    BLAS = 0x2
    """A library makes f32 products: the order of their sums is its own."""


class EngineCapFlag(IntFlag):
    """DRM_VNPU_ENGINE_CAP_*"""

    COPY = 0x1
    """Runs COPY packets."""
    COPY_2D = 0x2
    """Runs COPY_2D packets."""
    FILL = 0x4
    """Runs FILL packets."""
    GEMM = 0x8
    """Runs GEMM packets."""
    ELTWISE = 0x10
    """Runs ELTWISE packets."""
    REDUCE = 0x20
    """Runs REDUCE packets."""


class BoFlag(IntFlag):
    """DRM_VNPU_BO_*"""

    CPU_VISIBLE = 0x1
    """Keep the BO where the CPU can map it while it is in VRAM. Needs a placement in VRAM. A
    BO without it can still be mapped: it moves when the CPU touches it.
    """


class VmBindMapFlag(IntFlag):
    """DRM_VNPU_VM_BIND_MAP_*"""

    READONLY = 0x1
    """The device may not write to the range."""


class VmBindFlag(IntFlag):
    """DRM_VNPU_VM_BIND_*"""

    ASYNC = 0x1
    """Return when the operations are queued, to be carried out after the waits; syncs are
    allowed only with this flag. Without it the operations have been carried out when the
    ioctl returns.
    """


class QueueStateFlag(IntFlag):
    """DRM_VNPU_QUEUE_STATE_*"""

    BANNED = 0x1
    """A job failed; submits return ECANCELED."""
    FAULT = 0x2
    """The ban came from a fault; see fault_*."""
    TIMEOUT = 0x4
    """The ban came from a job timeout."""
    LOST = 0x8
    """The whole device was reset, for a reason that lies elsewhere, while the device had begun
    a job of this queue, or may have: the oldest one that had not finished counts as begun,
    unless it only synchronizes. The job may have done a part of its work and is not run
    again: its fence carries ECANCELED. The queue is not banned, and the jobs behind that
    one run.
    """


class SubmitFlag(IntFlag):
    """DRM_VNPU_SUBMIT_*"""

    GANG = 0x1
    """Reserved for jobs that start together: EOPNOTSUPP."""


class Array(Struct):
    """struct drm_vnpu_array - An array in user memory

    stride: Size of one element, at most 4096. Elements may be longer than the kernel
        knows, and as short as their first version, as structures may.
    count: Number of elements.
    array: Pointer to the first element. Ignored if count is zero.
    """

    _c_name_ = "struct drm_vnpu_array"
    _size_ = 16
    _fields_ = (
        Field("stride", 0, "u32"),
        Field("count", 4, "u32"),
        Field("array", 8, "u64"),
    )
    __slots__ = (
        "stride",
        "count",
        "array",
    )
    stride: int
    count: int
    array: int

    def __init__(
        self,
        *,
        stride: int = 0,
        count: int = 0,
        array: int = 0,
    ) -> None:
        self.stride = stride
        self.count = count
        self.array = array


class Sync(Struct):
    """struct drm_vnpu_sync - A synchronization operation

    All waits of an ioctl find what was there before it: they never see a signal
    of the same ioctl.

    type: One of enum drm_vnpu_sync_type.
    op: One of enum drm_vnpu_sync_op.
    handle: Syncobj handle.
    flags: Zero.
    timeline_value: Timeline: the point, not zero for a signal. Binary: zero.
    """

    _c_name_ = "struct drm_vnpu_sync"
    _size_ = 24
    _fields_ = (
        Field("type", 0, "u32", symbols=SyncType),
        Field("op", 4, "u32", symbols=SyncOp),
        Field("handle", 8, "u32"),
        Field("flags", 12, "u32", zero=True),
        Field("timeline_value", 16, "u64"),
    )
    __slots__ = (
        "type",
        "op",
        "handle",
        "flags",
        "timeline_value",
    )
    type: int
    op: int
    handle: int
    flags: int
    timeline_value: int

    def __init__(
        self,
        *,
        type: int = 0,
        op: int = 0,
        handle: int = 0,
        flags: int = 0,
        timeline_value: int = 0,
    ) -> None:
        self.type = type
        self.op = op
        self.handle = handle
        self.flags = flags
        self.timeline_value = timeline_value


class DeviceInfo(Struct):
    """struct drm_vnpu_device_info - Properties of the device, and limits

    features: Mask of DRM_VNPU_FEATURE_*.
    va_start: First virtual address that can be bound.
    va_end: First virtual address above those that can be bound.
    page_size: Granularity of bindings, in bytes.
    max_queues: Queues that a client can have, those included that were destroyed and
        still have jobs. There are fewer if others have many.
    max_vms: Address spaces that a client can have; as max_queues.
    max_submit_jobs: Most jobs of one submit.
    max_submit_cmds: Most command buffers of one job.
    max_cmd_bytes: Largest command buffer.
    max_bind_ops: Most operations of one VM_BIND.
    max_syncs: Most syncs of one job or VM_BIND.
    reset_count: Resets of the whole device since the driver has it; wraps.
    max_jobs: Jobs and asynchronous binds that a client can have at a time, from the call
        on until they are over and the kernel has freed them.
    max_table_bytes: Page tables that a client can have, those included that were unmapped
        and are not freed yet. A VM has one table of page_size, and one for each 512 GiB,
        1 GiB and, where small pages are mapped, 2 MiB of addresses that are in use.
    """

    _c_name_ = "struct drm_vnpu_device_info"
    _size_ = 72
    _fields_ = (
        Field("features", 0, "u64", symbols=FeatureFlag),
        Field("va_start", 8, "u64"),
        Field("va_end", 16, "u64"),
        Field("page_size", 24, "u32"),
        Field("max_queues", 28, "u32"),
        Field("max_vms", 32, "u32"),
        Field("max_submit_jobs", 36, "u32"),
        Field("max_submit_cmds", 40, "u32"),
        Field("max_cmd_bytes", 44, "u32"),
        Field("max_bind_ops", 48, "u32"),
        Field("max_syncs", 52, "u32"),
        Field("reset_count", 56, "u32"),
        Field("max_jobs", 60, "u32"),
        Field("max_table_bytes", 64, "u64"),
    )
    __slots__ = (
        "features",
        "va_start",
        "va_end",
        "page_size",
        "max_queues",
        "max_vms",
        "max_submit_jobs",
        "max_submit_cmds",
        "max_cmd_bytes",
        "max_bind_ops",
        "max_syncs",
        "reset_count",
        "max_jobs",
        "max_table_bytes",
    )
    features: int
    va_start: int
    va_end: int
    page_size: int
    max_queues: int
    max_vms: int
    max_submit_jobs: int
    max_submit_cmds: int
    max_cmd_bytes: int
    max_bind_ops: int
    max_syncs: int
    reset_count: int
    max_jobs: int
    max_table_bytes: int

    def __init__(
        self,
        *,
        features: int = 0,
        va_start: int = 0,
        va_end: int = 0,
        page_size: int = 0,
        max_queues: int = 0,
        max_vms: int = 0,
        max_submit_jobs: int = 0,
        max_submit_cmds: int = 0,
        max_cmd_bytes: int = 0,
        max_bind_ops: int = 0,
        max_syncs: int = 0,
        reset_count: int = 0,
        max_jobs: int = 0,
        max_table_bytes: int = 0,
    ) -> None:
        self.features = features
        self.va_start = va_start
        self.va_end = va_end
        self.page_size = page_size
        self.max_queues = max_queues
        self.max_vms = max_vms
        self.max_submit_jobs = max_submit_jobs
        self.max_submit_cmds = max_submit_cmds
        self.max_cmd_bytes = max_cmd_bytes
        self.max_bind_ops = max_bind_ops
        self.max_syncs = max_syncs
        self.reset_count = reset_count
        self.max_jobs = max_jobs
        self.max_table_bytes = max_table_bytes


class RegionInfo(Struct):
    """struct drm_vnpu_region_info - A region of memory that BOs can be in

    instance: Number of the region, and of its bit in a mask of placements.
    kind: One of enum drm_vnpu_region_kind.
    size: Bytes.
    cpu_visible_size: Bytes of them that the CPU can map.
    used: Bytes in use, by all clients and the kernel. Zero for who does not have
        CAP_PERFMON.
    cpu_visible_used: Bytes of cpu_visible_size in use; as used.
    page_size: BOs in it are multiples of this, in bytes.
    pad: Zero.
    """

    _c_name_ = "struct drm_vnpu_region_info"
    _size_ = 48
    _fields_ = (
        Field("instance", 0, "u32"),
        Field("kind", 4, "u32", symbols=RegionKind),
        Field("size", 8, "u64"),
        Field("cpu_visible_size", 16, "u64"),
        Field("used", 24, "u64"),
        Field("cpu_visible_used", 32, "u64"),
        Field("page_size", 40, "u32"),
        Field("pad", 44, "u32", zero=True),
    )
    __slots__ = (
        "instance",
        "kind",
        "size",
        "cpu_visible_size",
        "used",
        "cpu_visible_used",
        "page_size",
        "pad",
    )
    instance: int
    kind: int
    size: int
    cpu_visible_size: int
    used: int
    cpu_visible_used: int
    page_size: int
    pad: int

    def __init__(
        self,
        *,
        instance: int = 0,
        kind: int = 0,
        size: int = 0,
        cpu_visible_size: int = 0,
        used: int = 0,
        cpu_visible_used: int = 0,
        page_size: int = 0,
        pad: int = 0,
    ) -> None:
        self.instance = instance
        self.kind = kind
        self.size = size
        self.cpu_visible_size = cpu_visible_size
        self.used = used
        self.cpu_visible_used = cpu_visible_used
        self.page_size = page_size
        self.pad = pad


class EngineInfo(Struct):
    """struct drm_vnpu_engine_info - An engine

    engine_class: One of enum drm_vnpu_engine_class.
    instance: Number of the engine in its class.
    capabilities: Mask of DRM_VNPU_ENGINE_CAP_*. NOP, WAIT and SIGNAL run on all engines.
    """

    _c_name_ = "struct drm_vnpu_engine_info"
    _size_ = 16
    _fields_ = (
        Field("engine_class", 0, "u32", symbols=EngineClass),
        Field("instance", 4, "u32"),
        Field("capabilities", 8, "u64", symbols=EngineCapFlag),
    )
    __slots__ = (
        "engine_class",
        "instance",
        "capabilities",
    )
    engine_class: int
    instance: int
    capabilities: int

    def __init__(
        self,
        *,
        engine_class: int = 0,
        instance: int = 0,
        capabilities: int = 0,
    ) -> None:
        self.engine_class = engine_class
        self.instance = instance
        self.capabilities = capabilities


class ClockInfo(Struct):
    """struct drm_vnpu_clock_info - A clock, read together with that of the CPU

    id: One of enum drm_vnpu_clock_id.
    pad: Zero.
    frequency: Ticks of a second.
    ticks: The clock now, in ticks.
    cpu_ns: CLOCK_MONOTONIC at the same time, in ns.
    """

    _c_name_ = "struct drm_vnpu_clock_info"
    _size_ = 32
    _fields_ = (
        Field("id", 0, "u32", symbols=ClockId),
        Field("pad", 4, "u32", zero=True),
        Field("frequency", 8, "u64"),
        Field("ticks", 16, "u64"),
        Field("cpu_ns", 24, "u64"),
    )
    __slots__ = (
        "id",
        "pad",
        "frequency",
        "ticks",
        "cpu_ns",
    )
    id: int
    pad: int
    frequency: int
    ticks: int
    cpu_ns: int

    def __init__(
        self,
        *,
        id: int = 0,
        pad: int = 0,
        frequency: int = 0,
        ticks: int = 0,
        cpu_ns: int = 0,
    ) -> None:
        self.id = id
        self.pad = pad
        self.frequency = frequency
        self.ticks = ticks
        self.cpu_ns = cpu_ns


class DevQuery(Struct):
    """struct drm_vnpu_dev_query - Arguments of DRM_IOCTL_VNPU_DEV_QUERY

    Only used and cpu_visible_used of regions depend on who asks.

    type: One of enum drm_vnpu_dev_query_type.
    flags: Zero.
    infos: In: where elements go, how many fit, and how long each is; the kernel cuts off
        what is longer and fills with zeros what is shorter. Out: how many there are,
        which may be more, and how long the kernel knows them. With a count of zero
        nothing is written.
    """

    _c_name_ = "struct drm_vnpu_dev_query"
    _size_ = 24
    _fields_ = (
        Field("type", 0, "u32", symbols=DevQueryType),
        Field("flags", 4, "u32", zero=True),
        Field("infos", 8, "struct", struct=Array),
    )
    __slots__ = (
        "type",
        "flags",
        "infos",
    )
    type: int
    flags: int
    infos: Array

    def __init__(
        self,
        *,
        type: int = 0,
        flags: int = 0,
        infos: Array | None = None,
    ) -> None:
        self.type = type
        self.flags = flags
        self.infos = Array() if infos is None else infos


class BoCreate(Struct):
    """struct drm_vnpu_bo_create - Arguments of DRM_IOCTL_VNPU_BO_CREATE

    The BO reads as zero. With several placements VRAM is preferred and system
    memory used when VRAM is short. A BO that is bound or used by the device is
    in one of its placements; between uses it can be evicted to system memory.

    Errors: EINVAL for size zero, no or unknown placement; E2BIG for a size that
    can never fit; ENOENT for vm_id; ENOSPC, ENOMEM.

    size: In: bytes. Out: bytes, rounded up to the page size.
    placements: Regions that it may be in: bit n for that of instance n.
    flags: Mask of DRM_VNPU_BO_*.
    vm_id: VM that the BO is private to, or zero. A private BO can be bound to this VM
        only, cannot be exported (EPERM), and costs nothing at submit.
    handle: Out: handle of the BO.
    """

    _c_name_ = "struct drm_vnpu_bo_create"
    _size_ = 24
    _fields_ = (
        Field("size", 0, "u64"),
        Field("placements", 8, "u32"),
        Field("flags", 12, "u32", symbols=BoFlag),
        Field("vm_id", 16, "u32"),
        Field("handle", 20, "u32", output=True),
    )
    __slots__ = (
        "size",
        "placements",
        "flags",
        "vm_id",
        "handle",
    )
    size: int
    placements: int
    flags: int
    vm_id: int
    handle: int

    def __init__(
        self,
        *,
        size: int = 0,
        placements: int = 0,
        flags: int = 0,
        vm_id: int = 0,
        handle: int = 0,
    ) -> None:
        self.size = size
        self.placements = placements
        self.flags = flags
        self.vm_id = vm_id
        self.handle = handle


class BoMmapOffset(Struct):
    """struct drm_vnpu_bo_mmap_offset - Arguments of DRM_IOCTL_VNPU_BO_MMAP_OFFSET

    Errors: ENOENT; EINVAL for an imported BO (map its dma-buf instead).

    handle: Handle of the BO.
    flags: Zero.
    offset: Out: offset to pass to mmap().
    """

    _c_name_ = "struct drm_vnpu_bo_mmap_offset"
    _size_ = 16
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("flags", 4, "u32", zero=True),
        Field("offset", 8, "u64", output=True),
    )
    __slots__ = (
        "handle",
        "flags",
        "offset",
    )
    handle: int
    flags: int
    offset: int

    def __init__(
        self,
        *,
        handle: int = 0,
        flags: int = 0,
        offset: int = 0,
    ) -> None:
        self.handle = handle
        self.flags = flags
        self.offset = offset


class VmCreate(Struct):
    """struct drm_vnpu_vm_create - Arguments of DRM_IOCTL_VNPU_VM_CREATE

    Errors: EDQUOT for more than max_vms; EBUSY when all contexts are in use.

    flags: Zero.
    id: Out: ID of the VM.
    """

    _c_name_ = "struct drm_vnpu_vm_create"
    _size_ = 8
    _fields_ = (
        Field("flags", 0, "u32", zero=True),
        Field("id", 4, "u32", output=True),
    )
    __slots__ = (
        "flags",
        "id",
    )
    flags: int
    id: int

    def __init__(
        self,
        *,
        flags: int = 0,
        id: int = 0,
    ) -> None:
        self.flags = flags
        self.id = id


class VmDestroy(Struct):
    """struct drm_vnpu_vm_destroy - Arguments of DRM_IOCTL_VNPU_VM_DESTROY

    The ID is gone at once; the address space lives on until its queues have
    been destroyed and their jobs have finished.

    id: ID of the VM.
    pad: Zero.
    """

    _c_name_ = "struct drm_vnpu_vm_destroy"
    _size_ = 8
    _fields_ = (
        Field("id", 0, "u32"),
        Field("pad", 4, "u32", zero=True),
    )
    __slots__ = (
        "id",
        "pad",
    )
    id: int
    pad: int

    def __init__(
        self,
        *,
        id: int = 0,
        pad: int = 0,
    ) -> None:
        self.id = id
        self.pad = pad


class VmBindOp(Struct):
    """struct drm_vnpu_vm_bind_op - One operation of VM_BIND

    op: One of enum drm_vnpu_vm_bind_op_type.
    flags: MAP: mask of DRM_VNPU_VM_BIND_MAP_*. UNMAP: zero.
    handle: MAP: handle of the BO. UNMAP: zero.
    pad: Zero.
    bo_offset: MAP: first byte of the BO, page aligned. UNMAP: zero.
    va: First virtual address, page aligned.
    size: Bytes, multiple of the page size, not zero.
    """

    _c_name_ = "struct drm_vnpu_vm_bind_op"
    _size_ = 40
    _fields_ = (
        Field("op", 0, "u32", symbols=VmBindOpType),
        Field("flags", 4, "u32", symbols=VmBindMapFlag),
        Field("handle", 8, "u32"),
        Field("pad", 12, "u32", zero=True),
        Field("bo_offset", 16, "u64"),
        Field("va", 24, "u64"),
        Field("size", 32, "u64"),
    )
    __slots__ = (
        "op",
        "flags",
        "handle",
        "pad",
        "bo_offset",
        "va",
        "size",
    )
    op: int
    flags: int
    handle: int
    pad: int
    bo_offset: int
    va: int
    size: int

    def __init__(
        self,
        *,
        op: int = 0,
        flags: int = 0,
        handle: int = 0,
        pad: int = 0,
        bo_offset: int = 0,
        va: int = 0,
        size: int = 0,
    ) -> None:
        self.op = op
        self.flags = flags
        self.handle = handle
        self.pad = pad
        self.bo_offset = bo_offset
        self.va = va
        self.size = size


class VmBind(Struct):
    """struct drm_vnpu_vm_bind - Arguments of DRM_IOCTL_VNPU_VM_BIND

    The operations are carried out in order, all or none. Errors are found before
    anything is changed and reported by the ioctl; after that a bind fails only
    with ENODEV. Binds of a bind queue take effect in the order of the calls, and
    their fences signal in this order. Those of different queues do not wait for each
    other's waits, unless the later one has to do with what the earlier one changes:
    with the same addresses; if it unmapped the last page of 2 MiB, 1 GiB or 512 GiB,
    aligned, with any address in there; or, if a page of 2 MiB is cut, with that.

    A submit waits by itself for the synchronous binds before it, and for what the
    kernel has to map again because it had moved it, which is done in the order of
    the VM's own bind queue. For an asynchronous bind it waits through a sync, or
    not at all: until then its job finds the addresses as they were, and memory
    that is to be unmapped stays where it is.

    Maps of one call may have as many pages as 16 GiB in pages of 4 KiB have, where
    2 MiB that are aligned and contiguous count as one. Where the content of a BO
    is lost after it was mapped, the range shows nothing, and submits fail with EIO
    until it is unmapped.

    Errors: ENOENT also for a queue that is no bind queue; EINVAL also for a bind
    queue of another VM, a BO that is private to another VM or a range out of the BO
    or the address space; E2BIG for more than max_bind_ops operations or
    max_syncs syncs, or for maps with too many pages; EDQUOT for more than
    max_table_bytes and, if asynchronous, max_jobs.

    vm_id: ID of the VM.
    flags: Mask of DRM_VNPU_VM_BIND_ASYNC.
    bind_queue_id: A queue of the VM with DRM_VNPU_ENGINE_BIND. Zero: the VM's own bind
        queue.
    pad: Zero.
    ops: Array of struct drm_vnpu_vm_bind_op, not empty unless async.
    syncs: Array of struct drm_vnpu_sync.
    """

    _c_name_ = "struct drm_vnpu_vm_bind"
    _size_ = 48
    _fields_ = (
        Field("vm_id", 0, "u32"),
        Field("flags", 4, "u32", symbols=VmBindFlag),
        Field("bind_queue_id", 8, "u32"),
        Field("pad", 12, "u32", zero=True),
        Field("ops", 16, "struct", struct=Array, element=VmBindOp),
        Field("syncs", 32, "struct", struct=Array, element=Sync),
    )
    __slots__ = (
        "vm_id",
        "flags",
        "bind_queue_id",
        "pad",
        "ops",
        "syncs",
    )
    vm_id: int
    flags: int
    bind_queue_id: int
    pad: int
    ops: Array
    syncs: Array

    def __init__(
        self,
        *,
        vm_id: int = 0,
        flags: int = 0,
        bind_queue_id: int = 0,
        pad: int = 0,
        ops: Array | None = None,
        syncs: Array | None = None,
    ) -> None:
        self.vm_id = vm_id
        self.flags = flags
        self.bind_queue_id = bind_queue_id
        self.pad = pad
        self.ops = Array() if ops is None else ops
        self.syncs = Array() if syncs is None else syncs


class QueueCreate(Struct):
    """struct drm_vnpu_queue_create - Arguments of DRM_IOCTL_VNPU_QUEUE_CREATE

    A bind queue has DRM_VNPU_QUEUE_PRIORITY_NORMAL, and needs no hardware queue.

    Errors: EACCES for a priority that the caller may not have; EDQUOT for more
    than max_queues; EBUSY when all hardware queues are in use.

    vm_id: VM in which its command buffers run, or that it binds in.
    engine_class: One of enum drm_vnpu_engine_class.
    priority: One of enum drm_vnpu_queue_priority.
    flags: Zero.
    id: Out: ID of the queue.
    pad: Zero.
    """

    _c_name_ = "struct drm_vnpu_queue_create"
    _size_ = 24
    _fields_ = (
        Field("vm_id", 0, "u32"),
        Field("engine_class", 4, "u32", symbols=EngineClass),
        Field("priority", 8, "u32", symbols=QueuePriority),
        Field("flags", 12, "u32", zero=True),
        Field("id", 16, "u32", output=True),
        Field("pad", 20, "u32", zero=True),
    )
    __slots__ = (
        "vm_id",
        "engine_class",
        "priority",
        "flags",
        "id",
        "pad",
    )
    vm_id: int
    engine_class: int
    priority: int
    flags: int
    id: int
    pad: int

    def __init__(
        self,
        *,
        vm_id: int = 0,
        engine_class: int = 0,
        priority: int = 0,
        flags: int = 0,
        id: int = 0,
        pad: int = 0,
    ) -> None:
        self.vm_id = vm_id
        self.engine_class = engine_class
        self.priority = priority
        self.flags = flags
        self.id = id
        self.pad = pad


class QueueDestroy(Struct):
    """struct drm_vnpu_queue_destroy - Arguments of DRM_IOCTL_VNPU_QUEUE_DESTROY

    Jobs that were submitted before still run, binds are carried out, and their
    fences signal.

    The end of the file is different; it comes when its last descriptor and the
    last mapping of a BO through it are gone, with the process at the latest.
    Jobs of all queues, of destroyed ones as well, are stopped where they are, those
    that have not begun never do, and their fences signal with ECANCELED, those
    included that other processes hold in syncobjs and sync files. So a client that
    hands fences out keeps its file until they have signalled. Fences of binds signal
    when their waits have ended.

    id: ID of the queue.
    pad: Zero.
    """

    _c_name_ = "struct drm_vnpu_queue_destroy"
    _size_ = 8
    _fields_ = (
        Field("id", 0, "u32"),
        Field("pad", 4, "u32", zero=True),
    )
    __slots__ = (
        "id",
        "pad",
    )
    id: int
    pad: int

    def __init__(
        self,
        *,
        id: int = 0,
        pad: int = 0,
    ) -> None:
        self.id = id
        self.pad = pad


class QueueQuery(Struct):
    """struct drm_vnpu_queue_query - Arguments of DRM_IOCTL_VNPU_QUEUE_QUERY

    Errors: ENOENT also for a bind queue, of which there is nothing to tell.

    id: ID of the queue.
    state: Out: mask of DRM_VNPU_QUEUE_STATE_*.
    fault_code: Out: fault code of the hardware.
    fault_access: Out: access code of the hardware.
    fault_addr: Out: faulting address.
    fault_ip: Out: address of the packet that faulted.
    jobs_submitted: Out: jobs submitted so far.
    jobs_completed: Out: jobs finished so far, failed ones included.
    busy_ns: Out: ns that jobs have spent on engines, the running one so far included.
    """

    _c_name_ = "struct drm_vnpu_queue_query"
    _size_ = 56
    _fields_ = (
        Field("id", 0, "u32"),
        Field("state", 4, "u32", symbols=QueueStateFlag, output=True),
        Field("fault_code", 8, "u32", output=True),
        Field("fault_access", 12, "u32", output=True),
        Field("fault_addr", 16, "u64", output=True),
        Field("fault_ip", 24, "u64", output=True),
        Field("jobs_submitted", 32, "u64", output=True),
        Field("jobs_completed", 40, "u64", output=True),
        Field("busy_ns", 48, "u64", output=True),
    )
    __slots__ = (
        "id",
        "state",
        "fault_code",
        "fault_access",
        "fault_addr",
        "fault_ip",
        "jobs_submitted",
        "jobs_completed",
        "busy_ns",
    )
    id: int
    state: int
    fault_code: int
    fault_access: int
    fault_addr: int
    fault_ip: int
    jobs_submitted: int
    jobs_completed: int
    busy_ns: int

    def __init__(
        self,
        *,
        id: int = 0,
        state: int = 0,
        fault_code: int = 0,
        fault_access: int = 0,
        fault_addr: int = 0,
        fault_ip: int = 0,
        jobs_submitted: int = 0,
        jobs_completed: int = 0,
        busy_ns: int = 0,
    ) -> None:
        self.id = id
        self.state = state
        self.fault_code = fault_code
        self.fault_access = fault_access
        self.fault_addr = fault_addr
        self.fault_ip = fault_ip
        self.jobs_submitted = jobs_submitted
        self.jobs_completed = jobs_completed
        self.busy_ns = busy_ns


class Cmd(Struct):
    """struct drm_vnpu_cmd - A command buffer

    va: Virtual address, 8-byte aligned.
    size: Bytes, a multiple of 8, 8 to max_cmd_bytes.
    pad: Zero.
    """

    _c_name_ = "struct drm_vnpu_cmd"
    _size_ = 16
    _fields_ = (
        Field("va", 0, "u64"),
        Field("size", 8, "u32"),
        Field("pad", 12, "u32", zero=True),
    )
    __slots__ = (
        "va",
        "size",
        "pad",
    )
    va: int
    size: int
    pad: int

    def __init__(
        self,
        *,
        va: int = 0,
        size: int = 0,
        pad: int = 0,
    ) -> None:
        self.va = va
        self.size = size
        self.pad = pad


class SubmitJob(Struct):
    """struct drm_vnpu_submit_job - A job of a submit

    It runs its command buffers in order when its waits, synchronous binds of its
    VM and the jobs before it in the queue have finished. A job without command buffers
    only synchronizes. When it fails its fence carries an error: ETIME for a
    timeout, EIO for a fault, ECANCELED for jobs that were behind it; ENODEV when
    the device is gone. A job that the device had begun when all of it was reset
    fails with ECANCELED, too; see DRM_VNPU_QUEUE_STATE_LOST. The jobs of the queue
    behind that one are not affected by a reset.

    queue_id: ID of the queue. ENOENT for a bind queue.
    flags: Zero.
    cmds: Array of struct drm_vnpu_cmd.
    syncs: Array of struct drm_vnpu_sync.
    """

    _c_name_ = "struct drm_vnpu_submit_job"
    _size_ = 40
    _fields_ = (
        Field("queue_id", 0, "u32"),
        Field("flags", 4, "u32", zero=True),
        Field("cmds", 8, "struct", struct=Array, element=Cmd),
        Field("syncs", 24, "struct", struct=Array, element=Sync),
    )
    __slots__ = (
        "queue_id",
        "flags",
        "cmds",
        "syncs",
    )
    queue_id: int
    flags: int
    cmds: Array
    syncs: Array

    def __init__(
        self,
        *,
        queue_id: int = 0,
        flags: int = 0,
        cmds: Array | None = None,
        syncs: Array | None = None,
    ) -> None:
        self.queue_id = queue_id
        self.flags = flags
        self.cmds = Array() if cmds is None else cmds
        self.syncs = Array() if syncs is None else syncs


class Submit(Struct):
    """struct drm_vnpu_submit - Arguments of DRM_IOCTL_VNPU_SUBMIT

    All jobs are submitted or none, those of one queue in the order of the array.

    Errors: EINVAL also for no job at all and for queues of different VMs;
    ECANCELED when a queue is banned; E2BIG for more than max_submit_jobs jobs,
    max_submit_cmds command buffers or max_syncs syncs of a job; EDQUOT for more than
    max_jobs, or for more than max_table_bytes when BOs come back to the VM in
    smaller pieces; ENOSPC when the BOs of the VM do not fit into VRAM together.

    flags: Mask of DRM_VNPU_SUBMIT_*.
    pad: Zero.
    jobs: Array of struct drm_vnpu_submit_job.
    """

    _c_name_ = "struct drm_vnpu_submit"
    _size_ = 24
    _fields_ = (
        Field("flags", 0, "u32", symbols=SubmitFlag),
        Field("pad", 4, "u32", zero=True),
        Field("jobs", 8, "struct", struct=Array, element=SubmitJob),
    )
    __slots__ = (
        "flags",
        "pad",
        "jobs",
    )
    flags: int
    pad: int
    jobs: Array

    def __init__(
        self,
        *,
        flags: int = 0,
        pad: int = 0,
        jobs: Array | None = None,
    ) -> None:
        self.flags = flags
        self.pad = pad
        self.jobs = Array() if jobs is None else jobs


DEV_QUERY = Ioctl("DRM_IOCTL_VNPU_DEV_QUERY", 0xc0186440, DevQuery)
BO_CREATE = Ioctl("DRM_IOCTL_VNPU_BO_CREATE", 0xc0186441, BoCreate)
BO_MMAP_OFFSET = Ioctl("DRM_IOCTL_VNPU_BO_MMAP_OFFSET", 0xc0106442, BoMmapOffset)
VM_CREATE = Ioctl("DRM_IOCTL_VNPU_VM_CREATE", 0xc0086443, VmCreate)
VM_DESTROY = Ioctl("DRM_IOCTL_VNPU_VM_DESTROY", 0xc0086444, VmDestroy)
VM_BIND = Ioctl("DRM_IOCTL_VNPU_VM_BIND", 0xc0306445, VmBind)
QUEUE_CREATE = Ioctl("DRM_IOCTL_VNPU_QUEUE_CREATE", 0xc0186446, QueueCreate)
QUEUE_DESTROY = Ioctl("DRM_IOCTL_VNPU_QUEUE_DESTROY", 0xc0086447, QueueDestroy)
QUEUE_QUERY = Ioctl("DRM_IOCTL_VNPU_QUEUE_QUERY", 0xc0386448, QueueQuery)
SUBMIT = Ioctl("DRM_IOCTL_VNPU_SUBMIT", 0xc0186449, Submit)
STRUCTS: tuple[type[Struct], ...] = (Array, Sync, DeviceInfo, RegionInfo, EngineInfo, ClockInfo, DevQuery, BoCreate, BoMmapOffset, VmCreate, VmDestroy, VmBindOp, VmBind, QueueCreate, QueueDestroy, QueueQuery, Cmd, SubmitJob, Submit,)
IOCTLS: tuple[Ioctl, ...] = (DEV_QUERY, BO_CREATE, BO_MMAP_OFFSET, VM_CREATE, VM_DESTROY, VM_BIND, QUEUE_CREATE, QUEUE_DESTROY, QUEUE_QUERY, SUBMIT,)


def dev_query(
    proc: Process,
    file: int,
    /,
    *,
    type: int = 0,
    flags: int = 0,
    infos: Array | None = None,
) -> DevQuery:
    """DRM_IOCTL_VNPU_DEV_QUERY

    Only used and cpu_visible_used of regions depend on who asks.

    type: One of enum drm_vnpu_dev_query_type.
    flags: Zero.
    infos: In: where elements go, how many fit, and how long each is; the kernel cuts off
        what is longer and fills with zeros what is shorter. Out: how many there are,
        which may be more, and how long the kernel knows them. With a count of zero
        nothing is written.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = DevQuery(type=type, flags=flags, infos=infos)
    return call(proc, file, DEV_QUERY, arg)


def bo_create(
    proc: Process,
    file: int,
    /,
    *,
    size: int = 0,
    placements: int = 0,
    flags: int = 0,
    vm_id: int = 0,
) -> BoCreate:
    """DRM_IOCTL_VNPU_BO_CREATE

    The BO reads as zero. With several placements VRAM is preferred and system
    memory used when VRAM is short. A BO that is bound or used by the device is
    in one of its placements; between uses it can be evicted to system memory.

    Errors: EINVAL for size zero, no or unknown placement; E2BIG for a size that
    can never fit; ENOENT for vm_id; ENOSPC, ENOMEM.

    size: In: bytes. Out: bytes, rounded up to the page size.
    placements: Regions that it may be in: bit n for that of instance n.
    flags: Mask of DRM_VNPU_BO_*.
    vm_id: VM that the BO is private to, or zero. A private BO can be bound to this VM
        only, cannot be exported (EPERM), and costs nothing at submit.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = BoCreate(size=size, placements=placements, flags=flags, vm_id=vm_id)
    return call(proc, file, BO_CREATE, arg)


def bo_mmap_offset(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
) -> BoMmapOffset:
    """DRM_IOCTL_VNPU_BO_MMAP_OFFSET

    Errors: ENOENT; EINVAL for an imported BO (map its dma-buf instead).

    handle: Handle of the BO.
    flags: Zero.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = BoMmapOffset(handle=handle, flags=flags)
    return call(proc, file, BO_MMAP_OFFSET, arg)


def vm_create(
    proc: Process,
    file: int,
    /,
    *,
    flags: int = 0,
) -> VmCreate:
    """DRM_IOCTL_VNPU_VM_CREATE

    Errors: EDQUOT for more than max_vms; EBUSY when all contexts are in use.

    flags: Zero.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = VmCreate(flags=flags)
    return call(proc, file, VM_CREATE, arg)


def vm_destroy(
    proc: Process,
    file: int,
    /,
    *,
    id: int = 0,
    pad: int = 0,
) -> VmDestroy:
    """DRM_IOCTL_VNPU_VM_DESTROY

    The ID is gone at once; the address space lives on until its queues have
    been destroyed and their jobs have finished.

    id: ID of the VM.
    pad: Zero.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = VmDestroy(id=id, pad=pad)
    return call(proc, file, VM_DESTROY, arg)


def vm_bind(
    proc: Process,
    file: int,
    /,
    *,
    vm_id: int = 0,
    flags: int = 0,
    bind_queue_id: int = 0,
    pad: int = 0,
    ops: Array | Sequence[VmBindOp] = (),
    syncs: Array | Sequence[Sync] = (),
) -> VmBind:
    """DRM_IOCTL_VNPU_VM_BIND

    The operations are carried out in order, all or none. Errors are found before
    anything is changed and reported by the ioctl; after that a bind fails only
    with ENODEV. Binds of a bind queue take effect in the order of the calls, and
    their fences signal in this order. Those of different queues do not wait for each
    other's waits, unless the later one has to do with what the earlier one changes:
    with the same addresses; if it unmapped the last page of 2 MiB, 1 GiB or 512 GiB,
    aligned, with any address in there; or, if a page of 2 MiB is cut, with that.

    A submit waits by itself for the synchronous binds before it, and for what the
    kernel has to map again because it had moved it, which is done in the order of
    the VM's own bind queue. For an asynchronous bind it waits through a sync, or
    not at all: until then its job finds the addresses as they were, and memory
    that is to be unmapped stays where it is.

    Maps of one call may have as many pages as 16 GiB in pages of 4 KiB have, where
    2 MiB that are aligned and contiguous count as one. Where the content of a BO
    is lost after it was mapped, the range shows nothing, and submits fail with EIO
    until it is unmapped.

    Errors: ENOENT also for a queue that is no bind queue; EINVAL also for a bind
    queue of another VM, a BO that is private to another VM or a range out of the BO
    or the address space; E2BIG for more than max_bind_ops operations or
    max_syncs syncs, or for maps with too many pages; EDQUOT for more than
    max_table_bytes and, if asynchronous, max_jobs.

    vm_id: ID of the VM.
    flags: Mask of DRM_VNPU_VM_BIND_ASYNC.
    bind_queue_id: A queue of the VM with DRM_VNPU_ENGINE_BIND. Zero: the VM's own bind
        queue.
    pad: Zero.
    ops: Array of struct drm_vnpu_vm_bind_op, not empty unless async.
    syncs: Array of struct drm_vnpu_sync.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = VmBind(vm_id=vm_id, flags=flags, bind_queue_id=bind_queue_id, pad=pad)
    return call(proc, file, VM_BIND, arg, {"ops": ops, "syncs": syncs})


def queue_create(
    proc: Process,
    file: int,
    /,
    *,
    vm_id: int = 0,
    engine_class: int = 0,
    priority: int = 0,
    flags: int = 0,
    pad: int = 0,
) -> QueueCreate:
    """DRM_IOCTL_VNPU_QUEUE_CREATE

    A bind queue has DRM_VNPU_QUEUE_PRIORITY_NORMAL, and needs no hardware queue.

    Errors: EACCES for a priority that the caller may not have; EDQUOT for more
    than max_queues; EBUSY when all hardware queues are in use.

    vm_id: VM in which its command buffers run, or that it binds in.
    engine_class: One of enum drm_vnpu_engine_class.
    priority: One of enum drm_vnpu_queue_priority.
    flags: Zero.
    pad: Zero.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = QueueCreate(vm_id=vm_id, engine_class=engine_class, priority=priority, flags=flags, pad=pad)
    return call(proc, file, QUEUE_CREATE, arg)


def queue_destroy(
    proc: Process,
    file: int,
    /,
    *,
    id: int = 0,
    pad: int = 0,
) -> QueueDestroy:
    """DRM_IOCTL_VNPU_QUEUE_DESTROY

    Jobs that were submitted before still run, binds are carried out, and their
    fences signal.

    The end of the file is different; it comes when its last descriptor and the
    last mapping of a BO through it are gone, with the process at the latest.
    Jobs of all queues, of destroyed ones as well, are stopped where they are, those
    that have not begun never do, and their fences signal with ECANCELED, those
    included that other processes hold in syncobjs and sync files. So a client that
    hands fences out keeps its file until they have signalled. Fences of binds signal
    when their waits have ended.

    id: ID of the queue.
    pad: Zero.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = QueueDestroy(id=id, pad=pad)
    return call(proc, file, QUEUE_DESTROY, arg)


def queue_query(
    proc: Process,
    file: int,
    /,
    *,
    id: int = 0,
) -> QueueQuery:
    """DRM_IOCTL_VNPU_QUEUE_QUERY

    Errors: ENOENT also for a bind queue, of which there is nothing to tell.

    id: ID of the queue.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = QueueQuery(id=id)
    return call(proc, file, QUEUE_QUERY, arg)


def submit(
    proc: Process,
    file: int,
    /,
    *,
    flags: int = 0,
    pad: int = 0,
    jobs: Array | Sequence[SubmitJob] = (),
) -> Submit:
    """DRM_IOCTL_VNPU_SUBMIT

    All jobs are submitted or none, those of one queue in the order of the array.

    Errors: EINVAL also for no job at all and for queues of different VMs;
    ECANCELED when a queue is banned; E2BIG for more than max_submit_jobs jobs,
    max_submit_cmds command buffers or max_syncs syncs of a job; EDQUOT for more than
    max_jobs, or for more than max_table_bytes when BOs come back to the VM in
    smaller pieces; ENOSPC when the BOs of the VM do not fit into VRAM together.

    flags: Mask of DRM_VNPU_SUBMIT_*.
    pad: Zero.
    jobs: Array of struct drm_vnpu_submit_job.

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = Submit(flags=flags, pad=pad)
    return call(proc, file, SUBMIT, arg, {"jobs": jobs})


# The same under their C names
drm_vnpu_array = Array
drm_vnpu_sync = Sync
drm_vnpu_device_info = DeviceInfo
drm_vnpu_region_info = RegionInfo
drm_vnpu_engine_info = EngineInfo
drm_vnpu_clock_info = ClockInfo
drm_vnpu_dev_query = DevQuery
drm_vnpu_bo_create = BoCreate
drm_vnpu_bo_mmap_offset = BoMmapOffset
drm_vnpu_vm_create = VmCreate
drm_vnpu_vm_destroy = VmDestroy
drm_vnpu_vm_bind_op = VmBindOp
drm_vnpu_vm_bind = VmBind
drm_vnpu_queue_create = QueueCreate
drm_vnpu_queue_destroy = QueueDestroy
drm_vnpu_queue_query = QueueQuery
drm_vnpu_cmd = Cmd
drm_vnpu_submit_job = SubmitJob
drm_vnpu_submit = Submit
DRM_VNPU_DEV_QUERY = 0
DRM_VNPU_BO_CREATE = 1
DRM_VNPU_BO_MMAP_OFFSET = 2
DRM_VNPU_VM_CREATE = 3
DRM_VNPU_VM_DESTROY = 4
DRM_VNPU_VM_BIND = 5
DRM_VNPU_QUEUE_CREATE = 6
DRM_VNPU_QUEUE_DESTROY = 7
DRM_VNPU_QUEUE_QUERY = 8
DRM_VNPU_SUBMIT = 9
DRM_VNPU_SYNC_BINARY = 1
DRM_VNPU_SYNC_TIMELINE = 2
DRM_VNPU_SYNC_OP_WAIT = 1
DRM_VNPU_SYNC_OP_SIGNAL = 2
DRM_VNPU_ENGINE_COPY = 0
DRM_VNPU_ENGINE_TENSOR = 1
DRM_VNPU_ENGINE_BIND = 65536
DRM_VNPU_DEV_QUERY_DEVICE = 0
DRM_VNPU_DEV_QUERY_REGIONS = 1
DRM_VNPU_DEV_QUERY_ENGINES = 2
DRM_VNPU_DEV_QUERY_CLOCKS = 3
DRM_VNPU_REGION_VRAM = 1
DRM_VNPU_REGION_SYSTEM = 2
DRM_VNPU_CLOCK_DEVICE = 1
DRM_VNPU_VM_BIND_OP_MAP = 0
DRM_VNPU_VM_BIND_OP_UNMAP = 1
DRM_VNPU_QUEUE_PRIORITY_LOW = 0
DRM_VNPU_QUEUE_PRIORITY_NORMAL = 1
DRM_VNPU_QUEUE_PRIORITY_HIGH = 2
DRM_VNPU_FEATURE_INLINE_JOBS = FeatureFlag.INLINE_JOBS
DRM_VNPU_FEATURE_BLAS = FeatureFlag.BLAS
DRM_VNPU_ENGINE_CAP_COPY = EngineCapFlag.COPY
DRM_VNPU_ENGINE_CAP_COPY_2D = EngineCapFlag.COPY_2D
DRM_VNPU_ENGINE_CAP_FILL = EngineCapFlag.FILL
DRM_VNPU_ENGINE_CAP_GEMM = EngineCapFlag.GEMM
DRM_VNPU_ENGINE_CAP_ELTWISE = EngineCapFlag.ELTWISE
DRM_VNPU_ENGINE_CAP_REDUCE = EngineCapFlag.REDUCE
DRM_VNPU_BO_CPU_VISIBLE = BoFlag.CPU_VISIBLE
DRM_VNPU_VM_BIND_MAP_READONLY = VmBindMapFlag.READONLY
DRM_VNPU_VM_BIND_ASYNC = VmBindFlag.ASYNC
DRM_VNPU_QUEUE_STATE_BANNED = QueueStateFlag.BANNED
DRM_VNPU_QUEUE_STATE_FAULT = QueueStateFlag.FAULT
DRM_VNPU_QUEUE_STATE_TIMEOUT = QueueStateFlag.TIMEOUT
DRM_VNPU_QUEUE_STATE_LOST = QueueStateFlag.LOST
DRM_VNPU_SUBMIT_GANG = SubmitFlag.GANG
DRM_IOCTL_VNPU_DEV_QUERY = 0xc0186440
DRM_IOCTL_VNPU_BO_CREATE = 0xc0186441
DRM_IOCTL_VNPU_BO_MMAP_OFFSET = 0xc0106442
DRM_IOCTL_VNPU_VM_CREATE = 0xc0086443
DRM_IOCTL_VNPU_VM_DESTROY = 0xc0086444
DRM_IOCTL_VNPU_VM_BIND = 0xc0306445
DRM_IOCTL_VNPU_QUEUE_CREATE = 0xc0186446
DRM_IOCTL_VNPU_QUEUE_DESTROY = 0xc0086447
DRM_IOCTL_VNPU_QUEUE_QUERY = 0xc0386448
DRM_IOCTL_VNPU_SUBMIT = 0xc0186449
