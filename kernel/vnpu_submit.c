// SPDX-License-Identifier: GPL-2.0-only
/*
 * SUBMIT: from user memory to the scheduler.
 */

#include <linux/slab.h>

#include <drm/drm_exec.h>
#include <drm/drm_file.h>

#include "vnpu_drv.h"
#include "vnpu_job.h"
#include "vnpu_queue.h"
#include "vnpu_sync.h"
#include "vnpu_trace.h"
#include "vnpu_validate.h"
#include "vnpu_vm.h"

/* A job of a client. Its reference to the queue keeps VM and ring. */
struct vnpu_submit_job {
	struct vnpu_job base;
	struct vnpu_queue *queue;
	u32 count;
	struct drm_vnpu_cmd cmds[VNPU_MAX_CMDS];
};

/* All that one job needs until it is the scheduler's. */
struct vnpu_submit_entry {
	struct vnpu_queue *queue;
	struct vnpu_syncs syncs;

	/* NULL once it is the scheduler's. */
	struct vnpu_submit_job *job;
};

struct vnpu_submit {
	struct drm_file *file;

	/* That of all queues, which hold it. */
	struct vnpu_vm *vm;

	struct vnpu_submit_entry *entries;
	u32 count;
};

static struct vnpu_submit_job *to_submit_job(struct vnpu_job *job)
{
	return container_of(job, struct vnpu_submit_job, base);
}

static void vnpu_submit_job_emit(struct vnpu_job *base, struct vnpu_ring *ring)
{
	struct vnpu_submit_job *job = to_submit_job(base);
	u32 i;

	for (i = 0; i < job->count; i++)
		vnpu_ring_emit_indirect(ring, job->cmds[i].va, job->cmds[i].size);
}

static void vnpu_submit_job_free(struct vnpu_job *base)
{
	struct vnpu_submit_job *job = to_submit_job(base);

	atomic_dec(&job->queue->stats->num_jobs);
	vnpu_queue_put_deferred(job->queue);
	kfree(job);
}

static const struct vnpu_job_ops vnpu_submit_job_ops = {
	.emit = vnpu_submit_job_emit,
	.free = vnpu_submit_job_free,
};

/*
 * What the hardware would fault on later is refused now where it costs nothing;
 * addresses that are not mapped are left to it.
 */
static int vnpu_submit_check_cmd(const struct drm_vnpu_cmd *cmd)
{
	u64 end;

	if (cmd->pad)
		return -EINVAL;
	if (!IS_ALIGNED(cmd->va, 8) || !IS_ALIGNED(cmd->size, 8))
		return -EINVAL;
	if (!cmd->size || cmd->size > VNPU_CMD_MAX_BYTES)
		return -EINVAL;
	if (check_add_overflow(cmd->va, (u64)cmd->size, &end) || end > VNPU_VM_VA_END)
		return -EINVAL;

	return 0;
}

static int vnpu_submit_copy_cmds(struct vnpu_submit_job *job,
				 const struct drm_vnpu_array *array)
{
	struct drm_vnpu_cmd *cmds;
	int ret = 0;
	u32 i;

	cmds = vnpu_array_copy(array, VNPU_MAX_CMDS, sizeof(*cmds), sizeof(*cmds));
	if (IS_ERR_OR_NULL(cmds))
		return PTR_ERR_OR_ZERO(cmds);

	for (i = 0; i < array->count && !ret; i++) {
		ret = vnpu_submit_check_cmd(&cmds[i]);
		job->cmds[i] = cmds[i];
	}
	job->count = array->count;

	kvfree(cmds);
	return ret;
}

static int vnpu_submit_init_job(struct vnpu_submit *submit, struct vnpu_submit_entry *entry,
				const struct drm_vnpu_submit_job *args)
{
	struct vnpu_queue *queue = entry->queue;
	struct vnpu_submit_job *job;
	int ret;

	job = kzalloc_obj(*job, GFP_KERNEL_ACCOUNT);
	if (!job)
		return -ENOMEM;

	ret = vnpu_submit_copy_cmds(job, &args->cmds);
	if (ret)
		goto err_free;

	ret = vnpu_stats_count_job(queue->stats);
	if (ret)
		goto err_free;

	ret = vnpu_job_init(&job->base, &vnpu_submit_job_ops, queue->ring, &queue->entity,
			    job->count, queue, submit->file->client_id);
	if (ret)
		goto err_count;

	job->queue = vnpu_queue_get(queue);
	entry->job = job;
	return 0;

err_count:
	atomic_dec(&queue->stats->num_jobs);
err_free:
	kfree(job);
	return ret;
}

/* ECANCELED: banned. ENODEV: no device any more. */
static int vnpu_submit_check_queue(struct vnpu_queue *queue)
{
	struct vnpu_ring *ring = queue->ring;
	int ret;

	spin_lock_irq(&ring->lock);
	ret = ring->state & DRM_VNPU_QUEUE_STATE_BANNED ? -ECANCELED : ring->error;
	spin_unlock_irq(&ring->lock);

	return ret;
}

static void vnpu_submit_fini(struct vnpu_submit *submit)
{
	u32 i;

	for (i = 0; i < submit->count; i++) {
		struct vnpu_submit_entry *entry = &submit->entries[i];

		if (entry->job)
			vnpu_job_abandon(&entry->job->base);
		vnpu_syncs_fini(&entry->syncs);
		if (entry->queue)
			vnpu_queue_put(entry->queue);
	}
	kvfree(submit->entries);
}

