// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address spaces.
 */

#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/iopoll.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_drv.h>
#include <drm/drm_exec.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>
#include <drm/ttm/ttm_bo.h>

#include <drm/vnpu_accel.h>

#include "vnpu_bind.h"
#include "vnpu_bo.h"
#include "vnpu_content.h"
#include "vnpu_device.h"
#include "vnpu_drv.h"
#include "vnpu_lru.h"
#include "vnpu_ptpool.h"
#include "vnpu_validate.h"
#include "vnpu_vm.h"

/**
 * DOC: Address spaces
 *
 * An address space is a &struct drm_gpuvm and a set of page tables, which a
 * hardware context shows to the device. Both change in VM_BIND, at the time of
 * the ioctl and under the reservation of the VM, which all BOs that are private
 * to the VM share; a bind job brings the tables in VRAM up to date later, see
 * vnpu_bind_job.c.
 *
 * Life: the ID, queues and ioctls hold a VM by &vnpu_vm.users. Mappings and
 * vm_bos hold &vnpu_vm.base, so that this count never gets to zero by itself.
 * When the last user is gone no job is left, and the VM is torn down: the context
 * is made invalid, which drops its part of the TLB, and given back; when the binds
 * that were queued have finished mappings and page tables go. If there are such
 * binds this is done by a worker. Its workqueue is that of the module, not of a device,
 * because the VM may hold the last reference of the device.
 */

/**
 * DOC: Eviction
 *
 * A BO that moves leaves stale translations behind: an eviction only marks the
 * vm_bo. The device cannot use them, because
 *
 * - a move waits for all fences of the BO (BOOKKEEP). Each submit adds the
 *   fence of its job to the VM's reservation and to those of its external BOs,
 *   each bind adds its fence to the reservations of the BOs that it maps and
 *   unmaps. So when memory is given up, no job of the VM that was submitted
 *   before can run any more, and no bind that names the memory is pending;
 * - a submit that comes later holds the same reservations, finds the BOs that
 *   are marked, moves them back and queues a bind job that writes their
 *   translations anew. The user's job waits for it, and the bind job waits for
 *   the moves (KERNEL).
 *
 * So no job of the VM runs between the end of the move and the rebind. A job
 * that is queued but waits for something counts as one that runs. Two more
 * cases need care:
 *
 * - A bind of memory whose content is still being written or cleared: jobs
 *   that were submitted before may run already and could look at what another
 *   client left behind. So the bind job waits for the moves of what it maps.
 * - An unmap that waits for a fence of the user while the BO has been taken
 *   out of the VM: its fence is in the BO's reservation, so that the BO stays
 *   where the tables say until the unmap has been carried out.
 *
 * Clearing the entries at eviction instead would need a job, and memory for it,
 * in the middle of an eviction, and would bring nothing but faults in place of
 * accesses that cannot happen.
 */

/* Teardowns; see above why it belongs to the module. */
static struct workqueue_struct *vnpu_vm_wq;

int vnpu_vm_module_init(void)
{
	vnpu_vm_wq = alloc_workqueue("vnpu-vm", WQ_UNBOUND, 0);

	return vnpu_vm_wq ? 0 : -ENOMEM;
}

void vnpu_vm_module_exit(void)
{
	destroy_workqueue(vnpu_vm_wq);
}

static void vnpu_vm_dev_release(struct drm_device *drm, void *data)
{
	struct vnpu_device *vdev = to_vnpu_device(drm);

	drm_WARN_ON(drm, !xa_empty(&vdev->vms));
	xa_destroy(&vdev->vms);
}

int vnpu_vm_dev_init(struct vnpu_device *vdev)
{
	xa_init_flags(&vdev->vms, XA_FLAGS_ALLOC1);
	vnpu_room_init(&vdev->room);

	return drmm_add_action_or_reset(&vdev->drm, vnpu_vm_dev_release, NULL);
}

static void ctx_program(struct vnpu_vm *vm)
{
	u32 reg = VNPU_CTX(vm->ctx);

	vnpu_write64(vm->vdev, reg + VNPU_CTX_REG_PT_LO,
		     vnpu_pt_root_offset(&vm->pt));
	vnpu_write32(vm->vdev, reg + VNPU_CTX_REG_CONTROL,
		     VNPU_CTX_CONTROL_VALID_MASK);
}

