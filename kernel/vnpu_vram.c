// SPDX-License-Identifier: GPL-2.0-only
/*
 * VRAM manager: a TTM resource manager on the buddy allocator.
 */

#include <linux/align.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <drm/drm_print.h>
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>

#include <kunit/visibility.h>

#include "vnpu_vacate.h"
#include "vnpu_vram.h"

/**
 * DOC: VRAM
 *
 * VRAM is handed out in blocks of powers of two, from 4 KiB. A buffer object
 * has a list of them; only page-table chunks are contiguous. The CPU sees VRAM
 * from offset 0 up to the size of the aperture, which may be smaller than VRAM.
 * A place with lpfn at the end of the aperture asks for visible memory. Others
 * are served from the top, so that they leave the aperture alone as long as
 * they can. What is in use of the visible part is counted: a request for more
 * than is left there fails at once and TTM evicts.
 *
 * Large buffers are first tried in blocks of at least 2 MiB, as the page tables
 * have leaves of that size; when VRAM is too fragmented, any blocks will do.
 */

#define VNPU_VRAM_CHUNK		SZ_4K
#define VNPU_VRAM_LARGE		SZ_2M

u64 vnpu_vram_visible_part(u64 offset, u64 size, u64 visible_size)
{
	if (offset >= visible_size)
		return 0;

	return min(size, visible_size - offset);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_visible_part);

static u64 vnpu_place_start(const struct ttm_place *place)
{
	return (u64)place->fpfn << PAGE_SHIFT;
}

static u64 vnpu_place_end(const struct ttm_place *place)
{
	return place->lpfn ? (u64)place->lpfn << PAGE_SHIFT : U64_MAX;
}

bool vnpu_vram_block_within(u64 offset, u64 size, const struct ttm_place *place)
{
	return offset >= vnpu_place_start(place) &&
	       offset + size <= vnpu_place_end(place);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_block_within);

bool vnpu_vram_block_overlaps(u64 offset, u64 size,
			      const struct ttm_place *place)
{
	return offset < vnpu_place_end(place) &&
	       offset + size > vnpu_place_start(place);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_block_overlaps);

/*
 * What to ask of the buddy allocator for @size bytes in @place. -ENOSPC if the
 * place can never hold them.
 */
int vnpu_vram_request_init(struct vnpu_vram_request *req, u64 total, u64 size,
			   u64 align, const struct ttm_place *place)
{
	*req = (struct vnpu_vram_request) {
		.start = vnpu_place_start(place),
		.end = min(vnpu_place_end(place), total),
		.size = ALIGN(size, VNPU_VRAM_CHUNK),
		.align = max_t(u64, align, VNPU_VRAM_CHUNK),
	};

	if (!size || req->size < size || req->start >= req->end ||
	    req->size > req->end - req->start)
		return -ENOSPC;

	if (place->flags & TTM_PL_FLAG_CONTIGUOUS)
		req->flags |= GPU_BUDDY_CONTIGUOUS_ALLOCATION;
	else if (req->size >= VNPU_VRAM_LARGE)
		req->align = max_t(u64, req->align, VNPU_VRAM_LARGE);

	if (place->flags & TTM_PL_FLAG_TOPDOWN)
		req->flags |= GPU_BUDDY_TOPDOWN_ALLOCATION;

	if (req->start || req->end < total)
		req->flags |= GPU_BUDDY_RANGE_ALLOCATION;

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_request_init);

static u64 vnpu_vram_blocks_visible(struct vnpu_vram_mgr *mgr,
				    struct list_head *blocks)
{
	struct gpu_buddy_block *block;
	u64 visible = 0;

	list_for_each_entry(block, blocks, link)
		visible += vnpu_vram_visible_part(gpu_buddy_block_offset(block),
						  gpu_buddy_block_size(&mgr->mm, block),
						  mgr->visible_size);
	return visible;
}

/* The buddy allocator says -EINVAL for a size beyond its largest block. */
static int vnpu_vram_alloc_blocks(struct vnpu_vram_mgr *mgr,
				  const struct vnpu_vram_request *req,
				  u64 align, struct list_head *blocks)
{
	int ret;

	ret = gpu_buddy_alloc_blocks(&mgr->mm, req->start, req->end, req->size,
				     align, blocks, req->flags);
	return ret == -EINVAL ? -ENOSPC : ret;
}

