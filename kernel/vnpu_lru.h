/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The order of eviction.
 */

#ifndef __VNPU_LRU_H__
#define __VNPU_LRU_H__

struct drm_exec;
struct drm_gem_object;
struct vnpu_bo;
struct vnpu_device;

struct drm_gem_object *vnpu_lru_resv_alloc(struct vnpu_device *vdev);
void vnpu_lru_join(struct vnpu_bo *bo);
void vnpu_lru_leave(struct vnpu_bo *bo);
void vnpu_lru_used(struct drm_gem_object *resv_obj, struct drm_exec *exec);

#endif
