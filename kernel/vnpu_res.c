// SPDX-License-Identifier: GPL-2.0-only
/*
 * The segments that the memory of a buffer object consists of.
 */

#include <linux/dma-resv.h>
#include <linux/minmax.h>
#include <linux/scatterlist.h>

#include <drm/ttm/ttm_bo.h>

#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_res.h"
#include "vnpu_tt.h"
#include "vnpu_vram.h"

static void vnpu_res_load(struct vnpu_res_cursor *cur, u64 skip)
{
	u64 addr, size;

	if (cur->vram) {
		addr = gpu_buddy_block_offset(cur->block);
		size = gpu_buddy_block_size(&cur->vdev->vram.mm, cur->block);
	} else {
		addr = sg_dma_address(cur->sg);
		size = sg_dma_len(cur->sg);
	}

	cur->addr = addr + skip;
	cur->size = min(size - skip, cur->remaining);
}

static u64 vnpu_res_length(const struct vnpu_res_cursor *cur)
{
	return cur->vram ? gpu_buddy_block_size(&cur->vdev->vram.mm, cur->block) :
			   sg_dma_len(cur->sg);
}

static void vnpu_res_step(struct vnpu_res_cursor *cur)
{
	if (cur->vram)
		cur->block = list_next_entry(cur->block, link);
	else
		cur->sg = sg_next(cur->sg);
}

/**
 * vnpu_res_first_in() - Begin to walk a range of a resource
 * @bo: BO; its reservation is held.
 * @res: Resource that it has or is about to get.
 * @offset: Where the range begins, in bytes.
 * @size: Bytes of it; the range is within the BO.
 * @cur: Set to the first segment; to the end if the pages are not mapped for the
 *	device any more.
 */
void vnpu_res_first_in(struct vnpu_bo *bo, struct ttm_resource *res, u64 offset,
		       u64 size, struct vnpu_res_cursor *cur)
{
	struct sg_table *sgt;

	*cur = (struct vnpu_res_cursor) {
		.vdev = to_vnpu_device(bo->ttm.base.dev),
		.vram = res->mem_type == TTM_PL_VRAM,
	};

	if (cur->vram) {
		cur->block = list_first_entry(&to_vnpu_vram_resource(res)->blocks,
					      struct gpu_buddy_block, link);
	} else {
		/* The pages are not mapped if the device is gone. */
		sgt = bo->ttm.ttm ? vnpu_tt_sgt(bo->ttm.ttm) : NULL;
		if (!sgt)
			return;
		cur->sg = sgt->sgl;
	}

	cur->remaining = size;
	if (!size)
		return;

	while (offset >= vnpu_res_length(cur)) {
		offset -= vnpu_res_length(cur);
		vnpu_res_step(cur);
	}
	vnpu_res_load(cur, offset);
}

/**
 * vnpu_res_first() - Begin to walk a range of a BO
 * @bo: BO; its reservation is held, and it is where the device can use it.
 * @offset: Where the range begins, in bytes.
 * @size: Bytes of it; the range is within the BO.
 * @cur: Set as by vnpu_res_first_in().
 */
void vnpu_res_first(struct vnpu_bo *bo, u64 offset, u64 size,
		    struct vnpu_res_cursor *cur)
{
	dma_resv_assert_held(bo->ttm.base.resv);

	vnpu_res_first_in(bo, bo->ttm.resource, offset, size, cur);
}

/**
 * vnpu_res_next() - Go on
 * @cur: Cursor; the reservation is held still.
 * @n: Bytes, cur->size at most.
 */
void vnpu_res_next(struct vnpu_res_cursor *cur, u64 n)
{
	cur->addr += n;
	cur->size -= n;
	cur->remaining -= n;
	if (cur->size || !cur->remaining)
		return;

	vnpu_res_step(cur);
	vnpu_res_load(cur, 0);
}
