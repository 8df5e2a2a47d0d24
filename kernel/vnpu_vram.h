/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VRAM manager: a TTM resource manager on the buddy allocator.
 */

#ifndef __VNPU_VRAM_H__
#define __VNPU_VRAM_H__

#include <linux/gpu_buddy.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include <drm/ttm/ttm_placement.h>
#include <drm/ttm/ttm_resource.h>

struct drm_printer;
struct ttm_device;
struct vnpu_device;
struct vnpu_vacating;

/**
 * struct vnpu_vram_mgr - All of VRAM
 */
struct vnpu_vram_mgr {
	/** @base: What TTM sees. */
	struct ttm_resource_manager base;

	/** @mm: The allocator; protected by @lock. */
	struct gpu_buddy mm;

	/** @lock: Protects what is here and not constant. Taken inside reservations. */
	struct mutex lock;

	/** @size: Bytes of VRAM; constant. */
	u64 size;

	/** @visible_size: Bytes from offset 0 that the CPU can map; constant. */
	u64 visible_size;

	/** @visible_used: Bytes of these in use. */
	u64 visible_used;

	/** @vacating: List of struct vnpu_vacating, the oldest first. */
	struct list_head vacating;

	/** @held: Bytes of @vacating that @mm takes for allocated. */
	u64 held;
};

/**
 * struct vnpu_vram_resource - A set of VRAM blocks
 */
struct vnpu_vram_resource {
	/** @base: What TTM sees. */
	struct ttm_resource base;

	/** @blocks: List of struct gpu_buddy_block, in the order of the BO. */
	struct list_head blocks;

	/** @visible: Bytes of the blocks that the CPU can map. */
	u64 visible;

	/** @vacating: For when it is freed before its content is gone, or NULL. */
	struct vnpu_vacating *vacating;
};

#define to_vnpu_vram_mgr(man) \
	container_of(man, struct vnpu_vram_mgr, base)
#define to_vnpu_vram_resource(res) \
	container_of(res, struct vnpu_vram_resource, base)

int vnpu_vram_mgr_init(struct vnpu_vram_mgr *mgr, struct ttm_device *bdev,
		       u64 size, u64 visible_size);
void vnpu_vram_mgr_fini(struct vnpu_vram_mgr *mgr, struct ttm_device *bdev);

u64 vnpu_vram_used(struct vnpu_vram_mgr *mgr);
u64 vnpu_vram_visible_used(struct vnpu_vram_mgr *mgr);

bool vnpu_vram_res_visible(const struct ttm_resource *res);
u64 vnpu_vram_res_offset(struct vnpu_vram_mgr *mgr,
			 const struct ttm_resource *res, u64 pos);

/*
 * What follows is the manager without TTM, apart for its unit tests.
 */

/**
 * struct vnpu_vram_request - What to ask of the buddy allocator
 */
struct vnpu_vram_request {
	/** @start: First offset that will do. */
	u64 start;

	/** @end: Where offsets will do no more. */
	u64 end;

	/** @size: Bytes. */
	u64 size;

	/** @align: Least size and alignment of a block. */
	u64 align;

	/** @flags: Mask of GPU_BUDDY_*. */
	unsigned long flags;
};

extern const struct ttm_resource_manager_func vnpu_vram_mgr_func;

int vnpu_vram_request_init(struct vnpu_vram_request *req, u64 total, u64 size,
			   u64 align, const struct ttm_place *place);
int vnpu_vram_take(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres,
		   const struct vnpu_vram_request *req, u64 min_align);
void vnpu_vram_give(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres);
u64 vnpu_vram_visible_part(u64 offset, u64 size, u64 visible_size);
bool vnpu_vram_block_within(u64 offset, u64 size, const struct ttm_place *place);
bool vnpu_vram_block_overlaps(u64 offset, u64 size,
			      const struct ttm_place *place);

#endif
