/* SPDX-License-Identifier: MIT */
/*
 * User API of the virtual NPU (vnpu) accel driver.
 */

#ifndef _UAPI_VNPU_ACCEL_H_
#define _UAPI_VNPU_ACCEL_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * DOC: Overview
 *
 * A client creates buffer objects (BO), creates an address space (VM), binds
 * BOs at virtual addresses of the VM, creates queues on the VM and submits
 * command buffers, which are ranges of virtual addresses that hold packets.
 * VM and queue IDs and BO handles belong to the open file; IDs start at 1.
 * Syncobjs, PRIME and fdinfo are those of DRM core.
 *
 * Synchronization is explicit. A job waits for its syncs, for what the kernel
 * does with its memory, and for nobody else; in particular not for fences that
 * other drivers have put on a dma-buf. Nor do poll() and
 * DMA_BUF_IOCTL_EXPORT_SYNC_FILE of an exported BO tell of jobs. Where somebody
 * relies on the fences of a dma-buf, sync files carry them over:
 * DMA_BUF_IOCTL_EXPORT_SYNC_FILE gives what a job has to wait for, in a syncobj,
 * and DMA_BUF_IOCTL_IMPORT_SYNC_FILE gives a job's fence to the dma-buf.
 *
 * Every structure may grow at its end: the kernel takes the missing tail of a
 * short structure as zero, and rejects a longer one with a tail that is not
 * zero with E2BIG. Flags that are not described and padding that is not zero
 * are rejected with EINVAL. Common errors:
 *
 * - EINVAL: unknown flag, padding not zero, value out of range or misaligned
 * - ENOENT: no such handle, VM, queue or syncobj
 * - EFAULT: user memory cannot be read or written
 * - ENOMEM: out of system memory
 * - ENOSPC: out of VRAM: what others use at the moment does not fit beside it
 * - EDQUOT: more VMs, queues, unfinished jobs or page tables than one open file
 *   may have
 * - EBUSY: all contexts or hardware queues of the device are in use
 * - E2BIG: more than there can ever be: of memory, or elements of an array
 * - ECANCELED: the queue is banned
 * - EIO: the content of a BO is lost
 * - ENODEV: the device is gone
 * - EINTR: interrupted by a signal; nothing was done (restarted if SA_RESTART)
 */

/**
 * enum drm_vnpu_ioctl_id - IOCTL numbers, added to DRM_COMMAND_BASE
 */
enum drm_vnpu_ioctl_id {
	/** @DRM_VNPU_DEV_QUERY: Query device properties. */
	DRM_VNPU_DEV_QUERY = 0,

	/** @DRM_VNPU_BO_CREATE: Create a buffer object. */
	DRM_VNPU_BO_CREATE,

	/** @DRM_VNPU_BO_MMAP_OFFSET: Get the offset to mmap a buffer object at. */
	DRM_VNPU_BO_MMAP_OFFSET,

	/** @DRM_VNPU_VM_CREATE: Create an address space. */
	DRM_VNPU_VM_CREATE,

	/** @DRM_VNPU_VM_DESTROY: Destroy an address space. */
	DRM_VNPU_VM_DESTROY,

	/** @DRM_VNPU_VM_BIND: Map and unmap ranges of an address space. */
	DRM_VNPU_VM_BIND,

	/** @DRM_VNPU_QUEUE_CREATE: Create a queue. */
	DRM_VNPU_QUEUE_CREATE,

	/** @DRM_VNPU_QUEUE_DESTROY: Destroy a queue. */
	DRM_VNPU_QUEUE_DESTROY,

	/** @DRM_VNPU_QUEUE_QUERY: Query the state of a queue. */
	DRM_VNPU_QUEUE_QUERY,

	/** @DRM_VNPU_SUBMIT: Submit jobs to queues. */
	DRM_VNPU_SUBMIT,
};

/**
 * struct drm_vnpu_array - An array in user memory
 */
struct drm_vnpu_array {
	/** @stride: Size of one element, at most 4096. Elements may be longer than
	 * the kernel knows, and as short as their first version, as structures may.
	 */
	__u32 stride;

	/** @count: Number of elements. */
	__u32 count;

	/** @array: Pointer to the first element. Ignored if @count is zero. */
	__u64 array;
};

