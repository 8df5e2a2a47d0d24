/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs of the paging ring: clearing and moving buffer objects.
 */

#ifndef __VNPU_MIGRATE_H__
#define __VNPU_MIGRATE_H__

#include <linux/err.h>
#include <linux/list.h>
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
	/** @lock: Keeps arming and pushing of jobs together, and protects @jobs.
	 * Taken inside reservations; nothing is allocated under it.
	 */
	struct mutex lock;

	/** @entity: Where jobs are queued; under @lock. */
	struct drm_sched_entity entity;

	/** @jobs: Jobs that are not freed yet, for their command buffers. */
	struct list_head jobs;

	/** @ready: Jobs can be queued; under @lock. */
	bool ready;
};

/* Whether moves are done by jobs, as far as is known. */
bool vnpu_migrate_usable(struct vnpu_device *vdev);

/* After the paging ring was made; managed by drmm. */
int vnpu_migrate_init(struct vnpu_device *vdev);
/*
 * On unplug, when the rings have failed: nothing can be queued any more, nothing
 * runs, and command buffers, which go with the PCI device, are given back.
 */
void vnpu_migrate_unplug(struct vnpu_device *vdev);

/*
 * Reservation held. Both return a fence that the caller owns or an error. The
 * job that clears waits for the KERNEL fences of the reservation, the one that
 * copies for all. A copy also fails if the last clear or copy of the BO has.
 */
struct dma_fence *vnpu_migrate_clear(struct vnpu_bo *bo,
				     struct ttm_resource *dst);
struct dma_fence *vnpu_migrate_copy(struct vnpu_bo *bo,
				    struct ttm_resource *src,
				    struct ttm_resource *dst);

/* Whether the ring is the trouble. */
static inline bool vnpu_migrate_use_cpu(int err)
{
	return err == -ENODEV;
}

/*
 * The same by CPU; the caller has waited for the fences of the reservation.
 * -EIO: the CPU cannot reach the memory.
 */
int vnpu_migrate_clear_cpu(struct vnpu_bo *bo, struct ttm_resource *dst);
int vnpu_migrate_copy_cpu(struct vnpu_bo *bo, struct ttm_resource *src,
			  struct ttm_resource *dst);

#endif
