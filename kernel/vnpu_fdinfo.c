// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an open file has used, for /proc/PID/fdinfo.
 */

#include <linux/dma-resv.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_print.h>
#include <drm/ttm/ttm_placement.h>

#include "vnpu_bo.h"
#include "vnpu_drv.h"
#include "vnpu_fdinfo.h"
#include "vnpu_ring.h"

static const char * const vnpu_engine_class_names[VNPU_NUM_ENGINE_CLASSES] = {
	[DRM_VNPU_ENGINE_COPY] = "copy",
	[DRM_VNPU_ENGINE_TENSOR] = "tensor",
};

struct vnpu_stats *vnpu_stats_get(struct vnpu_stats *stats)
{
	kref_get(&stats->ref);
	return stats;
}

static void vnpu_stats_release(struct kref *ref)
{
	kfree(container_of(ref, struct vnpu_stats, ref));
}

void vnpu_stats_put(struct vnpu_stats *stats)
{
	kref_put(&stats->ref, vnpu_stats_release);
}

enum vnpu_region { VNPU_REGION_VRAM, VNPU_REGION_SYSTEM, VNPU_NUM_REGIONS };

static void vnpu_count_bo(struct vnpu_bo *bo,
			  struct drm_memory_stats stats[VNPU_NUM_REGIONS])
{
	struct drm_gem_object *obj = &bo->ttm.base;
	u32 where = READ_ONCE(bo->region);
	enum vnpu_region home, now;

	home = bo->placements & VNPU_PLACEMENT_VRAM ? VNPU_REGION_VRAM :
							  VNPU_REGION_SYSTEM;
	now = where == TTM_PL_VRAM ? VNPU_REGION_VRAM : VNPU_REGION_SYSTEM;

	if (drm_gem_object_is_shared_for_memory_stats(obj))
		stats[home].shared += obj->size;
	else
		stats[home].private += obj->size;

	if (where != VNPU_REGION_NONE)
		stats[now].resident += obj->size;

	if (!dma_resv_test_signaled(obj->resv, DMA_RESV_USAGE_BOOKKEEP))
		stats[now].active += obj->size;
}

static void vnpu_show_memory(struct drm_printer *p, struct drm_file *file)
{
	static const char * const names[VNPU_NUM_REGIONS] = {
		[VNPU_REGION_VRAM] = "vram",
		[VNPU_REGION_SYSTEM] = "system",
	};
	struct drm_memory_stats stats[VNPU_NUM_REGIONS] = {};
	struct drm_gem_object *obj;
	int i;

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, obj, i)
		vnpu_count_bo(to_vnpu_bo(obj), stats);
	spin_unlock(&file->table_lock);

	for (i = 0; i < VNPU_NUM_REGIONS; i++)
		drm_print_memory_stats(p, &stats[i],
				       DRM_GEM_OBJECT_ACTIVE |
				       DRM_GEM_OBJECT_RESIDENT |
				       DRM_GEM_OBJECT_PURGEABLE,
				       names[i]);
}

/* A job that runs counts as far as it is; times of queues that are gone stay. */
void vnpu_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct vnpu_file *vfile = to_vnpu_file(file);
	u32 i;

	vnpu_ring_sample_all_busy(vfile->vdev, vfile->stats);
	for (i = 0; i < VNPU_NUM_ENGINE_CLASSES; i++) {
		const char *name = vnpu_engine_class_names[i];

		if (!vfile->vdev->class_count[i])
			continue;
		drm_printf(p, "drm-engine-%s:\t%lld ns\n", name,
			   (long long)atomic64_read(&vfile->stats->busy_ns[i]));
		drm_printf(p, "drm-engine-capacity-%s:\t%u\n", name,
			   vfile->vdev->class_count[i]);
	}

	vnpu_show_memory(p, file);
}
