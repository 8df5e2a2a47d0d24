/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TTM device: placements, moves, eviction.
 */

#ifndef __VNPU_TTM_H__
#define __VNPU_TTM_H__

#include <linux/types.h>

#include <drm/ttm/ttm_placement.h>

struct drm_minor;
struct ttm_buffer_object;
struct vnpu_bo;
struct vnpu_device;

/* Placement lists of the driver: this many places at most. */
#define VNPU_MAX_PLACES		2

/**
 * struct vnpu_placement - A placement with its places
 */
struct vnpu_placement {
	/** @base: For TTM; points to @places. */
	struct ttm_placement base;

	/** @places: In the order of preference. */
	struct ttm_place places[VNPU_MAX_PLACES];
};

/* All memory management. After the rings were made; managed by drmm. */
int vnpu_ttm_init(struct vnpu_device *vdev);
/* On unplug, when the rings have failed: unmaps all memory for the device. */
void vnpu_ttm_unplug(struct vnpu_device *vdev);
void vnpu_ttm_debugfs_init(struct vnpu_device *vdev, struct drm_minor *minor);

/* Where the device may use the BO; where the CPU may; system memory only. */
void vnpu_placement_device(struct vnpu_placement *p, const struct vnpu_bo *bo);
void vnpu_placement_cpu(struct vnpu_placement *p, const struct vnpu_bo *bo);
void vnpu_placement_system(struct vnpu_placement *p);

bool vnpu_ttm_bo_is_visible(const struct ttm_buffer_object *tbo);

#endif
