// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of eviction.
 */

#include <linux/dma-resv.h>
#include <linux/slab.h>

#include <drm/drm_exec.h>
#include <drm/drm_gem.h>
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>
#include <drm/ttm/ttm_resource.h>

#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_lru.h"
#include "vnpu_ttm.h"

/**
 * DOC: Eviction order
 *
 * TTM evicts what is first in its lists, so a submit moves all that it uses to the
 * end. The BOs that are private to a VM are neighbours there and move all at once,
 * which costs the same however many they are. External BOs move one by one; a
 * submit locks them one by one as well.
 *
 * The private BOs may outlive their VM. What they share, the reservation and the
 * place in the lists, belongs to an object that each of them has a reference to.
 */

/**
 * struct vnpu_lru_resv - What the private BOs of a VM share
 */
struct vnpu_lru_resv {
	/** @base: Has the reservation. */
	struct drm_gem_object base;

	/** @bulk: The BOs' part of TTM's lists; under &ttm_device.lru_lock. */
	struct ttm_lru_bulk_move bulk;
};

static struct vnpu_lru_resv *to_vnpu_lru_resv(struct drm_gem_object *obj)
{
	return container_of(obj, struct vnpu_lru_resv, base);
}

static void vnpu_lru_resv_free(struct drm_gem_object *obj)
{
	struct vnpu_lru_resv *resv = to_vnpu_lru_resv(obj);

	ttm_lru_bulk_move_fini(&to_vnpu_device(obj->dev)->ttm, &resv->bulk);
	drm_gem_object_release(obj);
	kfree(resv);
}

static const struct drm_gem_object_funcs vnpu_lru_resv_funcs = {
	.free = vnpu_lru_resv_free,
};

/**
 * vnpu_lru_resv_alloc() - Make the object that a VM shares with its private BOs
 * @vdev: Device.
 *
 * Return: The object, without memory, or NULL.
 */
struct drm_gem_object *vnpu_lru_resv_alloc(struct vnpu_device *vdev)
{
	struct vnpu_lru_resv *resv;

	resv = kzalloc_obj(*resv, GFP_KERNEL_ACCOUNT);
	if (!resv)
		return NULL;

	resv->base.funcs = &vnpu_lru_resv_funcs;
	ttm_lru_bulk_move_init(&resv->bulk);
	drm_gem_private_object_init(&vdev->drm, &resv->base, 0);
	return &resv->base;
}

/**
 * vnpu_lru_join() - A private BO is there
 * @bo: BO; its reservation is held.
 */
void vnpu_lru_join(struct vnpu_bo *bo)
{
	if (bo->resv_obj)
		ttm_bo_set_bulk_move(&bo->ttm, &to_vnpu_lru_resv(bo->resv_obj)->bulk);
}

/**
 * vnpu_lru_leave() - A BO is about to be freed
 * @bo: BO; takes its reservation if it is private.
 */
void vnpu_lru_leave(struct vnpu_bo *bo)
{
	if (!bo->resv_obj)
		return;

	dma_resv_lock(bo->ttm.base.resv, NULL);
	ttm_bo_set_bulk_move(&bo->ttm, NULL);
	dma_resv_unlock(bo->ttm.base.resv);
}

/**
 * vnpu_lru_used() - What belongs to a VM is in use
 * @resv_obj: As vnpu_lru_resv_alloc() returned it.
 * @exec: Has locked it, and external BOs.
 */
void vnpu_lru_used(struct drm_gem_object *resv_obj, struct drm_exec *exec)
{
	struct ttm_device *bdev = &to_vnpu_device(resv_obj->dev)->ttm;
	struct drm_gem_object *obj;

	dma_resv_assert_held(resv_obj->resv);

	spin_lock(&bdev->lru_lock);
	ttm_lru_bulk_move_tail(&to_vnpu_lru_resv(resv_obj)->bulk);
	drm_exec_for_each_locked_object(exec, obj)
		if (obj != resv_obj)
			ttm_bo_move_to_lru_tail(&to_vnpu_bo(obj)->ttm);
	spin_unlock(&bdev->lru_lock);
}
