/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs of the paging ring: clearing and moving buffer objects.
 */

#ifndef __VNPU_MIGRATE_H__
#define __VNPU_MIGRATE_H__

#include <linux/mutex.h>

#include <drm/gpu_scheduler.h>

struct dma_fence;
struct ttm_operation_ctx;
struct ttm_resource;
struct vnpu_bo;
struct vnpu_device;

/**
 * struct vnpu_migrate - State of the paging ring's user
 */
struct vnpu_migrate {
	/** @lock: Keeps arming and pushing of jobs together. Taken inside
	 * reservations; nothing is allocated under it.
	 */
	struct mutex lock;

	/** @entity: Where jobs are queued. */
	struct drm_sched_entity entity;
};

/* After the paging ring exists; managed by drmm. */
int vnpu_migrate_init(struct vnpu_device *vdev);
/* Before the paging ring goes: no job can be queued from here on. */
void vnpu_migrate_fini(struct vnpu_device *vdev);

/*
 * Reservation held. Both return a fence that the caller owns, or an error. The
 * jobs wait for the fences of the BO's reservation.
 */
struct dma_fence *vnpu_migrate_clear(struct vnpu_bo *bo,
				     struct ttm_resource *dst);
struct dma_fence *vnpu_migrate_copy(struct vnpu_bo *bo,
				    struct ttm_resource *src,
				    struct ttm_resource *dst);

/* The same by CPU; the caller has waited for the fences of the reservation. */
int vnpu_migrate_clear_cpu(struct vnpu_bo *bo, struct ttm_resource *dst);
int vnpu_migrate_copy_cpu(struct vnpu_bo *bo, struct ttm_resource *src,
			  struct ttm_resource *dst);

#endif
