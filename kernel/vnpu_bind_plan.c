// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM_BIND: getting what an operation needs, and carrying it out.
 */

#include <linux/dma-fence.h>
#include <linux/dma-resv.h>

#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_gpuvm.h>
#include <drm/drm_print.h>
#include <drm/ttm/ttm_bo.h>

#include "vnpu_bind.h"
#include "vnpu_bind_job.h"
#include "vnpu_bind_line.h"
#include "vnpu_bind_plan.h"
#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_trace.h"
#include "vnpu_vm.h"

static struct vnpu_va *bind_take_va(struct vnpu_bind *bind)
{
	struct vnpu_va *va = list_first_entry(&bind->spare, struct vnpu_va,
					      link);

	list_del(&va->link);
	return va;
}

/* The reference keeps the BO until its reservation is unlocked. */
static void bind_remove_va(struct vnpu_bind *bind, struct drm_gpuva *va)
{
	drm_gem_object_get(va->gem.obj);
	drm_gpuva_unlink(va);
	list_add_tail(&to_vnpu_va(va)->link, &bind->removed);
}

int vnpu_bind_step_map(struct drm_gpuva_op *op, void *priv)
{
	struct vnpu_bind *bind = priv;
	struct vnpu_va *va = bind_take_va(bind);

	va->readonly = bind->op->readonly;
	drm_gpuva_map(&bind->vm->base, &va->base, &op->map);
	drm_gpuva_link(&va->base, bind->op->vm_bo);
	return 0;
}

int vnpu_bind_step_remap(struct drm_gpuva_op *op, void *priv)
{
	struct vnpu_va *old = to_vnpu_va(op->remap.unmap->va);
	struct vnpu_va *prev = NULL, *next = NULL;
	struct vnpu_bind *bind = priv;
	struct vnpu_pt_cut *cut = &bind->job->txn.cut;
	u32 source = vnpu_bind_job_source(bind->job, to_vnpu_bo(old->base.gem.obj));

	if (op->remap.prev) {
		prev = bind_take_va(bind);
		prev->readonly = old->readonly;
		cut->first = source;
	}
	if (op->remap.next) {
		next = bind_take_va(bind);
		next->readonly = old->readonly;
		cut->last = source;
	}
	cut->drop |= source != VNPU_PT_SOURCE_NONE;

	/* What remains keeps its entries in the page tables. */
	drm_gpuva_remap(prev ? &prev->base : NULL, next ? &next->base : NULL,
			&op->remap);
	if (prev)
		drm_gpuva_link(&prev->base, old->base.vm_bo);
	if (next)
		drm_gpuva_link(&next->base, old->base.vm_bo);
	bind_remove_va(bind, &old->base);
	return 0;
}

int vnpu_bind_step_unmap(struct drm_gpuva_op *op, void *priv)
{
	struct drm_gpuva *va = op->unmap.va;
	struct vnpu_bo *bo = to_vnpu_bo(va->gem.obj);
	struct vnpu_bind *bind = priv;

	/* Not vnpu_bind_job_source(): there is no limit to how many are removed. */
	bind->job->txn.cut.drop |= bo->content || bo->lost || bo->dirty;

	drm_gpuva_unmap(&op->unmap);
	bind_remove_va(priv, va);
	return 0;
}

static int bind_lock_bo(struct vnpu_bind *bind, struct drm_gem_object *obj)
{
	if (!drm_gpuvm_is_extobj(&bind->vm->base, obj))
		return 0;
	return drm_exec_prepare_obj(&bind->exec, obj, 1);
}

/* Those of BOs to be mapped, and those of mappings that are in the way. */
static int bind_lock_op(struct vnpu_bind *bind, const struct vnpu_bind_op *op)
{
	struct drm_gpuva *va;
	int ret;

	if (op->map) {
		ret = bind_lock_bo(bind, &op->bo->ttm.base);
		if (ret)
			return ret;
	}

	drm_gpuvm_for_each_va_range(va, &bind->vm->base, op->va,
				    op->va + op->size) {
		ret = bind_lock_bo(bind, va->gem.obj);
		if (ret)
			return ret;
	}
	return 0;
}

