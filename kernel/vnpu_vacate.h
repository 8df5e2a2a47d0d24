/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VRAM whose content is still being copied away.
 */

#ifndef __VNPU_VACATE_H__
#define __VNPU_VACATE_H__

#include <linux/list.h>
#include <linux/types.h>

struct dma_fence;
struct dma_resv;
struct vnpu_vram_mgr;
struct vnpu_vram_resource;

/**
 * struct vnpu_vacating_range - A block of it
 */
struct vnpu_vacating_range {
	/** @offset: VRAM offset. */
	u64 offset;

	/** @size: Bytes. */
	u64 size;
};

/**
 * struct vnpu_vacating - Memory of a BO that has moved
 *
 * Protected by &vnpu_vram_mgr.lock once it is on the list.
 */
struct vnpu_vacating {
	/** @link: In vnpu_vram_mgr.vacating. */
	struct list_head link;

	/** @fence: Signals when the content has been copied; constant. */
	struct dma_fence *fence;

	/** @blocks: List of struct gpu_buddy_block that nobody has yet; empty when
	 * they have been given to the allocator.
	 */
	struct list_head blocks;

	/** @size: Bytes; constant. */
	u64 size;

	/** @num_ranges: Elements of @ranges; constant. */
	u32 num_ranges;

	/** @ranges: What the memory is; constant. */
	struct vnpu_vacating_range ranges[] __counted_by(num_ranges);
};

int vnpu_vacate_prepare(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres,
			struct dma_fence *fence);
void vnpu_vacate_hold(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres);
void vnpu_vacate_reap(struct vnpu_vram_mgr *mgr);
bool vnpu_vacate_release(struct vnpu_vram_mgr *mgr);
int vnpu_vacate_add_fences(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres,
			   struct dma_resv *resv);
void vnpu_vacate_fini(struct vnpu_vram_mgr *mgr);

#endif
