// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffer objects that are mapped by processes.
 */

#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_vma_manager.h>
#include <drm/ttm/ttm_bo.h>

#include "vnpu_bo.h"
#include "vnpu_content.h"
#include "vnpu_device.h"
#include "vnpu_mmap.h"
#include "vnpu_ttm.h"

/**
 * DOC: Mappings of processes
 *
 * A page fault finds the BO where it is: in system memory, or in VRAM that the CPU
 * sees. Other VRAM is left first. A fault waits until the content is there, and
 * gets SIGBUS if it is lost. Mappings are taken away when the BO moves. After unplug
 * a fault gets a page of zeroes.
 */

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

const struct vm_operations_struct vnpu_bo_vm_ops = {
	.fault = vnpu_bo_fault,
	.open = ttm_bo_vm_open,
	.close = ttm_bo_vm_close,
	.access = vnpu_bo_vm_access,
};
