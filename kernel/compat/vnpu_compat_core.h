/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fences, scheduler and driver description on older kernels.
 */

#ifndef VNPU_COMPAT_CORE_H
#define VNPU_COMPAT_CORE_H

#ifndef VNPU_HAVE_DMA_FENCE_INLINE_LOCK
#include <linux/dma-fence.h>

#include <drm/gpu_scheduler.h>

void vnpu_compat_dma_fence_init(struct dma_fence *fence, const struct dma_fence_ops *ops,
				spinlock_t *lock, u64 context, u64 seqno);
#define dma_fence_init vnpu_compat_dma_fence_init

int vnpu_compat_sched_init(struct drm_gpu_scheduler *sched,
			   const struct drm_sched_init_args *args);
#define drm_sched_init vnpu_compat_sched_init
#endif

#ifdef VNPU_HAVE_DRIVER_GEM_GPUVA
#include <drm/drm_drv.h>

/* The driver has all of these features or none. */
#define DRIVER_SYNCOBJ_TIMELINE	(DRIVER_SYNCOBJ_TIMELINE | DRIVER_GEM_GPUVA)
#endif

#ifndef VNPU_HAVE_WQ_PERCPU
/* What is not unbound is bound to a processor. */
#define WQ_PERCPU	0
#endif

#include <linux/module.h>

/* A string, as it is by now, where it was a token once. */
#undef MODULE_IMPORT_NS
#define MODULE_IMPORT_NS(ns)	MODULE_INFO(import_ns, ns)

#endif
