// SPDX-License-Identifier: GPL-2.0-only
/*
 * TTM device: placements, moves, eviction.
 */

#include <linux/debugfs.h>
#include <linux/dma-resv.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gpuvm.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>
#include <drm/ttm/ttm_pool.h>

#include "vnpu_bo.h"
#include "vnpu_content.h"
#include "vnpu_device.h"
#include "vnpu_migrate.h"
#include "vnpu_prime.h"
#include "vnpu_res.h"
#include "vnpu_tt.h"
#include "vnpu_ttm.h"
#include "vnpu_vacate.h"
#include "vnpu_validate.h"
#include "vnpu_vram.h"

/**
 * DOC: Placement
 *
 * A buffer object is in VRAM (TTM_PL_VRAM), in pages that are mapped for the
 * device (TTM_PL_TT), or in pages that may be swapped out (TTM_PL_SYSTEM). The
 * device uses the first two. A buffer that is allowed in both goes to VRAM while
 * there is room without evicting others; one that is allowed in VRAM only
 * evicts. Eviction goes from VRAM to TT, and from TT to SYSTEM.
 *
 * Content moves between VRAM and TT by jobs of the paging ring. TTM lets go of
 * the old place at once; see "Vacating" for who comes next. SYSTEM and TT share
 * pages, so that SYSTEM to VRAM is a hop over TT. A buffer without
 * content is cleared when it enters VRAM.
 *
 * When a job of the paging ring cannot be queued the CPU copies through the
 * aperture. When one fails later, vnpu_bo.content has the error. A buffer whose
 * clear failed is cleared once more; where that fails too, or the job was a copy,
 * the content is lost and uses of the buffer fail with EIO. Nobody sees what the
 * memory held before: the CPU waits for the content, and what the device sees is
 * up to bind jobs, which map nothing in place of memory whose content failed.
 */

static const struct ttm_place vnpu_place_tt = { .mem_type = TTM_PL_TT };

static void vnpu_placement_add(struct vnpu_placement *p, u32 mem_type,
			       u32 flags, u64 end)
{
	p->places[p->base.num_placement++] = (struct ttm_place) {
		.mem_type = mem_type,
		.flags = flags,
		.lpfn = end >> PAGE_SHIFT,
	};
}

static void vnpu_placement_begin(struct vnpu_placement *p)
{
	p->base.num_placement = 0;
	p->base.placement = p->places;
}

void vnpu_placement_device(struct vnpu_placement *p, const struct vnpu_bo *bo)
{
	const struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);
	bool system = bo->placements & VNPU_PLACEMENT_SYSTEM;
	u32 flags = system ? TTM_PL_FLAG_DESIRED : 0;
	u64 end = 0;

	vnpu_placement_begin(p);

	if (bo->contiguous)
		flags |= TTM_PL_FLAG_CONTIGUOUS;

	/* A limit only where it matters: ranges are slower to allocate. */
	if (vdev->vram.visible_size < vdev->vram.size) {
		if (bo->flags & DRM_VNPU_BO_CPU_VISIBLE)
			end = vdev->vram.visible_size;
		else
			flags |= TTM_PL_FLAG_TOPDOWN;
	}

	if (bo->placements & VNPU_PLACEMENT_VRAM)
		vnpu_placement_add(p, TTM_PL_VRAM, flags, end);
	if (system)
		vnpu_placement_add(p, TTM_PL_TT,
				   p->base.num_placement ?
				   TTM_PL_FLAG_FALLBACK : 0, 0);
}

/* The visible VRAM that is free, else system memory: evict nothing for it. */
void vnpu_placement_cpu(struct vnpu_placement *p, const struct vnpu_bo *bo)
{
	const struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);

	vnpu_placement_begin(p);
	if (vdev->vram.visible_size)
		vnpu_placement_add(p, TTM_PL_VRAM, TTM_PL_FLAG_DESIRED,
				   vdev->vram.visible_size);
	vnpu_placement_add(p, TTM_PL_TT, TTM_PL_FLAG_FALLBACK, 0);
}

void vnpu_placement_system(struct vnpu_placement *p)
{
	vnpu_placement_begin(p);
	vnpu_placement_add(p, TTM_PL_TT, 0, 0);
}