/* A context that is changing takes no writes. EIO: it does not come to an end. */
static int ctx_wait(struct vnpu_device *vdev, u32 ctx)
{
	u32 control;

	if (!read_poll_timeout(vnpu_read32, control,
			       !(control & VNPU_CTX_CONTROL_CHANGING_MASK) || control == U32_MAX,
			       VNPU_HW_POLL_US, VNPU_HW_WAIT_US, false, vdev,
			       VNPU_CTX(ctx) + VNPU_CTX_REG_CONTROL))
		return 0;

	drm_err(&vdev->drm, "context %u does not change\n", ctx);
	return -EIO;
}

/* May sleep; fit for the signalling path. */
void vnpu_vm_dev_restore(struct vnpu_device *vdev)
{
	struct vnpu_vm *vm;
	unsigned long ctx;

	/* Entries are removed under the lock before page tables go. */
	xa_lock(&vdev->vms);
	xa_for_each(&vdev->vms, ctx, vm)
		ctx_program(vm);
	xa_unlock(&vdev->vms);

	/* Who uses one that does not come faults. */
	xa_for_each(&vdev->vms, ctx, vm)
		ctx_wait(vdev, ctx);
}

/* Reserves a context, without a VM yet. EBUSY: all are in use. */
static int ctx_alloc(struct vnpu_device *vdev, u32 *ctx)
{
	if (vdev->num_contexts < 2)
		return -EBUSY;

	return xa_alloc(&vdev->vms, ctx, NULL,
			XA_LIMIT(VNPU_PHYS_CONTEXT + 1, vdev->num_contexts - 1),
			GFP_KERNEL_ACCOUNT);
}

/* Makes the context usable, now and after a reset. */
static int ctx_enable(struct vnpu_vm *vm)
{
	struct vnpu_device *vdev = vm->vdev;
	int idx, ret;

	if (!drm_dev_enter(&vdev->drm, &idx))
		return -ENODEV;

	vnpu_device_lock_read(vdev);
	xa_lock(&vdev->vms);
	__xa_store(&vdev->vms, vm->ctx, vm, 0);
	ctx_program(vm);
	xa_unlock(&vdev->vms);
	ret = ctx_wait(vdev, vm->ctx);
	up_read(&vdev->reset_lock);

	drm_dev_exit(idx);
	return ret;
}

/*
 * No job is left: the device forgets the context, and another VM can have it. Binds
 * that still wait write to tables that nobody walks, and drop translations that
 * are not theirs, which harms nobody.
 */
static void ctx_free(struct vnpu_vm *vm)
{
	struct vnpu_device *vdev = vm->vdev;
	bool there;
	int idx;

	vnpu_device_lock_read(vdev);
	xa_lock(&vdev->vms);
	/* The number stays reserved. */
	__xa_store(&vdev->vms, vm->ctx, NULL, 0);
	there = drm_dev_enter(&vdev->drm, &idx);
	if (there)
		vnpu_write32(vdev, VNPU_CTX(vm->ctx) + VNPU_CTX_REG_CONTROL, 0);
	xa_unlock(&vdev->vms);
	if (there) {
		ctx_wait(vdev, vm->ctx);
		drm_dev_exit(idx);
	}
	xa_erase(&vdev->vms, vm->ctx);
	up_read(&vdev->reset_lock);
}

static struct vnpu_pt_page *vnpu_vm_alloc_table(struct vnpu_pt *pt)
{
	struct vnpu_vm *vm = container_of(pt, struct vnpu_vm, pt);

	return vnpu_ptpool_alloc(vm->vdev, vm->stats);
}

static const struct vnpu_pt_ops vnpu_vm_pt_ops = {
	.alloc = vnpu_vm_alloc_table,
	.free = vnpu_ptpool_free,
};

static void vnpu_vm_teardown_work(struct work_struct *work);

static void vnpu_vm_free(struct drm_gpuvm *gpuvm)
{
	kfree(to_vnpu_vm(gpuvm));
}

static struct drm_gpuvm_bo *vnpu_vm_bo_alloc(void)
{
	struct vnpu_vm_bo *vbo = kzalloc_obj(*vbo, GFP_KERNEL_ACCOUNT);

	if (!vbo)
		return NULL;

	INIT_LIST_HEAD(&vbo->rebind);
	INIT_LIST_HEAD(&vbo->unsettled);
	return &vbo->base;
}

static void vnpu_vm_bo_free(struct drm_gpuvm_bo *vm_bo)
{
	dma_resv_assert_held(vnpu_vm_resv(to_vnpu_vm(vm_bo->vm)));

	list_del(&to_vnpu_vm_bo(vm_bo)->unsettled);
	kfree(to_vnpu_vm_bo(vm_bo));
}

