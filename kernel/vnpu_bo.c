// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffer objects.
 */

#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_gpuvm.h>
#include <drm/drm_prime.h>
#include <drm/drm_print.h>
#include <drm/ttm/ttm_bo.h>

#include <drm/vnpu_accel.h>

#include <kunit/visibility.h>

#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_drv.h"
#include "vnpu_lru.h"
#include "vnpu_migrate.h"
#include "vnpu_prime.h"
#include "vnpu_tt.h"
#include "vnpu_ttm.h"
#include "vnpu_validate.h"
#include "vnpu_vm.h"
#include "vnpu_vram.h"

/**
 * DOC: Buffer objects
 *
 * A BO gets its memory when it is created, so that the ioctl can say that there
 * is none. First it is made in TTM's system place, without pages; then it is
 * validated with a ticket of its reservation, which lets TTM wait for other
 * BOs' reservations when it needs to evict them. Its handle is made last: until
 * then no other thread of the client can reach it.
 *
 * A BO that is private to a VM shares the reservation of the VM and holds a
 * reference to the object that it belongs to. It may outlive the VM.
 *
 * Page faults of user space find the BO where it is: in system memory, or in
 * VRAM that the CPU sees. Other VRAM is left first. A fault waits until the
 * content is there, and gets SIGBUS if it is lost. Mappings are taken away when
 * the BO moves. After unplug a fault gets a page of zeroes.
 */

#define VNPU_BO_PLACEMENTS	(VNPU_PLACEMENT_VRAM | VNPU_PLACEMENT_SYSTEM)
#define VNPU_BO_FLAGS		DRM_VNPU_BO_CPU_VISIBLE

static const struct drm_gem_object_funcs vnpu_gem_funcs;

static void vnpu_bo_destroy(struct ttm_buffer_object *tbo)
{
	struct vnpu_bo *bo = ttm_to_vnpu_bo(tbo);

	if (tbo->base.import_attach)
		vnpu_prime_release(bo);

	dma_fence_put(bo->content);
	drm_gem_object_release(&tbo->base);
	if (bo->dma_buf)
		dma_buf_put(bo->dma_buf);
	if (bo->resv_obj)
		drm_gem_object_put(bo->resv_obj);
	kfree(bo);
}

/* A ghost has the destructor of TTM. */
bool vnpu_ttm_bo_is_vnpu(const struct ttm_buffer_object *tbo)
{
	return tbo->destroy == vnpu_bo_destroy;
}

/* Reservation held if it is not the BO's own, and always on success. */
static struct vnpu_bo *vnpu_bo_create_locked(struct vnpu_device *vdev,
					     const struct vnpu_bo_args *args,
					     struct dma_resv *resv)
{
	static const struct ttm_place place = { .mem_type = TTM_PL_SYSTEM };
	struct ttm_placement placement = {
		.num_placement = 1,
		.placement = &place,
	};
	struct ttm_operation_ctx ctx = { .interruptible = true };
	struct vnpu_bo *bo;
	int ret;

	bo = kzalloc_obj(*bo, GFP_KERNEL_ACCOUNT);
	if (!bo)
		return ERR_PTR(-ENOMEM);

	bo->ttm.base.funcs = &vnpu_gem_funcs;
	bo->placements = args->placements;
	bo->flags = args->flags;
	bo->contiguous = args->contiguous;
	bo->uncleared = args->uncleared;
	bo->region = VNPU_REGION_NONE;
	INIT_LIST_HEAD(&bo->import_link);
	if (args->resv_obj) {
		drm_gem_object_get(args->resv_obj);
		bo->resv_obj = args->resv_obj;
	}
	if (args->dma_buf) {
		get_dma_buf(args->dma_buf);
		bo->dma_buf = args->dma_buf;
	}
	drm_gem_private_object_init(&vdev->drm, &bo->ttm.base, args->size);

	/* Destroys the BO when it fails. */
	ret = ttm_bo_init_reserved(&vdev->ttm, &bo->ttm, args->type, &placement,
				   1, &ctx, args->sgt, resv, vnpu_bo_destroy);
	if (ret)
		return ERR_PTR(ret);

	vnpu_lru_join(bo);
	return bo;
}

