/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_DRV_H
#define VNPU_DRV_H

#include <linux/kref.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_file.h>

#include "vnpu_device.h"

/*
 * Jobs and asynchronous binds that an open file may have: what they hold, and
 * the time that it takes to give it back, have a bound however long the first of
 * them waits.
 */
#define VNPU_MAX_FILE_JOBS	4096

/*
 * Of an open file: times that its queues have spent on engines, and how many
 * queues, VMs, jobs and page tables it has. Referenced by the file, its queues, its
 * VMs, its binds and its tables, because a queue may run jobs after the file is gone
 * and the times of a queue are not lost with it.
 */
struct vnpu_stats {
	struct kref ref;
	atomic64_t busy_ns[VNPU_NUM_ENGINE_CLASSES];

	/* Those included that only wait for the end of their jobs. */
	atomic_t num_queues;
	atomic_t num_vms;

	/* Of queues, and asynchronous binds. */
	atomic_t num_jobs;

	/* Pages of the pool, see vnpu_max_file_tables(). */
	atomic_t num_tables;

	/* Queues that are not freed yet, whether they have an ID or not. */
	spinlock_t lock;
	struct list_head queues;
};

struct vnpu_stats *vnpu_stats_get(struct vnpu_stats *stats);
void vnpu_stats_put(struct vnpu_stats *stats);

/* EDQUOT: it has as many as it may. Undone by atomic_dec(). */
static inline int vnpu_stats_count_job(struct vnpu_stats *stats)
{
	return atomic_add_unless(&stats->num_jobs, 1, VNPU_MAX_FILE_JOBS) ? 0 : -EDQUOT;
}

/* An open file. */
struct vnpu_file {
	struct vnpu_device *vdev;

	/*
	 * IDs to struct vnpu_vm, struct vnpu_queue and struct vnpu_bind_queue. The
	 * entry holds a reference; look-ups take theirs under the lock of the
	 * xarray.
	 */
	struct xarray vms;
	struct xarray queues;
	struct xarray bind_queues;

	struct vnpu_stats *stats;
};

static inline struct vnpu_file *to_vnpu_file(struct drm_file *file)
{
	return file->driver_priv;
}

extern unsigned int vnpu_job_timeout_ms;

/*
 * Teardown of queues, which the scheduler's own work and fences may not do. It belongs to
 * the module because the last queue may hold the last reference to the device.
 */
extern struct workqueue_struct *vnpu_cleanup_wq;

int vnpu_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file);

#endif
