# SPDX-License-Identifier: MIT
"""Generated from drm.h and linux/*.h by `python -m vnpu.uapi`; do not edit."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from typing import TYPE_CHECKING

from vnpu.uapi.base import Field, Ioctl, Struct
from vnpu.uapi.call import call

if TYPE_CHECKING:
    from vnpu.guest import Process

HEADER_SHA256 = "3ab6ac01bf91067aed96b70d7fa7847a86e7f726d74278151f085143688659cc"

DRM_COMMAND_BASE = 0x40
DRM_COMMAND_END = 0xa0
DRM_CAP_PRIME = 0x5
DRM_CAP_TIMESTAMP_MONOTONIC = 0x6
DRM_CAP_SYNCOBJ = 0x13
DRM_CAP_SYNCOBJ_TIMELINE = 0x14
DRM_PRIME_CAP_IMPORT = 0x1
DRM_PRIME_CAP_EXPORT = 0x2
DRM_CLOEXEC = 0x80000
DRM_RDWR = 0x2
DRM_SYNCOBJ_CREATE_SIGNALED = 0x1
DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE = 0x1
DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE = 0x1
DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL = 0x1
DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT = 0x2
DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE = 0x4
DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED = 0x1
DMA_BUF_SYNC_READ = 0x1
DMA_BUF_SYNC_WRITE = 0x2
DMA_BUF_SYNC_START = 0x0
DMA_BUF_SYNC_END = 0x4
UDMABUF_FLAGS_CLOEXEC = 0x1
VGEM_FENCE_WRITE = 0x1


class Version(Struct):
    """struct drm_version"""

    _c_name_ = "struct drm_version"
    _size_ = 64
    _fields_ = (
        Field("version_major", 0, "s32"),
        Field("version_minor", 4, "s32"),
        Field("version_patchlevel", 8, "s32"),
        Field("name_len", 16, "u64"),
        Field("name", 24, "ptr"),
        Field("date_len", 32, "u64"),
        Field("date", 40, "ptr"),
        Field("desc_len", 48, "u64"),
        Field("desc", 56, "ptr"),
    )
    __slots__ = (
        "version_major",
        "version_minor",
        "version_patchlevel",
        "name_len",
        "name",
        "date_len",
        "date",
        "desc_len",
        "desc",
    )
    version_major: int
    version_minor: int
    version_patchlevel: int
    name_len: int
    name: int
    date_len: int
    date: int
    desc_len: int
    desc: int

    def __init__(
        self,
        *,
        version_major: int = 0,
        version_minor: int = 0,
        version_patchlevel: int = 0,
        name_len: int = 0,
        name: int = 0,
        date_len: int = 0,
        date: int = 0,
        desc_len: int = 0,
        desc: int = 0,
    ) -> None:
        self.version_major = version_major
        self.version_minor = version_minor
        self.version_patchlevel = version_patchlevel
        self.name_len = name_len
        self.name = name
        self.date_len = date_len
        self.date = date
        self.desc_len = desc_len
        self.desc = desc


class Unique(Struct):
    """struct drm_unique"""

    _c_name_ = "struct drm_unique"
    _size_ = 16
    _fields_ = (
        Field("unique_len", 0, "u64"),
        Field("unique", 8, "ptr"),
    )
    __slots__ = (
        "unique_len",
        "unique",
    )
    unique_len: int
    unique: int

    def __init__(
        self,
        *,
        unique_len: int = 0,
        unique: int = 0,
    ) -> None:
        self.unique_len = unique_len
        self.unique = unique


class GetCap(Struct):
    """struct drm_get_cap"""

    _c_name_ = "struct drm_get_cap"
    _size_ = 16
    _fields_ = (
        Field("capability", 0, "u64"),
        Field("value", 8, "u64"),
    )
    __slots__ = (
        "capability",
        "value",
    )
    capability: int
    value: int

    def __init__(
        self,
        *,
        capability: int = 0,
        value: int = 0,
    ) -> None:
        self.capability = capability
        self.value = value


class SetClientCap(Struct):
    """struct drm_set_client_cap"""

    _c_name_ = "struct drm_set_client_cap"
    _size_ = 16
    _fields_ = (
        Field("capability", 0, "u64"),
        Field("value", 8, "u64"),
    )
    __slots__ = (
        "capability",
        "value",
    )
    capability: int
    value: int

    def __init__(
        self,
        *,
        capability: int = 0,
        value: int = 0,
    ) -> None:
        self.capability = capability
        self.value = value


class GemClose(Struct):
    """struct drm_gem_close"""

    _c_name_ = "struct drm_gem_close"
    _size_ = 8
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("pad", 4, "u32"),
    )
    __slots__ = (
        "handle",
        "pad",
    )
    handle: int
    pad: int

    def __init__(
        self,
        *,
        handle: int = 0,
        pad: int = 0,
    ) -> None:
        self.handle = handle
        self.pad = pad


class GemFlink(Struct):
    """struct drm_gem_flink"""

    _c_name_ = "struct drm_gem_flink"
    _size_ = 8
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("name", 4, "u32"),
    )
    __slots__ = (
        "handle",
        "name",
    )
    handle: int
    name: int

    def __init__(
        self,
        *,
        handle: int = 0,
        name: int = 0,
    ) -> None:
        self.handle = handle
        self.name = name


class GemOpen(Struct):
    """struct drm_gem_open"""

    _c_name_ = "struct drm_gem_open"
    _size_ = 16
    _fields_ = (
        Field("name", 0, "u32"),
        Field("handle", 4, "u32"),
        Field("size", 8, "u64"),
    )
    __slots__ = (
        "name",
        "handle",
        "size",
    )
    name: int
    handle: int
    size: int

    def __init__(
        self,
        *,
        name: int = 0,
        handle: int = 0,
        size: int = 0,
    ) -> None:
        self.name = name
        self.handle = handle
        self.size = size


class PrimeHandle(Struct):
    """struct drm_prime_handle"""

    _c_name_ = "struct drm_prime_handle"
    _size_ = 12
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("flags", 4, "u32"),
        Field("fd", 8, "s32"),
    )
    __slots__ = (
        "handle",
        "flags",
        "fd",
    )
    handle: int
    flags: int
    fd: int

    def __init__(
        self,
        *,
        handle: int = 0,
        flags: int = 0,
        fd: int = 0,
    ) -> None:
        self.handle = handle
        self.flags = flags
        self.fd = fd


class SyncobjCreate(Struct):
    """struct drm_syncobj_create"""

    _c_name_ = "struct drm_syncobj_create"
    _size_ = 8
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("flags", 4, "u32"),
    )
    __slots__ = (
        "handle",
        "flags",
    )
    handle: int
    flags: int

    def __init__(
        self,
        *,
        handle: int = 0,
        flags: int = 0,
    ) -> None:
        self.handle = handle
        self.flags = flags


class SyncobjDestroy(Struct):
    """struct drm_syncobj_destroy"""

    _c_name_ = "struct drm_syncobj_destroy"
    _size_ = 8
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("pad", 4, "u32"),
    )
    __slots__ = (
        "handle",
        "pad",
    )
    handle: int
    pad: int

    def __init__(
        self,
        *,
        handle: int = 0,
        pad: int = 0,
    ) -> None:
        self.handle = handle
        self.pad = pad


class SyncobjHandle(Struct):
    """struct drm_syncobj_handle"""

    _c_name_ = "struct drm_syncobj_handle"
    _size_ = 16
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("flags", 4, "u32"),
        Field("fd", 8, "s32"),
        Field("pad", 12, "u32"),
    )
    __slots__ = (
        "handle",
        "flags",
        "fd",
        "pad",
    )
    handle: int
    flags: int
    fd: int
    pad: int

    def __init__(
        self,
        *,
        handle: int = 0,
        flags: int = 0,
        fd: int = 0,
        pad: int = 0,
    ) -> None:
        self.handle = handle
        self.flags = flags
        self.fd = fd
        self.pad = pad


class SyncobjTransfer(Struct):
    """struct drm_syncobj_transfer"""

    _c_name_ = "struct drm_syncobj_transfer"
    _size_ = 32
    _fields_ = (
        Field("src_handle", 0, "u32"),
        Field("dst_handle", 4, "u32"),
        Field("src_point", 8, "u64"),
        Field("dst_point", 16, "u64"),
        Field("flags", 24, "u32"),
        Field("pad", 28, "u32"),
    )
    __slots__ = (
        "src_handle",
        "dst_handle",
        "src_point",
        "dst_point",
        "flags",
        "pad",
    )
    src_handle: int
    dst_handle: int
    src_point: int
    dst_point: int
    flags: int
    pad: int

    def __init__(
        self,
        *,
        src_handle: int = 0,
        dst_handle: int = 0,
        src_point: int = 0,
        dst_point: int = 0,
        flags: int = 0,
        pad: int = 0,
    ) -> None:
        self.src_handle = src_handle
        self.dst_handle = dst_handle
        self.src_point = src_point
        self.dst_point = dst_point
        self.flags = flags
        self.pad = pad


class SyncobjWait(Struct):
    """struct drm_syncobj_wait"""

    _c_name_ = "struct drm_syncobj_wait"
    _size_ = 40
    _fields_ = (
        Field("handles", 0, "u64"),
        Field("timeout_nsec", 8, "s64"),
        Field("count_handles", 16, "u32"),
        Field("flags", 20, "u32"),
        Field("first_signaled", 24, "u32"),
        Field("pad", 28, "u32"),
        Field("deadline_nsec", 32, "u64"),
    )
    __slots__ = (
        "handles",
        "timeout_nsec",
        "count_handles",
        "flags",
        "first_signaled",
        "pad",
        "deadline_nsec",
    )
    handles: int
    timeout_nsec: int
    count_handles: int
    flags: int
    first_signaled: int
    pad: int
    deadline_nsec: int

    def __init__(
        self,
        *,
        handles: int = 0,
        timeout_nsec: int = 0,
        count_handles: int = 0,
        flags: int = 0,
        first_signaled: int = 0,
        pad: int = 0,
        deadline_nsec: int = 0,
    ) -> None:
        self.handles = handles
        self.timeout_nsec = timeout_nsec
        self.count_handles = count_handles
        self.flags = flags
        self.first_signaled = first_signaled
        self.pad = pad
        self.deadline_nsec = deadline_nsec


class SyncobjTimelineWait(Struct):
    """struct drm_syncobj_timeline_wait"""

    _c_name_ = "struct drm_syncobj_timeline_wait"
    _size_ = 48
    _fields_ = (
        Field("handles", 0, "u64"),
        Field("points", 8, "u64"),
        Field("timeout_nsec", 16, "s64"),
        Field("count_handles", 24, "u32"),
        Field("flags", 28, "u32"),
        Field("first_signaled", 32, "u32"),
        Field("pad", 36, "u32"),
        Field("deadline_nsec", 40, "u64"),
    )
    __slots__ = (
        "handles",
        "points",
        "timeout_nsec",
        "count_handles",
        "flags",
        "first_signaled",
        "pad",
        "deadline_nsec",
    )
    handles: int
    points: int
    timeout_nsec: int
    count_handles: int
    flags: int
    first_signaled: int
    pad: int
    deadline_nsec: int

    def __init__(
        self,
        *,
        handles: int = 0,
        points: int = 0,
        timeout_nsec: int = 0,
        count_handles: int = 0,
        flags: int = 0,
        first_signaled: int = 0,
        pad: int = 0,
        deadline_nsec: int = 0,
    ) -> None:
        self.handles = handles
        self.points = points
        self.timeout_nsec = timeout_nsec
        self.count_handles = count_handles
        self.flags = flags
        self.first_signaled = first_signaled
        self.pad = pad
        self.deadline_nsec = deadline_nsec


class SyncobjEventfd(Struct):
    """struct drm_syncobj_eventfd"""

    _c_name_ = "struct drm_syncobj_eventfd"
    _size_ = 24
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("flags", 4, "u32"),
        Field("point", 8, "u64"),
        Field("fd", 16, "s32"),
        Field("pad", 20, "u32"),
    )
    __slots__ = (
        "handle",
        "flags",
        "point",
        "fd",
        "pad",
    )
    handle: int
    flags: int
    point: int
    fd: int
    pad: int

    def __init__(
        self,
        *,
        handle: int = 0,
        flags: int = 0,
        point: int = 0,
        fd: int = 0,
        pad: int = 0,
    ) -> None:
        self.handle = handle
        self.flags = flags
        self.point = point
        self.fd = fd
        self.pad = pad


class SyncobjArray(Struct):
    """struct drm_syncobj_array"""

    _c_name_ = "struct drm_syncobj_array"
    _size_ = 16
    _fields_ = (
        Field("handles", 0, "u64"),
        Field("count_handles", 8, "u32"),
        Field("pad", 12, "u32"),
    )
    __slots__ = (
        "handles",
        "count_handles",
        "pad",
    )
    handles: int
    count_handles: int
    pad: int

    def __init__(
        self,
        *,
        handles: int = 0,
        count_handles: int = 0,
        pad: int = 0,
    ) -> None:
        self.handles = handles
        self.count_handles = count_handles
        self.pad = pad


class SyncobjTimelineArray(Struct):
    """struct drm_syncobj_timeline_array"""

    _c_name_ = "struct drm_syncobj_timeline_array"
    _size_ = 24
    _fields_ = (
        Field("handles", 0, "u64"),
        Field("points", 8, "u64"),
        Field("count_handles", 16, "u32"),
        Field("flags", 20, "u32"),
    )
    __slots__ = (
        "handles",
        "points",
        "count_handles",
        "flags",
    )
    handles: int
    points: int
    count_handles: int
    flags: int

    def __init__(
        self,
        *,
        handles: int = 0,
        points: int = 0,
        count_handles: int = 0,
        flags: int = 0,
    ) -> None:
        self.handles = handles
        self.points = points
        self.count_handles = count_handles
        self.flags = flags


class SyncMergeData(Struct):
    """struct sync_merge_data"""

    _c_name_ = "struct sync_merge_data"
    _size_ = 48
    _fields_ = (
        Field("name", 0, "char", count=32),
        Field("fd2", 32, "s32"),
        Field("fence", 36, "s32"),
        Field("flags", 40, "u32"),
        Field("pad", 44, "u32"),
    )
    __slots__ = (
        "name",
        "fd2",
        "fence",
        "flags",
        "pad",
    )
    name: bytes
    fd2: int
    fence: int
    flags: int
    pad: int

    def __init__(
        self,
        *,
        name: bytes = b"",
        fd2: int = 0,
        fence: int = 0,
        flags: int = 0,
        pad: int = 0,
    ) -> None:
        self.name = name
        self.fd2 = fd2
        self.fence = fence
        self.flags = flags
        self.pad = pad


class SyncFenceInfo(Struct):
    """struct sync_fence_info"""

    _c_name_ = "struct sync_fence_info"
    _size_ = 80
    _fields_ = (
        Field("obj_name", 0, "char", count=32),
        Field("driver_name", 32, "char", count=32),
        Field("status", 64, "s32"),
        Field("flags", 68, "u32"),
        Field("timestamp_ns", 72, "u64"),
    )
    __slots__ = (
        "obj_name",
        "driver_name",
        "status",
        "flags",
        "timestamp_ns",
    )
    obj_name: bytes
    driver_name: bytes
    status: int
    flags: int
    timestamp_ns: int

    def __init__(
        self,
        *,
        obj_name: bytes = b"",
        driver_name: bytes = b"",
        status: int = 0,
        flags: int = 0,
        timestamp_ns: int = 0,
    ) -> None:
        self.obj_name = obj_name
        self.driver_name = driver_name
        self.status = status
        self.flags = flags
        self.timestamp_ns = timestamp_ns


class SyncFileInfo(Struct):
    """struct sync_file_info"""

    _c_name_ = "struct sync_file_info"
    _size_ = 56
    _fields_ = (
        Field("name", 0, "char", count=32),
        Field("status", 32, "s32"),
        Field("flags", 36, "u32"),
        Field("num_fences", 40, "u32"),
        Field("pad", 44, "u32"),
        Field("sync_fence_info", 48, "u64"),
    )
    __slots__ = (
        "name",
        "status",
        "flags",
        "num_fences",
        "pad",
        "sync_fence_info",
    )
    name: bytes
    status: int
    flags: int
    num_fences: int
    pad: int
    sync_fence_info: int

    def __init__(
        self,
        *,
        name: bytes = b"",
        status: int = 0,
        flags: int = 0,
        num_fences: int = 0,
        pad: int = 0,
        sync_fence_info: int = 0,
    ) -> None:
        self.name = name
        self.status = status
        self.flags = flags
        self.num_fences = num_fences
        self.pad = pad
        self.sync_fence_info = sync_fence_info


class DmaBufSync(Struct):
    """struct dma_buf_sync"""

    _c_name_ = "struct dma_buf_sync"
    _size_ = 8
    _fields_ = (
        Field("flags", 0, "u64"),
    )
    __slots__ = (
        "flags",
    )
    flags: int

    def __init__(
        self,
        *,
        flags: int = 0,
    ) -> None:
        self.flags = flags


class DmaBufExportSyncFile(Struct):
    """struct dma_buf_export_sync_file"""

    _c_name_ = "struct dma_buf_export_sync_file"
    _size_ = 8
    _fields_ = (
        Field("flags", 0, "u32"),
        Field("fd", 4, "s32"),
    )
    __slots__ = (
        "flags",
        "fd",
    )
    flags: int
    fd: int

    def __init__(
        self,
        *,
        flags: int = 0,
        fd: int = 0,
    ) -> None:
        self.flags = flags
        self.fd = fd


class DmaBufImportSyncFile(Struct):
    """struct dma_buf_import_sync_file"""

    _c_name_ = "struct dma_buf_import_sync_file"
    _size_ = 8
    _fields_ = (
        Field("flags", 0, "u32"),
        Field("fd", 4, "s32"),
    )
    __slots__ = (
        "flags",
        "fd",
    )
    flags: int
    fd: int

    def __init__(
        self,
        *,
        flags: int = 0,
        fd: int = 0,
    ) -> None:
        self.flags = flags
        self.fd = fd


class DmaHeapAllocationData(Struct):
    """struct dma_heap_allocation_data"""

    _c_name_ = "struct dma_heap_allocation_data"
    _size_ = 24
    _fields_ = (
        Field("len", 0, "u64"),
        Field("fd", 8, "u32"),
        Field("fd_flags", 12, "u32"),
        Field("heap_flags", 16, "u64"),
    )
    __slots__ = (
        "len",
        "fd",
        "fd_flags",
        "heap_flags",
    )
    len: int
    fd: int
    fd_flags: int
    heap_flags: int

    def __init__(
        self,
        *,
        len: int = 0,
        fd: int = 0,
        fd_flags: int = 0,
        heap_flags: int = 0,
    ) -> None:
        self.len = len
        self.fd = fd
        self.fd_flags = fd_flags
        self.heap_flags = heap_flags


class UdmabufCreate(Struct):
    """struct udmabuf_create"""

    _c_name_ = "struct udmabuf_create"
    _size_ = 24
    _fields_ = (
        Field("memfd", 0, "u32"),
        Field("flags", 4, "u32"),
        Field("offset", 8, "u64"),
        Field("size", 16, "u64"),
    )
    __slots__ = (
        "memfd",
        "flags",
        "offset",
        "size",
    )
    memfd: int
    flags: int
    offset: int
    size: int

    def __init__(
        self,
        *,
        memfd: int = 0,
        flags: int = 0,
        offset: int = 0,
        size: int = 0,
    ) -> None:
        self.memfd = memfd
        self.flags = flags
        self.offset = offset
        self.size = size


class ModeCreateDumb(Struct):
    """struct drm_mode_create_dumb"""

    _c_name_ = "struct drm_mode_create_dumb"
    _size_ = 32
    _fields_ = (
        Field("height", 0, "u32"),
        Field("width", 4, "u32"),
        Field("bpp", 8, "u32"),
        Field("flags", 12, "u32"),
        Field("handle", 16, "u32"),
        Field("pitch", 20, "u32"),
        Field("size", 24, "u64"),
    )
    __slots__ = (
        "height",
        "width",
        "bpp",
        "flags",
        "handle",
        "pitch",
        "size",
    )
    height: int
    width: int
    bpp: int
    flags: int
    handle: int
    pitch: int
    size: int

    def __init__(
        self,
        *,
        height: int = 0,
        width: int = 0,
        bpp: int = 0,
        flags: int = 0,
        handle: int = 0,
        pitch: int = 0,
        size: int = 0,
    ) -> None:
        self.height = height
        self.width = width
        self.bpp = bpp
        self.flags = flags
        self.handle = handle
        self.pitch = pitch
        self.size = size


class VgemFenceAttach(Struct):
    """struct drm_vgem_fence_attach"""

    _c_name_ = "struct drm_vgem_fence_attach"
    _size_ = 16
    _fields_ = (
        Field("handle", 0, "u32"),
        Field("flags", 4, "u32"),
        Field("out_fence", 8, "u32"),
        Field("pad", 12, "u32"),
    )
    __slots__ = (
        "handle",
        "flags",
        "out_fence",
        "pad",
    )
    handle: int
    flags: int
    out_fence: int
    pad: int

    def __init__(
        self,
        *,
        handle: int = 0,
        flags: int = 0,
        out_fence: int = 0,
        pad: int = 0,
    ) -> None:
        self.handle = handle
        self.flags = flags
        self.out_fence = out_fence
        self.pad = pad


class VgemFenceSignal(Struct):
    """struct drm_vgem_fence_signal"""

    _c_name_ = "struct drm_vgem_fence_signal"
    _size_ = 8
    _fields_ = (
        Field("fence", 0, "u32"),
        Field("flags", 4, "u32"),
    )
    __slots__ = (
        "fence",
        "flags",
    )
    fence: int
    flags: int

    def __init__(
        self,
        *,
        fence: int = 0,
        flags: int = 0,
    ) -> None:
        self.fence = fence
        self.flags = flags


VERSION = Ioctl("DRM_IOCTL_VERSION", 0xc0406400, Version)
GET_UNIQUE = Ioctl("DRM_IOCTL_GET_UNIQUE", 0xc0106401, Unique)
GET_CAP = Ioctl("DRM_IOCTL_GET_CAP", 0xc010640c, GetCap)
SET_CLIENT_CAP = Ioctl("DRM_IOCTL_SET_CLIENT_CAP", 0x4010640d, SetClientCap)
GEM_CLOSE = Ioctl("DRM_IOCTL_GEM_CLOSE", 0x40086409, GemClose)
GEM_FLINK = Ioctl("DRM_IOCTL_GEM_FLINK", 0xc008640a, GemFlink)
GEM_OPEN = Ioctl("DRM_IOCTL_GEM_OPEN", 0xc010640b, GemOpen)
PRIME_HANDLE_TO_FD = Ioctl("DRM_IOCTL_PRIME_HANDLE_TO_FD", 0xc00c642d, PrimeHandle)
PRIME_FD_TO_HANDLE = Ioctl("DRM_IOCTL_PRIME_FD_TO_HANDLE", 0xc00c642e, PrimeHandle)
SYNCOBJ_CREATE = Ioctl("DRM_IOCTL_SYNCOBJ_CREATE", 0xc00864bf, SyncobjCreate)
SYNCOBJ_DESTROY = Ioctl("DRM_IOCTL_SYNCOBJ_DESTROY", 0xc00864c0, SyncobjDestroy)
SYNCOBJ_HANDLE_TO_FD = Ioctl("DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD", 0xc01064c1, SyncobjHandle)
SYNCOBJ_FD_TO_HANDLE = Ioctl("DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE", 0xc01064c2, SyncobjHandle)
SYNCOBJ_TRANSFER = Ioctl("DRM_IOCTL_SYNCOBJ_TRANSFER", 0xc02064cc, SyncobjTransfer)
SYNCOBJ_WAIT = Ioctl("DRM_IOCTL_SYNCOBJ_WAIT", 0xc02864c3, SyncobjWait)
SYNCOBJ_TIMELINE_WAIT = Ioctl("DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT", 0xc03064ca, SyncobjTimelineWait)
SYNCOBJ_EVENTFD = Ioctl("DRM_IOCTL_SYNCOBJ_EVENTFD", 0xc01864cf, SyncobjEventfd)
SYNCOBJ_RESET = Ioctl("DRM_IOCTL_SYNCOBJ_RESET", 0xc01064c4, SyncobjArray)
SYNCOBJ_SIGNAL = Ioctl("DRM_IOCTL_SYNCOBJ_SIGNAL", 0xc01064c5, SyncobjArray)
SYNCOBJ_TIMELINE_SIGNAL = Ioctl("DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL", 0xc01864cd, SyncobjTimelineArray)
SYNCOBJ_QUERY = Ioctl("DRM_IOCTL_SYNCOBJ_QUERY", 0xc01864cb, SyncobjTimelineArray)
SYNC_IOC_MERGE = Ioctl("SYNC_IOC_MERGE", 0xc0303e03, SyncMergeData)
SYNC_IOC_FILE_INFO = Ioctl("SYNC_IOC_FILE_INFO", 0xc0383e04, SyncFileInfo)
DMA_BUF_SYNC = Ioctl("DMA_BUF_IOCTL_SYNC", 0x40086200, DmaBufSync)
DMA_BUF_EXPORT_SYNC_FILE = Ioctl("DMA_BUF_IOCTL_EXPORT_SYNC_FILE", 0xc0086202, DmaBufExportSyncFile)
DMA_BUF_IMPORT_SYNC_FILE = Ioctl("DMA_BUF_IOCTL_IMPORT_SYNC_FILE", 0x40086203, DmaBufImportSyncFile)
DMA_HEAP_ALLOC = Ioctl("DMA_HEAP_IOCTL_ALLOC", 0xc0184800, DmaHeapAllocationData)
UDMABUF_CREATE = Ioctl("UDMABUF_CREATE", 0x40187542, UdmabufCreate)
MODE_CREATE_DUMB = Ioctl("DRM_IOCTL_MODE_CREATE_DUMB", 0xc02064b2, ModeCreateDumb)
VGEM_FENCE_ATTACH = Ioctl("DRM_IOCTL_VGEM_FENCE_ATTACH", 0xc0106441, VgemFenceAttach)
VGEM_FENCE_SIGNAL = Ioctl("DRM_IOCTL_VGEM_FENCE_SIGNAL", 0x40086442, VgemFenceSignal)
STRUCTS: tuple[type[Struct], ...] = (Version, Unique, GetCap, SetClientCap, GemClose, GemFlink, GemOpen, PrimeHandle, SyncobjCreate, SyncobjDestroy, SyncobjHandle, SyncobjTransfer, SyncobjWait, SyncobjTimelineWait, SyncobjEventfd, SyncobjArray, SyncobjTimelineArray, SyncMergeData, SyncFenceInfo, SyncFileInfo, DmaBufSync, DmaBufExportSyncFile, DmaBufImportSyncFile, DmaHeapAllocationData, UdmabufCreate, ModeCreateDumb, VgemFenceAttach, VgemFenceSignal,)
IOCTLS: tuple[Ioctl, ...] = (VERSION, GET_UNIQUE, GET_CAP, SET_CLIENT_CAP, GEM_CLOSE, GEM_FLINK, GEM_OPEN, PRIME_HANDLE_TO_FD, PRIME_FD_TO_HANDLE, SYNCOBJ_CREATE, SYNCOBJ_DESTROY, SYNCOBJ_HANDLE_TO_FD, SYNCOBJ_FD_TO_HANDLE, SYNCOBJ_TRANSFER, SYNCOBJ_WAIT, SYNCOBJ_TIMELINE_WAIT, SYNCOBJ_EVENTFD, SYNCOBJ_RESET, SYNCOBJ_SIGNAL, SYNCOBJ_TIMELINE_SIGNAL, SYNCOBJ_QUERY, SYNC_IOC_MERGE, SYNC_IOC_FILE_INFO, DMA_BUF_SYNC, DMA_BUF_EXPORT_SYNC_FILE, DMA_BUF_IMPORT_SYNC_FILE, DMA_HEAP_ALLOC, UDMABUF_CREATE, MODE_CREATE_DUMB, VGEM_FENCE_ATTACH, VGEM_FENCE_SIGNAL,)


def version(
    proc: Process,
    file: int,
    /,
    *,
    version_major: int = 0,
    version_minor: int = 0,
    version_patchlevel: int = 0,
    name_len: int = 0,
    name: int = 0,
    date_len: int = 0,
    date: int = 0,
    desc_len: int = 0,
    desc: int = 0,
) -> Version:
    """DRM_IOCTL_VERSION

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = Version(version_major=version_major, version_minor=version_minor, version_patchlevel=version_patchlevel, name_len=name_len, name=name, date_len=date_len, date=date, desc_len=desc_len, desc=desc)
    return call(proc, file, VERSION, arg)


