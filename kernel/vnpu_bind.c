// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bind operations and their jobs.
 */

#include <linux/completion.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_gpuvm.h>
#include <drm/drm_print.h>
#include <drm/ttm/ttm_bo.h>

#include <drm/vnpu_accel.h>

#include <kunit/visibility.h>

#include "vnpu_bind.h"
#include "vnpu_bo.h"
#include "vnpu_content.h"
#include "vnpu_device.h"
#include "vnpu_drv.h"
#include "vnpu_job.h"
#include "vnpu_pt.h"
#include "vnpu_res.h"
#include "vnpu_ring.h"
#include "vnpu_sync.h"
#include "vnpu_trace.h"
#include "vnpu_validate.h"
#include "vnpu_vm.h"

/**
 * DOC: VM_BIND
 *
 * All operations of an ioctl are carried out or none, and every error is
 * reported by the ioctl. So it has three phases:
 *
 * 1. Look at the arguments: copy them, check them, look up BOs and syncobjs.
 * 2. Get everything that may be missing, under the reservations of the VM and
 *    of the external BOs that gain or lose a mapping: put the BOs where the
 *    device can use them, allocate mappings, vm_bos, page tables and the job,
 *    and add its dependencies. All of it can be given back.
 * 3. Carry out, without a way to fail: change the mappings and the tree of
 *    page tables, which records what the job has to write, queue the job and
 *    hand its fence to the reservations and syncobjs.
 *
 * The bind jobs of a VM run in order on one scheduler entity. A job writes
 * page-table entries by CPU when the scheduler runs it, and has the hardware
 * drop the translations that it made invalid. Where nothing valid was changed
 * there is nothing to drop: the hardware caches only valid translations.
 *
 * Without DRM_VNPU_VM_BIND_ASYNC the ioctl returns when its job has finished. A
 * signal must not interrupt that wait, because what was carried out cannot be
 * taken back, and repeating the ioctl would not be the same: another thread may
 * have changed the same range in between. So everything that may take long, the
 * earlier binds of the VM and moves of the BOs, is waited for before the third
 * phase, where a signal does no harm, and with no lock held: the second phase is
 * given up and started again after the wait.
 *
 * What is left at the end is a job that waits for nothing of its own. If there is
 * nothing to drop it is over when the CPU has written the entries. Otherwise it
 * takes its turn on the ring that all VMs share, where one before it may be
 * waiting for a packet of its VM to end. The wait for that ends when the client
 * is killed: it will not repeat the ioctl.
 */

/* A change of page tables, on its way to the hardware. */
struct vnpu_bind_job {
	struct vnpu_job base;

	/* Context of the VM. */
	u32 ctx;

	/* What to write and to invalidate, and what is free after. */
	struct vnpu_pt_txn txn;

	/* Finished fence of the VM's bind before, or NULL. */
	struct dma_fence *before;

	/* Of the file that it counts for, or NULL: it may outlive the VM. */
	struct vnpu_stats *stats;

	/*
	 * Fences of contents that were not there when their BOs were mapped, and
	 * whether they failed, which is found out when the job runs. Indices are
	 * sources of @txn less one.
	 */
	struct dma_fence **contents;
	bool *bad;
	u32 num_contents;
	u32 max_contents;
};

#define to_vnpu_bind_job(job) container_of(job, struct vnpu_bind_job, base)

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

	/* Fences of a VM's binds signal in order. */
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
static int bind_job_count(struct vnpu_bind_job *job, struct vnpu_stats *stats)
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
	dma_fence_put(job->before);
	bind_job_uncount(job);
	kfree(job);
}

