/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TTM and GEM of older kernels.
 */

#ifndef VNPU_COMPAT_TTM_H
#define VNPU_COMPAT_TTM_H

#ifndef VNPU_HAVE_TTM_ALLOCATION_FLAGS
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>
#include <drm/ttm/ttm_placement.h>
#include <drm/ttm/ttm_resource.h>

#define TTM_ALLOCATION_POOL_BENEFICIAL_ORDER(order)	0
#define TTM_ALLOCATION_PROPAGATE_ENOSPC			0

static inline int
vnpu_compat_ttm_device_init(struct ttm_device *bdev,
			    const struct ttm_device_funcs *funcs,
			    struct device *dev, struct address_space *mapping,
			    struct drm_vma_offset_manager *manager,
			    unsigned int flags)
{
	return ttm_device_init(bdev, funcs, dev, mapping, manager, false, false);
}

#define ttm_device_init vnpu_compat_ttm_device_init

/*
 * ENOSPC was not passed on: it came out as ENOMEM. Without system memory among
 * the places it is far more likely that VRAM ran out.
 */
static inline int vnpu_compat_ttm_bo_validate(struct ttm_buffer_object *bo,
					      struct ttm_placement *placement,
					      struct ttm_operation_ctx *ctx)
{
	int ret = ttm_bo_validate(bo, placement, ctx);
	unsigned int i;

	for (i = 0; i < placement->num_placement; i++)
		if (placement->placement[i].mem_type != TTM_PL_VRAM)
			return ret;

	return ret == -ENOMEM ? -ENOSPC : ret;
}

#define ttm_bo_validate vnpu_compat_ttm_bo_validate
#endif

#ifndef VNPU_HAVE_TTM_BO_FINI
#include <drm/ttm/ttm_bo.h>

#define ttm_bo_fini ttm_bo_put
#endif

#ifndef VNPU_HAVE_TTM_TT_IS_SWAPPED
#include <drm/ttm/ttm_tt.h>

static inline bool ttm_tt_is_swapped(const struct ttm_tt *tt)
{
	return tt->page_flags & TTM_TT_FLAG_SWAPPED;
}
#endif

#ifndef VNPU_HAVE_GPU_BUDDY_DRIVER_LOCK
/* Nothing looked at it. */
#define gpu_buddy_driver_set_lock(mm, lock) do { (void)(mm); (void)(lock); } while (0)
#endif

#ifndef VNPU_HAVE_GEM_OBJECT_ACTIVE
/* It was always taken as supported. */
#define DRM_GEM_OBJECT_ACTIVE 0
#endif

#endif