static int bind_lock_all(struct vnpu_bind *bind)
{
	int ret;
	u32 i;

	ret = drm_gpuvm_prepare_vm(&bind->vm->base, &bind->exec, 1);
	for (i = 0; !ret && i < bind->num_ops; i++)
		ret = bind_lock_op(bind, &bind->ops[i]);
	return ret;
}

/* Moves use up room that was reserved for the job's fence. */
static int bind_reserve_again(struct vnpu_bind *bind)
{
	struct drm_gem_object *obj;
	int ret;

	drm_exec_for_each_locked_object(&bind->exec, obj) {
		ret = dma_resv_reserve_fences(obj->resv, 1);
		if (ret)
			return ret;
	}
	return 0;
}

static int bind_validate(struct vnpu_bind *bind)
{
	struct ttm_operation_ctx ctx = {
		.interruptible = true,
		.resv = vnpu_vm_resv(bind->vm),
	};
	int ret;
	u32 i;

	for (i = 0; i < bind->num_ops; i++) {
		struct vnpu_bind_op *op = &bind->ops[i];

		if (!op->map)
			continue;

		ret = vnpu_bo_validate(op->bo, &ctx);
		if (ret)
			return ret;

		op->vm_bo = drm_gpuvm_bo_obtain_locked(&bind->vm->base,
						       &op->bo->ttm.base);
		if (IS_ERR(op->vm_bo)) {
			ret = PTR_ERR(op->vm_bo);
			op->vm_bo = NULL;
			return ret;
		}
	}
	return bind_reserve_again(bind);
}

/* Inside the loop: TTM locks victims with the same ticket. */
static int bind_lock_and_validate(struct vnpu_bind *bind)
{
	int ret = 0;

	drm_exec_until_all_locked(&bind->exec) {
		ret = bind_lock_all(bind);
		drm_exec_retry_on_contention(&bind->exec);
		if (ret)
			break;

		ret = bind_validate(bind);
		drm_exec_retry_on_contention(&bind->exec);
		if (ret)
			break;
	}
	return ret;
}

static int bind_prepare_tables(struct vnpu_bind *bind)
{
	struct vnpu_pt_txn *txn = &bind->job->txn;
	int ret = 0;
	u32 i;

	for (i = 0; !ret && i < bind->num_ops; i++) {
		const struct vnpu_bind_op *op = &bind->ops[i];

		if (op->map)
			ret = vnpu_bind_job_prepare_map(bind->job, op->bo, op->bo_offset,
							op->va, op->size);
		else
			ret = vnpu_pt_prepare_unmap(txn, op->va, op->size);
	}
	return ret ? ret : vnpu_pt_prepare_done(txn);
}

/* The fence is to be waited for, unless it is signalled. */
static bool bind_must_wait(struct vnpu_bind *bind, struct dma_fence *fence)
{
	if (!fence || dma_fence_is_signaled(fence))
		return false;

	bind->wait = dma_fence_get(fence);
	return true;
}

/* Those of other queues that come first. Each operation is looked at as if it were alone. */
static bool bind_find_before(struct vnpu_bind *bind)
{
	u32 i;

	for (i = 0; i < bind->num_ops && !bind->wait; i++) {
		const struct vnpu_bind_op *op = &bind->ops[i];
		struct vnpu_pt_range range;

		range = vnpu_pt_reach(&bind->vm->pt, op->va, op->size, !op->map);
		bind->wait = vnpu_bind_pending_find(bind->vm->pending, bind->line, &range, NULL);
	}
	return bind->wait;
}

/* -EAGAIN: the job would have to wait, for bind->wait first of all. */
static int bind_find_wait(struct vnpu_bind *bind)
{
	struct dma_resv_iter cursor;
	struct drm_gem_object *obj;
	struct dma_fence *fence;

	if (bind_must_wait(bind, bind->line->last) ||
	    bind_must_wait(bind, bind->vm->needed) || bind_find_before(bind))
		return -EAGAIN;
	if (!bind->map)
		return 0;

	drm_exec_for_each_locked_object(&bind->exec, obj) {
		dma_resv_for_each_fence(&cursor, obj->resv,
					DMA_RESV_USAGE_KERNEL, fence) {
			if (bind_must_wait(bind, fence))
				return -EAGAIN;
		}
	}
	return 0;
}