struct vnpu_bo *vnpu_bo_create(struct vnpu_device *vdev,
			       const struct vnpu_bo_args *args)
{
	struct dma_resv *resv = NULL;
	struct vnpu_bo *bo;
	int ret;

	if (args->resv_obj)
		resv = args->resv_obj->resv;
	else if (args->dma_buf)
		resv = args->dma_buf->resv;

	if (resv) {
		ret = dma_resv_lock_interruptible(resv, NULL);
		if (ret)
			return ERR_PTR(-ERESTARTSYS);
	}

	bo = vnpu_bo_create_locked(vdev, args, resv);
	if (!IS_ERR(bo))
		dma_resv_unlock(bo->ttm.base.resv);
	else if (resv)
		dma_resv_unlock(resv);

	return bo;
}

void vnpu_bo_set_content(struct vnpu_bo *bo, struct dma_fence *fence)
{
	dma_resv_assert_held(bo->ttm.base.resv);

	dma_fence_put(bo->content);
	bo->content = fence;
}

void vnpu_bo_check_content(struct vnpu_bo *bo)
{
	int status;

	dma_resv_assert_held(bo->ttm.base.resv);

	if (!bo->content)
		return;

	status = dma_fence_get_status(bo->content);
	if (!status)
		return;
	if (status < 0) {
		/* There was nothing to lose yet, so it may be done again. */
		bo->dirty = bo->clearing && !bo->cleared_again;
		bo->lost = !bo->dirty;
	}
	bo->clearing = false;
	vnpu_bo_set_content(bo, NULL);
}

int vnpu_bo_clear(struct vnpu_bo *bo, struct ttm_resource *res)
{
	struct dma_fence *fence;

	dma_resv_assert_held(bo->ttm.base.resv);

	fence = vnpu_migrate_clear(bo, res);
	if (IS_ERR(fence))
		return PTR_ERR(fence);

	dma_resv_add_fence(bo->ttm.base.resv, fence, DMA_RESV_USAGE_KERNEL);
	vnpu_bo_set_content(bo, fence);
	bo->clearing = true;
	return 0;
}

/*
 * The job that was to clear the BO failed, most likely because the device was
 * reset in the middle of it: once more. Nobody has seen the memory yet: see
 * bind_job_emit().
 */
static int vnpu_bo_clear_again(struct vnpu_bo *bo)
{
	int ret;

	ret = dma_resv_reserve_fences(bo->ttm.base.resv, 1);
	if (ret)
		return ret;

	/* Pages are zeroed when they are allocated. */
	if (bo->ttm.resource->mem_type == TTM_PL_VRAM) {
		ret = vnpu_bo_clear(bo, bo->ttm.resource);
		if (ret)
			return ret == -ENODEV ? -EIO : ret;
	}

	bo->dirty = false;
	bo->cleared_again = true;
	vnpu_bo_moved(bo);
	return 0;
}

/* Waits for @fence, with no lock held, and consumes it. */
static int vnpu_bo_wait(struct dma_fence *fence)
{
	long ret = dma_fence_wait(fence, true);

	dma_fence_put(fence);
	return min(ret, 0L);
}

/*
 * Takes the reservation when the content is there, or known to be lost. Who moves
 * the BO may need the reservation of its VM, and the lock for all that make room,
 * so neither is held during the wait.
 */
static int vnpu_bo_lock_settled(struct vnpu_bo *bo)
{
	struct dma_fence *fence;
	int ret;

	do {
		ret = dma_resv_lock_interruptible(bo->ttm.base.resv, NULL);
		if (ret)
			return ret;

		vnpu_bo_check_content(bo);
		if (!bo->content)
			return 0;

		fence = dma_fence_get(bo->content);
		dma_resv_unlock(bo->ttm.base.resv);
		ret = vnpu_bo_wait(fence);
	} while (!ret);

	return ret;
}

void vnpu_bo_moved(struct vnpu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;

	WRITE_ONCE(bo->region, bo->ttm.resource->mem_type);

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->ttm.base)
		drm_gpuvm_bo_evict(vm_bo, true);
}