/**
 * enum drm_vnpu_sync_type - What is waited for or signalled
 */
enum drm_vnpu_sync_type {
	/** @DRM_VNPU_SYNC_BINARY: The one fence of a syncobj. */
	DRM_VNPU_SYNC_BINARY = 1,

	/** @DRM_VNPU_SYNC_TIMELINE: A point of the timeline of a syncobj. */
	DRM_VNPU_SYNC_TIMELINE = 2,
};

/**
 * enum drm_vnpu_sync_op - What is done with it
 */
enum drm_vnpu_sync_op {
	/** @DRM_VNPU_SYNC_OP_WAIT: Wait before the work begins. There has to be a
	 * fence at the time of the ioctl (else EINVAL).
	 */
	DRM_VNPU_SYNC_OP_WAIT = 1,

	/** @DRM_VNPU_SYNC_OP_SIGNAL: Signal when the work has ended. */
	DRM_VNPU_SYNC_OP_SIGNAL = 2,
};

/**
 * struct drm_vnpu_sync - A synchronization operation
 *
 * All waits of an ioctl find what was there before it: they never see a signal
 * of the same ioctl.
 */
struct drm_vnpu_sync {
	/** @type: One of enum drm_vnpu_sync_type. */
	__u32 type;

	/** @op: One of enum drm_vnpu_sync_op. */
	__u32 op;

	/** @handle: Syncobj handle. */
	__u32 handle;

	/** @flags: Zero. */
	__u32 flags;

	/** @timeline_value: Timeline: the point, not zero for a signal. Binary:
	 * zero.
	 */
	__u64 timeline_value;
};

/**
 * enum drm_vnpu_engine_class - What a queue can run
 */
enum drm_vnpu_engine_class {
	/** @DRM_VNPU_ENGINE_COPY: Copies and fills. */
	DRM_VNPU_ENGINE_COPY = 0,

	/** @DRM_VNPU_ENGINE_TENSOR: Matrix products, elementwise, reductions. */
	DRM_VNPU_ENGINE_TENSOR = 1,

	/** @DRM_VNPU_ENGINE_BIND: No engine: the queue takes VM_BINDs, see
	 * struct drm_vnpu_vm_bind, and no jobs.
	 */
	DRM_VNPU_ENGINE_BIND = 0x10000,
};

/**
 * enum drm_vnpu_dev_query_type - What DRM_VNPU_DEV_QUERY returns
 */
enum drm_vnpu_dev_query_type {
	/** @DRM_VNPU_DEV_QUERY_DEVICE: One struct drm_vnpu_device_info. */
	DRM_VNPU_DEV_QUERY_DEVICE = 0,

	/** @DRM_VNPU_DEV_QUERY_REGIONS: A struct drm_vnpu_region_info for each. */
	DRM_VNPU_DEV_QUERY_REGIONS,

	/** @DRM_VNPU_DEV_QUERY_ENGINES: A struct drm_vnpu_engine_info for each. */
	DRM_VNPU_DEV_QUERY_ENGINES,

	/** @DRM_VNPU_DEV_QUERY_CLOCKS: A struct drm_vnpu_clock_info for each. */
	DRM_VNPU_DEV_QUERY_CLOCKS,
};

/** @DRM_VNPU_FEATURE_INLINE_JOBS: Jobs run while they are handed over. */
#define DRM_VNPU_FEATURE_INLINE_JOBS	(1u << 0)
/** @DRM_VNPU_FEATURE_BLAS: A library makes f32 products: the order of their sums
 * is its own.
 */
#define DRM_VNPU_FEATURE_BLAS		(1u << 1)

/**
 * struct drm_vnpu_device_info - Properties of the device, and limits
 */
struct drm_vnpu_device_info {
	/** @features: Mask of DRM_VNPU_FEATURE_*. */
	__u64 features;

	/** @va_start: First virtual address that can be bound. */
	__u64 va_start;

	/** @va_end: First virtual address above those that can be bound. */
	__u64 va_end;

	/** @page_size: Granularity of bindings, in bytes. */
	__u32 page_size;

	/** @max_queues: Queues that a client can have, those included that were
	 * destroyed and still have jobs. There are fewer if others have many.
	 */
	__u32 max_queues;

	/** @max_vms: Address spaces that a client can have; as @max_queues. */
	__u32 max_vms;

