// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an open file has used, for /proc/PID/fdinfo.
 */

#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_print.h>

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

/* A job that runs counts as far as it is; times of queues that are gone stay. */
void vnpu_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct vnpu_file *vfile = to_vnpu_file(file);
	u32 i;

	vnpu_ring_sample_busy(vfile->vdev, vfile->stats);
	for (i = 0; i < VNPU_NUM_ENGINE_CLASSES; i++) {
		const char *name = vnpu_engine_class_names[i];

		if (!vfile->vdev->class_count[i])
			continue;
		drm_printf(p, "drm-engine-%s:\t%lld ns\n", name,
			   (long long)atomic64_read(&vfile->stats->busy_ns[i]));
		drm_printf(p, "drm-engine-capacity-%s:\t%u\n", name,
			   vfile->vdev->class_count[i]);
	}

	vnpu_bo_show_fdinfo(p, file);
}