int vnpu_bo_validate(struct vnpu_bo *bo, struct ttm_operation_ctx *ctx)
{
	struct vnpu_placement placement;
	int ret;

	dma_resv_assert_held(bo->ttm.base.resv);

	vnpu_bo_check_content(bo);

	/* Pinned: in memory that is fit for the device in any case. */
	if (!bo->ttm.pin_count) {
		vnpu_placement_device(&placement, bo);
		ret = ttm_bo_validate(&bo->ttm, &placement.base, ctx);
		if (ret == -ENOSPC && bo->placements & VNPU_PLACEMENT_SYSTEM &&
		    !vnpu_validate_will_wait(to_vnpu_device(bo->ttm.base.dev)))
			ret = -ENOMEM;
		if (ret)
			return ret;

		ttm_bo_move_to_lru_tail_unlocked(&bo->ttm);
	}

	if (bo->dirty) {
		ret = vnpu_bo_clear_again(bo);
		if (ret)
			return ret;
	}

	return bo->lost ? -EIO : 0;
}

/* Gives a new BO its memory, and evicts others for it if there is a need. */
static int vnpu_bo_populate(struct vnpu_bo *bo)
{
	struct drm_gem_object *obj = &bo->ttm.base;
	struct ttm_operation_ctx ctx = {
		.interruptible = true,
		.gfp_retry_mayfail = true,
		.allow_res_evict = true,
		.resv = obj->resv,
	};
	struct drm_exec exec;
	int ret = 0;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 1);
	drm_exec_until_all_locked(&exec) {
		ret = drm_exec_lock_obj(&exec, obj);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;

		/* Inside the loop: TTM locks victims with the same ticket. */
		ret = vnpu_bo_validate(bo, &ctx);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;
	}
	drm_exec_fini(&exec);

	return ret == -EINTR ? -ERESTARTSYS : ret;
}

/* May be called with other reservations held. */
struct vnpu_bo *vnpu_bo_create_kernel(struct vnpu_device *vdev, u64 size,
				      u64 *vram_offset)
{
	struct vnpu_bo_args args = {
		.type = ttm_bo_type_kernel,
		.size = PAGE_ALIGN(size),
		.placements = VNPU_PLACEMENT_VRAM,
		.flags = DRM_VNPU_BO_CPU_VISIBLE,
		.contiguous = true,
		.uncleared = true,
	};
	struct ttm_operation_ctx ctx = { .interruptible = true };
	struct vnpu_bo *bo;
	int ret;

	bo = vnpu_bo_create_locked(vdev, &args, NULL);
	if (IS_ERR(bo))
		return bo;

	ret = vnpu_bo_validate(bo, &ctx);
	if (!ret) {
		ttm_bo_pin(&bo->ttm);
		*vram_offset = vnpu_vram_res_offset(&vdev->vram,
						    bo->ttm.resource, 0);
	}
	dma_resv_unlock(bo->ttm.base.resv);

	if (ret) {
		vnpu_bo_put(bo);
		return ERR_PTR(ret);
	}
	return bo;
}

void vnpu_bo_free_kernel(struct vnpu_bo *bo)
{
	dma_resv_lock(bo->ttm.base.resv, NULL);
	ttm_bo_unpin(&bo->ttm);
	dma_resv_unlock(bo->ttm.base.resv);
	vnpu_bo_put(bo);
}

/*
 * In system memory until ttm_bo_unpin(). Its content may still be on its way, see
 * vnpu_bo_wait_content(). -EBUSY: a job has to end first, see vnpu_bo_wait_idle().
 */
int vnpu_bo_pin_system(struct vnpu_bo *bo)
{
	struct ttm_operation_ctx ctx = {
		.interruptible = true,
		.no_wait_gpu = true,
	};
	struct vnpu_placement placement;
	int ret;

	dma_resv_assert_held(bo->ttm.base.resv);

	vnpu_bo_check_content(bo);
	if (bo->dirty) {
		ret = vnpu_bo_clear_again(bo);
		if (ret)
			return ret;
	}

	vnpu_placement_system(&placement);
	ret = ttm_bo_validate(&bo->ttm, &placement.base, &ctx);
	if (ret)
		return ret;

	ttm_bo_pin(&bo->ttm);
	return 0;
}

