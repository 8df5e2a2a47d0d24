/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TTM device: placements, moves, eviction.
 */

#ifndef __VNPU_TTM_H__
#define __VNPU_TTM_H__

#include <linux/types.h>

#include <drm/ttm/ttm_placement.h>

struct drm_minor;
struct dma_fence;
struct drm_printer;
struct ttm_operation_ctx;
struct ttm_placement;
struct ttm_resource;
struct ttm_tt;
struct vnpu_bo;
struct vnpu_device;

/* VRAM; TTM_PL_TT is system memory that the device can reach. */
#define VNPU_PL_VRAM	TTM_PL_VRAM

int vnpu_ttm_init(struct vnpu_device *vdev);
void vnpu_ttm_debugfs_init(struct vnpu_device *vdev, struct drm_minor *minor);

/* Bytes that can ever be in system memory that the device can reach. */
u64 vnpu_ttm_system_limit(struct vnpu_device *vdev);

#endif