/* Look up, copy and allocate. What it got is given up by vnpu_submit_fini(). */
static int vnpu_submit_init_entry(struct vnpu_submit *submit, struct vnpu_submit_entry *entry,
				  const struct drm_vnpu_submit_job *args)
{
	int ret;

	if (args->flags)
		return -EINVAL;

	entry->queue = vnpu_queue_lookup(to_vnpu_file(submit->file), args->queue_id);
	if (!entry->queue)
		return -ENOENT;

	if (!submit->vm)
		submit->vm = entry->queue->vm;
	if (submit->vm != entry->queue->vm)
		return -EINVAL;

	ret = vnpu_submit_check_queue(entry->queue);
	if (ret)
		return ret;

	ret = vnpu_submit_init_job(submit, entry, args);
	if (ret)
		return ret;

	return vnpu_syncs_init(&entry->syncs, submit->file, &args->syncs);
}

static int vnpu_submit_init_entries(struct vnpu_submit *submit,
				    const struct drm_vnpu_array *array)
{
	struct drm_vnpu_submit_job *jobs;
	int ret = 0;

	jobs = vnpu_array_copy(array, VNPU_MAX_JOBS, sizeof(*jobs), sizeof(*jobs));
	if (IS_ERR_OR_NULL(jobs))
		return jobs ? PTR_ERR(jobs) : -EINVAL;

	submit->entries = kvcalloc(array->count, sizeof(*submit->entries), GFP_KERNEL_ACCOUNT);
	if (!submit->entries)
		ret = -ENOMEM;

	while (!ret && submit->count < array->count) {
		u32 i = submit->count++;

		ret = vnpu_submit_init_entry(submit, &submit->entries[i], &jobs[i]);
	}

	kvfree(jobs);
	return ret;
}

/* vnpu_submit_fini() is due whatever it returns. */
static int vnpu_submit_init(struct vnpu_submit *submit, struct drm_file *file,
			    const struct drm_vnpu_submit *args)
{
	*submit = (struct vnpu_submit) { .file = file };

	if (args->flags & ~DRM_VNPU_SUBMIT_GANG || args->pad)
		return -EINVAL;
	if (args->flags & DRM_VNPU_SUBMIT_GANG)
		return -EOPNOTSUPP;

	return vnpu_submit_init_entries(submit, &args->jobs);
}

/* And the VM's memory in its place: TTM locks victims with the same ticket. */
static int vnpu_submit_lock(struct vnpu_submit *submit, struct drm_exec *exec)
{
	int ret = 0;

	drm_exec_until_all_locked(exec) {
		ret = vnpu_vm_prepare_submit(submit->vm, exec, submit->count);
		drm_exec_retry_on_contention(exec);
		if (ret)
			break;

		ret = vnpu_vm_validate(submit->vm, exec, submit->count);
		drm_exec_retry_on_contention(exec);
		if (ret)
			break;
	}

	return ret;
}

/* The last that can fail: what to wait for. */
static int vnpu_submit_prepare(struct vnpu_submit *submit, struct drm_exec *exec)
{
	int ret = 0;
	u32 i;

	for (i = 0; !ret && i < submit->count; i++) {
		struct vnpu_submit_entry *entry = &submit->entries[i];
		struct drm_sched_job *job = &entry->job->base.base;

		ret = vnpu_vm_add_job_deps(submit->vm, exec, job);
		if (!ret)
			ret = vnpu_syncs_add_deps(&entry->syncs, job);
	}

	return ret;
}

static void vnpu_submit_push(struct vnpu_submit *submit, struct vnpu_submit_entry *entry,
			     struct drm_exec *exec)
{
	struct vnpu_submit_job *job = entry->job;
	struct dma_fence *fence = vnpu_job_arm(&job->base);

	trace_vnpu_submit(entry->queue->ring->id, fence->context, fence->seqno, job->count);
	vnpu_vm_add_job_fence(submit->vm, exec, fence);
	vnpu_syncs_signal(&entry->syncs, fence);

	entry->job = NULL;
	vnpu_job_push(&job->base);
}

static void vnpu_submit_push_all(struct vnpu_submit *submit, struct drm_exec *exec)
{
	u32 i;

	for (i = 0; i < submit->count; i++)
		vnpu_submit_push(submit, &submit->entries[i], exec);
}

static int vnpu_submit_try(struct vnpu_submit *submit)
{
	struct drm_exec exec;
	int ret;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 0);
	ret = vnpu_submit_lock(submit, &exec);
	if (!ret)
		ret = vnpu_submit_prepare(submit, &exec);
	if (!ret)
		vnpu_submit_push_all(submit, &exec);
	drm_exec_fini(&exec);

	return ret;
}

int vnpu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct vnpu_validate validate;
	struct vnpu_submit submit;
	int ret;

	ret = vnpu_submit_init(&submit, file, data);
	if (ret)
		goto out_fini;

	ret = vnpu_validate_begin(&validate, to_vnpu_device(drm));
	if (ret)
		goto out_fini;

	/* ENOSPC comes before anything is added to a job. */
	do {
		ret = vnpu_submit_try(&submit);
	} while (vnpu_validate_again(&validate, &ret));
	vnpu_validate_end(&validate);

out_fini:
	vnpu_submit_fini(&submit);

	/* Nothing was done: as good as not yet started. */
	return ret == -EINTR ? -ERESTARTSYS : ret;
}
