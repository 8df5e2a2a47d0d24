// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>
#include <drm/drm_drv.h>
#include <drm/gpu_scheduler.h>

int vnpu_probe(struct drm_sched_job *job);
int vnpu_probe(struct drm_sched_job *job)
{
	return job->sched ? 1 : 0;
}
