// SPDX-License-Identifier: GPL-2.0-only
/* A timeout handler may say that there was no hang. */
#include <drm/gpu_scheduler.h>

enum drm_gpu_sched_stat vnpu_probe(void);
enum drm_gpu_sched_stat vnpu_probe(void)
{
	return DRM_GPU_SCHED_STAT_NO_HANG;
}