/* A reference to a fence that has not signalled, or NULL. */
static struct dma_fence *vnpu_bo_pending(struct vnpu_bo *bo, enum dma_resv_usage usage)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;

	dma_resv_for_each_fence(&cursor, bo->ttm.base.resv, usage, fence)
		if (!dma_fence_is_signaled(fence))
			return dma_fence_get(fence);

	return NULL;
}

/* Takes the reservation when fences of this usage have signalled. */
static int vnpu_bo_lock_after(struct vnpu_bo *bo, enum dma_resv_usage usage)
{
	struct dma_fence *fence;
	int ret;

	do {
		ret = dma_resv_lock_interruptible(bo->ttm.base.resv, NULL);
		if (ret)
			return ret;

		fence = vnpu_bo_pending(bo, usage);
		if (!fence)
			return 0;

		dma_resv_unlock(bo->ttm.base.resv);
		ret = vnpu_bo_wait(fence);
	} while (!ret);

	return ret;
}

/* Until no job uses the BO. */
int vnpu_bo_wait_idle(struct vnpu_bo *bo)
{
	int ret = vnpu_bo_lock_after(bo, DMA_RESV_USAGE_BOOKKEEP);

	if (!ret)
		dma_resv_unlock(bo->ttm.base.resv);
	return ret;
}

/* Of a pinned BO: -EIO if it is lost. */
int vnpu_bo_wait_content(struct vnpu_bo *bo)
{
	int ret = vnpu_bo_lock_after(bo, DMA_RESV_USAGE_KERNEL);

	if (ret)
		return ret;

	vnpu_bo_check_content(bo);
	if (bo->lost || bo->dirty)
		ret = -EIO;
	dma_resv_unlock(bo->ttm.base.resv);
	return ret;
}

/* Segments */

static void vnpu_res_load(struct vnpu_res_cursor *cur, u64 skip)
{
	u64 addr, size;

	if (cur->vram) {
		addr = gpu_buddy_block_offset(cur->block);
		size = gpu_buddy_block_size(&cur->vdev->vram.mm, cur->block);
	} else {
		addr = sg_dma_address(cur->sg);
		size = sg_dma_len(cur->sg);
	}

	cur->addr = addr + skip;
	cur->size = min(size - skip, cur->remaining);
}

static u64 vnpu_res_length(const struct vnpu_res_cursor *cur)
{
	return cur->vram ? gpu_buddy_block_size(&cur->vdev->vram.mm, cur->block) :
			   sg_dma_len(cur->sg);
}

static void vnpu_res_step(struct vnpu_res_cursor *cur)
{
	if (cur->vram)
		cur->block = list_next_entry(cur->block, link);
	else
		cur->sg = sg_next(cur->sg);
}

void vnpu_res_first_in(struct vnpu_bo *bo, struct ttm_resource *res, u64 offset,
		       u64 size, struct vnpu_res_cursor *cur)
{
	struct sg_table *sgt;

	*cur = (struct vnpu_res_cursor) {
		.vdev = to_vnpu_device(bo->ttm.base.dev),
		.vram = res->mem_type == TTM_PL_VRAM,
	};

	if (cur->vram) {
		cur->block = list_first_entry(&to_vnpu_vram_resource(res)->blocks,
					      struct gpu_buddy_block, link);
	} else {
		/* The pages are not mapped if the device is gone. */
		sgt = bo->ttm.ttm ? vnpu_tt_sgt(bo->ttm.ttm) : NULL;
		if (!sgt)
			return;
		cur->sg = sgt->sgl;
	}

	cur->remaining = size;
	if (!size)
		return;

	while (offset >= vnpu_res_length(cur)) {
		offset -= vnpu_res_length(cur);
		vnpu_res_step(cur);
	}
	vnpu_res_load(cur, offset);
}

void vnpu_res_first(struct vnpu_bo *bo, u64 offset, u64 size,
		    struct vnpu_res_cursor *cur)
{
	dma_resv_assert_held(bo->ttm.base.resv);

	vnpu_res_first_in(bo, bo->ttm.resource, offset, size, cur);
}

void vnpu_res_next(struct vnpu_res_cursor *cur, u64 n)
{
	cur->addr += n;
	cur->size -= n;
	cur->remaining -= n;
	if (cur->size || !cur->remaining)
		return;

	vnpu_res_step(cur);
	vnpu_res_load(cur, 0);
}

