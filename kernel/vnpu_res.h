/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The segments that the memory of a buffer object consists of.
 */

#ifndef __VNPU_RES_H__
#define __VNPU_RES_H__

#include <linux/types.h>

struct gpu_buddy_block;
struct scatterlist;
struct ttm_resource;
struct vnpu_bo;
struct vnpu_device;

/**
 * struct vnpu_res_cursor - Walks a range of a BO in contiguous segments
 */
struct vnpu_res_cursor {
	/** @addr: VRAM offset or DMA address of the segment. */
	u64 addr;

	/** @size: Bytes left of the segment, zero at the end of the range. */
	u64 size;

	/** @remaining: Bytes left of the range, the segment included. */
	u64 remaining;

	/** @vram: @addr is a VRAM offset. */
	bool vram;

	/* Private: where it is in the list of blocks or in the mapped pages. */
	struct vnpu_device *vdev;
	struct gpu_buddy_block *block;
	struct scatterlist *sg;
};

void vnpu_res_first(struct vnpu_bo *bo, u64 offset, u64 size,
		    struct vnpu_res_cursor *cur);
void vnpu_res_first_in(struct vnpu_bo *bo, struct ttm_resource *res, u64 offset,
		       u64 size, struct vnpu_res_cursor *cur);
void vnpu_res_next(struct vnpu_res_cursor *cur, u64 n);

#endif
