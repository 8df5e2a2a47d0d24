/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bind operations and their jobs.
 */

#ifndef __VNPU_BIND_H__
#define __VNPU_BIND_H__

#include <linux/list.h>
#include <linux/types.h>

#include "vnpu_job.h"
#include "vnpu_pt.h"

struct drm_device;
struct drm_exec;
struct drm_file;
struct drm_gem_object;
struct drm_gpuvm_bo;
struct drm_vnpu_vm_bind_op;
struct vnpu_bo;
struct vnpu_vm;

/**
 * struct vnpu_bind_job - A change of page tables, on its way to the hardware
 */
struct vnpu_bind_job {
	/** @base: The job, on the MMU ring. */
	struct vnpu_job base;

	/** @ctx: Context of the VM. */
	u32 ctx;

	/** @txn: What to write and to invalidate, and what is free after. */
	struct vnpu_pt_txn txn;
};

#define to_vnpu_bind_job(job) container_of(job, struct vnpu_bind_job, base)

/*
 * VM reservation held from create to push or abandon. Between them the change
 * is prepared and carried out in job->txn.
 */
struct vnpu_bind_job *vnpu_bind_job_create(struct vnpu_vm *vm, void *owner,
					   u64 client_id);
/* Not armed: takes the prepared change back and frees the job. */
void vnpu_bind_job_abandon(struct vnpu_bind_job *job);
/* The change is carried out: queues it. Returns a borrowed reference. */
struct dma_fence *vnpu_bind_job_queue(struct vnpu_bind_job *job,
				      struct vnpu_vm *vm, struct drm_exec *exec);

/* Argument check of one operation, apart for its unit tests. */
int vnpu_bind_check_op(const struct drm_vnpu_vm_bind_op *op);

int vnpu_ioctl_vm_bind(struct drm_device *drm, void *data,
		       struct drm_file *file);

#endif