def get_unique(
    proc: Process,
    file: int,
    /,
    *,
    unique_len: int = 0,
    unique: int = 0,
) -> Unique:
    """DRM_IOCTL_GET_UNIQUE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = Unique(unique_len=unique_len, unique=unique)
    return call(proc, file, GET_UNIQUE, arg)


def get_cap(
    proc: Process,
    file: int,
    /,
    *,
    capability: int = 0,
    value: int = 0,
) -> GetCap:
    """DRM_IOCTL_GET_CAP

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = GetCap(capability=capability, value=value)
    return call(proc, file, GET_CAP, arg)


def set_client_cap(
    proc: Process,
    file: int,
    /,
    *,
    capability: int = 0,
    value: int = 0,
) -> SetClientCap:
    """DRM_IOCTL_SET_CLIENT_CAP

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SetClientCap(capability=capability, value=value)
    return call(proc, file, SET_CLIENT_CAP, arg)


def gem_close(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    pad: int = 0,
) -> GemClose:
    """DRM_IOCTL_GEM_CLOSE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = GemClose(handle=handle, pad=pad)
    return call(proc, file, GEM_CLOSE, arg)


def gem_flink(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    name: int = 0,
) -> GemFlink:
    """DRM_IOCTL_GEM_FLINK

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = GemFlink(handle=handle, name=name)
    return call(proc, file, GEM_FLINK, arg)


def gem_open(
    proc: Process,
    file: int,
    /,
    *,
    name: int = 0,
    handle: int = 0,
    size: int = 0,
) -> GemOpen:
    """DRM_IOCTL_GEM_OPEN

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = GemOpen(name=name, handle=handle, size=size)
    return call(proc, file, GEM_OPEN, arg)