/* Aligned to @min_align where not to @req->align. */
static int vnpu_vram_alloc_aligned(struct vnpu_vram_mgr *mgr,
				   const struct vnpu_vram_request *req,
				   u64 min_align, struct list_head *blocks)
{
	int ret;

	ret = vnpu_vram_alloc_blocks(mgr, req, req->align, blocks);
	if (ret == -ENOSPC && req->align > min_align)
		ret = vnpu_vram_alloc_blocks(mgr, req, min_align, blocks);
	return ret;
}

/*
 * Gives @vres its blocks. Those that are still being vacated come last, and have
 * to be waited for: see vnpu_vacate_add_fences().
 */
int vnpu_vram_take(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres,
		   const struct vnpu_vram_request *req, u64 min_align)
{
	int ret;

	lockdep_assert_held(&mgr->lock);

	vnpu_vacate_reap(mgr);
	if (req->size > mgr->mm.avail + mgr->held)
		return -ENOSPC;
	if (req->end <= mgr->visible_size &&
	    req->size > mgr->visible_size - mgr->visible_used)
		return -ENOSPC;

	do {
		ret = vnpu_vram_alloc_aligned(mgr, req, min_align, &vres->blocks);
	} while (ret == -ENOSPC && vnpu_vacate_release(mgr));
	if (ret)
		return ret;

	vres->visible = vnpu_vram_blocks_visible(mgr, &vres->blocks);
	mgr->visible_used += vres->visible;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_take);

void vnpu_vram_give(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres)
{
	lockdep_assert_held(&mgr->lock);

	mgr->visible_used -= vres->visible;
	gpu_buddy_free_list(&mgr->mm, &vres->blocks, 0);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_give);

static int vnpu_vram_mgr_alloc(struct ttm_resource_manager *man,
			       struct ttm_buffer_object *bo,
			       const struct ttm_place *place,
			       struct ttm_resource **res)
{
	struct vnpu_vram_mgr *mgr = to_vnpu_vram_mgr(man);
	u64 align = (u64)bo->page_alignment << PAGE_SHIFT;
	struct vnpu_vram_resource *vres;
	struct vnpu_vram_request req;
	int ret;

	ret = vnpu_vram_request_init(&req, mgr->size, bo->base.size, align,
				     place);
	if (ret)
		return ret;

	vres = kzalloc_obj(*vres, GFP_KERNEL_ACCOUNT);
	if (!vres)
		return -ENOMEM;

	INIT_LIST_HEAD(&vres->blocks);
	ttm_resource_init(bo, place, &vres->base);

	mutex_lock(&mgr->lock);
	ret = vnpu_vram_take(mgr, vres, &req, max_t(u64, align, VNPU_VRAM_CHUNK));
	if (ret)
		goto err_free;
	ret = vnpu_vacate_add_fences(mgr, vres, bo->base.resv);
	if (ret)
		goto err_give;
	mutex_unlock(&mgr->lock);

	*res = &vres->base;
	return 0;

err_give:
	vnpu_vram_give(mgr, vres);
err_free:
	mutex_unlock(&mgr->lock);
	ttm_resource_fini(man, &vres->base);
	kfree(vres);
	return ret;
}

static void vnpu_vram_mgr_free(struct ttm_resource_manager *man,
			       struct ttm_resource *res)
{
	struct vnpu_vram_resource *vres = to_vnpu_vram_resource(res);
	struct vnpu_vram_mgr *mgr = to_vnpu_vram_mgr(man);

	mutex_lock(&mgr->lock);
	if (vres->vacating)
		vnpu_vacate_hold(mgr, vres);
	else
		vnpu_vram_give(mgr, vres);
	mutex_unlock(&mgr->lock);

	ttm_resource_fini(man, res);
	kfree(vres);
}

static bool vnpu_vram_mgr_intersects(struct ttm_resource_manager *man,
				     struct ttm_resource *res,
				     const struct ttm_place *place, size_t size)
{
	struct vnpu_vram_resource *vres = to_vnpu_vram_resource(res);
	struct vnpu_vram_mgr *mgr = to_vnpu_vram_mgr(man);
	struct gpu_buddy_block *block;

	list_for_each_entry(block, &vres->blocks, link)
		if (vnpu_vram_block_overlaps(gpu_buddy_block_offset(block),
					     gpu_buddy_block_size(&mgr->mm, block),
					     place))
			return true;

	return false;
}

static bool vnpu_vram_mgr_compatible(struct ttm_resource_manager *man,
				     struct ttm_resource *res,
				     const struct ttm_place *place, size_t size)
{
	struct vnpu_vram_resource *vres = to_vnpu_vram_resource(res);
	struct vnpu_vram_mgr *mgr = to_vnpu_vram_mgr(man);
	struct gpu_buddy_block *block;

	list_for_each_entry(block, &vres->blocks, link)
		if (!vnpu_vram_block_within(gpu_buddy_block_offset(block),
					    gpu_buddy_block_size(&mgr->mm, block),
					    place))
			return false;

	return true;
}