/* Page faults */

/* Moves the BO to where the CPU can map it. @wait: set to a fence that comes first. */
static vm_fault_t vnpu_bo_fault_move(struct vnpu_bo *bo, struct dma_fence **wait)
{
	struct ttm_operation_ctx ctx = {
		.interruptible = true,
		.no_wait_gpu = true,
	};
	struct vnpu_placement placement;
	int ret;

	if (vnpu_ttm_bo_is_visible(&bo->ttm))
		return 0;
	if (bo->ttm.pin_count)
		return VM_FAULT_SIGBUS;

	vnpu_placement_cpu(&placement, bo);
	ret = ttm_bo_validate(&bo->ttm, &placement.base, &ctx);
	if (ret == -EINTR || ret == -ERESTARTSYS || ret == -EAGAIN)
		return VM_FAULT_NOPAGE;
	if (ret == -ENOMEM)
		return VM_FAULT_OOM;
	if (ret == -EBUSY) {
		*wait = vnpu_bo_pending(bo, DMA_RESV_USAGE_BOOKKEEP);
		return *wait ? VM_FAULT_RETRY : VM_FAULT_NOPAGE;
	}

	return ret ? VM_FAULT_SIGBUS : 0;
}

/* @wait: set to a fence that has to signal first. */
static vm_fault_t vnpu_bo_fault_reserved(struct vnpu_bo *bo, struct vm_fault *vmf,
					 struct dma_fence **wait)
{
	struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);
	vm_fault_t ret;

	vnpu_bo_check_content(bo);
	if (bo->dirty && vnpu_bo_clear_again(bo))
		return VM_FAULT_SIGBUS;

	ret = vnpu_bo_fault_move(bo, wait);
	if (ret)
		return ret;

	*wait = vnpu_bo_pending(bo, DMA_RESV_USAGE_KERNEL);
	if (*wait)
		return VM_FAULT_RETRY;

	vnpu_bo_check_content(bo);
	if (bo->lost || bo->dirty)
		return VM_FAULT_SIGBUS;

	vnpu_aperture_lock(vdev);
	ret = ttm_bo_vm_fault_reserved(vmf, vmf->vma->vm_page_prot,
				       TTM_BO_VM_NUM_PREFAULT);
	up_read(&vdev->aperture_lock);

	/* It may have been brought back from swap. */
	if (ret == VM_FAULT_NOPAGE)
		WRITE_ONCE(bo->region, bo->ttm.resource->mem_type);
	return ret;
}

/*
 * Waits for @fence and consumes it, with neither the reservation held nor the
 * device entered: a job may keep it from signalling for long. If possible not
 * with the mmap lock held, either.
 */
static vm_fault_t vnpu_bo_fault_wait(struct ttm_buffer_object *tbo, struct vm_fault *vmf,
				     struct dma_fence *fence)
{
	vm_fault_t ret = VM_FAULT_NOPAGE;

	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT) {
		dma_resv_unlock(tbo->base.resv);
		dma_fence_put(fence);
		return VM_FAULT_RETRY;
	}

	if (fault_flag_allow_retry_first(vmf->flags)) {
		/* The mapping may go, and the BO with it. */
		drm_gem_object_get(&tbo->base);
		mmap_read_unlock(vmf->vma->vm_mm);
		dma_resv_unlock(tbo->base.resv);
		drm_gem_object_put(&tbo->base);
		ret = VM_FAULT_RETRY;
	} else {
		dma_resv_unlock(tbo->base.resv);
	}

	/* After a signal the fault is repeated, if there is still a need. */
	dma_fence_wait(fence, true);
	dma_fence_put(fence);
	return ret;
}

