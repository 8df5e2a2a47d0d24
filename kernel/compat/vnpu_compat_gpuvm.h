/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address spaces on older kernels.
 */

#ifndef VNPU_COMPAT_GPUVM_H
#define VNPU_COMPAT_GPUVM_H

#include <drm/drm_gpuvm.h>

#ifndef VNPU_HAVE_GPUVM_MAP_REQ
struct drm_gpuvm_map_req {
	struct drm_gpuva_op_map map;
};

static inline int vnpu_compat_gpuvm_sm_map(struct drm_gpuvm *gpuvm, void *priv,
					   const struct drm_gpuvm_map_req *req)
{
	return drm_gpuvm_sm_map(gpuvm, priv, req->map.va.addr,
				req->map.va.range, req->map.gem.obj,
				req->map.gem.offset);
}

#define drm_gpuvm_sm_map vnpu_compat_gpuvm_sm_map
#endif

#ifndef VNPU_HAVE_GPUVM_BO_OBTAIN_LOCKED
#define drm_gpuvm_bo_obtain_locked drm_gpuvm_bo_obtain
#endif

#endif
