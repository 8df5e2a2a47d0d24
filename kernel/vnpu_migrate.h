/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs of the paging ring: clearing and moving buffer objects.
 */

#ifndef __VNPU_MIGRATE_H__
#define __VNPU_MIGRATE_H__

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/list.h>
#include <linux/mutex.h>

#include <drm/gpu_scheduler.h>

struct dma_fence;
struct ttm_operation_ctx;
struct ttm_resource;
struct vnpu_bo;
struct vnpu_device;

/* Lanes of the paging ring, see "Lanes". The first is for jobs that wait for nothing. */
#define VNPU_MIGRATE_LANES	9

/**
 * struct vnpu_migrate_lane - A queue of jobs
 */
struct vnpu_migrate_lane {
	/** @entity: The queue. */
	struct drm_sched_entity entity;

	/** @jobs: Jobs of it that are not freed yet. */
	u32 jobs;
};

/**
 * struct vnpu_migrate - State of the paging ring's user
 */
struct vnpu_migrate {
	/** @lock: Keeps arming and pushing of jobs together, and protects what is
	 * here. Taken inside reservations; nothing is allocated under it.
	 */
	struct mutex lock;

	/** @lanes: Where jobs are queued. */
	struct vnpu_migrate_lane lanes[VNPU_MIGRATE_LANES];

	/** @jobs: Jobs that are not freed yet. */
	struct list_head jobs;

	/** @ops: Number of the last clear or move; no lock. */
	atomic64_t ops;

	/** @ready: Jobs can be queued. */
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

void vnpu_migrate_cancel(struct vnpu_device *vdev, struct dma_fence *fence);

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