def prime_handle_to_fd(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
    fd: int = 0,
) -> PrimeHandle:
    """DRM_IOCTL_PRIME_HANDLE_TO_FD

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = PrimeHandle(handle=handle, flags=flags, fd=fd)
    return call(proc, file, PRIME_HANDLE_TO_FD, arg)


def prime_fd_to_handle(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
    fd: int = 0,
) -> PrimeHandle:
    """DRM_IOCTL_PRIME_FD_TO_HANDLE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = PrimeHandle(handle=handle, flags=flags, fd=fd)
    return call(proc, file, PRIME_FD_TO_HANDLE, arg)


def syncobj_create(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
) -> SyncobjCreate:
    """DRM_IOCTL_SYNCOBJ_CREATE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjCreate(handle=handle, flags=flags)
    return call(proc, file, SYNCOBJ_CREATE, arg)


def syncobj_destroy(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    pad: int = 0,
) -> SyncobjDestroy:
    """DRM_IOCTL_SYNCOBJ_DESTROY

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjDestroy(handle=handle, pad=pad)
    return call(proc, file, SYNCOBJ_DESTROY, arg)


def syncobj_handle_to_fd(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
    fd: int = 0,
    pad: int = 0,
) -> SyncobjHandle:
    """DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjHandle(handle=handle, flags=flags, fd=fd, pad=pad)
    return call(proc, file, SYNCOBJ_HANDLE_TO_FD, arg)


def syncobj_fd_to_handle(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
    fd: int = 0,
    pad: int = 0,
) -> SyncobjHandle:
    """DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjHandle(handle=handle, flags=flags, fd=fd, pad=pad)
    return call(proc, file, SYNCOBJ_FD_TO_HANDLE, arg)


