// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bind jobs: changes of page tables, on their way to the hardware.
 */

#include <linux/dma-fence.h>
#include <linux/slab.h>

#include <drm/drm_exec.h>
#include <drm/drm_gpuvm.h>

#include "vnpu_bind_job.h"
#include "vnpu_bind_line.h"
#include "vnpu_bo.h"
#include "vnpu_content.h"
#include "vnpu_device.h"
#include "vnpu_drv.h"
#include "vnpu_res.h"
#include "vnpu_ring.h"
#include "vnpu_trace.h"
#include "vnpu_vm.h"

#define to_vnpu_bind_job(job) container_of(job, struct vnpu_bind_job, base)

/* Those of other lines that have to come first: see "Bind queues". */
static struct dma_fence *bind_job_prepare(struct vnpu_job *base)
{
	struct vnpu_bind_job *job = to_vnpu_bind_job(base);

	return vnpu_bind_pending_find(job->pending, job->line, &job->txn.span, job);
}

static bool bind_job_run(struct vnpu_job *base)
{
	struct vnpu_bind_job *job = to_vnpu_bind_job(base);
	const struct vnpu_pt_txn *txn = &job->txn;
	u32 i;

	/*
	 * All have signalled: the job that mapped the BO, which is this one or an
	 * earlier one, waits for them. But for a copy that is younger: then the
	 * mapping is about to be replaced, and the old memory is still intact.
	 */
	for (i = 0; i < job->num_contents; i++)
		job->bad[i] = dma_fence_get_status(job->contents[i]) < 0;

	vnpu_pt_run(txn, job->bad);

	/* Fences of a line signal in order. */
	return !txn->num_ranges && (!job->before || dma_fence_is_signaled(job->before));
}

static void bind_job_emit(struct vnpu_job *base, struct vnpu_ring *ring)
{
	struct vnpu_bind_job *job = to_vnpu_bind_job(base);
	const struct vnpu_pt_txn *txn = &job->txn;
	unsigned int i;

	if (txn->num_ranges > base->num_entries) {
		vnpu_ring_emit_invalidate_ctx(ring, job->ctx);
		return;
	}

	for (i = 0; i < txn->num_ranges; i++) {
		const struct vnpu_pt_range *range = &txn->ranges[i];

		vnpu_ring_emit_invalidate(ring, job->ctx, range->start,
					  range->end - range->start);
	}
}

static void bind_job_free_contents(struct vnpu_bind_job *job)
{
	while (job->num_contents)
		dma_fence_put(job->contents[--job->num_contents]);
	kvfree(job->contents);
	kvfree(job->bad);
}

/* Whoever waits for a bind to return has no more of them than threads. */
int vnpu_bind_job_count(struct vnpu_bind_job *job, struct vnpu_stats *stats)
{
	int ret = vnpu_stats_count_job(stats);

	if (!ret)
		job->stats = vnpu_stats_get(stats);
	return ret;
}

static void bind_job_uncount(struct vnpu_bind_job *job)
{
	if (!job->stats)
		return;

	atomic_dec(&job->stats->num_jobs);
	vnpu_stats_put(job->stats);
}

static void bind_job_free(struct vnpu_job *base)
{
	struct vnpu_bind_job *job = to_vnpu_bind_job(base);

	vnpu_pt_txn_fini(&job->txn);
	bind_job_free_contents(job);
	vnpu_bind_pending_remove(job);
	dma_fence_put(job->finished);
	dma_fence_put(job->before);
	bind_job_uncount(job);
	kfree(job);
}

static const struct vnpu_job_ops bind_job_ops = {
	.prepare = bind_job_prepare,
	.run = bind_job_run,
	.emit = bind_job_emit,
	.free = bind_job_free,
};

static int bind_job_alloc_contents(struct vnpu_bind_job *job, u32 max)
{
	job->contents = kvcalloc(max, sizeof(*job->contents), GFP_KERNEL_ACCOUNT);
	job->bad = kvcalloc(max, sizeof(*job->bad), GFP_KERNEL_ACCOUNT);
	job->max_contents = max;
	return job->contents && job->bad ? 0 : -ENOMEM;
}

/* A table may be put in at once. */
static bool bind_job_is_quiet(struct vnpu_pt_txn *txn, u64 start, u64 end)
{
	struct vnpu_vm *vm = container_of(txn->pt, struct vnpu_vm, pt);
	struct vnpu_pt_range range = { start, end };
	struct dma_fence *fence;

	fence = vnpu_bind_pending_find(vm->pending, NULL, &range, NULL);
	dma_fence_put(fence);
	return !fence;
}

