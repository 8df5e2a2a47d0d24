/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In which order binds take effect.
 */

#ifndef VNPU_BIND_LINE_H
#define VNPU_BIND_LINE_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#include <drm/gpu_scheduler.h>

struct dma_fence;
struct vnpu_bind_job;
struct vnpu_device;
struct vnpu_pt_range;

/**
 * struct vnpu_bind_line - Binds that take effect one after the other
 */
struct vnpu_bind_line {
	/** @entity: Jobs are armed and pushed under the VM's reservation. */
	struct drm_sched_entity entity;

	/** @last: Finished fence of the last job, or NULL; protected by the VM's
	 * reservation.
	 */
	struct dma_fence *last;
};

int vnpu_bind_line_init(struct vnpu_bind_line *line, struct vnpu_device *vdev);
/* All jobs have finished. */
void vnpu_bind_line_fini(struct vnpu_bind_line *line);

/**
 * struct vnpu_bind_pending - Binds of a VM that are not over
 *
 * Referenced by the VM and by each of them, because they may outlive it.
 */
struct vnpu_bind_pending {
	/** @ref: References. */
	struct kref ref;

	/** @lock: Protects @jobs. */
	spinlock_t lock;

	/** @jobs: Oldest first. */
	struct list_head jobs;
};

struct vnpu_bind_pending *vnpu_bind_pending_create(void);
void vnpu_bind_pending_put(struct vnpu_bind_pending *pending);

/* The job has its fence: from now on later ones have to see to it. */
void vnpu_bind_pending_add(struct vnpu_bind_pending *pending, struct vnpu_bind_job *job);
/* The job goes, if it was added. */
void vnpu_bind_pending_remove(struct vnpu_bind_job *job);

/**
 * vnpu_bind_pending_find() - The oldest bind that has to come first
 * @pending: Binds of the VM.
 * @line: Binds of this line come first by themselves. NULL: look at all.
 * @range: What the one writes that is asked for.
 * @until: Look at older ones only; NULL: at all there are.
 *
 * Two binds that write to the same entries of page tables, or one to a table that
 * the other puts in or takes out, have an order.
 *
 * Return: New reference to its finished fence, or NULL.
 */
struct dma_fence *vnpu_bind_pending_find(struct vnpu_bind_pending *pending,
					 const struct vnpu_bind_line *line,
					 const struct vnpu_pt_range *range,
					 const struct vnpu_bind_job *until);

#endif