static vm_fault_t vnpu_bo_fault(struct vm_fault *vmf)
{
	struct ttm_buffer_object *tbo = vmf->vma->vm_private_data;
	struct dma_fence *wait = NULL;
	vm_fault_t ret;
	int idx;

	ret = ttm_bo_vm_reserve(tbo, vmf);
	if (ret)
		return ret;

	if (drm_dev_enter(tbo->base.dev, &idx)) {
		ret = vnpu_bo_fault_reserved(ttm_to_vnpu_bo(tbo), vmf, &wait);
		drm_dev_exit(idx);
	} else {
		ret = ttm_bo_vm_dummy_page(vmf, vmf->vma->vm_page_prot);
	}
	if (wait)
		return vnpu_bo_fault_wait(tbo, vmf, wait);

	/* The reservation was dropped together with the mmap lock. */
	if (ret == VM_FAULT_RETRY && !(vmf->flags & FAULT_FLAG_RETRY_NOWAIT))
		return ret;

	dma_resv_unlock(tbo->base.resv);
	return ret;
}

/* Reservation held, content there. */
static int vnpu_bo_access_pages(struct vnpu_bo *bo, unsigned long offset, u8 *buf, int len,
				int write)
{
	int done, n, ret;

	for (done = 0; done < len; done += n, offset += n) {
		unsigned long at = offset_in_page(offset);
		struct ttm_bo_kmap_obj map;
		bool is_iomem;
		u8 *page;

		ret = ttm_bo_kmap(&bo->ttm, offset >> PAGE_SHIFT, 1, &map);
		if (ret)
			return ret;

		n = min_t(unsigned long, len - done, PAGE_SIZE - at);
		page = ttm_kmap_obj_virtual(&map, &is_iomem);
		if (write)
			memcpy(page + at, buf + done, n);
		else
			memcpy(buf + done, page + at, n);
		ttm_bo_kunmap(&map);
	}
	return len;
}

/*
 * A debugger reads or writes a mapping of another process. That of TTM does not
 * wait for what is still being copied to pages.
 */
static int vnpu_bo_vm_access(struct vm_area_struct *vma, unsigned long addr, void *buf, int len,
			     int write)
{
	struct ttm_buffer_object *tbo = vma->vm_private_data;
	struct vnpu_bo *bo = ttm_to_vnpu_bo(tbo);
	unsigned long offset = addr - vma->vm_start +
		((vma->vm_pgoff - drm_vma_node_start(&tbo->base.vma_node)) << PAGE_SHIFT);
	int ret;

	if (len < 1 || offset + len > tbo->base.size)
		return -EIO;

	ret = vnpu_bo_lock_settled(bo);
	if (ret)
		return ret;

	if (bo->lost || bo->dirty)
		ret = -EIO;
	else if (tbo->resource->mem_type == TTM_PL_VRAM)
		ret = tbo->bdev->funcs->access_memory(tbo, offset, buf, len, write);
	else
		ret = vnpu_bo_access_pages(bo, offset, buf, len, write);

	dma_resv_unlock(tbo->base.resv);
	return ret;
}

static const struct vm_operations_struct vnpu_bo_vm_ops = {
	.fault = vnpu_bo_fault,
	.open = ttm_bo_vm_open,
	.close = ttm_bo_vm_close,
	.access = vnpu_bo_vm_access,
};

/* GEM operations */

static void vnpu_gem_free(struct drm_gem_object *obj)
{
	struct ttm_buffer_object *tbo = &to_vnpu_bo(obj)->ttm;

	vnpu_lru_leave(to_vnpu_bo(obj));

	/* The pin of vnpu_prime_import_sg_table(). */
	if (drm_gem_is_imported(obj) && tbo->pin_count) {
		dma_resv_lock(obj->resv, NULL);
		ttm_bo_unpin(tbo);
		dma_resv_unlock(obj->resv);
	}
	ttm_bo_fini(tbo);
}

static int vnpu_gem_pin(struct drm_gem_object *obj)
{
	return vnpu_bo_pin_system(to_vnpu_bo(obj));
}

static void vnpu_gem_unpin(struct drm_gem_object *obj)
{
	ttm_bo_unpin(&to_vnpu_bo(obj)->ttm);
}

static struct sg_table *vnpu_gem_get_sg_table(struct drm_gem_object *obj)
{
	struct ttm_tt *tt = to_vnpu_bo(obj)->ttm.ttm;

	return drm_prime_pages_to_sg(obj->dev, tt->pages, tt->num_pages);
}

/*
 * The caller has the reservation, so nothing is waited for: -EBUSY. Where another
 * driver is attached the content is there.
 */