def syncobj_transfer(
    proc: Process,
    file: int,
    /,
    *,
    src_handle: int = 0,
    dst_handle: int = 0,
    src_point: int = 0,
    dst_point: int = 0,
    flags: int = 0,
    pad: int = 0,
) -> SyncobjTransfer:
    """DRM_IOCTL_SYNCOBJ_TRANSFER

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjTransfer(src_handle=src_handle, dst_handle=dst_handle, src_point=src_point, dst_point=dst_point, flags=flags, pad=pad)
    return call(proc, file, SYNCOBJ_TRANSFER, arg)


def syncobj_wait(
    proc: Process,
    file: int,
    /,
    *,
    handles: int = 0,
    timeout_nsec: int = 0,
    count_handles: int = 0,
    flags: int = 0,
    first_signaled: int = 0,
    pad: int = 0,
    deadline_nsec: int = 0,
) -> SyncobjWait:
    """DRM_IOCTL_SYNCOBJ_WAIT

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjWait(handles=handles, timeout_nsec=timeout_nsec, count_handles=count_handles, flags=flags, first_signaled=first_signaled, pad=pad, deadline_nsec=deadline_nsec)
    return call(proc, file, SYNCOBJ_WAIT, arg)


def syncobj_timeline_wait(
    proc: Process,
    file: int,
    /,
    *,
    handles: int = 0,
    points: int = 0,
    timeout_nsec: int = 0,
    count_handles: int = 0,
    flags: int = 0,
    first_signaled: int = 0,
    pad: int = 0,
    deadline_nsec: int = 0,
) -> SyncobjTimelineWait:
    """DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjTimelineWait(handles=handles, points=points, timeout_nsec=timeout_nsec, count_handles=count_handles, flags=flags, first_signaled=first_signaled, pad=pad, deadline_nsec=deadline_nsec)
    return call(proc, file, SYNCOBJ_TIMELINE_WAIT, arg)


def syncobj_eventfd(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
    point: int = 0,
    fd: int = 0,
    pad: int = 0,
) -> SyncobjEventfd:
    """DRM_IOCTL_SYNCOBJ_EVENTFD

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjEventfd(handle=handle, flags=flags, point=point, fd=fd, pad=pad)
    return call(proc, file, SYNCOBJ_EVENTFD, arg)


