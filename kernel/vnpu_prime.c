// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sharing of buffer objects with other drivers.
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>

#include <drm/drm_drv.h>
#include <drm/drm_prime.h>
#include <drm/ttm/ttm_bo.h>

#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_tt.h"
#include "vnpu_ttm.h"

/**
 * DOC: Sharing
 *
 * A BO that another driver attaches to is pinned in system memory, whatever its
 * placements are; the device uses it there. A BO that is private to a VM cannot
 * be exported (EPERM), because the other driver would hold up the VM by its
 * reservation.
 *
 * A dma-buf of another driver is attached to for as long as the BO lives. Its
 * pages are not looked at, just their DMA addresses. On unplug the DMA mappings
 * are given back, because they are for a device that is gone.
 */

/*
 * Pins the BO, which may have to be moved first. That may take as long as jobs that
 * use it, and the reservation is not held meanwhile.
 */
static int vnpu_prime_attach(struct dma_buf *dma_buf, struct dma_buf_attachment *attach)
{
	struct vnpu_bo *bo = to_vnpu_bo((struct drm_gem_object *)dma_buf->priv);
	int ret;

	do {
		ret = drm_gem_map_attach(dma_buf, attach);
		if (ret == -EBUSY)
			ret = vnpu_bo_wait_idle(bo) ?: -EBUSY;
	} while (ret == -EBUSY);
	if (ret)
		return ret;

	ret = vnpu_bo_wait_content(bo);
	if (ret)
		drm_gem_map_detach(dma_buf, attach);
	return ret;
}

static const struct dma_buf_ops vnpu_dma_buf_ops = {
	.attach = vnpu_prime_attach,
	.detach = drm_gem_map_detach,
	.map_dma_buf = drm_gem_map_dma_buf,
	.unmap_dma_buf = drm_gem_unmap_dma_buf,
	.release = drm_gem_dmabuf_release,
	.mmap = drm_gem_dmabuf_mmap,
	.vmap = drm_gem_dmabuf_vmap,
	.vunmap = drm_gem_dmabuf_vunmap,
};

struct dma_buf *vnpu_prime_export(struct drm_gem_object *obj, int flags)
{
	struct dma_buf_export_info info = {
		.exp_name = KBUILD_MODNAME,
		.owner = THIS_MODULE,
		.ops = &vnpu_dma_buf_ops,
		.size = obj->size,
		.flags = flags,
		.priv = obj,
		.resv = obj->resv,
	};

	if (vnpu_bo_is_private(to_vnpu_bo(obj)))
		return ERR_PTR(-EPERM);

	return drm_gem_dmabuf_export(obj->dev, &info);
}

static bool vnpu_prime_is_own(struct drm_device *drm, struct dma_buf *dma_buf)
{
	const struct drm_gem_object *obj = dma_buf->priv;

	return dma_buf->ops == &vnpu_dma_buf_ops && obj->dev == drm;
}

/* Own dma-bufs become the object that they came from. */
struct drm_gem_object *vnpu_prime_import(struct drm_device *drm,
					 struct dma_buf *dma_buf)
{
	struct vnpu_device *vdev = to_vnpu_device(drm);
	struct drm_gem_object *obj;
	int idx;

	if (vnpu_prime_is_own(drm, dma_buf)) {
		obj = dma_buf->priv;
		drm_gem_object_get(obj);
		return obj;
	}

	if (!drm_dev_enter(drm, &idx))
		return ERR_PTR(-ENODEV);

	obj = drm_gem_prime_import_dev(drm, dma_buf, drm->dev);
	if (!IS_ERR(obj) && drm_gem_is_imported(obj)) {
		mutex_lock(&vdev->tt.lock);
		if (list_empty(&to_vnpu_bo(obj)->import_link))
			list_add_tail(&to_vnpu_bo(obj)->import_link,
				      &vdev->tt.imports);
		mutex_unlock(&vdev->tt.lock);
	}
	drm_dev_exit(idx);

