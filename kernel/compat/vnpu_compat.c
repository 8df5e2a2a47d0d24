// SPDX-License-Identifier: GPL-2.0-only
/*
 * What cannot be made up for in a header.
 */

#include <linux/module.h>

#include "vnpu_job.h"

#ifndef VNPU_HAVE_DMA_FENCE_INLINE_LOCK
#undef dma_fence_init

/*
 * A fence here needs a lock from outside that lives as long as the fence, and it
 * uses its ops as long as it lives. So all fences share this lock: their
 * callbacks touch no other fence of the driver. And each fence keeps the module
 * loaded, because a finished fence of the scheduler that user space holds keeps
 * the one of the driver.
 */
static DEFINE_SPINLOCK(vnpu_compat_fence_lock);

static const char *vnpu_compat_fence_name(struct dma_fence *fence)
{
	return "vnpu";
}

static void vnpu_compat_fence_release(struct dma_fence *fence)
{
	dma_fence_free(fence);
	module_put(THIS_MODULE);
}

static const struct dma_fence_ops vnpu_compat_fence_ops = {
	.get_driver_name = vnpu_compat_fence_name,
	.get_timeline_name = vnpu_compat_fence_name,
	.release = vnpu_compat_fence_release,
};

void vnpu_compat_dma_fence_init(struct dma_fence *fence, const struct dma_fence_ops *ops,
				spinlock_t *lock, u64 context, u64 seqno)
{
	if (lock) {
		dma_fence_init(fence, ops, lock, context, seqno);
		return;
	}

	__module_get(THIS_MODULE);
	dma_fence_init(fence, &vnpu_compat_fence_ops, &vnpu_compat_fence_lock, context, seqno);
}
#endif

#ifndef VNPU_HAVE_DMA_FENCE_INLINE_LOCK
#undef drm_sched_init

/* Those of the driver, which has one set for all of its schedulers. */
static const struct drm_sched_backend_ops *vnpu_compat_sched_driver_ops;

/*
 * Fences of the kernel's own jobs are kept by what lives as long as the device,
 * so the module could never go: see vnpu_compat_dma_fence_init(). The job has
 * finished, so nobody needs the hardware's fence any more.
 */
static void vnpu_compat_sched_free(struct drm_sched_job *job)
{
	if (to_vnpu_job(job)->ring->kernel) {
		dma_fence_put(job->s_fence->parent);
		job->s_fence->parent = NULL;
	}

	vnpu_compat_sched_driver_ops->free_job(job);
}

static struct drm_sched_backend_ops vnpu_compat_sched_ops = {
	.free_job = vnpu_compat_sched_free,
};

int vnpu_compat_sched_init(struct drm_gpu_scheduler *sched,
			   const struct drm_sched_init_args *args)
{
	struct drm_sched_init_args compat = *args;

	vnpu_compat_sched_ops.prepare_job = args->ops->prepare_job;
	vnpu_compat_sched_ops.run_job = args->ops->run_job;
	vnpu_compat_sched_driver_ops = args->ops;

	compat.ops = &vnpu_compat_sched_ops;
	return drm_sched_init(sched, &compat);
}
#endif