def syncobj_reset(
    proc: Process,
    file: int,
    /,
    *,
    handles: int = 0,
    count_handles: int = 0,
    pad: int = 0,
) -> SyncobjArray:
    """DRM_IOCTL_SYNCOBJ_RESET

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjArray(handles=handles, count_handles=count_handles, pad=pad)
    return call(proc, file, SYNCOBJ_RESET, arg)


def syncobj_signal(
    proc: Process,
    file: int,
    /,
    *,
    handles: int = 0,
    count_handles: int = 0,
    pad: int = 0,
) -> SyncobjArray:
    """DRM_IOCTL_SYNCOBJ_SIGNAL

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjArray(handles=handles, count_handles=count_handles, pad=pad)
    return call(proc, file, SYNCOBJ_SIGNAL, arg)


def syncobj_timeline_signal(
    proc: Process,
    file: int,
    /,
    *,
    handles: int = 0,
    points: int = 0,
    count_handles: int = 0,
    flags: int = 0,
) -> SyncobjTimelineArray:
    """DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjTimelineArray(handles=handles, points=points, count_handles=count_handles, flags=flags)
    return call(proc, file, SYNCOBJ_TIMELINE_SIGNAL, arg)


def syncobj_query(
    proc: Process,
    file: int,
    /,
    *,
    handles: int = 0,
    points: int = 0,
    count_handles: int = 0,
    flags: int = 0,
) -> SyncobjTimelineArray:
    """DRM_IOCTL_SYNCOBJ_QUERY

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncobjTimelineArray(handles=handles, points=points, count_handles=count_handles, flags=flags)
    return call(proc, file, SYNCOBJ_QUERY, arg)