	/** @max_submit_jobs: Most jobs of one submit. */
	__u32 max_submit_jobs;

	/** @max_submit_cmds: Most command buffers of one job. */
	__u32 max_submit_cmds;

	/** @max_cmd_bytes: Largest command buffer. */
	__u32 max_cmd_bytes;

	/** @max_bind_ops: Most operations of one VM_BIND. */
	__u32 max_bind_ops;

	/** @max_syncs: Most syncs of one job or VM_BIND. */
	__u32 max_syncs;

	/** @reset_count: Resets of the whole device since the driver has it; wraps. */
	__u32 reset_count;

	/** @max_jobs: Jobs and asynchronous binds that a client can have at a time,
	 * from the call on until they are over and the kernel has freed them.
	 */
	__u32 max_jobs;

	/** @max_table_bytes: Page tables that a client can have, those included that
	 * were unmapped and are not freed yet. A VM has one table of page_size, and
	 * one for each 512 GiB, 1 GiB and, where small pages are mapped, 2 MiB of
	 * addresses that are in use.
	 */
	__u64 max_table_bytes;
};

/**
 * enum drm_vnpu_region_kind - What a region is
 */
enum drm_vnpu_region_kind {
	/** @DRM_VNPU_REGION_VRAM: Memory of the device. */
	DRM_VNPU_REGION_VRAM = 1,

	/** @DRM_VNPU_REGION_SYSTEM: Memory of the CPU, in pages of its own size. */
	DRM_VNPU_REGION_SYSTEM = 2,
};

/**
 * struct drm_vnpu_region_info - A region of memory that BOs can be in
 */
struct drm_vnpu_region_info {
	/** @instance: Number of the region, and of its bit in a mask of placements. */
	__u32 instance;

	/** @kind: One of enum drm_vnpu_region_kind. */
	__u32 kind;

	/** @size: Bytes. */
	__u64 size;

	/** @cpu_visible_size: Bytes of them that the CPU can map. */
	__u64 cpu_visible_size;

	/** @used: Bytes in use, by all clients and the kernel. Zero for who does not
	 * have CAP_PERFMON.
	 */
	__u64 used;

	/** @cpu_visible_used: Bytes of @cpu_visible_size in use; as @used. */
	__u64 cpu_visible_used;

	/** @page_size: BOs in it are multiples of this, in bytes. */
	__u32 page_size;

	/** @pad: Zero. */
	__u32 pad;
};

/** @DRM_VNPU_ENGINE_CAP_COPY: Runs COPY packets. */
#define DRM_VNPU_ENGINE_CAP_COPY	(1u << 0)
/** @DRM_VNPU_ENGINE_CAP_COPY_2D: Runs COPY_2D packets. */
#define DRM_VNPU_ENGINE_CAP_COPY_2D	(1u << 1)
/** @DRM_VNPU_ENGINE_CAP_FILL: Runs FILL packets. */
#define DRM_VNPU_ENGINE_CAP_FILL	(1u << 2)
/** @DRM_VNPU_ENGINE_CAP_GEMM: Runs GEMM packets. */
#define DRM_VNPU_ENGINE_CAP_GEMM	(1u << 3)
/** @DRM_VNPU_ENGINE_CAP_ELTWISE: Runs ELTWISE packets. */
#define DRM_VNPU_ENGINE_CAP_ELTWISE	(1u << 4)
/** @DRM_VNPU_ENGINE_CAP_REDUCE: Runs REDUCE packets. */
#define DRM_VNPU_ENGINE_CAP_REDUCE	(1u << 5)

/**
 * struct drm_vnpu_engine_info - An engine
 */
struct drm_vnpu_engine_info {
	/** @engine_class: One of enum drm_vnpu_engine_class. */
	__u32 engine_class;

	/** @instance: Number of the engine in its class. */
	__u32 instance;

	/** @capabilities: Mask of DRM_VNPU_ENGINE_CAP_*. NOP, WAIT and SIGNAL run on
	 * all engines.
	 */
	__u64 capabilities;
};

/**
 * enum drm_vnpu_clock_id - Clocks
 */
enum drm_vnpu_clock_id {
	/** @DRM_VNPU_CLOCK_DEVICE: That of the device. */
	DRM_VNPU_CLOCK_DEVICE = 1,
};