static int vnpu_vm_bo_validate(struct drm_gpuvm_bo *vm_bo,
			       struct drm_exec *exec)
{
	struct vnpu_vm *vm = to_vnpu_vm(vm_bo->vm);
	struct ttm_operation_ctx ctx = {
		.interruptible = true,
		.resv = vnpu_vm_resv(vm),
	};
	int ret;

	/* An external BO stays in the list until it is found here. */
	if (!vm_bo->evicted)
		return 0;

	ret = vnpu_bo_validate(to_vnpu_bo(vm_bo->obj), &ctx);
	if (ret)
		return ret;

	list_add_tail(&to_vnpu_vm_bo(vm_bo)->rebind, &vm->rebind);
	return 0;
}

static const struct drm_gpuvm_ops vnpu_gpuvm_ops = {
	.vm_free = vnpu_vm_free,
	.vm_bo_alloc = vnpu_vm_bo_alloc,
	.vm_bo_free = vnpu_vm_bo_free,
	.vm_bo_validate = vnpu_vm_bo_validate,
	.sm_step_map = vnpu_bind_step_map,
	.sm_step_remap = vnpu_bind_step_remap,
	.sm_step_unmap = vnpu_bind_step_unmap,
};

static int vnpu_vm_init_gpuvm(struct vnpu_vm *vm)
{
	struct drm_device *drm = &vm->vdev->drm;
	struct drm_gem_object *resv_obj;

	resv_obj = vnpu_lru_resv_alloc(vm->vdev);
	if (!resv_obj)
		return -ENOMEM;

	drm_gpuvm_init(&vm->base, "vnpu", DRM_GPUVM_RESV_PROTECTED, drm,
		       resv_obj, VNPU_VM_VA_START,
		       VNPU_VM_VA_END - VNPU_VM_VA_START, 0, 0,
		       &vnpu_gpuvm_ops);
	drm_gem_object_put(resv_obj);
	return 0;
}

/* The root table may need room in VRAM. */
static int vnpu_vm_init_pt(struct vnpu_vm *vm)
{
	struct vnpu_validate validate;
	int ret;

	ret = vnpu_validate_begin(&validate, vm->vdev);
	if (ret)
		return ret;
	do {
		ret = vnpu_pt_init(&vm->pt, vm->vdev, &vnpu_vm_pt_ops);
	} while (vnpu_validate_again(&validate, &ret));
	vnpu_validate_end(&validate);

	return ret == -EINTR ? -ERESTARTSYS : ret;
}

static int vnpu_vm_init_binds(struct vnpu_vm *vm)
{
	int ret;

	vm->pending = vnpu_bind_pending_create();
	if (!vm->pending)
		return -ENOMEM;

	ret = vnpu_bind_line_init(&vm->binds, vm->vdev);
	if (ret)
		vnpu_bind_pending_put(vm->pending);
	return ret;
}

/* All binds have finished. */
static void vnpu_vm_fini_binds(struct vnpu_vm *vm)
{
	vnpu_bind_line_fini(&vm->binds);
	vnpu_bind_pending_put(vm->pending);
}

/* Takes no reference of @stats, which pay for the tables. */
static struct vnpu_vm *vnpu_vm_create(struct vnpu_device *vdev, struct vnpu_stats *stats)
{
	struct vnpu_vm *vm;
	int ret;

	vm = kzalloc_obj(*vm, GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);

	vm->vdev = vdev;
	vm->stats = stats;
	kref_init(&vm->users);
	INIT_WORK(&vm->teardown, vnpu_vm_teardown_work);
	INIT_LIST_HEAD(&vm->rebind);
	INIT_LIST_HEAD(&vm->unsettled);

	ret = ctx_alloc(vdev, &vm->ctx);
	if (ret)
		goto err_free;

	ret = vnpu_vm_init_pt(vm);
	if (ret)
		goto err_ctx;

	ret = vnpu_vm_init_binds(vm);
	if (ret)
		goto err_pt;

	ret = vnpu_vm_init_gpuvm(vm);
	if (ret)
		goto err_binds;

	ret = ctx_enable(vm);
	if (ret)
		goto err_gpuvm;

