/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_SYNC_H
#define VNPU_SYNC_H

#include <linux/types.h>

#include <drm/vnpu_accel.h>

struct dma_fence;
struct drm_file;
struct drm_sched_job;
struct vnpu_sync_op;

/* Largest element of an array: a page, as copy_struct_from_user() has it. */
#define VNPU_MAX_STRIDE		4096

/* Most elements of an array of struct drm_vnpu_sync. */
#define VNPU_MAX_SYNCS	1024

/* The syncs of a submit or bind, with all that signalling will need. */
struct vnpu_syncs {
	struct vnpu_sync_op *ops;
	u32 count;
};

/*
 * Copy an array from user memory: into a kvmalloc()ed array of elements of
 * @size bytes, zero-extended. @min is the size of the first version of the
 * element. NULL for an empty array. Errors: E2BIG for more than @max elements
 * or an unknown tail that is not zero; EINVAL, EFAULT, ENOMEM.
 */
void *vnpu_array_copy(const struct drm_vnpu_array *array, u32 max,
		      size_t min, size_t size);

/*
 * Look everything up and allocate everything: after it adding the waits to a
 * job may fail, signalling may not. vnpu_syncs_fini() is due only if it
 * succeeded; it is safe on a zeroed structure too.
 */
int vnpu_syncs_init(struct vnpu_syncs *syncs, struct drm_file *file,
		    const struct drm_vnpu_array *array);
int vnpu_syncs_add_deps(struct vnpu_syncs *syncs, struct drm_sched_job *job);
void vnpu_syncs_signal(struct vnpu_syncs *syncs, struct dma_fence *fence);
void vnpu_syncs_fini(struct vnpu_syncs *syncs);

#endif