/**
 * struct drm_vnpu_clock_info - A clock, read together with that of the CPU
 */
struct drm_vnpu_clock_info {
	/** @id: One of enum drm_vnpu_clock_id. */
	__u32 id;

	/** @pad: Zero. */
	__u32 pad;

	/** @frequency: Ticks of a second. */
	__u64 frequency;

	/** @ticks: The clock now, in ticks. */
	__u64 ticks;

	/** @cpu_ns: CLOCK_MONOTONIC at the same time, in ns. */
	__u64 cpu_ns;
};

/**
 * struct drm_vnpu_dev_query - Arguments of DRM_IOCTL_VNPU_DEV_QUERY
 *
 * Only @used and @cpu_visible_used of regions depend on who asks.
 */
struct drm_vnpu_dev_query {
	/** @type: One of enum drm_vnpu_dev_query_type. */
	__u32 type;

	/** @flags: Zero. */
	__u32 flags;

	/** @infos: In: where elements go, how many fit, and how long each is; the
	 * kernel cuts off what is longer and fills with zeros what is shorter.
	 * Out: how many there are, which may be more, and how long the kernel
	 * knows them. With a count of zero nothing is written.
	 */
	struct drm_vnpu_array infos;
};

/** @DRM_VNPU_BO_CPU_VISIBLE: Keep the BO where the CPU can map it while it is
 * in VRAM. Needs a placement in VRAM. A BO without it can still be mapped:
 * it moves when the CPU touches it.
 */
#define DRM_VNPU_BO_CPU_VISIBLE		(1u << 0)

/**
 * struct drm_vnpu_bo_create - Arguments of DRM_IOCTL_VNPU_BO_CREATE
 *
 * The BO reads as zero. With several placements VRAM is preferred and system
 * memory used when VRAM is short. A BO that is bound or used by the device is
 * in one of its placements; between uses it can be evicted to system memory.
 *
 * Errors: EINVAL for size zero, no or unknown placement; E2BIG for a size that
 * can never fit; ENOENT for @vm_id; ENOSPC, ENOMEM.
 */
struct drm_vnpu_bo_create {
	/** @size: In: bytes. Out: bytes, rounded up to the page size. */
	__u64 size;

	/** @placements: Regions that it may be in: bit n for that of instance n. */
	__u32 placements;

	/** @flags: Mask of DRM_VNPU_BO_*. */
	__u32 flags;

	/** @vm_id: VM that the BO is private to, or zero. A private BO can be bound
	 * to this VM only, cannot be exported (EPERM), and costs nothing at submit.
	 */
	__u32 vm_id;

	/** @handle: Out: handle of the BO. */
	__u32 handle;
};

/**
 * struct drm_vnpu_bo_mmap_offset - Arguments of DRM_IOCTL_VNPU_BO_MMAP_OFFSET
 *
 * Errors: ENOENT; EINVAL for an imported BO (map its dma-buf instead).
 */
struct drm_vnpu_bo_mmap_offset {
	/** @handle: Handle of the BO. */
	__u32 handle;

	/** @flags: Zero. */
	__u32 flags;

	/** @offset: Out: offset to pass to mmap(). */
	__u64 offset;
};

/**
 * struct drm_vnpu_vm_create - Arguments of DRM_IOCTL_VNPU_VM_CREATE
 *
 * Errors: EDQUOT for more than max_vms; EBUSY when all contexts are in use.
 */
struct drm_vnpu_vm_create {
	/** @flags: Zero. */
	__u32 flags;

	/** @id: Out: ID of the VM. */
	__u32 id;
};

/**
 * struct drm_vnpu_vm_destroy - Arguments of DRM_IOCTL_VNPU_VM_DESTROY
 *
 * The ID is gone at once; the address space lives on until its queues have
 * been destroyed and their jobs have finished.
 */
struct drm_vnpu_vm_destroy {
	/** @id: ID of the VM. */
	__u32 id;

	/** @pad: Zero. */
	__u32 pad;
};

/**
 * enum drm_vnpu_vm_bind_op_type - Operations of VM_BIND
 */
enum drm_vnpu_vm_bind_op_type {
	/** @DRM_VNPU_VM_BIND_OP_MAP: Map a range of a BO; what the range of
	 * addresses held before is unmapped, mappings that reach out of it are
	 * cut.
	 */
	DRM_VNPU_VM_BIND_OP_MAP = 0,