static int vnpu_gem_vmap(struct drm_gem_object *obj, struct iosys_map *map)
{
	struct vnpu_bo *bo = to_vnpu_bo(obj);
	int ret;

	if (drm_gem_is_imported(obj))
		return -EOPNOTSUPP;

	ret = vnpu_bo_pin_system(bo);
	if (ret)
		return ret;

	vnpu_bo_check_content(bo);
	if (bo->content)
		ret = -EBUSY;
	else if (bo->lost || bo->dirty)
		ret = -EIO;
	else
		ret = ttm_bo_vmap(&bo->ttm, map);
	if (ret)
		ttm_bo_unpin(&bo->ttm);
	return ret;
}

static void vnpu_gem_vunmap(struct drm_gem_object *obj, struct iosys_map *map)
{
	struct vnpu_bo *bo = to_vnpu_bo(obj);

	ttm_bo_vunmap(&bo->ttm, map);
	ttm_bo_unpin(&bo->ttm);
}

static int vnpu_gem_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	int ret;

	/* Its pages are the exporter's, as is the say in how to map them. */
	if (drm_gem_is_imported(obj))
		return -EINVAL;

	ret = ttm_bo_mmap_obj(vma, &to_vnpu_bo(obj)->ttm);
	if (ret)
		return ret;

	/* TTM took a reference for the mapping, as GEM had already. */
	drm_gem_object_put(obj);
	return 0;
}

static const struct drm_gem_object_funcs vnpu_gem_funcs = {
	.free = vnpu_gem_free,
	.export = vnpu_prime_export,
	.pin = vnpu_gem_pin,
	.unpin = vnpu_gem_unpin,
	.get_sg_table = vnpu_gem_get_sg_table,
	.vmap = vnpu_gem_vmap,
	.vunmap = vnpu_gem_vunmap,
	.mmap = vnpu_gem_mmap,
	.vm_ops = &vnpu_bo_vm_ops,
};

/* IOCTLs */

/*
 * Checks all but @args->vm_id. A limit is the size of the memory: what is larger
 * can never fit.
 */
int vnpu_bo_check_create(const struct drm_vnpu_bo_create *args, u64 vram_limit,
			 u64 visible_limit, u64 system_limit, u64 *size)
{
	u64 limit = 0;

	if (!args->placements || args->placements & ~VNPU_BO_PLACEMENTS ||
	    args->flags & ~VNPU_BO_FLAGS || !args->size)
		return -EINVAL;

	if (args->flags & DRM_VNPU_BO_CPU_VISIBLE) {
		if (!(args->placements & VNPU_PLACEMENT_VRAM))
			return -EINVAL;
		vram_limit = visible_limit;
	}

	if (args->placements & VNPU_PLACEMENT_VRAM)
		limit = vram_limit;
	if (args->placements & VNPU_PLACEMENT_SYSTEM)
		limit = max(limit, system_limit);

	/* The limit is small enough for what follows not to overflow. */
	if (args->size > limit)
		return -E2BIG;

	*size = round_up(args->size, (u64)PAGE_SIZE);
	return *size > limit ? -E2BIG : 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_bo_check_create);

static struct drm_gem_object *vnpu_bo_find_resv_obj(struct drm_file *file,
						    u32 vm_id)
{
	struct drm_gem_object *obj;
	struct vnpu_vm *vm;

	vm = vnpu_vm_lookup(to_vnpu_file(file), vm_id);
	if (!vm)
		return ERR_PTR(-ENOENT);

	obj = vnpu_vm_resv_obj(vm);
	drm_gem_object_get(obj);
	vnpu_vm_put(vm);
	return obj;
}