/* Second phase. */
static int bind_prepare(struct vnpu_bind *bind)
{
	int ret;

	if (!bind->async) {
		ret = bind_find_wait(bind);
		if (ret)
			return ret;
	}

	/* An operation maps one BO, and cuts the mappings of two. */
	bind->job = vnpu_bind_job_create(bind->vm, bind->line, bind->num_ops, 3 * bind->num_ops,
					 bind->file->client_id);
	if (IS_ERR(bind->job)) {
		ret = PTR_ERR(bind->job);
		bind->job = NULL;
		return ret;
	}
	bind->job->txn.max_entries = VNPU_PT_MAX_ENTRIES;

	ret = bind->async ? vnpu_bind_job_count(bind->job, bind->vm->stats) : 0;
	if (!ret)
		ret = bind_prepare_tables(bind);
	if (!ret && bind->map)
		ret = vnpu_bind_job_add_deps(bind->job, &bind->exec);
	if (!ret)
		ret = vnpu_syncs_add_deps(&bind->syncs, &bind->job->base.base);
	return ret;
}

static void bind_commit_map(struct vnpu_bind *bind)
{
	const struct vnpu_bind_op *op = bind->op;
	struct vnpu_vm *vm = bind->vm;
	const struct drm_gpuvm_map_req req = {
		.map.va.addr = op->va,
		.map.va.range = op->size,
		.map.gem.obj = &op->bo->ttm.base,
		.map.gem.offset = op->bo_offset,
	};
	int ret;

	ret = drm_gpuvm_sm_map(&vm->base, bind, &req);
	drm_WARN_ON(&vm->vdev->drm, ret);
	drm_gpuvm_bo_extobj_add(op->vm_bo);
	vnpu_vm_watch_content(vm, op->vm_bo);
	vnpu_bind_job_map(bind->job, op->bo, op->bo_offset, op->va, op->size,
			  op->readonly);
}

static void bind_commit_unmap(struct vnpu_bind *bind)
{
	const struct vnpu_bind_op *op = bind->op;
	struct vnpu_vm *vm = bind->vm;
	int ret;

	trace_vnpu_bind(vm->ctx, false, op->va, op->size);
	ret = drm_gpuvm_sm_unmap(&vm->base, bind, op->va, op->size);
	drm_WARN_ON(&vm->vdev->drm, ret);
	vnpu_pt_unmap(&bind->job->txn, op->va, op->size);
}

/* Third phase. Returns a new reference to the job's fence. */
static struct dma_fence *bind_commit(struct vnpu_bind *bind)
{
	struct vnpu_bind_job *job = bind->job;
	struct dma_fence *fence;
	u32 i;

	for (i = 0; i < bind->num_ops; i++) {
		bind->op = &bind->ops[i];
		job->txn.cut = (struct vnpu_pt_cut) {
			.va = bind->op->va,
			.end = bind->op->va + bind->op->size,
		};
		if (bind->op->map)
			bind_commit_map(bind);
		else
			bind_commit_unmap(bind);
	}

	fence = dma_fence_get(vnpu_bind_job_queue(job, bind->vm, &bind->exec));
	if (!bind->async)
		vnpu_vm_set_needed(bind->vm, fence);
	vnpu_syncs_signal(&bind->syncs, fence);
	return fence;
}

/* Reservations still held. */
static void bind_put_vm_bos(struct vnpu_bind *bind)
{
	u32 i;

	for (i = 0; i < bind->num_ops; i++) {
		drm_gpuvm_bo_put(bind->ops[i].vm_bo);
		bind->ops[i].vm_bo = NULL;
	}
}

int vnpu_bind_try(struct vnpu_bind *bind, struct dma_fence **fence)
{
	int ret;

	drm_exec_init(&bind->exec, DRM_EXEC_INTERRUPTIBLE_WAIT |
				   DRM_EXEC_IGNORE_DUPLICATES, 0);
	ret = bind_lock_and_validate(bind);
	if (!ret)
		ret = bind_prepare(bind);
	if (!ret)
		*fence = bind_commit(bind);
	else if (bind->job)
		vnpu_bind_job_abandon(bind->job);
	bind->job = NULL;
	bind_put_vm_bos(bind);
	drm_exec_fini(&bind->exec);
	return ret;
}
