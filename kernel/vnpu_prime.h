/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sharing of buffer objects with other drivers.
 */

#ifndef __VNPU_PRIME_H__
#define __VNPU_PRIME_H__

struct dma_buf;
struct dma_buf_attachment;
struct drm_device;
struct drm_gem_object;
struct sg_table;
struct vnpu_bo;
struct vnpu_device;

/* drm_driver.gem_prime_import, .gem_prime_import_sg_table; funcs.export. */
struct drm_gem_object *vnpu_prime_import(struct drm_device *drm,
					 struct dma_buf *dma_buf);
struct drm_gem_object *
vnpu_prime_import_sg_table(struct drm_device *drm,
			   struct dma_buf_attachment *attach,
			   struct sg_table *sgt);
struct dma_buf *vnpu_prime_export(struct drm_gem_object *obj, int flags);

void vnpu_prime_release(struct vnpu_bo *bo);
void vnpu_prime_unplug(struct vnpu_device *vdev);

#endif