/* A new BO with memory, for the file. */
static struct vnpu_bo *vnpu_bo_create_user(struct vnpu_device *vdev,
					   struct drm_file *file,
					   const struct drm_vnpu_bo_create *args,
					   u64 size)
{
	struct vnpu_bo_args create = {
		.type = ttm_bo_type_device,
		.size = size,
		.placements = args->placements,
		.flags = args->flags,
	};
	struct vnpu_validate validate;
	struct vnpu_bo *bo;
	int ret;

	if (args->vm_id) {
		create.resv_obj = vnpu_bo_find_resv_obj(file, args->vm_id);
		if (IS_ERR(create.resv_obj))
			return ERR_CAST(create.resv_obj);
	}

	bo = vnpu_bo_create(vdev, &create);
	if (create.resv_obj)
		drm_gem_object_put(create.resv_obj);
	if (IS_ERR(bo))
		return bo;

	ret = vnpu_validate_begin(&validate, vdev);
	if (ret)
		goto err_put;
	do {
		ret = vnpu_bo_populate(bo);
	} while (vnpu_validate_again(&validate, &ret));
	vnpu_validate_end(&validate);
	if (ret)
		goto err_put;

	return bo;

err_put:
	vnpu_bo_put(bo);
	return ERR_PTR(ret);
}

int vnpu_ioctl_bo_create(struct drm_device *drm, void *data,
			 struct drm_file *file)
{
	struct vnpu_device *vdev = to_vnpu_device(drm);
	struct drm_vnpu_bo_create *args = data;
	struct vnpu_bo *bo;
	u64 size;
	int ret;

	ret = vnpu_bo_check_create(args, vdev->vram.size,
				   vdev->vram.visible_size, vdev->tt.base.size,
				   &size);
	if (ret)
		return ret;

	bo = vnpu_bo_create_user(vdev, file, args, size);
	if (IS_ERR(bo))
		return PTR_ERR(bo);

	/* From here on the client may close the handle. */
	args->size = size;
	ret = drm_gem_handle_create(file, &bo->ttm.base, &args->handle);
	vnpu_bo_put(bo);
	return ret;
}

int vnpu_ioctl_bo_mmap_offset(struct drm_device *drm, void *data,
			      struct drm_file *file)
{
	struct drm_vnpu_bo_mmap_offset *args = data;
	struct vnpu_bo *bo;
	int ret = 0;

	if (args->flags)
		return -EINVAL;

	bo = vnpu_bo_lookup(file, args->handle);
	if (!bo)
		return -ENOENT;

	if (drm_gem_is_imported(&bo->ttm.base))
		ret = -EINVAL;
	else
		args->offset = drm_vma_node_offset_addr(&bo->ttm.base.vma_node);

	vnpu_bo_put(bo);
	return ret;
}

/* Statistics */

enum vnpu_region { VNPU_REGION_VRAM, VNPU_REGION_SYSTEM, VNPU_NUM_REGIONS };

static void vnpu_bo_account(struct vnpu_bo *bo,
			    struct drm_memory_stats stats[VNPU_NUM_REGIONS])
{
	struct drm_gem_object *obj = &bo->ttm.base;
	u32 where = READ_ONCE(bo->region);
	enum vnpu_region home, now;

	home = bo->placements & VNPU_PLACEMENT_VRAM ? VNPU_REGION_VRAM :
							  VNPU_REGION_SYSTEM;
	now = where == TTM_PL_VRAM ? VNPU_REGION_VRAM : VNPU_REGION_SYSTEM;

	if (drm_gem_object_is_shared_for_memory_stats(obj))
		stats[home].shared += obj->size;
	else
		stats[home].private += obj->size;

	if (where != VNPU_REGION_NONE)
		stats[now].resident += obj->size;

	if (!dma_resv_test_signaled(obj->resv, DMA_RESV_USAGE_BOOKKEEP))
		stats[now].active += obj->size;
}

void vnpu_bo_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	static const char * const names[VNPU_NUM_REGIONS] = {
		[VNPU_REGION_VRAM] = "vram",
		[VNPU_REGION_SYSTEM] = "system",
	};
	struct drm_memory_stats stats[VNPU_NUM_REGIONS] = {};
	struct drm_gem_object *obj;
	int i;

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, obj, i)
		vnpu_bo_account(to_vnpu_bo(obj), stats);
	spin_unlock(&file->table_lock);

	for (i = 0; i < VNPU_NUM_REGIONS; i++)
		drm_print_memory_stats(p, &stats[i],
				       DRM_GEM_OBJECT_ACTIVE |
				       DRM_GEM_OBJECT_RESIDENT |
				       DRM_GEM_OBJECT_PURGEABLE,
				       names[i]);
}
