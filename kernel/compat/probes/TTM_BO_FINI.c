// SPDX-License-Identifier: GPL-2.0-only
/* A TTM object has no references of its own. */
#include <drm/ttm/ttm_bo.h>

void vnpu_probe(struct ttm_buffer_object *bo);
void vnpu_probe(struct ttm_buffer_object *bo)
{
	ttm_bo_fini(bo);
}
