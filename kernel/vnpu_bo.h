/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Buffer objects.
 */

#ifndef __VNPU_BO_H__
#define __VNPU_BO_H__

#include <linux/list.h>
#include <linux/types.h>

#include <drm/drm_gem.h>
#include <drm/ttm/ttm_bo.h>

struct dma_buf;
struct dma_fence;
struct dma_resv;
struct drm_device;
struct drm_file;
struct drm_vnpu_bo_create;
struct sg_table;
struct ttm_operation_ctx;
struct vnpu_device;

/* vnpu_bo.region of a BO without memory. */
#define VNPU_REGION_NONE	U32_MAX

/* Instances of regions in the uAPI, and their bits in a mask of placements. */
#define VNPU_INSTANCE_VRAM	0
#define VNPU_INSTANCE_SYSTEM	1
#define VNPU_PLACEMENT_VRAM	BIT(VNPU_INSTANCE_VRAM)
#define VNPU_PLACEMENT_SYSTEM	BIT(VNPU_INSTANCE_SYSTEM)

/**
 * struct vnpu_bo - A buffer object
 */
struct vnpu_bo {
	/** @ttm: TTM object; the GEM object is its base. */
	struct ttm_buffer_object ttm;

	/** @placements: Mask of VNPU_PLACEMENT_*; constant. */
	u32 placements;

	/** @flags: Mask of DRM_VNPU_BO_*; constant. */
	u32 flags;

	/** @contiguous: One piece of VRAM; constant. */
	bool contiguous;

	/** @uncleared: No need to clear it: users cannot reach it; constant. */
	bool uncleared;

	/** @lost: The content is gone, uses fail with EIO; under the reservation. */
	bool lost;

	/** @clearing: @content is about the first clear; under the reservation. */
	bool clearing;

	/** @dirty: The clear failed and has to be repeated before the memory may
	 * be seen; under the reservation.
	 */
	bool dirty;

	/** @cleared_again: It was repeated once; under the reservation. */
	bool cleared_again;

	/** @region: Memory type it is in (TTM_PL_*) or VNPU_REGION_NONE, for
	 * statistics; written under the reservation, read without.
	 */
	u32 region;

	/** @resv_obj: Reference to the object whose reservation a private BO
	 * shares, NULL for other BOs; constant. Its life also keeps the identity
	 * of the VM: compare with vnpu_bo_bindable(), never VM pointers.
	 */
	struct drm_gem_object *resv_obj;

	/** @dma_buf: Reference to the dma-buf of an imported BO, or NULL; constant.
	 * TTM uses its reservation until the BO is destroyed, which is later than
	 * GEM lets go of it when an import fails.
	 */
	struct dma_buf *dma_buf;

	/** @content: Fence of the job that last cleared or moved the content, or
	 * NULL; under the reservation. An error in it means that the content is
	 * lost, or that the clear has to be repeated.
	 */
	struct dma_fence *content;

	/** @import_link: In vnpu_tt_mgr.imports, for an imported BO. */
	struct list_head import_link;

	/** @import_dying: It is on that list and gives its DMA addresses back by
	 * itself; under vnpu_tt_mgr.lock.
	 */
	bool import_dying;
};

#define to_vnpu_bo(obj) \
	container_of(obj, struct vnpu_bo, ttm.base)
#define ttm_to_vnpu_bo(bo) \
	container_of(bo, struct vnpu_bo, ttm)

static inline struct vnpu_bo *vnpu_bo_get(struct vnpu_bo *bo)
{
	drm_gem_object_get(&bo->ttm.base);
	return bo;
}

static inline void vnpu_bo_put(struct vnpu_bo *bo)
{
	if (bo)
		drm_gem_object_put(&bo->ttm.base);
}

static inline u64 vnpu_bo_size(const struct vnpu_bo *bo)
{
	return bo->ttm.base.size;
}

static inline bool vnpu_bo_is_private(const struct vnpu_bo *bo)
{
	return bo->resv_obj;
}

/* Whether the BO may be bound to the VM with reservation @vm_resv. */
static inline bool vnpu_bo_bindable(const struct vnpu_bo *bo,
				    const struct dma_resv *vm_resv)
{
	return !bo->resv_obj || bo->ttm.base.resv == vm_resv;
}

/* A new reference, or NULL. */
static inline struct vnpu_bo *vnpu_bo_lookup(struct drm_file *file, u32 handle)
{
	struct drm_gem_object *obj = drm_gem_object_lookup(file, handle);

	return obj ? to_vnpu_bo(obj) : NULL;
}

int vnpu_bo_validate(struct vnpu_bo *bo, struct ttm_operation_ctx *ctx);

struct vnpu_bo *vnpu_bo_create_kernel(struct vnpu_device *vdev, u64 size,
				      u64 *vram_offset);
void vnpu_bo_free_kernel(struct vnpu_bo *bo);

bool vnpu_ttm_bo_is_vnpu(const struct ttm_buffer_object *tbo);
void vnpu_bo_moved(struct vnpu_bo *bo);
int vnpu_bo_pin_system(struct vnpu_bo *bo);

int vnpu_ioctl_bo_create(struct drm_device *drm, void *data,
			 struct drm_file *file);
int vnpu_ioctl_bo_mmap_offset(struct drm_device *drm, void *data,
			      struct drm_file *file);

/**
 * struct vnpu_bo_args - What to create
 */
struct vnpu_bo_args {
	/** @type: Device, kernel, or sg for an imported BO. */
	enum ttm_bo_type type;

	/** @size: Bytes, a multiple of the page size. */
	u64 size;

	/** @placements: Mask of VNPU_PLACEMENT_*. */
	u32 placements;

	/** @flags: Mask of DRM_VNPU_BO_*. */
	u32 flags;

	/** @contiguous: One piece of VRAM. */
	bool contiguous;

	/** @uncleared: Do not clear. */
	bool uncleared;

	/** @resv_obj: Whose reservation to share, or NULL. A reference is taken. */
	struct drm_gem_object *resv_obj;

	/** @dma_buf: Where an imported BO comes from, else NULL. A reference is
	 * taken.
	 */
	struct dma_buf *dma_buf;

	/** @sgt: DMA addresses of an imported BO, else NULL. */
	struct sg_table *sgt;
};

struct vnpu_bo *vnpu_bo_create(struct vnpu_device *vdev,
			       const struct vnpu_bo_args *args);

int vnpu_bo_check_create(const struct drm_vnpu_bo_create *args, u64 vram_limit,
			 u64 visible_limit, u64 system_limit, u64 *size);

#endif