	return vm;

err_gpuvm:
	vnpu_vm_fini_binds(vm);
	vnpu_pt_fini(&vm->pt);
	xa_erase(&vdev->vms, vm->ctx);
	drm_gpuvm_put(&vm->base);
	return ERR_PTR(ret);
err_binds:
	vnpu_vm_fini_binds(vm);
err_pt:
	vnpu_pt_fini(&vm->pt);
err_ctx:
	xa_erase(&vdev->vms, vm->ctx);
err_free:
	kfree(vm);
	return ERR_PTR(ret);
}

/* Takes all mappings of a BO out. */
static void vnpu_vm_unlink_bo(struct vnpu_vm *vm, struct drm_gpuvm_bo *vm_bo)
{
	struct drm_gpuva *va, *next;

	drm_gpuvm_bo_get(vm_bo);
	drm_gpuvm_bo_for_each_va_safe(va, next, vm_bo) {
		drm_gpuva_remove(va);
		drm_gpuva_unlink(va);
		kfree(to_vnpu_va(va));
	}
	drm_gpuvm_bo_put(vm_bo);
}

/*
 * Takes out the BO of the first mapping, if there is one. One BO at a time:
 * the list of locks stays short however many BOs there are.
 */
static bool vnpu_vm_unlink_first(struct vnpu_vm *vm)
{
	struct drm_gem_object *obj = NULL;
	struct drm_gpuva *va = NULL;
	struct drm_exec exec;
	int ret;

	drm_exec_init(&exec, DRM_EXEC_IGNORE_DUPLICATES, 2);
	drm_exec_until_all_locked(&exec) {
		ret = drm_exec_lock_obj(&exec, vnpu_vm_resv_obj(vm));
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;

		va = list_first_entry_or_null(&vm->base.rb.list,
					      struct drm_gpuva, rb.entry);
		if (!va || !drm_gpuvm_is_extobj(&vm->base, va->gem.obj))
			break;

		ret = drm_exec_lock_obj(&exec, va->gem.obj);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;
	}

	if (!drm_WARN_ON(&vm->vdev->drm, ret) && va) {
		/* The BO must not go while its reservation is locked. */
		obj = va->gem.obj;
		drm_gem_object_get(obj);
		vnpu_vm_unlink_bo(vm, va->vm_bo);
	}
	drm_exec_fini(&exec);

	if (!obj)
		return false;
	drm_gem_object_put(obj);
	return true;
}

/* No user is left and nothing is queued. */
static void vnpu_vm_teardown(struct vnpu_vm *vm)
{
	vnpu_vm_fini_binds(vm);
	dma_fence_put(vm->needed);

	while (vnpu_vm_unlink_first(vm))
		cond_resched();

	vnpu_pt_fini(&vm->pt);
	atomic_dec(&vm->stats->num_vms);
	vnpu_stats_put(vm->stats);
	drm_gpuvm_put(&vm->base);
}

static void vnpu_vm_teardown_work(struct work_struct *work)
{
	struct vnpu_vm *vm = container_of(work, struct vnpu_vm, teardown);

	/* Binds may wait for long. */
	ctx_free(vm);
	dma_resv_wait_timeout(vnpu_vm_resv(vm), DMA_RESV_USAGE_BOOKKEEP, false,
			      MAX_SCHEDULE_TIMEOUT);
	vnpu_vm_teardown(vm);
}

static void vnpu_vm_release(struct kref *kref)
{
	struct vnpu_vm *vm = container_of(kref, struct vnpu_vm, users);

	queue_work(vnpu_vm_wq, &vm->teardown);
}

/* Teardown where it is known that sleeping and locking is fine. */
static void vnpu_vm_release_sync(struct kref *kref)
{
	struct vnpu_vm *vm = container_of(kref, struct vnpu_vm, users);

	if (!dma_resv_test_signaled(vnpu_vm_resv(vm), DMA_RESV_USAGE_BOOKKEEP)) {
		vnpu_vm_release(kref);
		return;
	}

	ctx_free(vm);
	vnpu_vm_teardown(vm);
}

struct vnpu_vm *vnpu_vm_get(struct vnpu_vm *vm)
{
	kref_get(&vm->users);
	return vm;
}

void vnpu_vm_put(struct vnpu_vm *vm)
{
	if (vm)
		kref_put(&vm->users, vnpu_vm_release);
}

static void vnpu_vm_put_sync(struct vnpu_vm *vm)
{
	if (vm)
		kref_put(&vm->users, vnpu_vm_release_sync);
}

struct vnpu_vm *vnpu_vm_lookup(struct vnpu_file *vfile, u32 id)
{
	struct vnpu_vm *vm;