static const struct vnpu_job_ops bind_job_ops = {
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

/* @max_contents: number of BOs whose memory the job may write entries for. */
static struct vnpu_bind_job *bind_job_create(struct vnpu_vm *vm, u32 num_ops,
					     u32 max_contents, u64 client_id)
{
	struct vnpu_bind_job *job;
	int ret;

	job = kzalloc_obj(*job, GFP_KERNEL_ACCOUNT);
	if (!job)
		return ERR_PTR(-ENOMEM);

	job->ctx = vm->ctx;
	vnpu_pt_txn_init(&job->txn, &vm->pt);

	ret = bind_job_alloc_contents(job, max_contents);
	if (ret)
		goto err_free;

	/* An operation changes one range, and what it cuts at both ends. */
	ret = vnpu_job_init(&job->base, &bind_job_ops, vm->vdev->mmu_ring,
			    &vm->bind_entity,
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

/* The source of a BO's memory, for the page tables. */
static u32 bind_job_source(struct vnpu_bind_job *job, struct vnpu_bo *bo)
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

/* Not armed: takes the prepared change back. */
static void bind_job_abandon(struct vnpu_bind_job *job)
{
	vnpu_pt_abort(&job->txn);
	vnpu_job_abandon(&job->base);
}

/* The change is carried out: queues it. Returns a borrowed reference. */
static struct dma_fence *bind_job_queue(struct vnpu_bind_job *job,
					struct vnpu_vm *vm,
					struct drm_exec *exec)
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
	job->before = vm->last_bind;
	vm->last_bind = dma_fence_get(fence);
	vnpu_job_push(&job->base);

	return vm->last_bind;
}

/* A map waits for moves of all that is locked: see "Eviction". */
static int bind_job_add_deps(struct vnpu_bind_job *job, struct drm_exec *exec)
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

static int bind_prepare_map(struct vnpu_bind_job *job, struct vnpu_bo *bo,
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

static void bind_map(struct vnpu_bind_job *job, struct vnpu_bo *bo,
		     u64 offset, u64 va, u64 size, bool readonly)
{
	struct vnpu_pt_extent ext = {
		.readonly = readonly,
		.source = bind_job_source(job, bo),
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

/*
 * Entries of page tables that one job of a rebind writes, in small pages, if it has
 * more than one mapping: it keeps the ring of all VMs for as long as that takes. How
 * many there are in all is up to the client.
 */
#define REBIND_ENTRIES	BIT_ULL(18)

/* A mapping of a BO of vnpu_vm.rebind, or the end: @va is NULL. */
struct rebind_pos {
	struct vnpu_vm_bo *vbo;
	struct drm_gpuva *va;
};

static struct rebind_pos rebind_first_of(struct vnpu_vm *vm, struct vnpu_vm_bo *vbo)
{
	struct rebind_pos pos = { .vbo = vbo };

	list_for_each_entry_from(pos.vbo, &vm->rebind, rebind) {
		pos.va = list_first_entry_or_null(&pos.vbo->base.list.gpuva,
						  struct drm_gpuva, gem.entry);
		if (pos.va)
			break;
	}
	return pos;
}

static struct rebind_pos rebind_next(struct vnpu_vm *vm, struct rebind_pos pos)
{
	if (list_is_last(&pos.va->gem.entry, &pos.vbo->base.list.gpuva))
		return rebind_first_of(vm, list_next_entry(pos.vbo, rebind));

	pos.va = list_next_entry(pos.va, gem.entry);
	return pos;
}

/* As many mappings from @pos on as fit; @end: the first that does not. */
static int rebind_prepare(struct vnpu_vm *vm, struct vnpu_bind_job *job, struct drm_exec *exec,
			  struct rebind_pos pos, struct rebind_pos *end)
{
	u64 entries = 0;
	int ret;

	do {
		struct drm_gpuva *va = pos.va;

		ret = bind_prepare_map(job, to_vnpu_bo(va->gem.obj), va->gem.offset,
				       va->va.addr, va->va.range);
		if (ret)
			return ret;

		pos = rebind_next(vm, pos);
		entries += va->va.range >> VNPU_PAGE_SHIFT;
	} while (pos.va && entries + (pos.va->va.range >> VNPU_PAGE_SHIFT) <= REBIND_ENTRIES);
	*end = pos;

	ret = vnpu_pt_prepare_done(&job->txn);
	if (!ret)
		ret = bind_job_add_deps(job, exec);
	return ret;
}

/* No job of the VM runs, so what is replaced need not be shown on the way. */
static void rebind_map(struct vnpu_bind_job *job, struct vnpu_va *va)
{
	u64 addr = va->base.va.addr, size = va->base.va.range;

	job->txn.cut = (struct vnpu_pt_cut) {
		.va = addr,
		.end = addr + size,
		.drop = true,
	};
	bind_map(job, to_vnpu_bo(va->base.gem.obj), va->base.gem.offset, addr, size,
		 va->readonly);
}

/* The mappings from @pos on that one job takes; moves @pos. */
static int rebind_part(struct vnpu_vm *vm, struct drm_exec *exec, struct rebind_pos *pos)
{
	struct vnpu_bind_job *job;
	struct rebind_pos end;
	int ret;

	/* The number of ranges is not known: the whole context if several. */
	job = bind_job_create(vm, 1, list_count_nodes(&vm->rebind), 0);
	if (IS_ERR(job))
		return PTR_ERR(job);

	ret = rebind_prepare(vm, job, exec, *pos, &end);
	if (ret) {
		bind_job_abandon(job);
		return ret;
	}

	while (pos->va != end.va) {
		vnpu_vm_watch_content(vm, &pos->vbo->base);
		rebind_map(job, to_vnpu_va(pos->va));
		*pos = rebind_next(vm, *pos);
	}

	vnpu_vm_set_needed(vm, bind_job_queue(job, vm, exec));
	return 0;
}

/* After an error some mappings may have been written anew, which does no harm. */
int vnpu_bind_rebind(struct vnpu_vm *vm, struct drm_exec *exec)
{
	struct rebind_pos pos;
	int ret = 0;

	pos = rebind_first_of(vm, list_first_entry(&vm->rebind, struct vnpu_vm_bo, rebind));
	while (!ret && pos.va) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = rebind_part(vm, exec, &pos);
	}
	return ret;
}

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
	u32 source = bind_job_source(bind->job, to_vnpu_bo(old->base.gem.obj));

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

	/* Not bind_job_source(): there is no limit to how many are removed. */
	bind->job->txn.cut.drop |= bo->content || bo->lost || bo->dirty;

	drm_gpuva_unmap(&op->unmap);
	bind_remove_va(priv, va);
	return 0;
}

static bool bind_range_ok(u64 start, u64 size)
{
	u64 end;

	return size && IS_ALIGNED(start | size, VNPU_PT_PAGE_SIZE) &&
	       !check_add_overflow(start, size, &end);
}

int vnpu_bind_check_op(const struct drm_vnpu_vm_bind_op *op)
{
	if (op->pad || !bind_range_ok(op->va, op->size))
		return -EINVAL;
	if (op->va < VNPU_VM_VA_START || op->va + op->size > VNPU_VM_VA_END)
		return -EINVAL;

	switch (op->op) {
	case DRM_VNPU_VM_BIND_OP_MAP:
		if (op->flags & ~DRM_VNPU_VM_BIND_MAP_READONLY)
			return -EINVAL;
		return bind_range_ok(op->bo_offset, op->size) ? 0 : -EINVAL;
	case DRM_VNPU_VM_BIND_OP_UNMAP:
		return op->flags || op->handle || op->bo_offset ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_bind_check_op);

static int bind_init_op(struct vnpu_bind *bind, struct vnpu_bind_op *op,
			const struct drm_vnpu_vm_bind_op *arg)
{
	int ret;

	ret = vnpu_bind_check_op(arg);
	if (ret)
		return ret;

	op->map = arg->op == DRM_VNPU_VM_BIND_OP_MAP;
	op->readonly = arg->flags & DRM_VNPU_VM_BIND_MAP_READONLY;
	bind->map |= op->map;
	op->va = arg->va;
	op->size = arg->size;
	op->bo_offset = arg->bo_offset;
	if (!op->map)
		return 0;

	op->bo = vnpu_bo_lookup(bind->file, arg->handle);
	if (!op->bo)
		return -ENOENT;
	if (op->bo_offset + op->size > vnpu_bo_size(op->bo) ||
	    !vnpu_bo_bindable(op->bo, vnpu_vm_resv(bind->vm)))
		return -EINVAL;
	return 0;
}

static int bind_init_ops(struct vnpu_bind *bind,
			 const struct drm_vnpu_array *array)
{
	struct drm_vnpu_vm_bind_op *args;
	int ret = 0;
	u32 i;

	args = vnpu_array_copy(array, VNPU_BIND_MAX_OPS, sizeof(*args),
			       sizeof(*args));
	if (IS_ERR_OR_NULL(args))
		return PTR_ERR_OR_ZERO(args);

	bind->ops = kvcalloc(array->count, sizeof(*bind->ops),
			     GFP_KERNEL_ACCOUNT);
	if (!bind->ops)
		ret = -ENOMEM;

	for (i = 0; !ret && i < array->count; i++) {
		ret = bind_init_op(bind, &bind->ops[i], &args[i]);
		bind->num_ops++;
	}

	kvfree(args);
	return ret;
}

/* An operation cuts two mappings at most, and makes one if it is a map. */
static int bind_alloc_vas(struct vnpu_bind *bind)
{
	struct vnpu_va *va;
	u32 i, n;

	for (i = 0; i < bind->num_ops; i++) {
		for (n = bind->ops[i].map ? 3 : 2; n; n--) {
			va = kzalloc_obj(*va, GFP_KERNEL_ACCOUNT);
			if (!va)
				return -ENOMEM;
			list_add(&va->link, &bind->spare);
		}
	}
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
			ret = bind_prepare_map(bind->job, op->bo, op->bo_offset,
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

/* -EAGAIN: the job would have to wait, for bind->wait first of all. */
static int bind_find_wait(struct vnpu_bind *bind)
{
	struct dma_resv_iter cursor;
	struct drm_gem_object *obj;
	struct dma_fence *fence;

	if (bind_must_wait(bind, bind->vm->last_bind))
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
	bind->job = bind_job_create(bind->vm, bind->num_ops, 3 * bind->num_ops,
				    bind->file->client_id);
	if (IS_ERR(bind->job)) {
		ret = PTR_ERR(bind->job);
		bind->job = NULL;
		return ret;
	}
	bind->job->txn.max_entries = VNPU_PT_MAX_ENTRIES;

	ret = bind->async ? bind_job_count(bind->job, bind->vm->stats) : 0;
	if (!ret)
		ret = bind_prepare_tables(bind);
	if (!ret && bind->map)
		ret = bind_job_add_deps(bind->job, &bind->exec);
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
	bind_map(bind->job, op->bo, op->bo_offset, op->va, op->size,
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

	fence = dma_fence_get(bind_job_queue(job, bind->vm, &bind->exec));
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

/* Second and third phase. Sets @fence, to a new reference, on success. */
static int bind_try(struct vnpu_bind *bind, struct dma_fence **fence)
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
		bind_job_abandon(bind->job);
	bind->job = NULL;
	bind_put_vm_bos(bind);
	drm_exec_fini(&bind->exec);
	return ret;
}

static int bind_run(struct vnpu_bind *bind, struct dma_fence **fence)
{
	struct vnpu_validate validate;
	int ret;

	ret = vnpu_validate_begin(&validate, bind->vm->vdev);
	if (ret)
		return ret;
	do {
		ret = bind_try(bind, fence);
	} while (vnpu_validate_again(&validate, &ret));
	vnpu_validate_end(&validate);
	return ret;
}

static void bind_fini(struct vnpu_bind *bind)
{
	struct vnpu_va *va, *next;
	u32 i;

	list_for_each_entry_safe(va, next, &bind->removed, link) {
		drm_gem_object_put(va->base.gem.obj);
		kfree(va);
	}
	list_for_each_entry_safe(va, next, &bind->spare, link)
		kfree(va);
	for (i = 0; i < bind->num_ops; i++)
		vnpu_bo_put(bind->ops[i].bo);
	kvfree(bind->ops);
	vnpu_syncs_fini(&bind->syncs);
}

/* First phase. */
static int bind_init(struct vnpu_bind *bind,
		     const struct drm_vnpu_vm_bind *args)
{
	int ret;

	ret = bind_init_ops(bind, &args->ops);
	if (!ret)
		ret = vnpu_syncs_init(&bind->syncs, bind->file, &args->syncs);
	if (!ret)
		ret = bind_alloc_vas(bind);
	return ret;
}

/* Waits for what bind_run() was in want of. */
static int bind_wait(struct vnpu_bind *bind)
{
	long ret = dma_fence_wait(bind->wait, true);

	dma_fence_put(bind->wait);
	bind->wait = NULL;
	return ret < 0 ? ret : 0;
}

struct bind_waiter {
	struct dma_fence_cb cb;
	struct completion done;
};

static void bind_wake(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	complete(&container_of(cb, struct bind_waiter, cb)->done);
}

/* Only a fatal signal ends the wait. */
static int bind_wait_killable(struct dma_fence *fence)
{
	struct bind_waiter waiter;
	int ret;

	init_completion(&waiter.done);
	if (dma_fence_add_callback(fence, &waiter.cb, bind_wake))
		return 0;

	ret = wait_for_completion_killable(&waiter.done);
	if (!dma_fence_remove_callback(fence, &waiter.cb))
		return 0;
	return ret;
}

static int bind_sync(struct vnpu_bind *bind)
{
	struct dma_fence *fence;
	int ret;

	for (;;) {
		ret = bind_run(bind, &fence);
		if (ret != -EAGAIN || !bind->wait)
			break;
		ret = bind_wait(bind);
		if (ret)
			break;
	}
	if (ret)
		return ret;

	ret = bind_wait_killable(fence);
	if (!ret)
		ret = min(dma_fence_get_status(fence), 0);
	dma_fence_put(fence);
	return ret;
}

static int bind_async(struct vnpu_bind *bind)
{
	struct dma_fence *fence;
	int ret;

	ret = bind_run(bind, &fence);
	if (!ret)
		dma_fence_put(fence);
	return ret;
}

int vnpu_ioctl_vm_bind(struct drm_device *drm, void *data,
		       struct drm_file *file)
{
	const struct drm_vnpu_vm_bind *args = data;
	struct vnpu_bind bind = {
		.file = file,
		.async = args->flags & DRM_VNPU_VM_BIND_ASYNC,
		.spare = LIST_HEAD_INIT(bind.spare),
		.removed = LIST_HEAD_INIT(bind.removed),
	};
	int ret;

	if (args->flags & ~DRM_VNPU_VM_BIND_ASYNC || args->pad)
		return -EINVAL;
	if (args->bind_queue_id)
		return -ENOENT;
	if (!bind.async && (!args->ops.count || args->syncs.count))
		return -EINVAL;

	bind.vm = vnpu_vm_lookup(to_vnpu_file(file), args->vm_id);
	if (!bind.vm)
		return -ENOENT;

	ret = bind_init(&bind, args);
	if (!ret)
		ret = bind.async ? bind_async(&bind) : bind_sync(&bind);
	bind_fini(&bind);
	vnpu_vm_put(bind.vm);

	/* Nothing was done: as good as not yet started. */
	return ret == -EINTR ? -ERESTARTSYS : ret;
}