def sync_ioc_merge(
    proc: Process,
    file: int,
    /,
    *,
    name: bytes = b"",
    fd2: int = 0,
    fence: int = 0,
    flags: int = 0,
    pad: int = 0,
) -> SyncMergeData:
    """SYNC_IOC_MERGE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncMergeData(name=name, fd2=fd2, fence=fence, flags=flags, pad=pad)
    return call(proc, file, SYNC_IOC_MERGE, arg)


def sync_ioc_file_info(
    proc: Process,
    file: int,
    /,
    *,
    name: bytes = b"",
    status: int = 0,
    flags: int = 0,
    num_fences: int = 0,
    pad: int = 0,
    sync_fence_info: int = 0,
) -> SyncFileInfo:
    """SYNC_IOC_FILE_INFO

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = SyncFileInfo(name=name, status=status, flags=flags, num_fences=num_fences, pad=pad, sync_fence_info=sync_fence_info)
    return call(proc, file, SYNC_IOC_FILE_INFO, arg)


def dma_buf_sync(
    proc: Process,
    file: int,
    /,
    *,
    flags: int = 0,
) -> DmaBufSync:
    """DMA_BUF_IOCTL_SYNC

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = DmaBufSync(flags=flags)
    return call(proc, file, DMA_BUF_SYNC, arg)


def dma_buf_export_sync_file(
    proc: Process,
    file: int,
    /,
    *,
    flags: int = 0,
    fd: int = 0,
) -> DmaBufExportSyncFile:
    """DMA_BUF_IOCTL_EXPORT_SYNC_FILE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = DmaBufExportSyncFile(flags=flags, fd=fd)
    return call(proc, file, DMA_BUF_EXPORT_SYNC_FILE, arg)


