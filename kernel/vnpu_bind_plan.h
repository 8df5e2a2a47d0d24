/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM_BIND at work.
 */

#ifndef VNPU_BIND_PLAN_H
#define VNPU_BIND_PLAN_H

#include <linux/list.h>
#include <linux/types.h>

#include <drm/drm_exec.h>

#include "vnpu_sync.h"

struct dma_fence;
struct drm_file;
struct drm_gpuvm_bo;
struct drm_vnpu_vm_bind;
struct vnpu_bind_job;
struct vnpu_bind_line;
struct vnpu_bind_queue;
struct vnpu_bo;
struct vnpu_vm;

/* One operation, checked. */
struct vnpu_bind_op {
	bool map;
	bool readonly;
	u64 va;
	u64 size;
	u64 bo_offset;

	/* NULL for an unmap. */
	struct vnpu_bo *bo;
	struct drm_gpuvm_bo *vm_bo;
};

/* A VM_BIND at work. */
struct vnpu_bind {
	struct vnpu_vm *vm;
	struct drm_file *file;
	bool async;

	/* The bind queue, NULL if it is the VM's own; and its line. */
	struct vnpu_bind_queue *queue;
	struct vnpu_bind_line *line;

	/* At least one operation is a map. */
	bool map;

	struct vnpu_bind_op *ops;
	u32 num_ops;
	struct vnpu_syncs syncs;

	/* Mappings to be used and mappings that were removed. */
	struct list_head spare;
	struct list_head removed;

	struct drm_exec exec;
	struct vnpu_bind_job *job;

	/* What has to be waited for before the second phase may be repeated. */
	struct dma_fence *wait;

	/* The operation that is being carried out. */
	const struct vnpu_bind_op *op;
};

/* First phase. vnpu_bind_fini() is due whatever it returns. */
int vnpu_bind_init(struct vnpu_bind *bind, const struct drm_vnpu_vm_bind *args);
void vnpu_bind_fini(struct vnpu_bind *bind);

/**
 * vnpu_bind_try() - Second and third phase
 * @bind: What to do.
 * @fence: Set to a new reference to the job's fence on success.
 *
 * Return: 0, or an error after which nothing has changed. -EAGAIN, with
 * &vnpu_bind.wait set: to be called again when that has signalled.
 */
int vnpu_bind_try(struct vnpu_bind *bind, struct dma_fence **fence);

#endif