	/** @DRM_VNPU_VM_BIND_OP_UNMAP: Unmap a range; it may hold any number of
	 * mappings or none, mappings that reach out of it are cut.
	 */
	DRM_VNPU_VM_BIND_OP_UNMAP,
};

/** @DRM_VNPU_VM_BIND_MAP_READONLY: The device may not write to the range. */
#define DRM_VNPU_VM_BIND_MAP_READONLY	(1u << 0)

/**
 * struct drm_vnpu_vm_bind_op - One operation of VM_BIND
 */
struct drm_vnpu_vm_bind_op {
	/** @op: One of enum drm_vnpu_vm_bind_op_type. */
	__u32 op;

	/** @flags: MAP: mask of DRM_VNPU_VM_BIND_MAP_*. UNMAP: zero. */
	__u32 flags;

	/** @handle: MAP: handle of the BO. UNMAP: zero. */
	__u32 handle;

	/** @pad: Zero. */
	__u32 pad;

	/** @bo_offset: MAP: first byte of the BO, page aligned. UNMAP: zero. */
	__u64 bo_offset;

	/** @va: First virtual address, page aligned. */
	__u64 va;

	/** @size: Bytes, multiple of the page size, not zero. */
	__u64 size;
};

/** @DRM_VNPU_VM_BIND_ASYNC: Return when the operations are queued, to be carried
 * out after the waits; syncs are allowed only with this flag. Without it the
 * operations have been carried out when the ioctl returns.
 */
#define DRM_VNPU_VM_BIND_ASYNC		(1u << 0)

/**
 * struct drm_vnpu_vm_bind - Arguments of DRM_IOCTL_VNPU_VM_BIND
 *
 * The operations are carried out in order, all or none. Errors are found before
 * anything is changed and reported by the ioctl; after that a bind fails only
 * with ENODEV. Binds of a bind queue take effect in the order of the calls, and
 * their fences signal in this order. Those of different queues do not wait for each
 * other's waits, unless the later one has to do with what the earlier one changes:
 * with the same addresses; if it unmapped the last page of 2 MiB, 1 GiB or 512 GiB,
 * aligned, with any address in there; or, if a page of 2 MiB is cut, with that.
 *
 * A submit waits by itself for the synchronous binds before it, and for what the
 * kernel has to map again because it had moved it, which is done in the order of
 * the VM's own bind queue. For an asynchronous bind it waits through a sync, or
 * not at all: until then its job finds the addresses as they were, and memory
 * that is to be unmapped stays where it is.
 *
 * Maps of one call may have as many pages as 16 GiB in pages of 4 KiB have, where
 * 2 MiB that are aligned and contiguous count as one. Where the content of a BO
 * is lost after it was mapped, the range shows nothing, and submits fail with EIO
 * until it is unmapped.
 *
 * Errors: ENOENT also for a queue that is no bind queue; EINVAL also for a bind
 * queue of another VM, a BO that is private to another VM or a range out of the BO
 * or the address space; E2BIG for more than max_bind_ops operations or
 * max_syncs syncs, or for maps with too many pages; EDQUOT for more than
 * max_table_bytes and, if asynchronous, max_jobs.
 */
struct drm_vnpu_vm_bind {
	/** @vm_id: ID of the VM. */
	__u32 vm_id;

	/** @flags: Mask of DRM_VNPU_VM_BIND_ASYNC. */
	__u32 flags;

	/** @bind_queue_id: A queue of the VM with DRM_VNPU_ENGINE_BIND. Zero: the
	 * VM's own bind queue.
	 */
	__u32 bind_queue_id;

	/** @pad: Zero. */
	__u32 pad;

	/** @ops: Array of struct drm_vnpu_vm_bind_op, not empty unless async. */
	struct drm_vnpu_array ops;

	/** @syncs: Array of struct drm_vnpu_sync. */
	struct drm_vnpu_array syncs;
};

/**
 * enum drm_vnpu_queue_priority - Priorities of a queue
 */
enum drm_vnpu_queue_priority {
	/** @DRM_VNPU_QUEUE_PRIORITY_LOW: Background. */
	DRM_VNPU_QUEUE_PRIORITY_LOW = 0,