def dma_buf_import_sync_file(
    proc: Process,
    file: int,
    /,
    *,
    flags: int = 0,
    fd: int = 0,
) -> DmaBufImportSyncFile:
    """DMA_BUF_IOCTL_IMPORT_SYNC_FILE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = DmaBufImportSyncFile(flags=flags, fd=fd)
    return call(proc, file, DMA_BUF_IMPORT_SYNC_FILE, arg)


def dma_heap_alloc(
    proc: Process,
    file: int,
    /,
    *,
    len: int = 0,
    fd: int = 0,
    fd_flags: int = 0,
    heap_flags: int = 0,
) -> DmaHeapAllocationData:
    """DMA_HEAP_IOCTL_ALLOC

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = DmaHeapAllocationData(len=len, fd=fd, fd_flags=fd_flags, heap_flags=heap_flags)
    return call(proc, file, DMA_HEAP_ALLOC, arg)


def udmabuf_create(
    proc: Process,
    file: int,
    /,
    *,
    memfd: int = 0,
    flags: int = 0,
    offset: int = 0,
    size: int = 0,
) -> UdmabufCreate:
    """UDMABUF_CREATE

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = UdmabufCreate(memfd=memfd, flags=flags, offset=offset, size=size)
    return call(proc, file, UDMABUF_CREATE, arg)


def mode_create_dumb(
    proc: Process,
    file: int,
    /,
    *,
    height: int = 0,
    width: int = 0,
    bpp: int = 0,
    flags: int = 0,
    handle: int = 0,
    pitch: int = 0,
    size: int = 0,
) -> ModeCreateDumb:
    """DRM_IOCTL_MODE_CREATE_DUMB

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = ModeCreateDumb(height=height, width=width, bpp=bpp, flags=flags, handle=handle, pitch=pitch, size=size)
    return call(proc, file, MODE_CREATE_DUMB, arg)


