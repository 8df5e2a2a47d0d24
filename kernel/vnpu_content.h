/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The content of buffer objects: who writes it, and whether it is there.
 */

#ifndef __VNPU_CONTENT_H__
#define __VNPU_CONTENT_H__

#include <linux/dma-resv.h>

struct dma_fence;
struct ttm_resource;
struct vnpu_bo;

void vnpu_bo_set_content(struct vnpu_bo *bo, struct dma_fence *fence);
void vnpu_bo_check_content(struct vnpu_bo *bo);
int vnpu_bo_clear(struct vnpu_bo *bo, struct ttm_resource *res);
int vnpu_bo_clear_again(struct vnpu_bo *bo);

struct dma_fence *vnpu_bo_pending(struct vnpu_bo *bo, enum dma_resv_usage usage);
int vnpu_bo_lock_settled(struct vnpu_bo *bo);
int vnpu_bo_wait_idle(struct vnpu_bo *bo);
int vnpu_bo_wait_content(struct vnpu_bo *bo);

#endif