	/** @DRM_VNPU_QUEUE_PRIORITY_NORMAL: Default. */
	DRM_VNPU_QUEUE_PRIORITY_NORMAL,

	/** @DRM_VNPU_QUEUE_PRIORITY_HIGH: Needs CAP_SYS_NICE. */
	DRM_VNPU_QUEUE_PRIORITY_HIGH,
};

/**
 * struct drm_vnpu_queue_create - Arguments of DRM_IOCTL_VNPU_QUEUE_CREATE
 *
 * A bind queue has DRM_VNPU_QUEUE_PRIORITY_NORMAL, and needs no hardware queue.
 *
 * Errors: EACCES for a priority that the caller may not have; EDQUOT for more
 * than max_queues; EBUSY when all hardware queues are in use.
 */
struct drm_vnpu_queue_create {
	/** @vm_id: VM in which its command buffers run, or that it binds in. */
	__u32 vm_id;

	/** @engine_class: One of enum drm_vnpu_engine_class. */
	__u32 engine_class;

	/** @priority: One of enum drm_vnpu_queue_priority. */
	__u32 priority;

	/** @flags: Zero. */
	__u32 flags;

	/** @id: Out: ID of the queue. */
	__u32 id;

	/** @pad: Zero. */
	__u32 pad;
};

/**
 * struct drm_vnpu_queue_destroy - Arguments of DRM_IOCTL_VNPU_QUEUE_DESTROY
 *
 * Jobs that were submitted before still run, binds are carried out, and their
 * fences signal.
 *
 * The end of the file is different; it comes when its last descriptor and the
 * last mapping of a BO through it are gone, with the process at the latest.
 * Jobs of all queues, of destroyed ones as well, are stopped where they are, those
 * that have not begun never do, and their fences signal with ECANCELED, those
 * included that other processes hold in syncobjs and sync files. So a client that
 * hands fences out keeps its file until they have signalled. Fences of binds signal
 * when their waits have ended.
 */
struct drm_vnpu_queue_destroy {
	/** @id: ID of the queue. */
	__u32 id;

	/** @pad: Zero. */
	__u32 pad;
};

/** @DRM_VNPU_QUEUE_STATE_BANNED: A job failed; submits return ECANCELED. */
#define DRM_VNPU_QUEUE_STATE_BANNED	(1u << 0)
/** @DRM_VNPU_QUEUE_STATE_FAULT: The ban came from a fault; see fault_*. */
#define DRM_VNPU_QUEUE_STATE_FAULT	(1u << 1)
/** @DRM_VNPU_QUEUE_STATE_TIMEOUT: The ban came from a job timeout. */
#define DRM_VNPU_QUEUE_STATE_TIMEOUT	(1u << 2)
/** @DRM_VNPU_QUEUE_STATE_LOST: The whole device was reset, for a reason that lies
 * elsewhere, while the device had begun a job of this queue, or may have: the oldest
 * one that had not finished counts as begun, unless it only synchronizes. The job may
 * have done a part of its work and is not run again: its fence carries ECANCELED.
 * The queue is not banned, and the jobs behind that one run.
 */
#define DRM_VNPU_QUEUE_STATE_LOST	(1u << 3)

/**
 * struct drm_vnpu_queue_query - Arguments of DRM_IOCTL_VNPU_QUEUE_QUERY
 *
 * Errors: ENOENT also for a bind queue, of which there is nothing to tell.
 */
struct drm_vnpu_queue_query {
	/** @id: ID of the queue. */
	__u32 id;

	/** @state: Out: mask of DRM_VNPU_QUEUE_STATE_*. */
	__u32 state;

	/** @fault_code: Out: fault code of the hardware. */
	__u32 fault_code;

	/** @fault_access: Out: access code of the hardware. */
	__u32 fault_access;

	/** @fault_addr: Out: faulting address. */
	__u64 fault_addr;

	/** @fault_ip: Out: address of the packet that faulted. */
	__u64 fault_ip;

	/** @jobs_submitted: Out: jobs submitted so far. */
	__u64 jobs_submitted;

	/** @jobs_completed: Out: jobs finished so far, failed ones included. */
	__u64 jobs_completed;

	/** @busy_ns: Out: ns that jobs have spent on engines, the running one so
	 * far included.
	 */
	__u64 busy_ns;
};