static struct vnpu_device *ttm_to_vnpu_device(struct ttm_device *bdev)
{
	return container_of(bdev, struct vnpu_device, ttm);
}

/* TTM also asks about the ghosts that hold the old place of a moved BO. */
static void vnpu_ttm_evict_flags(struct ttm_buffer_object *tbo,
				 struct ttm_placement *placement)
{
	static const struct ttm_place system = { .mem_type = TTM_PL_SYSTEM };

	placement->num_placement = 0;
	if (!vnpu_ttm_bo_is_vnpu(tbo) || tbo->type == ttm_bo_type_sg)
		return;

	placement->num_placement = 1;
	placement->placement = tbo->resource->mem_type == TTM_PL_VRAM ?
			       &vnpu_place_tt : &system;
}

static bool vnpu_ttm_has_content(const struct ttm_buffer_object *tbo)
{
	if (!tbo->resource)
		return false;
	if (tbo->resource->mem_type == TTM_PL_VRAM)
		return true;

	return tbo->ttm && (ttm_tt_is_populated(tbo->ttm) ||
			    ttm_tt_is_swapped(tbo->ttm));
}

/* TTM keeps pages when a BO enters VRAM from SYSTEM; without content, for naught. */
static void vnpu_ttm_drop_empty_tt(struct ttm_buffer_object *tbo)
{
	if (!tbo->ttm)
		return;

	vnpu_tt_destroy(tbo->bdev, tbo->ttm);
	tbo->ttm = NULL;
}

/*
 * For what the CPU is about to do. -EBUSY, and -ENOSPC for those who make BOs
 * resident, if a job has to end first: they wait when they hold no lock. Only the
 * end of the device waits here.
 */
static int vnpu_ttm_wait_idle(struct vnpu_bo *bo, struct ttm_operation_ctx *ctx)
{
	struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);
	struct dma_resv *resv = bo->ttm.base.resv;
	long ret;

	if (dma_resv_test_signaled(resv, DMA_RESV_USAGE_BOOKKEEP))
		return 0;
	if (ctx->no_wait_gpu)
		return -EBUSY;
	if (vnpu_validate_busy(vdev, resv, DMA_RESV_USAGE_BOOKKEEP) &&
	    vnpu_validate_will_wait(vdev))
		return -ENOSPC;

	/* ttm_bo_wait_ctx() gives up after a time that is shorter than jobs may take. */
	ret = dma_resv_wait_timeout(resv, DMA_RESV_USAGE_BOOKKEEP, ctx->interruptible,
				    MAX_SCHEDULE_TIMEOUT);
	return min(ret, 0L);
}

static int vnpu_ttm_clear(struct vnpu_bo *bo, struct ttm_operation_ctx *ctx,
			  struct ttm_resource *new)
{
	int ret;

	if (bo->uncleared)
		goto out_assign;

	ret = vnpu_bo_clear(bo, new);
	if (!ret)
		goto out_assign;
	if (!vnpu_migrate_use_cpu(ret))
		return ret;

	ret = vnpu_ttm_wait_idle(bo, ctx);
	if (!ret)
		ret = vnpu_migrate_clear_cpu(bo, new);
	if (ret)
		return ret;
	vnpu_bo_set_content(bo, NULL);

out_assign:
	vnpu_ttm_drop_empty_tt(&bo->ttm);
	ttm_bo_move_null(&bo->ttm, new);
	return 0;
}

/*
 * The new place of a BO whose content is gone, or was never cleared: pages are
 * zeroed when allocated.
 */
static int vnpu_ttm_move_lost(struct vnpu_bo *bo, struct ttm_operation_ctx *ctx,
			      struct ttm_resource *new)
{
	int ret;

	ret = vnpu_ttm_wait_idle(bo, ctx);
	if (ret)
		return ret;
	if (new->mem_type == TTM_PL_VRAM)
		return -EIO;

	ttm_bo_move_sync_cleanup(&bo->ttm, new);
	return 0;
}

static int vnpu_ttm_copy_cpu(struct vnpu_bo *bo, struct ttm_operation_ctx *ctx,
			     struct ttm_resource *new)
{
	int ret;

	ret = vnpu_ttm_wait_idle(bo, ctx);
	if (ret)
		return ret;

