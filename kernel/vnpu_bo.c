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
#include "vnpu_content.h"
#include "vnpu_device.h"
#include "vnpu_drv.h"
#include "vnpu_lru.h"
#include "vnpu_mmap.h"
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

/**
 * vnpu_ttm_bo_is_vnpu() - Tell BOs of the driver from ghosts of TTM
 * @tbo: TTM object.
 *
 * Return: Whether it is the part of a &struct vnpu_bo.
 */
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

/**
 * vnpu_bo_create() - Make a BO
 * @vdev: Device.
 * @args: What it is to be.
 *
 * Takes the reservation, which may be that of another object, interruptibly.
 *
 * Return: A BO without memory as yet, or an ERR_PTR: -ENOMEM, -ERESTARTSYS.
 */
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

/**
 * vnpu_bo_moved() - Have address spaces see to a BO before it is used again
 * @bo: BO that has moved, or was cleared again; its reservation is held.
 */
void vnpu_bo_moved(struct vnpu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;

	WRITE_ONCE(bo->region, bo->ttm.resource->mem_type);

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->ttm.base)
		drm_gpuvm_bo_evict(vm_bo, true);
}

/**
 * vnpu_bo_validate() - Put a BO where the device can use it
 * @bo: BO; its reservation is held, as is &vnpu_room.lock by vnpu_validate_begin().
 * @ctx: For TTM.
 *
 * Its content may still be on its way: KERNEL fences of the reservation.
 *
 * Return: 0, -ENOSPC (no VRAM, or none yet: see vnpu_validate_again()), -EIO (the
 * content is lost), -ENOMEM, -EINTR or -ERESTARTSYS.
 */
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

/**
 * vnpu_bo_create_kernel() - Make a BO for the driver itself
 * @vdev: Device.
 * @size: Bytes.
 * @vram_offset: Set to where it is.
 *
 * It is pinned in VRAM, contiguous, and the CPU sees it. What it contains is
 * undefined, and it is not to be touched before the KERNEL fences of its reservation
 * have signalled: what was there may still be copied away. Other reservations may be
 * held; does not wait for them.
 *
 * Return: The BO or an ERR_PTR, as vnpu_bo_validate().
 */
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

/**
 * vnpu_bo_free_kernel() - Undo vnpu_bo_create_kernel()
 * @bo: BO; takes its reservation, so not from a signalling path.
 */
void vnpu_bo_free_kernel(struct vnpu_bo *bo)
{
	dma_resv_lock(bo->ttm.base.resv, NULL);
	ttm_bo_unpin(&bo->ttm);
	dma_resv_unlock(bo->ttm.base.resv);
	vnpu_bo_put(bo);
}

/**
 * vnpu_bo_pin_system() - Put a BO in system memory until ttm_bo_unpin()
 * @bo: BO; its reservation is held.
 *
 * Its content may still be on its way, see vnpu_bo_wait_content(). Waits for nothing.
 *
 * Return: 0, -EBUSY (a job has to end first, see vnpu_bo_wait_idle()), -ENOMEM, -EIO,
 * -EINTR or -ERESTARTSYS.
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

/**
 * vnpu_bo_check_create() - Check arguments, all but the VM
 * @args: Arguments.
 * @vram_limit: Bytes of VRAM: what is larger can never fit.
 * @visible_limit: Those that the CPU sees.
 * @system_limit: Bytes of system memory.
 * @size: Set to the size in whole pages.
 *
 * Return: 0, -EINVAL, -E2BIG.
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
