/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System memory of buffer objects.
 */

#ifndef __VNPU_TT_H__
#define __VNPU_TT_H__

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/types.h>
#include <linux/wait.h>

#include <drm/ttm/ttm_resource.h>
#include <drm/ttm/ttm_tt.h>

struct ttm_buffer_object;
struct ttm_device;
struct ttm_operation_ctx;
struct vnpu_bo;

/**
 * struct vnpu_tt_mgr - System memory that the device can reach
 */
struct vnpu_tt_mgr {
	/** @base: What TTM sees; its size is in bytes. */
	struct ttm_resource_manager base;

	/** @lock: Protects what is below. Taken inside reservations. */
	struct mutex lock;

	/** @mapped: List of struct vnpu_tt that have DMA addresses. */
	struct list_head mapped;

	/** @imports: List of struct vnpu_bo that belong to other drivers. */
	struct list_head imports;

	/** @importing: Imports that are being made. */
	unsigned int importing;

	/** @unmapping: The import whose DMA addresses unplug gives back, or NULL. */
	struct vnpu_bo *unmapping;

	/** @import_wait: Woken when one of the three above changes. */
	wait_queue_head_t import_wait;

	/** @no_imports: Unplug has begun: there are no new imports. */
	bool no_imports;

	/** @gone: The device is gone and nothing may be mapped for it. */
	bool gone;
};

/**
 * struct vnpu_tt - Pages of a buffer object
 */
struct vnpu_tt {
	/** @base: The pages; see &struct ttm_tt. */
	struct ttm_tt base;

	/** @mgr: The manager; constant. */
	struct vnpu_tt_mgr *mgr;

	/** @dev: The device they are mapped for; constant. */
	struct device *dev;

	/** @sgt: Pages and DMA addresses; as @mapped. */
	struct sg_table sgt;

	/** @mapped: @sgt is valid; protected by vnpu_tt_mgr.lock and, but for
	 * the end of the device, by the reservation.
	 */
	bool mapped;

	/** @link: In vnpu_tt_mgr.mapped. */
	struct list_head link;
};

#define to_vnpu_tt(tt) container_of(tt, struct vnpu_tt, base)

int vnpu_tt_mgr_init(struct vnpu_tt_mgr *mgr, struct ttm_device *bdev);
void vnpu_tt_mgr_fini(struct vnpu_tt_mgr *mgr, struct ttm_device *bdev);
/* No fence is pending and none will be: takes the device's mappings away. */
void vnpu_tt_mgr_unplug(struct vnpu_tt_mgr *mgr);

/* Operations of the TTM device. */
struct ttm_tt *vnpu_tt_create(struct ttm_buffer_object *tbo, u32 page_flags);
int vnpu_tt_populate(struct ttm_device *bdev, struct ttm_tt *tt,
		     struct ttm_operation_ctx *ctx);
void vnpu_tt_unpopulate(struct ttm_device *bdev, struct ttm_tt *tt);
void vnpu_tt_destroy(struct ttm_device *bdev, struct ttm_tt *tt);

/* The mapped pages, or NULL. */
struct sg_table *vnpu_tt_sgt(struct ttm_tt *tt);

#endif