	vnpu_bo_check_content(bo);
	if (bo->lost || bo->dirty)
		return vnpu_ttm_move_lost(bo, ctx, new);

	ret = vnpu_migrate_copy_cpu(bo, bo->ttm.resource, new);
	if (ret == -ENOMEM)
		return ret;
	if (ret) {
		/* Eviction must not fail for good, so the content has to go. */
		bo->lost = true;
		return vnpu_ttm_move_lost(bo, ctx, new);
	}

	vnpu_bo_set_content(bo, NULL);
	ttm_bo_move_sync_cleanup(&bo->ttm, new);
	return 0;
}

/* Gives the old place back, though the copy has not been made yet. */
static int vnpu_ttm_leave(struct vnpu_bo *bo, struct dma_fence *fence, bool evict,
			  struct ttm_resource *new)
{
	struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);
	struct ttm_resource *old = bo->ttm.resource;

	/* Pages stay with a ghost of the BO, until they have been read. */
	if (old->mem_type != TTM_PL_VRAM ||
	    vnpu_vacate_prepare(&vdev->vram, to_vnpu_vram_resource(old), fence))
		return ttm_bo_move_accel_cleanup(&bo->ttm, fence, evict, true, new);

	dma_resv_add_fence(bo->ttm.base.resv, fence, DMA_RESV_USAGE_KERNEL);
	ttm_bo_move_null(&bo->ttm, new);
	return 0;
}

static int vnpu_ttm_copy(struct vnpu_bo *bo, bool evict,
			 struct ttm_operation_ctx *ctx,
			 struct ttm_resource *new)
{
	struct dma_fence *fence;
	int ret;

	vnpu_bo_check_content(bo);
	if (bo->lost || bo->dirty)
		return vnpu_ttm_move_lost(bo, ctx, new);

	fence = vnpu_migrate_copy(bo, bo->ttm.resource, new);
	if (IS_ERR(fence)) {
		if (!vnpu_migrate_use_cpu(PTR_ERR(fence)))
			return PTR_ERR(fence);
		return vnpu_ttm_copy_cpu(bo, ctx, new);
	}

	ret = vnpu_ttm_leave(bo, fence, evict, new);
	if (ret) {
		/* The new place is freed on return: nothing may write to it. */
		vnpu_migrate_cancel(to_vnpu_device(bo->ttm.base.dev), fence);
		dma_fence_put(fence);
		return ret;
	}

	/* What fails from now on is a move, and may have cost content. */
	bo->clearing = false;
	vnpu_bo_set_content(bo, fence);
	return 0;
}

/* Between TT and SYSTEM: the pages stay, the device stops using them. */
static int vnpu_ttm_move_pages(struct vnpu_bo *bo, struct ttm_operation_ctx *ctx,
			       struct ttm_resource *new)
{
	struct ttm_resource *old = bo->ttm.resource;
	int ret;

	if (old && old->mem_type == TTM_PL_TT) {
		ret = vnpu_ttm_wait_idle(bo, ctx);
		if (ret)
			return ret;
	}

	ttm_bo_move_null(&bo->ttm, new);
	return 0;
}

/* Pages in SYSTEM may be swapped out and are not mapped for the device. */
static bool vnpu_ttm_needs_hop(const struct ttm_buffer_object *tbo,
			       const struct ttm_resource *new)
{
	const struct ttm_resource *old = tbo->resource;

	if (!vnpu_ttm_has_content(tbo))
		return false;

	return (old->mem_type == TTM_PL_VRAM && new->mem_type == TTM_PL_SYSTEM) ||
	       (old->mem_type == TTM_PL_SYSTEM && new->mem_type == TTM_PL_VRAM);
}

static int vnpu_ttm_move(struct ttm_buffer_object *tbo, bool evict,
			 struct ttm_operation_ctx *ctx,
			 struct ttm_resource *new, struct ttm_place *hop)
{
	struct ttm_resource *old = tbo->resource;
	struct vnpu_bo *bo;
	int ret;

	if (WARN_ON_ONCE(!vnpu_ttm_bo_is_vnpu(tbo)))
		return -EINVAL;

	bo = ttm_to_vnpu_bo(tbo);
	if (vnpu_ttm_needs_hop(tbo, new)) {
		*hop = vnpu_place_tt;
		return -EMULTIHOP;
	}