/**
 * struct drm_vnpu_cmd - A command buffer
 */
struct drm_vnpu_cmd {
	/** @va: Virtual address, 8-byte aligned. */
	__u64 va;

	/** @size: Bytes, a multiple of 8, 8 to max_cmd_bytes. */
	__u32 size;

	/** @pad: Zero. */
	__u32 pad;
};

/**
 * struct drm_vnpu_submit_job - A job of a submit
 *
 * It runs its command buffers in order when its waits, synchronous binds of its
 * VM and the jobs before it in the queue have finished. A job without command buffers
 * only synchronizes. When it fails its fence carries an error: ETIME for a
 * timeout, EIO for a fault, ECANCELED for jobs that were behind it; ENODEV when
 * the device is gone. A job that the device had begun when all of it was reset
 * fails with ECANCELED, too; see DRM_VNPU_QUEUE_STATE_LOST. The jobs of the queue
 * behind that one are not affected by a reset.
 */
struct drm_vnpu_submit_job {
	/** @queue_id: ID of the queue. ENOENT for a bind queue. */
	__u32 queue_id;

	/** @flags: Zero. */
	__u32 flags;

	/** @cmds: Array of struct drm_vnpu_cmd. */
	struct drm_vnpu_array cmds;

	/** @syncs: Array of struct drm_vnpu_sync. */
	struct drm_vnpu_array syncs;
};

/** @DRM_VNPU_SUBMIT_GANG: Reserved for jobs that start together: EOPNOTSUPP. */
#define DRM_VNPU_SUBMIT_GANG		(1u << 0)

/**
 * struct drm_vnpu_submit - Arguments of DRM_IOCTL_VNPU_SUBMIT
 *
 * All jobs are submitted or none, those of one queue in the order of the array.
 *
 * Errors: EINVAL also for no job at all and for queues of different VMs;
 * ECANCELED when a queue is banned; E2BIG for more than max_submit_jobs jobs,
 * max_submit_cmds command buffers or max_syncs syncs of a job; EDQUOT for more than
 * max_jobs, or for more than max_table_bytes when BOs come back to the VM in
 * smaller pieces; ENOSPC when the BOs of the VM do not fit into VRAM together.
 */
struct drm_vnpu_submit {
	/** @flags: Mask of DRM_VNPU_SUBMIT_*. */
	__u32 flags;

	/** @pad: Zero. */
	__u32 pad;

	/** @jobs: Array of struct drm_vnpu_submit_job. */
	struct drm_vnpu_array jobs;
};

#define DRM_IOCTL_VNPU(__access, __id, __type) \
	DRM_IO ## __access(DRM_COMMAND_BASE + DRM_VNPU_ ## __id, \
			   struct drm_vnpu_ ## __type)

#define DRM_IOCTL_VNPU_DEV_QUERY	DRM_IOCTL_VNPU(WR, DEV_QUERY, dev_query)
#define DRM_IOCTL_VNPU_BO_CREATE	DRM_IOCTL_VNPU(WR, BO_CREATE, bo_create)
#define DRM_IOCTL_VNPU_BO_MMAP_OFFSET	DRM_IOCTL_VNPU(WR, BO_MMAP_OFFSET, bo_mmap_offset)
#define DRM_IOCTL_VNPU_VM_CREATE	DRM_IOCTL_VNPU(WR, VM_CREATE, vm_create)
#define DRM_IOCTL_VNPU_VM_DESTROY	DRM_IOCTL_VNPU(WR, VM_DESTROY, vm_destroy)
#define DRM_IOCTL_VNPU_VM_BIND		DRM_IOCTL_VNPU(WR, VM_BIND, vm_bind)
#define DRM_IOCTL_VNPU_QUEUE_CREATE	DRM_IOCTL_VNPU(WR, QUEUE_CREATE, queue_create)
#define DRM_IOCTL_VNPU_QUEUE_DESTROY	DRM_IOCTL_VNPU(WR, QUEUE_DESTROY, queue_destroy)
#define DRM_IOCTL_VNPU_QUEUE_QUERY	DRM_IOCTL_VNPU(WR, QUEUE_QUERY, queue_query)
#define DRM_IOCTL_VNPU_SUBMIT		DRM_IOCTL_VNPU(WR, SUBMIT, submit)

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_VNPU_ACCEL_H_ */
