/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page-table pages: 4 KiB pieces of pinned, CPU-visible VRAM.
 */

#ifndef __VNPU_PTPOOL_H__
#define __VNPU_PTPOOL_H__

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct drm_printer;
struct vnpu_device;
struct vnpu_pt_chunk;
struct vnpu_stats;

/**
 * struct vnpu_ptpool - The pool of a device
 */
struct vnpu_ptpool {
	/** @grow_lock: Held while a chunk is created. Taken inside
	 * reservations; other reservations are only tried inside.
	 */
	struct mutex grow_lock;

	/** @coming: Chunk whose memory is not vacated yet, or NULL; under
	 * @grow_lock.
	 */
	struct vnpu_pt_chunk *coming;

	/** @lock: Protects @chunks and the bitmaps. */
	spinlock_t lock;

	/** @chunks: List of struct vnpu_pt_chunk. */
	struct list_head chunks;

	/** @used: Pages in use; under @lock. */
	unsigned long used;

	/** @shrink: Frees empty chunks. Freeing a page is allowed in a
	 * signalling path, freeing a chunk is not.
	 */
	struct work_struct shrink;
};

/**
 * struct vnpu_pt_page - A page-table page
 */
struct vnpu_pt_page {
	/** @offset: VRAM offset. */
	u64 offset;

	/** @cpu: The page, through the aperture; touch it only between
	 * drm_dev_enter() and drm_dev_exit().
	 */
	u64 __iomem *cpu;

	/** @link: For the owner. */
	struct list_head link;

	/** @chunk: Where it comes from. */
	struct vnpu_pt_chunk *chunk;

	/** @stats: Whose it is; a reference. */
	struct vnpu_stats *stats;
};

/* Managed by drmm. */
int vnpu_ptpool_init(struct vnpu_device *vdev);

struct vnpu_pt_page *vnpu_ptpool_alloc(struct vnpu_device *vdev, struct vnpu_stats *stats);
void vnpu_ptpool_free(struct vnpu_device *vdev, struct vnpu_pt_page *page);

void vnpu_ptpool_print(struct vnpu_device *vdev, struct drm_printer *p);

#endif