	if (new->mem_type != TTM_PL_VRAM &&
	    (!old || old->mem_type != TTM_PL_VRAM))
		ret = vnpu_ttm_move_pages(bo, ctx, new);
	else if (!vnpu_ttm_has_content(tbo))
		ret = vnpu_ttm_clear(bo, ctx, new);
	else
		ret = vnpu_ttm_copy(bo, evict, ctx, new);
	if (ret)
		return ret;

	vnpu_bo_moved(bo);
	return 0;
}

/* Whether taking the BO from its place would wait for the jobs that use it. */
static bool vnpu_ttm_eviction_waits(struct ttm_buffer_object *tbo)
{
	return tbo->deleted || !vnpu_migrate_usable(ttm_to_vnpu_device(tbo->bdev));
}

/*
 * Jobs take as long as they like, and nobody waits for them here. A BO in VRAM
 * is moved by the paging ring when they let it, but for one that has been freed
 * already. Pages are not given up before the jobs have finished. TTM asks for
 * them when it swaps out, for which it holds a mutex that all of its devices need,
 * and goes on to the next BO if these are refused.
 */
static bool vnpu_ttm_eviction_valuable(struct ttm_buffer_object *tbo,
				       const struct ttm_place *place)
{
	struct dma_resv *resv = tbo->base.resv;

	if (!ttm_bo_eviction_valuable(tbo, place))
		return false;
	if (tbo->resource->mem_type != TTM_PL_VRAM)
		return dma_resv_test_signaled(resv, DMA_RESV_USAGE_BOOKKEEP);

	return !vnpu_ttm_eviction_waits(tbo) ||
	       !vnpu_validate_busy(ttm_to_vnpu_device(tbo->bdev), resv,
				   DMA_RESV_USAGE_BOOKKEEP);
}

static void vnpu_ttm_swap_notify(struct ttm_buffer_object *tbo)
{
	if (vnpu_ttm_bo_is_vnpu(tbo))
		WRITE_ONCE(ttm_to_vnpu_bo(tbo)->region, VNPU_REGION_NONE);
}

static int vnpu_ttm_io_mem_reserve(struct ttm_device *bdev,
				   struct ttm_resource *mem)
{
	struct vnpu_device *vdev = ttm_to_vnpu_device(bdev);

	if (mem->mem_type != TTM_PL_VRAM)
		return 0;
	if (!vnpu_vram_res_visible(mem))
		return -EINVAL;

	/* The start; vnpu_ttm_io_mem_pfn() knows the rest. */
	mem->bus.offset = vdev->aperture_phys +
			  vnpu_vram_res_offset(&vdev->vram, mem, 0);
	mem->bus.is_iomem = true;
	mem->bus.caching = ttm_write_combined;
	return 0;
}

static unsigned long vnpu_ttm_io_mem_pfn(struct ttm_buffer_object *tbo,
					 unsigned long page)
{
	struct vnpu_device *vdev = ttm_to_vnpu_device(tbo->bdev);
	u64 offset = vnpu_vram_res_offset(&vdev->vram, tbo->resource,
					  (u64)page << PAGE_SHIFT);

	return (vdev->aperture_phys + offset) >> PAGE_SHIFT;
}

/* For vnpu_bo_vm_access(): content there. */
static int vnpu_ttm_access_memory(struct ttm_buffer_object *tbo,
				  unsigned long offset, void *buf, int len,
				  int write)
{
	struct vnpu_device *vdev = ttm_to_vnpu_device(tbo->bdev);
	struct vnpu_bo *bo = ttm_to_vnpu_bo(tbo);
	struct vnpu_res_cursor cur;
	int idx, ret = 0;

	if (!vnpu_ttm_bo_is_visible(tbo))
		return -EIO;
	if (!drm_dev_enter(&vdev->drm, &idx))
		return -EIO;

	vnpu_res_first(bo, offset, len, &cur);
	while (cur.remaining) {
		u64 n = cur.size;
		void __iomem *io = vnpu_aperture_map(vdev, cur.addr, n);

		if (!io) {
			ret = -ENOMEM;
			break;
		}
		vnpu_aperture_lock(vdev);
		if (write)
			memcpy_toio(io, buf, n);
		else
			memcpy_fromio(buf, io, n);
		up_read(&vdev->aperture_lock);
		iounmap(io);
		buf += n;
		vnpu_res_next(&cur, n);
	}
	if (!ret && !vnpu_device_answers(vdev))
		ret = -EIO;
	drm_dev_exit(idx);
	return ret ?: len;
}

