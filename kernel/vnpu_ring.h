/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_RING_H
#define VNPU_RING_H

#include <linux/dma-fence.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <drm/gpu_scheduler.h>

#include "vnpu_hw.h"

struct vnpu_device;
struct vnpu_stats;

/*
 * A ring has 128 entries: one page. It takes seven of the largest submits,
 * enough to keep the device busy while the CPU catches up.
 */
#define VNPU_RING_LOG2		7
#define VNPU_RING_ENTRIES	(1u << VNPU_RING_LOG2)
#define VNPU_RING_BYTES		(VNPU_RING_ENTRIES * VNPU_RING_ENTRY_BYTES)

/*
 * Entries that jobs in flight may take together. One stays free because HEAD
 * may still name a fence entry when its fence is already visible.
 */
#define VNPU_RING_CREDITS	(VNPU_RING_ENTRIES - 1)

/* Fence of a job on a hardware queue. */
struct vnpu_fence {
	struct dma_fence base;

	/* In vnpu_ring.pending until signalled; under vnpu_ring.lock. */
	struct list_head link;

	/* First entry of its job and the entry after its last one. */
	u32 start;
	u32 end;
};

/* Why and where a ring stopped, as the event record said. */
struct vnpu_ring_fault {
	u32 code;
	u32 access;
	u64 addr;
	u64 ip;
};

struct vnpu_ring_args {
	/* Static string, seen as name of scheduler and fence timeline. */
	const char *name;

	/* Hardware queue, engine, context and priority (enum vnpu_priority). */
	u32 id;
	u32 engine;
	u32 ctx;
	u32 priority;

	/* Where busy times are added up: may be NULL. */
	struct vnpu_stats *stats;
	u32 engine_class;
};

/* A hardware queue with its scheduler. */
struct vnpu_ring {
	struct vnpu_device *vdev;
	struct drm_gpu_scheduler sched;

	/* Constant. */
	const char *name;
	u32 id;
	u32 engine;
	u32 ctx;
	u32 priority;
	u32 vector;
	u32 engine_class;
	bool kernel;
	struct vnpu_stats *stats;
	u64 fence_context;

	/*
	 * The entries, in coherent memory; NULL once the hardware queue is
	 * given up. Written under vnpu_device.reset_lock held for reading, by
	 * run_job only, which the scheduler does one at a time.
	 */
	void *entries;
	dma_addr_t dma;

	/* Free-running index of the next entry to write; as @entries. */
	u32 tail;

	/* In vnpu_irq_vector.rings. */
	struct list_head irq_link;

	/* Guards all below but @jobs. Taken in hard IRQ. */
	spinlock_t lock;

	/* Fences of jobs that the hardware has, oldest first. */
	struct list_head pending;

	/* Fence values: last one given out. */
	u64 seqno;

	/* Not zero: no job may run any more; jobs get this error. */
	int error;

	/* Recovery has to look at this ring because it faulted. */
	bool faulted;
	struct vnpu_ring_fault fault;

	/* Why the ring was banned: mask of DRM_VNPU_QUEUE_STATE_*. */
	u32 ban;

	/* Counts of jobs handed over by the user and finished. */
	u64 submitted;
	u64 completed;

	/* busy_ns of the last fence record, and the sum over all resets. */
	u64 last_busy;
	u64 busy_ns;

	/* What the last timeout saw: for the watchdog in vnpu_reset.c. */
	u64 watch_seqno;
	u32 watch_progress;
	u32 watch_periods;

	/* Recovery from a fault. Runs on vnpu_device.reset_wq. */
	struct work_struct fault_work;

	/* Jobs that exist, from init to free; teardown waits for none. */
	atomic_t jobs;
	wait_queue_head_t idle;
};

struct vnpu_ring *vnpu_ring_create(struct vnpu_device *vdev,
				   const struct vnpu_ring_args *args);
void vnpu_ring_destroy(struct vnpu_ring *ring);
int vnpu_ring_entity_init(struct vnpu_ring *ring, struct drm_sched_entity *entity);

/* For ops of jobs: between begin and commit, in run_job. */
void vnpu_ring_emit_indirect(struct vnpu_ring *ring, u64 addr, u32 size);
void vnpu_ring_emit_invalidate(struct vnpu_ring *ring, u32 ctx, u64 va, u64 size);
void vnpu_ring_emit_invalidate_ctx(struct vnpu_ring *ring, u32 ctx);

/* For the job core and recovery. */
void vnpu_ring_begin(struct vnpu_ring *ring, struct vnpu_fence *fence);
void vnpu_ring_commit(struct vnpu_ring *ring, struct vnpu_fence *fence);
void vnpu_ring_process(struct vnpu_ring *ring);
void vnpu_ring_fail(struct vnpu_ring *ring, int first, int rest);
int vnpu_ring_hw_reset(struct vnpu_ring *ring);
void vnpu_ring_hw_replay(struct vnpu_ring *ring);
void vnpu_ring_hw_fini(struct vnpu_ring *ring);
bool vnpu_ring_is_idle(struct vnpu_ring *ring);
struct vnpu_fence *vnpu_fence_alloc(void);

#endif