struct vnpu_bind_job *vnpu_bind_job_create(struct vnpu_vm *vm, struct vnpu_bind_line *line,
					   u32 num_ops, u32 max_contents, u64 client_id)
{
	struct vnpu_bind_job *job;
	int ret;

	job = kzalloc_obj(*job, GFP_KERNEL_ACCOUNT);
	if (!job)
		return ERR_PTR(-ENOMEM);

	job->ctx = vm->ctx;
	job->line = line;
	vnpu_pt_txn_init(&job->txn, &vm->pt);
	job->txn.is_quiet = bind_job_is_quiet;

	ret = bind_job_alloc_contents(job, max_contents);
	if (ret)
		goto err_free;

	/* An operation changes one range, and what it cuts at both ends. */
	ret = vnpu_job_init(&job->base, &bind_job_ops, vm->vdev->mmu_ring,
			    &line->entity,
			    clamp_t(u32, 3 * num_ops, 1, VNPU_PT_MAX_RANGES),
			    vm, client_id);
	if (ret)
		goto err_free;
	return job;

err_free:
	bind_job_free_contents(job);
	kfree(job);
	return ERR_PTR(ret);
}

u32 vnpu_bind_job_source(struct vnpu_bind_job *job, struct vnpu_bo *bo)
{
	vnpu_bo_check_content(bo);
	if (bo->lost || bo->dirty)
		return VNPU_PT_SOURCE_BAD;
	if (!bo->content)
		return VNPU_PT_SOURCE_NONE;

	if (job->num_contents && job->contents[job->num_contents - 1] == bo->content)
		return job->num_contents;
	if (WARN_ON_ONCE(job->num_contents == job->max_contents))
		return VNPU_PT_SOURCE_BAD;

	job->contents[job->num_contents++] = dma_fence_get(bo->content);
	return job->num_contents;
}

void vnpu_bind_job_abandon(struct vnpu_bind_job *job)
{
	vnpu_pt_abort(&job->txn);
	vnpu_job_abandon(&job->base);
}

struct dma_fence *vnpu_bind_job_queue(struct vnpu_bind_job *job,
				      struct vnpu_vm *vm, struct drm_exec *exec)
{
	struct dma_fence *fence;

	vnpu_pt_commit(&job->txn);

	fence = vnpu_job_arm(&job->base);
	/*
	 * The scheduler would let a bind of another VM that waits for this one go
	 * when this one was handed to the hardware. It may have nothing to drop
	 * itself, and be over before.
	 */
	set_bit(DRM_SCHED_FENCE_DONT_PIPELINE, &fence->flags);
	drm_gpuvm_resv_add_fence(&vm->base, exec, fence,
				 DMA_RESV_USAGE_BOOKKEEP,
				 DMA_RESV_USAGE_BOOKKEEP);
	job->finished = dma_fence_get(fence);
	job->before = job->line->last;
	job->line->last = dma_fence_get(fence);
	vnpu_bind_pending_add(vm->pending, job);
	fence = job->line->last;
	vnpu_job_push(&job->base);

	return fence;
}

int vnpu_bind_job_add_deps(struct vnpu_bind_job *job, struct drm_exec *exec)
{
	struct drm_gem_object *obj;
	int ret;

	drm_exec_for_each_locked_object(exec, obj) {
		ret = drm_sched_job_add_resv_dependencies(&job->base.base,
							  obj->resv,
							  DMA_RESV_USAGE_KERNEL);
		if (ret)
			return ret;
	}
	return 0;
}

/* The segment of memory that a cursor is at; false at its end. */
static bool bind_extent(const struct vnpu_res_cursor *cur,
			struct vnpu_pt_extent *ext)
{
	ext->addr = cur->addr;
	ext->size = cur->size;
	ext->vram = cur->vram;
	return cur->size;
}

int vnpu_bind_job_prepare_map(struct vnpu_bind_job *job, struct vnpu_bo *bo,
			      u64 offset, u64 va, u64 size)
{
	struct vnpu_pt_extent ext = {};
	struct vnpu_res_cursor cur;
	int ret;

	vnpu_res_first(bo, offset, size, &cur);
	while (bind_extent(&cur, &ext)) {
		ret = vnpu_pt_prepare_map(&job->txn, va, &ext);
		if (ret)
			return ret;
		va += ext.size;
		vnpu_res_next(&cur, ext.size);
	}
	return 0;
}

void vnpu_bind_job_map(struct vnpu_bind_job *job, struct vnpu_bo *bo,
		       u64 offset, u64 va, u64 size, bool readonly)
{
	struct vnpu_pt_extent ext = {
		.readonly = readonly,
		.source = vnpu_bind_job_source(job, bo),
	};
	struct vnpu_res_cursor cur;

	trace_vnpu_bind(job->ctx, true, va, size);
	vnpu_res_first(bo, offset, size, &cur);
	while (bind_extent(&cur, &ext)) {
		vnpu_pt_map(&job->txn, va, &ext);
		va += ext.size;
		vnpu_res_next(&cur, ext.size);
	}
}