bool vnpu_ttm_bo_is_visible(const struct ttm_buffer_object *tbo)
{
	return tbo->resource && (tbo->resource->mem_type != TTM_PL_VRAM ||
				 vnpu_vram_res_visible(tbo->resource));
}

static const struct ttm_device_funcs vnpu_ttm_funcs = {
	.ttm_tt_create = vnpu_tt_create,
	.ttm_tt_populate = vnpu_tt_populate,
	.ttm_tt_unpopulate = vnpu_tt_unpopulate,
	.ttm_tt_destroy = vnpu_tt_destroy,
	.eviction_valuable = vnpu_ttm_eviction_valuable,
	.evict_flags = vnpu_ttm_evict_flags,
	.move = vnpu_ttm_move,
	.swap_notify = vnpu_ttm_swap_notify,
	.io_mem_reserve = vnpu_ttm_io_mem_reserve,
	.io_mem_pfn = vnpu_ttm_io_mem_pfn,
	.access_memory = vnpu_ttm_access_memory,
};

static void vnpu_ttm_fini(struct drm_device *drm, void *data)
{
	struct vnpu_device *vdev = data;

	/* Freed BOs whose fences had not signalled are still on their way. */
	flush_workqueue(vdev->ttm.wq);
	vnpu_vram_mgr_fini(&vdev->vram, &vdev->ttm);
	vnpu_tt_mgr_fini(&vdev->tt, &vdev->ttm);
	ttm_device_fini(&vdev->ttm);
}

int vnpu_ttm_init(struct vnpu_device *vdev)
{
	struct drm_device *drm = &vdev->drm;
	int ret;

	ret = ttm_device_init(&vdev->ttm, &vnpu_ttm_funcs, drm->dev,
			      drm->anon_inode->i_mapping,
			      drm->vma_offset_manager,
			      TTM_ALLOCATION_POOL_BENEFICIAL_ORDER(get_order(SZ_2M)) |
			      TTM_ALLOCATION_PROPAGATE_ENOSPC);
	if (ret)
		return ret;

	ret = vnpu_tt_mgr_init(&vdev->tt, &vdev->ttm);
	if (ret)
		goto err_device;

	ret = vnpu_vram_mgr_init(&vdev->vram, &vdev->ttm, vdev->vram_size,
				 vdev->aperture_size);
	if (ret)
		goto err_tt;

	ret = drmm_add_action_or_reset(drm, vnpu_ttm_fini, vdev);
	if (ret)
		return ret;

	ret = vnpu_migrate_init(vdev);
	if (ret)
		return ret;

	return vnpu_ptpool_init(vdev);

err_tt:
	vnpu_tt_mgr_fini(&vdev->tt, &vdev->ttm);
err_device:
	ttm_device_fini(&vdev->ttm);
	return ret;
}

void vnpu_ttm_unplug(struct vnpu_device *vdev)
{
	vnpu_migrate_unplug(vdev);
	vnpu_prime_unplug(vdev);
	vnpu_tt_mgr_unplug(&vdev->tt);
}

static int vnpu_ttm_pool_show(struct seq_file *m, void *unused)
{
	struct vnpu_device *vdev = m->private;

	return ttm_pool_debugfs(&vdev->ttm.pool, m);
}
DEFINE_SHOW_ATTRIBUTE(vnpu_ttm_pool);

void vnpu_ttm_debugfs_init(struct vnpu_device *vdev, struct drm_minor *minor)
{
	struct ttm_device *bdev = &vdev->ttm;
	struct dentry *root = minor->debugfs_root;

	ttm_resource_manager_create_debugfs(ttm_manager_type(bdev, TTM_PL_VRAM),
					    root, "vram_mm");
	ttm_resource_manager_create_debugfs(ttm_manager_type(bdev, TTM_PL_TT),
					    root, "system_mm");
	debugfs_create_file("ttm_page_pool", 0444, root, vdev,
			    &vnpu_ttm_pool_fops);
}
