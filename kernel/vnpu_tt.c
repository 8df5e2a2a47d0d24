// SPDX-License-Identifier: GPL-2.0-only
/*
 * System memory of buffer objects.
 */

#include <linux/dma-mapping.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

#include <drm/drm_print.h>
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>
#include <drm/ttm/ttm_pool.h>

#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_tt.h"

/**
 * DOC: System memory
 *
 * The device reaches any page through the IOMMU or directly, so this manager
 * hands out nothing: it counts, and caps the sum at the size of the memory. TTM
 * keeps the pages of all its devices below a limit of its own by swapping out.
 *
 * The driver maps the pages for DMA itself, a whole buffer at a time, instead of
 * leaving it to the page pool. An IOMMU then gives one contiguous range, and
 * when the device goes away the mappings can be taken back while the pages stay
 * where importers of the buffer still use them.
 *
 * A mapping lasts as long as the pages are there, and both sides use them when
 * they like. So there must be nothing in between: where DMA goes through bounce
 * buffers the device would see a copy from the time of the mapping. That is
 * refused at once.
 *
 * Pages are always zeroed when allocated, even when a copy is to fill them: a
 * copy may fail.
 */

static int vnpu_tt_mgr_alloc(struct ttm_resource_manager *man,
			     struct ttm_buffer_object *bo,
			     const struct ttm_place *place,
			     struct ttm_resource **res)
{
	struct ttm_resource *new;

	new = kzalloc_obj(*new, GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;

	ttm_resource_init(bo, place, new);
	if (ttm_resource_manager_usage(man) > man->size) {
		ttm_resource_fini(man, new);
		kfree(new);
		return -ENOSPC;
	}

	*res = new;
	return 0;
}

static void vnpu_tt_mgr_free(struct ttm_resource_manager *man,
			     struct ttm_resource *res)
{
	ttm_resource_fini(man, res);
	kfree(res);
}

static void vnpu_tt_mgr_debug(struct ttm_resource_manager *man,
			      struct drm_printer *p)
{
	struct vnpu_tt_mgr *mgr = container_of(man, struct vnpu_tt_mgr, base);
	struct vnpu_tt *vtt;
	u64 mapped = 0;

	mutex_lock(&mgr->lock);
	list_for_each_entry(vtt, &mgr->mapped, link)
		mapped += (u64)vtt->base.num_pages << PAGE_SHIFT;
	mutex_unlock(&mgr->lock);

	drm_printf(p, "mapped for the device: %llu\n", mapped);
}

static const struct ttm_resource_manager_func vnpu_tt_mgr_func = {
	.alloc = vnpu_tt_mgr_alloc,
	.free = vnpu_tt_mgr_free,
	.debug = vnpu_tt_mgr_debug,
};

static int vnpu_tt_check_dma(struct drm_device *drm)
{
	if (!is_swiotlb_force_bounce(drm->dev) && !dma_addressing_limited(drm->dev))
		return 0;

	drm_err(drm, "DMA would go through bounce buffers (swiotlb): not supported\n");
	return -EOPNOTSUPP;
}

int vnpu_tt_mgr_init(struct vnpu_tt_mgr *mgr, struct ttm_device *bdev)
{
	struct vnpu_device *vdev = container_of(mgr, struct vnpu_device, tt);
	int ret;

	ret = vnpu_tt_check_dma(&vdev->drm);
	if (ret)
		return ret;

	mutex_init(&mgr->lock);
	INIT_LIST_HEAD(&mgr->mapped);
	INIT_LIST_HEAD(&mgr->imports);
	init_waitqueue_head(&mgr->import_wait);

	mgr->base.use_tt = true;
	mgr->base.func = &vnpu_tt_mgr_func;
	ttm_resource_manager_init(&mgr->base, bdev,
				  (u64)totalram_pages() << PAGE_SHIFT);
	ttm_set_driver_manager(bdev, TTM_PL_TT, &mgr->base);
	ttm_resource_manager_set_used(&mgr->base, true);
	return 0;
}

void vnpu_tt_mgr_fini(struct vnpu_tt_mgr *mgr, struct ttm_device *bdev)
{
	if (WARN_ON(ttm_resource_manager_evict_all(bdev, &mgr->base)))
		return;

	ttm_resource_manager_set_used(&mgr->base, false);
	ttm_resource_manager_cleanup(&mgr->base);
	ttm_set_driver_manager(bdev, TTM_PL_TT, NULL);
	WARN_ON(!list_empty(&mgr->mapped));
	mutex_destroy(&mgr->lock);
}

static void vnpu_tt_unmap_locked(struct vnpu_tt *vtt)
{
	lockdep_assert_held(&vtt->mgr->lock);

	if (!vtt->mapped)
		return;

	dma_unmap_sgtable(vtt->dev, &vtt->sgt, DMA_BIDIRECTIONAL, 0);
	sg_free_table(&vtt->sgt);
	list_del(&vtt->link);
	vtt->mapped = false;
}

static void vnpu_tt_unmap(struct vnpu_tt *vtt)
{
	mutex_lock(&vtt->mgr->lock);
	vnpu_tt_unmap_locked(vtt);
	mutex_unlock(&vtt->mgr->lock);
}

void vnpu_tt_mgr_unplug(struct vnpu_tt_mgr *mgr)
{
	struct vnpu_tt *vtt, *next;

	mutex_lock(&mgr->lock);
	mgr->gone = true;
	list_for_each_entry_safe(vtt, next, &mgr->mapped, link)
		vnpu_tt_unmap_locked(vtt);
	mutex_unlock(&mgr->lock);
}

static int vnpu_tt_map_locked(struct vnpu_tt *vtt)
{
	unsigned int segment = min_t(size_t, dma_max_mapping_size(vtt->dev),
				     ALIGN_DOWN(UINT_MAX, PAGE_SIZE));
	int ret;

	/* Pages are of use without the device, too: for the CPU. */
	if (vtt->mgr->gone)
		return 0;

	ret = sg_alloc_table_from_pages_segment(&vtt->sgt, vtt->base.pages,
						vtt->base.num_pages, 0,
						(u64)vtt->base.num_pages << PAGE_SHIFT,
						segment, GFP_KERNEL_ACCOUNT);
	if (ret)
		return ret;

	ret = dma_map_sgtable(vtt->dev, &vtt->sgt, DMA_BIDIRECTIONAL, 0);
	if (ret) {
		sg_free_table(&vtt->sgt);
		return ret;
	}

	list_add_tail(&vtt->link, &vtt->mgr->mapped);
	vtt->mapped = true;
	return 0;
}

struct ttm_tt *vnpu_tt_create(struct ttm_buffer_object *tbo, u32 page_flags)
{
	struct vnpu_device *vdev = container_of(tbo->bdev, struct vnpu_device,
						ttm);
	struct vnpu_tt *vtt;
	int ret;