	xa_lock(&vfile->vms);
	vm = xa_load(&vfile->vms, id);
	if (vm)
		vnpu_vm_get(vm);
	xa_unlock(&vfile->vms);

	return vm;
}

void vnpu_vm_file_close(struct vnpu_file *vfile)
{
	struct vnpu_vm *vm;
	unsigned long id;

	xa_for_each(&vfile->vms, id, vm) {
		xa_erase(&vfile->vms, id);
		vnpu_vm_put_sync(vm);
	}
}

int vnpu_ioctl_vm_create(struct drm_device *drm, void *data,
			 struct drm_file *file)
{
	struct vnpu_file *vfile = to_vnpu_file(file);
	struct drm_vnpu_vm_create *args = data;
	struct vnpu_vm *vm;
	int ret;

	if (args->flags)
		return -EINVAL;

	if (!atomic_add_unless(&vfile->stats->num_vms, 1, vnpu_max_file_vms(vfile->vdev)))
		return -EDQUOT;

	vm = vnpu_vm_create(to_vnpu_device(drm), vfile->stats);
	if (IS_ERR(vm)) {
		atomic_dec(&vfile->stats->num_vms);
		return PTR_ERR(vm);
	}
	vnpu_stats_get(vm->stats);

	/* From here on another thread may destroy it. */
	ret = xa_alloc(&vfile->vms, &args->id, vm, XA_LIMIT(1, U32_MAX),
		       GFP_KERNEL_ACCOUNT);
	if (ret)
		vnpu_vm_put_sync(vm);
	return ret;
}

int vnpu_ioctl_vm_destroy(struct drm_device *drm, void *data,
			  struct drm_file *file)
{
	struct vnpu_file *vfile = to_vnpu_file(file);
	struct drm_vnpu_vm_destroy *args = data;
	struct vnpu_vm *vm;

	if (args->pad)
		return -EINVAL;

	vm = xa_erase(&vfile->vms, args->id);
	if (!vm)
		return -ENOENT;

	vnpu_vm_put_sync(vm);
	return 0;
}

int vnpu_vm_prepare_submit(struct vnpu_vm *vm, struct drm_exec *exec,
			   unsigned int num_fences)
{
	int ret;

	/* One more for the rebind. */
	ret = drm_gpuvm_prepare_vm(&vm->base, exec, num_fences + 1);
	if (ret)
		return ret;
	return drm_gpuvm_prepare_objects(&vm->base, exec, num_fences + 1);
}

/* Moves use up room that was reserved before. */
static int vnpu_vm_reserve_again(struct drm_exec *exec, unsigned int num_fences)
{
	struct drm_gem_object *obj;
	int ret;

	drm_exec_for_each_locked_object(exec, obj) {
		ret = dma_resv_reserve_fences(obj->resv, num_fences);
		if (ret)
			return ret;
	}
	return 0;
}

void vnpu_vm_watch_content(struct vnpu_vm *vm, struct drm_gpuvm_bo *vm_bo)
{
	struct vnpu_vm_bo *vbo = to_vnpu_vm_bo(vm_bo);

	dma_resv_assert_held(vnpu_vm_resv(vm));
	dma_resv_assert_held(vm_bo->obj->resv);

	if (to_vnpu_bo(vm_bo->obj)->content && list_empty(&vbo->unsettled))
		list_add_tail(&vbo->unsettled, &vm->unsettled);
}

/*
 * Looks at the BOs that were mapped before their content was there: the bind job
 * has mapped nothing if it failed. -EIO if something is lost for good.
 */
static int vnpu_vm_check_contents(struct vnpu_vm *vm, struct drm_exec *exec,
				  unsigned int num_fences)
{
	struct vnpu_vm_bo *vbo, *next;
	bool dirty = false;

	list_for_each_entry_safe(vbo, next, &vm->unsettled, unsettled) {
		struct vnpu_bo *bo = to_vnpu_bo(vbo->base.obj);

		vnpu_bo_check_content(bo);
		if (bo->lost)
			return -EIO;
		if (bo->dirty) {
			drm_gpuvm_bo_evict(&vbo->base, true);
			dirty = true;
		} else if (!bo->content) {
			list_del_init(&vbo->unsettled);
		}
	}

	/* This is where external BOs that are marked get into the list. */
	return dirty ? drm_gpuvm_prepare_objects(&vm->base, exec, num_fences + 1) : 0;
}