def vgem_fence_attach(
    proc: Process,
    file: int,
    /,
    *,
    handle: int = 0,
    flags: int = 0,
    out_fence: int = 0,
    pad: int = 0,
) -> VgemFenceAttach:
    """DRM_IOCTL_VGEM_FENCE_ATTACH

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = VgemFenceAttach(handle=handle, flags=flags, out_fence=out_fence, pad=pad)
    return call(proc, file, VGEM_FENCE_ATTACH, arg)


def vgem_fence_signal(
    proc: Process,
    file: int,
    /,
    *,
    fence: int = 0,
    flags: int = 0,
) -> VgemFenceSignal:
    """DRM_IOCTL_VGEM_FENCE_SIGNAL

    Returns the argument as the kernel left it. Raises OSError.
    """
    arg = VgemFenceSignal(fence=fence, flags=flags)
    return call(proc, file, VGEM_FENCE_SIGNAL, arg)


# The same under their C names
drm_version = Version
drm_unique = Unique
drm_get_cap = GetCap
drm_set_client_cap = SetClientCap
drm_gem_close = GemClose
drm_gem_flink = GemFlink
drm_gem_open = GemOpen
drm_prime_handle = PrimeHandle
drm_syncobj_create = SyncobjCreate
drm_syncobj_destroy = SyncobjDestroy
drm_syncobj_handle = SyncobjHandle
drm_syncobj_transfer = SyncobjTransfer
drm_syncobj_wait = SyncobjWait
drm_syncobj_timeline_wait = SyncobjTimelineWait
drm_syncobj_eventfd = SyncobjEventfd
drm_syncobj_array = SyncobjArray
drm_syncobj_timeline_array = SyncobjTimelineArray
drm_mode_create_dumb = ModeCreateDumb
drm_vgem_fence_attach = VgemFenceAttach
drm_vgem_fence_signal = VgemFenceSignal
DRM_IOCTL_VERSION = 0xc0406400
DRM_IOCTL_GET_UNIQUE = 0xc0106401
DRM_IOCTL_GET_CAP = 0xc010640c
DRM_IOCTL_SET_CLIENT_CAP = 0x4010640d
DRM_IOCTL_GEM_CLOSE = 0x40086409
DRM_IOCTL_GEM_FLINK = 0xc008640a
DRM_IOCTL_GEM_OPEN = 0xc010640b
DRM_IOCTL_PRIME_HANDLE_TO_FD = 0xc00c642d
DRM_IOCTL_PRIME_FD_TO_HANDLE = 0xc00c642e
DRM_IOCTL_SYNCOBJ_CREATE = 0xc00864bf
DRM_IOCTL_SYNCOBJ_DESTROY = 0xc00864c0
DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD = 0xc01064c1
DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE = 0xc01064c2
DRM_IOCTL_SYNCOBJ_TRANSFER = 0xc02064cc
DRM_IOCTL_SYNCOBJ_WAIT = 0xc02864c3
DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT = 0xc03064ca
DRM_IOCTL_SYNCOBJ_EVENTFD = 0xc01864cf
DRM_IOCTL_SYNCOBJ_RESET = 0xc01064c4
DRM_IOCTL_SYNCOBJ_SIGNAL = 0xc01064c5
DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL = 0xc01864cd
DRM_IOCTL_SYNCOBJ_QUERY = 0xc01864cb
DMA_BUF_IOCTL_SYNC = 0x40086200
DMA_BUF_IOCTL_EXPORT_SYNC_FILE = 0xc0086202
DMA_BUF_IOCTL_IMPORT_SYNC_FILE = 0x40086203
DMA_HEAP_IOCTL_ALLOC = 0xc0184800
DRM_IOCTL_MODE_CREATE_DUMB = 0xc02064b2
DRM_IOCTL_VGEM_FENCE_ATTACH = 0xc0106441
DRM_IOCTL_VGEM_FENCE_SIGNAL = 0x40086442