static void vnpu_vram_mgr_debug(struct ttm_resource_manager *man,
				struct drm_printer *p)
{
	struct vnpu_vram_mgr *mgr = to_vnpu_vram_mgr(man);

	mutex_lock(&mgr->lock);
	drm_printf(p, "visible size: %llu\n", mgr->visible_size);
	drm_printf(p, "visible used: %llu\n", mgr->visible_used);
	drm_printf(p, "free: %llu\n", mgr->mm.avail);
	drm_printf(p, "being vacated: %llu\n", mgr->held);
	mutex_unlock(&mgr->lock);
}

const struct ttm_resource_manager_func vnpu_vram_mgr_func = {
	.alloc = vnpu_vram_mgr_alloc,
	.free = vnpu_vram_mgr_free,
	.intersects = vnpu_vram_mgr_intersects,
	.compatible = vnpu_vram_mgr_compatible,
	.debug = vnpu_vram_mgr_debug,
};
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_mgr_func);

int vnpu_vram_mgr_init(struct vnpu_vram_mgr *mgr, struct ttm_device *bdev,
		       u64 size, u64 visible_size)
{
	int ret;

	mutex_init(&mgr->lock);
	mgr->size = ALIGN_DOWN(size, VNPU_VRAM_CHUNK);
	mgr->visible_size = min(ALIGN_DOWN(visible_size, VNPU_VRAM_CHUNK),
				mgr->size);
	mgr->visible_used = 0;
	mgr->held = 0;
	INIT_LIST_HEAD(&mgr->vacating);

	ret = gpu_buddy_init(&mgr->mm, mgr->size, VNPU_VRAM_CHUNK);
	if (ret)
		goto err_mutex;
	gpu_buddy_driver_set_lock(&mgr->mm, &mgr->lock);

	mgr->base.func = &vnpu_vram_mgr_func;
	ttm_resource_manager_init(&mgr->base, bdev, mgr->size);
	ttm_set_driver_manager(bdev, TTM_PL_VRAM, &mgr->base);
	ttm_resource_manager_set_used(&mgr->base, true);
	return 0;

err_mutex:
	mutex_destroy(&mgr->lock);
	return ret;
}

/* No buffer is left but those that wait for their fences. */
void vnpu_vram_mgr_fini(struct vnpu_vram_mgr *mgr, struct ttm_device *bdev)
{
	if (WARN_ON(ttm_resource_manager_evict_all(bdev, &mgr->base)))
		return;

	ttm_resource_manager_set_used(&mgr->base, false);
	ttm_resource_manager_cleanup(&mgr->base);
	ttm_set_driver_manager(bdev, TTM_PL_VRAM, NULL);

	mutex_lock(&mgr->lock);
	vnpu_vacate_fini(mgr);
	gpu_buddy_fini(&mgr->mm);
	mutex_unlock(&mgr->lock);
	mutex_destroy(&mgr->lock);
}

u64 vnpu_vram_used(struct vnpu_vram_mgr *mgr)
{
	u64 used;

	mutex_lock(&mgr->lock);
	used = mgr->size - mgr->mm.avail - mgr->held;
	mutex_unlock(&mgr->lock);
	return used;
}

u64 vnpu_vram_visible_used(struct vnpu_vram_mgr *mgr)
{
	u64 used;

	mutex_lock(&mgr->lock);
	used = mgr->visible_used;
	mutex_unlock(&mgr->lock);
	return used;
}

/* Whether the CPU can map all of a VRAM resource. */
bool vnpu_vram_res_visible(const struct ttm_resource *res)
{
	const struct vnpu_vram_resource *vres = to_vnpu_vram_resource(res);

	return vres->visible == res->size;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_res_visible);

/* VRAM offset of byte @pos of a VRAM resource. */
u64 vnpu_vram_res_offset(struct vnpu_vram_mgr *mgr,
			 const struct ttm_resource *res, u64 pos)
{
	struct vnpu_vram_resource *vres = to_vnpu_vram_resource(res);
	struct gpu_buddy_block *block;

	list_for_each_entry(block, &vres->blocks, link) {
		u64 size = gpu_buddy_block_size(&mgr->mm, block);

		if (pos < size)
			return gpu_buddy_block_offset(block) + pos;
		pos -= size;
	}

	WARN_ON_ONCE(1);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vram_res_offset);
