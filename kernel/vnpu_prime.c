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
#include "vnpu_content.h"
#include "vnpu_device.h"
#include "vnpu_prime.h"
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

/*
 * An import is about to be made, for a device that is there. Not drm_dev_enter():
 * the exporter takes as long as it likes, and that would hold up the unplug of each
 * device of DRM. This holds up that of our own.
 */
static int vnpu_prime_begin(struct vnpu_device *vdev)
{
	struct vnpu_tt_mgr *tt = &vdev->tt;
	int ret = 0;

	mutex_lock(&tt->lock);
	if (tt->no_imports)
		ret = -ENODEV;
	else
		tt->importing++;
	mutex_unlock(&tt->lock);

	return ret;
}

/* @bo: the import, or NULL. */
static void vnpu_prime_end(struct vnpu_device *vdev, struct vnpu_bo *bo)
{
	struct vnpu_tt_mgr *tt = &vdev->tt;

	mutex_lock(&tt->lock);
	if (bo)
		list_add_tail(&bo->import_link, &tt->imports);
	tt->importing--;
	wake_up_all(&tt->import_wait);
	mutex_unlock(&tt->lock);
}

/* Own dma-bufs become the object that they came from. */
struct drm_gem_object *vnpu_prime_import(struct drm_device *drm,
					 struct dma_buf *dma_buf)
{
	struct vnpu_device *vdev = to_vnpu_device(drm);
	struct drm_gem_object *obj;
	int ret;

	if (vnpu_prime_is_own(drm, dma_buf)) {
		obj = dma_buf->priv;
		drm_gem_object_get(obj);
		return obj;
	}

	ret = vnpu_prime_begin(vdev);
	if (ret)
		return ERR_PTR(ret);
	obj = drm_gem_prime_import_dev(drm, dma_buf, drm->dev);
	vnpu_prime_end(vdev, IS_ERR(obj) ? NULL : to_vnpu_bo(obj));

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

/**
 * vnpu_prime_release() - Undo an import
 * @bo: Imported BO that nobody refers to any more.
 *
 * Takes the reservation of the dma-buf.
 */
void vnpu_prime_release(struct vnpu_bo *bo)
{
	struct vnpu_tt_mgr *tt = &to_vnpu_device(bo->ttm.base.dev)->tt;

	mutex_lock(&tt->lock);
	while (tt->unmapping == bo) {
		mutex_unlock(&tt->lock);
		wait_event(tt->import_wait, READ_ONCE(tt->unmapping) != bo);
		mutex_lock(&tt->lock);
	}
	bo->import_dying = true;
	mutex_unlock(&tt->lock);

	drm_prime_gem_destroy(&bo->ttm.base, bo->ttm.sg);

	/* Unplug waits for this. */
	mutex_lock(&tt->lock);
	list_del_init(&bo->import_link);
	wake_up_all(&tt->import_wait);
	mutex_unlock(&tt->lock);
}

/* The next one that unplug has to unmap, or NULL; it stays until vnpu_prime_unclaim(). */
static struct vnpu_bo *vnpu_prime_claim(struct vnpu_tt_mgr *tt)
{
	struct vnpu_bo *bo;

	mutex_lock(&tt->lock);
	list_for_each_entry(bo, &tt->imports, import_link) {
		if (bo->import_dying)
			continue;
		list_del_init(&bo->import_link);
		tt->unmapping = bo;
		break;
	}
	bo = tt->unmapping;
	mutex_unlock(&tt->lock);

	return bo;
}

static void vnpu_prime_unclaim(struct vnpu_tt_mgr *tt)
{
	mutex_lock(&tt->lock);
	tt->unmapping = NULL;
	wake_up_all(&tt->import_wait);
	mutex_unlock(&tt->lock);
}

/**
 * vnpu_prime_unplug() - Give the DMA addresses of all imports back
 * @vdev: Device; nothing runs on it any more.
 *
 * Waits for imports that are being made and those that are being freed, but for no
 * fence: BOs that wait for theirs to be freed are treated as others. Takes the
 * reservations of dma-bufs.
 */
void vnpu_prime_unplug(struct vnpu_device *vdev)
{
	struct vnpu_tt_mgr *tt = &vdev->tt;
	struct vnpu_bo *bo;

	mutex_lock(&tt->lock);
	tt->no_imports = true;
	mutex_unlock(&tt->lock);
	wait_event(tt->import_wait, !READ_ONCE(tt->importing));

	while ((bo = vnpu_prime_claim(tt))) {
		vnpu_prime_unmap(&bo->ttm.base);
		vnpu_prime_unclaim(tt);
	}
	wait_event(tt->import_wait, list_empty_careful(&tt->imports));
}
