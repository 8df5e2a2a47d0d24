// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs, and what the scheduler asks of the driver.
 */

#include <linux/slab.h>

#include <drm/drm_drv.h>

#include "vnpu_device.h"
#include "vnpu_job.h"

static void vnpu_job_free(struct vnpu_job *job)
{
	struct vnpu_ring *ring = job->ring;
	bool armed = job->armed, ran = job->ran;

	drm_sched_job_cleanup(&job->base);
	kfree(job->fence);
	/*
	 * The ring may go as soon as nobody counts on it, so it is not looked at
	 * after the count. A job's own reference, if it has one, is given up by
	 * its free, which comes last.
	 */
	job->ops->free(job);
	vnpu_ring_put_job(ring, armed, ran);
}

/* Both can fail; either way the caller keeps @job if they do. */
int vnpu_job_init(struct vnpu_job *job, const struct vnpu_job_ops *ops,
		  struct vnpu_ring *ring, struct drm_sched_entity *entity,
		  u32 num_entries, void *owner, u64 client_id)
{
	int ret;

	if (WARN_ON(num_entries > VNPU_JOB_MAX_ENTRIES))
		return -EINVAL;

	job->fence = vnpu_fence_alloc();
	if (!job->fence)
		return -ENOMEM;

	/* One credit an entry, the fence's included. */
	ret = drm_sched_job_init(&job->base, entity, num_entries + 1, owner, client_id);
	if (ret) {
		kfree(job->fence);
		job->fence = NULL;
		return ret;
	}

	job->ops = ops;
	job->ring = ring;
	job->num_entries = num_entries;
	vnpu_ring_get_job(ring);
	return 0;
}

/*
 * From here on the job must be pushed. Returns the fence that is signalled when
 * the job has finished; it is the job's reference, valid until the push.
 */
struct dma_fence *vnpu_job_arm(struct vnpu_job *job)
{
	vnpu_ring_arm_job(job->ring);
	job->armed = true;

	drm_sched_job_arm(&job->base);
	return &job->base.s_fence->finished;
}

void vnpu_job_push(struct vnpu_job *job)
{
	drm_sched_entity_push_job(&job->base);
}

/* The job was initialized but not armed: it will not run. */
void vnpu_job_abandon(struct vnpu_job *job)
{
	vnpu_job_free(job);
}

/*
 * Hand the job to the hardware, unless there is none for it any more. Returns 1
 * if it has finished without.
 */
static int vnpu_job_start(struct vnpu_job *job)
{
	struct vnpu_ring *ring = job->ring;
	int idx, ret;

	lockdep_assert_held_read(&ring->vdev->reset_lock);

	if (ring->error)
		return ring->error;
	if (job->ops->check) {
		ret = job->ops->check(job);
		if (ret)
			return ret;
	}
	if (!drm_dev_enter(&ring->vdev->drm, &idx))
		return -ENODEV;

	if (job->ops->run && job->ops->run(job)) {
		drm_dev_exit(idx);
		return 1;
	}

	vnpu_ring_begin(ring, job->fence);
	job->ops->emit(job, ring);
	WARN_ON_ONCE(ring->tail - job->fence->start > job->num_entries);
	vnpu_ring_commit(ring, job->fence);

	drm_dev_exit(idx);
	return 0;
}

static struct dma_fence *vnpu_job_prepare(struct drm_sched_job *base,
					  struct drm_sched_entity *entity)
{
	struct vnpu_job *job = to_vnpu_job(base);

	return job->ops->prepare ? job->ops->prepare(job) : NULL;
}

/*
 * A failed dependency is no reason not to run: who depends on the result of
 * another job looks at its fence. The fence returned carries a reference for
 * the scheduler; the ring has its own.
 */
static struct dma_fence *vnpu_job_run(struct drm_sched_job *base)
{
	struct vnpu_job *job = to_vnpu_job(base);
	struct vnpu_ring *ring = job->ring;
	bool cookie = dma_fence_begin_signalling();
	struct vnpu_fence *fence = job->fence;
	int ret;

	vnpu_ring_ran_job(ring);
	job->ran = true;

	vnpu_device_lock_read(ring->vdev);
	ret = vnpu_job_start(job);
	if (!ret)
		job->fence = NULL;
	up_read(&ring->vdev->reset_lock);

	/* No fence: it has finished. */
	if (ret)
		vnpu_ring_count_done(ring);

	dma_fence_end_signalling(cookie);
	if (ret)
		return ret < 0 ? ERR_PTR(ret) : NULL;
	return &fence->base;
}

static void vnpu_job_sched_free(struct drm_sched_job *base)
{
	vnpu_job_free(to_vnpu_job(base));
}

/*
 * No cancel_job: vnpu_ring_destroy() waits until there is no job left. No
 * timedout_job: the scheduler is given no timeout, see vnpu_ring_watch().
 */
const struct drm_sched_backend_ops vnpu_sched_ops = {
	.prepare_job = vnpu_job_prepare,
	.run_job = vnpu_job_run,
	.free_job = vnpu_job_sched_free,
};
