/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_RING_H
#define VNPU_RING_H

#include <linux/dma-fence.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
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
#define VNPU_RING_ENTRIES	BIT(VNPU_RING_LOG2)
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

/* Any hardware queue that is free and not the driver's own. */
#define VNPU_ANY_QUEUE		U32_MAX

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

/* What the watch of a ring saw last. Times are in jiffies. */
struct vnpu_look {
	/* Fence value of the first job; zero: no job, or one not seen yet. */
	u64 seqno;

	/* When, PROGRESS, and JOBS of the engine. */
	unsigned long at;
	u32 progress;
	u32 jobs;

	/* Since when the job is first, less the time that others had its engine. */
	unsigned long first;

	/* When it last moved, or could not for others' sake; when it last moved. */
	unsigned long moved;
	unsigned long served;
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
	 * given up, which changes under vnpu_device.reset_lock held for writing
	 * and @lock. Written under the former held for reading, by run_job
	 * only, which the scheduler does one at a time.
	 */
	void *entries;
	dma_addr_t dma;

	/* Has its hardware queue; changes under vnpu_device.rings_lock. */
	bool attached;

	/* Free-running index of the next entry to write; as @entries. */
	u32 tail;

	/* In vnpu_irq_vector.rings. */
	struct list_head irq_link;

	/* Guards what is below, where nothing else is said. Taken in hard IRQ. */
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

	/*
	 * The first job is to fail with @fail, if that is not zero, when the
	 * hardware is stopped. For a client's ring @state says why, that it is
	 * banned, and that it lost a job: mask of DRM_VNPU_QUEUE_STATE_*.
	 */
	int fail;
	u32 state;

	/* Counts of jobs handed over by the user and finished. */
	u64 submitted;
	u64 completed;

	/* busy_ns of the last fence record, and the sum over all resets. */
	u64 last_busy;
	u64 busy_ns;

	/*
	 * Looks at the ring for as long as jobs are pending. Runs on
	 * vnpu_device.reset_wq. @watching: it is queued or runs.
	 */
	struct delayed_work watch;
	bool watching;

	/* Jiffies without progress until a job is given up, or zero; constant. */
	unsigned long timeout;

	/* Under vnpu_device.reset_lock held for writing. */
	struct vnpu_look look;

	/* It has a higher priority than @priority for the time being; as above. */
	bool raised;

	/* Job of a kernel ring that has been started over once; as above. */
	u64 retried_seqno;

	/* Recovery from a fault. Runs on vnpu_device.reset_wq. */
	struct work_struct fault_work;

	/*
	 * Jobs that exist, from init to free, which teardown waits for; those of
	 * them that are the scheduler's; those of these that it has run. @idle
	 * is woken when one of them gets to zero, and for each new job.
	 */
	u32 jobs;
	u32 armed;
	u32 ran;
	wait_queue_head_t idle;

	/* The scheduler is seen by its fences, which may outlive it. */
	struct rcu_head rcu;
};

struct vnpu_ring *vnpu_ring_create(struct vnpu_device *vdev,
				   const struct vnpu_ring_args *args);
void vnpu_ring_detach(struct vnpu_ring *ring);
void vnpu_ring_destroy(struct vnpu_ring *ring);
int vnpu_ring_entity_init(struct vnpu_ring *ring, struct drm_sched_entity *entity);

/* For ops of jobs: between begin and commit, in run_job. */
void vnpu_ring_emit_indirect(struct vnpu_ring *ring, u64 addr, u32 size);
void vnpu_ring_emit_invalidate(struct vnpu_ring *ring, u32 ctx, u64 va, u64 size);
void vnpu_ring_emit_invalidate_ctx(struct vnpu_ring *ring, u32 ctx);

u64 vnpu_ring_first_seqno(struct vnpu_ring *ring);
u32 vnpu_ring_entry_at(struct vnpu_ring *ring, u32 head, u32 *ctx);
void vnpu_ring_watch_again(struct vnpu_ring *ring);

void vnpu_ring_get_job(struct vnpu_ring *ring);
void vnpu_ring_arm_job(struct vnpu_ring *ring);
void vnpu_ring_ran_job(struct vnpu_ring *ring);
void vnpu_ring_put_job(struct vnpu_ring *ring, bool armed, bool ran);
bool vnpu_ring_has_no_job(struct vnpu_ring *ring);
void vnpu_ring_wait_idle(struct vnpu_ring *ring);

/* For the job core: vnpu_device.reset_lock held for reading, device there. */
void vnpu_ring_begin(struct vnpu_ring *ring, struct vnpu_fence *fence);
void vnpu_ring_commit(struct vnpu_ring *ring, struct vnpu_fence *fence);
struct vnpu_fence *vnpu_fence_alloc(void);

/* Any context. */
void vnpu_ring_process(struct vnpu_ring *ring);
void vnpu_ring_fault(struct vnpu_ring *ring, const struct vnpu_ring_fault *fault);
void vnpu_ring_fail(struct vnpu_ring *ring, int first, int rest);
void vnpu_ring_finish(struct vnpu_ring *ring);
void vnpu_ring_fail_first(struct vnpu_ring *ring, int error);
bool vnpu_ring_has_begun_job(struct vnpu_ring *ring);
void vnpu_ring_count_done(struct vnpu_ring *ring);
u64 vnpu_ring_busy_ns(struct vnpu_ring *ring);

/* Process context. */
void vnpu_ring_sample_busy(struct vnpu_ring *ring);
void vnpu_ring_sample_all_busy(struct vnpu_device *vdev, struct vnpu_stats *stats);

/* For recovery: vnpu_device.reset_lock held for writing, device there. */
int vnpu_ring_hw_reset(struct vnpu_ring *ring);
void vnpu_ring_hw_save(struct vnpu_ring *ring);
void vnpu_ring_hw_set_priority(struct vnpu_ring *ring, u32 priority);
void vnpu_ring_hw_replay(struct vnpu_ring *ring);
void vnpu_ring_hw_fini(struct vnpu_ring *ring);

#endif
