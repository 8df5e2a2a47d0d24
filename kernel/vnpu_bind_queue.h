/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bind queues of clients.
 */

#ifndef VNPU_BIND_QUEUE_H
#define VNPU_BIND_QUEUE_H

#include <linux/dma-fence.h>
#include <linux/kref.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "vnpu_bind_line.h"

struct vnpu_device;
struct vnpu_file;
struct vnpu_stats;
struct vnpu_vm;

/**
 * struct vnpu_bind_queue - A bind queue that a client has made
 *
 * References: the ID in vnpu_file.bind_queues, ioctls at work. Its jobs need none:
 * it goes when they have finished.
 */
struct vnpu_bind_queue {
	/** @ref: References. */
	struct kref ref;

	/** @vdev: Device, with a reference; constant. */
	struct vnpu_device *vdev;

	/** @vm: VM of its binds, with a reference as long as there is one of @ref. */
	struct vnpu_vm *vm;

	/** @stats: Those of the file, which count it. */
	struct vnpu_stats *stats;

	/** @line: Its binds. */
	struct vnpu_bind_line line;

	/** @last_done: Its last job has finished, where that was waited for. */
	struct dma_fence_cb last_done;

	/** @free_work: Teardown, which the signalling of a fence may not do. */
	struct work_struct free_work;
};

/* A new reference, or NULL. */
struct vnpu_bind_queue *vnpu_bind_queue_lookup(struct vnpu_file *vfile, u32 id);
void vnpu_bind_queue_put(struct vnpu_bind_queue *queue);

/*
 * A queue for a file, and its ID. Takes over the reference to @vm and the place in
 * the count of queues, in any case.
 */
int vnpu_bind_queue_add(struct vnpu_file *vfile, struct vnpu_vm *vm, u32 *id);
/* ENOENT: it is no ID of a bind queue. */
int vnpu_bind_queue_destroy(struct vnpu_file *vfile, u32 id);
void vnpu_bind_queue_file_close(struct vnpu_file *vfile);

#endif
