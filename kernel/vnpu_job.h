/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_JOB_H
#define VNPU_JOB_H

#include <drm/gpu_scheduler.h>

#include "vnpu_ring.h"

struct vnpu_job;

struct vnpu_job_ops {
	/*
	 * Optional: what the job waits for when its dependencies have signalled:
	 * a new reference to a fence, or NULL. Called again when that has. In the
	 * signalling path as @emit is.
	 */
	struct dma_fence *(*prepare)(struct vnpu_job *job);

	/*
	 * Optional: whether the job may run, 0 or the error that it fails with.
	 * Called as @emit is, right before it.
	 */
	int (*check)(struct vnpu_job *job);

	/*
	 * Optional: does by CPU what has to be done ahead of the ring entries.
	 * Called as @emit is, right before it. Returns true if that was all and
	 * the job has finished: then the ring has no part in it.
	 */
	bool (*run)(struct vnpu_job *job);

	/*
	 * Write up to vnpu_job.num_entries ring entries. Runs in run_job, so in
	 * the fence signalling path: no allocation that may sleep or reclaim,
	 * no reservation lock, no wait for a fence. The device is there.
	 */
	void (*emit)(struct vnpu_job *job, struct vnpu_ring *ring);

	/*
	 * Free the job and all it holds. Called once, whether the job ran or
	 * not; may sleep. The ring may be touched no more after it.
	 */
	void (*free)(struct vnpu_job *job);
};

/*
 * What a ring runs: some entries, then a fence. Embedded in the structures of
 * the users of rings.
 */
struct vnpu_job {
	struct drm_sched_job base;
	const struct vnpu_job_ops *ops;
	struct vnpu_ring *ring;

	/* Allocated ahead, given away when the job runs. */
	struct vnpu_fence *fence;

	/* Most entries that @ops->emit writes; the fence is not counted. */
	u32 num_entries;

	/* It is the scheduler's; the scheduler has run it. As vnpu_ring counts. */
	bool armed;
	bool ran;
};

static inline struct vnpu_job *to_vnpu_job(struct drm_sched_job *job)
{
	return container_of(job, struct vnpu_job, base);
}

/* Most entries a job may have besides its fence. */
#define VNPU_JOB_MAX_ENTRIES	(VNPU_RING_CREDITS - 1)

extern const struct drm_sched_backend_ops vnpu_sched_ops;

int vnpu_job_init(struct vnpu_job *job, const struct vnpu_job_ops *ops,
		  struct vnpu_ring *ring, struct drm_sched_entity *entity,
		  u32 num_entries, void *owner, u64 client_id);
struct dma_fence *vnpu_job_arm(struct vnpu_job *job);
void vnpu_job_push(struct vnpu_job *job);
void vnpu_job_abandon(struct vnpu_job *job);

#endif