int vnpu_vm_validate(struct vnpu_vm *vm, struct drm_exec *exec,
		     unsigned int num_fences)
{
	struct vnpu_vm_bo *vbo, *next;
	int ret;

	dma_resv_assert_held(vnpu_vm_resv(vm));

	ret = vnpu_vm_check_contents(vm, exec, num_fences);
	if (ret)
		return ret;

	/* What is used together does not evict itself. */
	vnpu_lru_used(vnpu_vm_resv_obj(vm), exec);
	if (list_empty(&vm->base.evict.list))
		return 0;

	ret = drm_gpuvm_validate(&vm->base, exec);
	if (!ret)
		ret = vnpu_vm_reserve_again(exec, num_fences + 1);
	if (!ret && !list_empty(&vm->rebind))
		ret = vnpu_bind_rebind(vm, exec);

	/* On failure they stay marked, and the next submit tries again. */
	list_for_each_entry_safe(vbo, next, &vm->rebind, rebind) {
		list_del_init(&vbo->rebind);
		if (!ret)
			drm_gpuvm_bo_evict(&vbo->base, false);
	}
	return ret;
}

void vnpu_vm_set_needed(struct vnpu_vm *vm, struct dma_fence *fence)
{
	dma_resv_assert_held(vnpu_vm_resv(vm));

	dma_fence_put(vm->needed);
	vm->needed = dma_fence_get(fence);
}

int vnpu_vm_add_job_deps(struct vnpu_vm *vm, struct drm_exec *exec,
			 struct drm_sched_job *job)
{
	struct drm_gem_object *obj;
	int ret;

	if (vm->needed) {
		ret = drm_sched_job_add_dependency(job, dma_fence_get(vm->needed));
		if (ret)
			return ret;
	}

	drm_exec_for_each_locked_object(exec, obj) {
		ret = drm_sched_job_add_resv_dependencies(job, obj->resv,
							  DMA_RESV_USAGE_KERNEL);
		if (ret)
			return ret;
	}
	return 0;
}

void vnpu_vm_add_job_fence(struct vnpu_vm *vm, struct drm_exec *exec,
			   struct dma_fence *fence)
{
	drm_gpuvm_resv_add_fence(&vm->base, exec, fence,
				 DMA_RESV_USAGE_BOOKKEEP,
				 DMA_RESV_USAGE_BOOKKEEP);
}

#ifdef CONFIG_DEBUG_FS
/* The next VM from context @ctx on, with a reference. */
static struct vnpu_vm *vnpu_vm_next(struct vnpu_device *vdev,
				    unsigned long *ctx)
{
	struct vnpu_vm *vm;

	xa_lock(&vdev->vms);
	xa_for_each_start(&vdev->vms, *ctx, vm, *ctx) {
		if (kref_get_unless_zero(&vm->users))
			break;
	}
	xa_unlock(&vdev->vms);

	return vm;
}

static void vnpu_vm_show(struct seq_file *m, struct vnpu_vm *vm)
{
	const struct vnpu_pt *pt = &vm->pt;

	seq_printf(m, "VM context %u, tables %u/%u/%u/%u, huge leaves %llu\n",
		   vm->ctx, pt->tables[3], pt->tables[2], pt->tables[1],
		   pt->tables[0], pt->huge);
	drm_debugfs_gpuva_info(m, &vm->base);
	seq_puts(m, "\n");
}

static int vnpu_vm_debugfs_show(struct seq_file *m, void *data)
{
	struct drm_info_node *node = m->private;
	struct vnpu_device *vdev = to_vnpu_device(node->minor->dev);
	unsigned long ctx = 0;
	struct vnpu_vm *vm;
	int ret = 0;

	while (!ret && (vm = vnpu_vm_next(vdev, &ctx))) {
		ret = dma_resv_lock_interruptible(vnpu_vm_resv(vm), NULL);
		if (!ret) {
			vnpu_vm_show(m, vm);
			dma_resv_unlock(vnpu_vm_resv(vm));
		}
		vnpu_vm_put(vm);
		ctx++;
	}
	return ret;
}

static const struct drm_info_list vnpu_vm_debugfs_list[] = {
	{ "vms", vnpu_vm_debugfs_show },
};

void vnpu_vm_debugfs_init(struct vnpu_device *vdev, struct drm_minor *minor)
{
	drm_debugfs_create_files(vnpu_vm_debugfs_list,
				 ARRAY_SIZE(vnpu_vm_debugfs_list),
				 minor->debugfs_root, minor);
}
#endif