	vtt = kzalloc_obj(*vtt, GFP_KERNEL_ACCOUNT);
	if (!vtt)
		return NULL;

	vtt->mgr = &vdev->tt;
	vtt->dev = vdev->drm.dev;
	INIT_LIST_HEAD(&vtt->link);

	if (tbo->type == ttm_bo_type_sg)
		ret = ttm_sg_tt_init(&vtt->base, tbo, page_flags, ttm_cached);
	else
		ret = ttm_tt_init(&vtt->base, tbo,
				  page_flags | TTM_TT_FLAG_ZERO_ALLOC,
				  ttm_cached, 0);
	if (ret) {
		kfree(vtt);
		return NULL;
	}

	return &vtt->base;
}

int vnpu_tt_populate(struct ttm_device *bdev, struct ttm_tt *tt,
		     struct ttm_operation_ctx *ctx)
{
	struct vnpu_tt *vtt = to_vnpu_tt(tt);
	int ret;

	if (tt->page_flags & TTM_TT_FLAG_EXTERNAL)
		return 0;

	/* Purging may have cleared it. */
	tt->page_flags |= TTM_TT_FLAG_ZERO_ALLOC;

	ret = ttm_pool_alloc(&bdev->pool, tt, ctx);
	if (ret)
		return ret;

	mutex_lock(&vtt->mgr->lock);
	ret = vnpu_tt_map_locked(vtt);
	mutex_unlock(&vtt->mgr->lock);
	if (ret)
		ttm_pool_free(&bdev->pool, tt);

	return ret;
}

void vnpu_tt_unpopulate(struct ttm_device *bdev, struct ttm_tt *tt)
{
	if (tt->page_flags & TTM_TT_FLAG_EXTERNAL)
		return;

	vnpu_tt_unmap(to_vnpu_tt(tt));
	ttm_pool_free(&bdev->pool, tt);
}

void vnpu_tt_destroy(struct ttm_device *bdev, struct ttm_tt *tt)
{
	struct vnpu_tt *vtt = to_vnpu_tt(tt);

	ttm_tt_fini(tt);
	kfree(vtt);
}

struct sg_table *vnpu_tt_sgt(struct ttm_tt *tt)
{
	struct vnpu_tt *vtt = to_vnpu_tt(tt);

	if (tt->page_flags & TTM_TT_FLAG_EXTERNAL)
		return tt->sg;

	return vtt->mapped ? &vtt->sgt : NULL;
}
