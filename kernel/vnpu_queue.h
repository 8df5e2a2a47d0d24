/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_QUEUE_H
#define VNPU_QUEUE_H

#include <linux/kref.h>
#include <linux/workqueue.h>

#include <drm/gpu_scheduler.h>

#include <drm/vnpu_accel.h>

/* IDs of both kinds of queues are one space. */
#define VNPU_QUEUE_IDS		XA_LIMIT(1, BIT(30) - 1)
#define VNPU_BIND_QUEUE_IDS	XA_LIMIT(BIT(30), INT_MAX)

struct drm_device;
struct drm_file;
struct vnpu_device;
struct vnpu_file;
struct vnpu_ring;
struct vnpu_stats;
struct vnpu_vm;

/* Most jobs of a submit, and most command buffers of each. */
#define VNPU_MAX_JOBS	64
#define VNPU_MAX_CMDS	16

/*
 * A queue of a client. References: the ID in vnpu_file.queues, ioctls at work,
 * jobs.
 */
struct vnpu_queue {
	struct kref ref;
	struct vnpu_device *vdev;
	struct vnpu_vm *vm;
	struct vnpu_stats *stats;
	struct vnpu_ring *ring;

	/* In vnpu_stats.queues. */
	struct list_head link;

	/* Jobs are armed and pushed under the reservation of @vm. */
	struct drm_sched_entity entity;

	/* Constant: values of the uAPI. */
	u32 engine_class;
	u32 priority;

	/* Last reference given up where teardown may not happen. */
	struct work_struct free_work;
};

struct vnpu_queue *vnpu_queue_lookup(struct vnpu_file *vfile, u32 id);
struct vnpu_queue *vnpu_queue_get(struct vnpu_queue *queue);
void vnpu_queue_put(struct vnpu_queue *queue);
void vnpu_queue_put_deferred(struct vnpu_queue *queue);
void vnpu_queue_file_close(struct vnpu_file *vfile);

int vnpu_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file);
int vnpu_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int vnpu_ioctl_queue_query(struct drm_device *drm, void *data, struct drm_file *file);
int vnpu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);

#endif
