// SPDX-License-Identifier: GPL-2.0-only
/*
 * Syncs of submits and binds, and arrays of structures that may grow.
 */

#include <linux/dma-fence-chain.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_file.h>
#include <drm/drm_syncobj.h>
#include <drm/gpu_scheduler.h>

#include "vnpu_sync.h"

/* A wait has a fence; a signal a syncobj and, on a timeline, a chain. */
struct vnpu_sync_op {
	struct dma_fence *wait;
	struct drm_syncobj *signal;
	struct dma_fence_chain *chain;
	u64 point;
};

void *vnpu_array_copy(const struct drm_vnpu_array *array, u32 max,
		      size_t min, size_t size)
{
	const void __user *from = u64_to_user_ptr(array->array);
	void *to;
	u32 i;
	int ret;

	if (!array->count)
		return NULL;
	if (array->count > max)
		return ERR_PTR(-E2BIG);
	if (array->stride < min || array->stride > VNPU_MAX_STRIDE)
		return ERR_PTR(-EINVAL);
	if (array->array != (u64)(uintptr_t)from)
		return ERR_PTR(-EFAULT);

	to = kvmalloc_array(array->count, size, GFP_KERNEL_ACCOUNT);
	if (!to)
		return ERR_PTR(-ENOMEM);

	for (i = 0; i < array->count; i++) {
		ret = copy_struct_from_user(to + i * size, size,
					    from + (size_t)i * array->stride, array->stride);
		if (ret) {
			kvfree(to);
			return ERR_PTR(ret);
		}
	}

	return to;
}

static int vnpu_sync_init_signal(struct vnpu_sync_op *op, struct drm_file *file,
				 const struct drm_vnpu_sync *sync)
{
	if (sync->type == DRM_VNPU_SYNC_TIMELINE) {
		if (!sync->timeline_value)
			return -EINVAL;

		op->point = sync->timeline_value;
		op->chain = dma_fence_chain_alloc();
		if (!op->chain)
			return -ENOMEM;
	}

	op->signal = drm_syncobj_find(file, sync->handle);
	return op->signal ? 0 : -ENOENT;
}

static int vnpu_sync_init_wait(struct vnpu_sync_op *op, struct drm_file *file,
			       const struct drm_vnpu_sync *sync)
{
	int ret;

	ret = drm_syncobj_find_fence(file, sync->handle, sync->timeline_value, 0, &op->wait);
	/* When it fails it may leave a fence behind that is not ours. */
	if (ret)
		op->wait = NULL;

	return ret;
}

static int vnpu_sync_init_op(struct vnpu_sync_op *op, struct drm_file *file,
			     const struct drm_vnpu_sync *sync)
{
	if (sync->flags)
		return -EINVAL;

	switch (sync->type) {
	case DRM_VNPU_SYNC_BINARY:
		if (sync->timeline_value)
			return -EINVAL;
		break;
	case DRM_VNPU_SYNC_TIMELINE:
		break;
	default:
		return -EINVAL;
	}

	switch (sync->op) {
	case DRM_VNPU_SYNC_OP_WAIT:
		return vnpu_sync_init_wait(op, file, sync);
	case DRM_VNPU_SYNC_OP_SIGNAL:
		return vnpu_sync_init_signal(op, file, sync);
	default:
		return -EINVAL;
	}
}

int vnpu_syncs_init(struct vnpu_syncs *syncs, struct drm_file *file,
		    const struct drm_vnpu_array *array)
{
	struct drm_vnpu_sync *user;
	int ret = 0;

	*syncs = (struct vnpu_syncs) {};

	user = vnpu_array_copy(array, VNPU_MAX_SYNCS, sizeof(*user), sizeof(*user));
	if (IS_ERR_OR_NULL(user))
		return PTR_ERR_OR_ZERO(user);

	syncs->ops = kvcalloc(array->count, sizeof(*syncs->ops), GFP_KERNEL_ACCOUNT);
	if (!syncs->ops) {
		kvfree(user);
		return -ENOMEM;
	}

	while (!ret && syncs->count < array->count) {
		ret = vnpu_sync_init_op(&syncs->ops[syncs->count], file, &user[syncs->count]);
		/* An operation that failed may have got half of what it needs. */
		syncs->count++;
	}
	if (ret)
		vnpu_syncs_fini(syncs);

	kvfree(user);
	return ret;
}

/* The references to the fences become the job's. */
int vnpu_syncs_add_deps(struct vnpu_syncs *syncs, struct drm_sched_job *job)
{
	u32 i;
	int ret;

	for (i = 0; i < syncs->count; i++) {
		ret = drm_sched_job_add_dependency(job, syncs->ops[i].wait);
		syncs->ops[i].wait = NULL;
		if (ret)
			return ret;
	}

	return 0;
}

void vnpu_syncs_signal(struct vnpu_syncs *syncs, struct dma_fence *fence)
{
	u32 i;

	for (i = 0; i < syncs->count; i++) {
		struct vnpu_sync_op *op = &syncs->ops[i];

		if (op->chain) {
			drm_syncobj_add_point(op->signal, op->chain, fence, op->point);
			op->chain = NULL;
		} else if (op->signal) {
			drm_syncobj_replace_fence(op->signal, fence);
		}
	}
}

void vnpu_syncs_fini(struct vnpu_syncs *syncs)
{
	u32 i;

	for (i = 0; i < syncs->count; i++) {
		struct vnpu_sync_op *op = &syncs->ops[i];

		dma_fence_put(op->wait);
		dma_fence_chain_free(op->chain);
		if (op->signal)
			drm_syncobj_put(op->signal);
	}

	kvfree(syncs->ops);
	*syncs = (struct vnpu_syncs) {};
}