	return obj;
}

/* Page tables show whole pages, and all of the BO. */
static bool vnpu_prime_sgt_fits(struct sg_table *sgt, u64 size)
{
	struct scatterlist *sg;
	u64 total = 0;
	int i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (!PAGE_ALIGNED(sg_dma_address(sg)) || !PAGE_ALIGNED(sg_dma_len(sg)))
			return false;
		total += sg_dma_len(sg);
	}
	return total >= size;
}

struct drm_gem_object *
vnpu_prime_import_sg_table(struct drm_device *drm,
			   struct dma_buf_attachment *attach,
			   struct sg_table *sgt)
{
	struct vnpu_bo_args args = {
		.type = ttm_bo_type_sg,
		.size = attach->dmabuf->size,
		.placements = VNPU_PLACEMENT_SYSTEM,
		.dma_buf = attach->dmabuf,
		.sgt = sgt,
	};
	struct ttm_operation_ctx ctx = { .interruptible = true };
	struct vnpu_placement placement;
	struct vnpu_bo *bo;
	int ret;

	if (!args.size || !PAGE_ALIGNED(args.size) || !vnpu_prime_sgt_fits(sgt, args.size))
		return ERR_PTR(-EINVAL);

	bo = vnpu_bo_create(to_vnpu_device(drm), &args);
	if (IS_ERR(bo))
		return ERR_CAST(bo);

	/* It cannot move. */
	vnpu_placement_system(&placement);
	ret = dma_resv_lock_interruptible(attach->dmabuf->resv, NULL);
	if (ret)
		goto err_put;
	ret = ttm_bo_validate(&bo->ttm, &placement.base, &ctx);
	if (!ret)
		ttm_bo_pin(&bo->ttm);
	dma_resv_unlock(attach->dmabuf->resv);
	if (ret)
		goto err_put;

	return &bo->ttm.base;

err_put:
	vnpu_bo_put(bo);
	return ERR_PTR(ret);
}

/* Reservation not held: the exporter may need it, it is that of the dma-buf. */
static void vnpu_prime_unmap(struct drm_gem_object *obj)
{
	struct ttm_buffer_object *tbo = &to_vnpu_bo(obj)->ttm;
	struct sg_table *sgt;

	dma_resv_lock(obj->resv, NULL);
	sgt = tbo->sg;
	tbo->sg = NULL;
	if (tbo->ttm)
		tbo->ttm->sg = NULL;
	if (sgt)
		dma_buf_unmap_attachment(obj->import_attach, sgt,
					 DMA_BIDIRECTIONAL);
	dma_resv_unlock(obj->resv);
}

/* @dying: set if there are others that are being freed, and unmap themselves. */
static struct drm_gem_object *vnpu_prime_first_import(struct vnpu_device *vdev, bool *dying)
{
	struct drm_gem_object *obj = NULL;
	struct vnpu_bo *bo, *next;

	mutex_lock(&vdev->tt.lock);
	list_for_each_entry_safe(bo, next, &vdev->tt.imports, import_link) {
		list_del_init(&bo->import_link);
		if (kref_get_unless_zero(&bo->ttm.base.refcount)) {
			obj = &bo->ttm.base;
			break;
		}
		*dying = true;
	}
	mutex_unlock(&vdev->tt.lock);

	return obj;
}

void vnpu_prime_unplug(struct vnpu_device *vdev)
{
	struct drm_gem_object *obj;
	bool dying = false;

	while ((obj = vnpu_prime_first_import(vdev, &dying))) {
		vnpu_prime_unmap(obj);
		drm_gem_object_put(obj);
	}

	/*
	 * Only if there is a need: BOs of all kinds wait there until their fences
	 * have signalled, and these may wait for another driver.
	 */
	if (dying)
		flush_workqueue(vdev->ttm.wq);
}
