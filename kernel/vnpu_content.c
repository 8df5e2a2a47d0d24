// SPDX-License-Identifier: GPL-2.0-only
/*
 * The content of buffer objects: who writes it, and whether it is there.
 */

#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/minmax.h>

#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_placement.h>

#include "vnpu_bo.h"
#include "vnpu_content.h"
#include "vnpu_migrate.h"

/**
 * vnpu_bo_set_content() - A job is going to clear or move the content
 * @bo: BO; its reservation is held.
 * @fence: Of the job, whose reference is consumed; NULL if the CPU has done it.
 */
void vnpu_bo_set_content(struct vnpu_bo *bo, struct dma_fence *fence)
{
	dma_resv_assert_held(bo->ttm.base.resv);

	dma_fence_put(bo->content);
	bo->content = fence;
}

/**
 * vnpu_bo_check_content() - Find out what has become of the content
 * @bo: BO; its reservation is held. If the last job has ended, @lost and @dirty are
 *	right after this, and @content is NULL.
 */
void vnpu_bo_check_content(struct vnpu_bo *bo)
{
	int status;

	dma_resv_assert_held(bo->ttm.base.resv);

	if (!bo->content)
		return;

	status = dma_fence_get_status(bo->content);
	if (!status)
		return;
	if (status < 0) {
		/* There was nothing to lose yet, so it may be done again. */
		bo->dirty = bo->clearing && !bo->cleared_again;
		bo->lost = !bo->dirty;
	}
	bo->clearing = false;
	vnpu_bo_set_content(bo, NULL);
}

/**
 * vnpu_bo_clear() - Queue a job that clears the content
 * @bo: BO; its reservation is held, with room for a fence.
 * @res: Its new place, or the one it has if the clear failed.
 *
 * Return: 0, -ENODEV if the paging ring is dead, -ENOMEM.
 */
int vnpu_bo_clear(struct vnpu_bo *bo, struct ttm_resource *res)
{
	struct dma_fence *fence;

	dma_resv_assert_held(bo->ttm.base.resv);

	fence = vnpu_migrate_clear(bo, res);
	if (IS_ERR(fence))
		return PTR_ERR(fence);

	dma_resv_add_fence(bo->ttm.base.resv, fence, DMA_RESV_USAGE_KERNEL);
	vnpu_bo_set_content(bo, fence);
	bo->clearing = true;
	return 0;
}

/**
 * vnpu_bo_clear_again() - Clear a BO once more
 * @bo: Dirty BO; its reservation is held.
 *
 * The job that was to clear it failed, most likely because the device was reset in
 * the middle of it. Nobody has seen the memory yet: see bind_job_run().
 *
 * Return: 0, -EIO if the paging ring is dead, -ENOMEM.
 */
int vnpu_bo_clear_again(struct vnpu_bo *bo)
{
	int ret;

	ret = dma_resv_reserve_fences(bo->ttm.base.resv, 1);
	if (ret)
		return ret;

	/* Pages are zeroed when they are allocated. */
	if (bo->ttm.resource->mem_type == TTM_PL_VRAM) {
		ret = vnpu_bo_clear(bo, bo->ttm.resource);
		if (ret)
			return ret == -ENODEV ? -EIO : ret;
	}

	bo->dirty = false;
	bo->cleared_again = true;
	vnpu_bo_moved(bo);
	return 0;
}

/* Waits for @fence, with no lock held, and consumes it. */
static int vnpu_bo_wait(struct dma_fence *fence)
{
	long ret = dma_fence_wait(fence, true);

	dma_fence_put(fence);
	return min(ret, 0L);
}

/**
 * vnpu_bo_pending() - Look for a fence that has not signalled
 * @bo: BO; its reservation is held.
 * @usage: Fences that count.
 *
 * Return: A reference to one, or NULL.
 */
struct dma_fence *vnpu_bo_pending(struct vnpu_bo *bo, enum dma_resv_usage usage)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;

	dma_resv_for_each_fence(&cursor, bo->ttm.base.resv, usage, fence)
		if (!dma_fence_is_signaled(fence))
			return dma_fence_get(fence);

	return NULL;
}

static struct dma_fence *vnpu_bo_pending_move(struct vnpu_bo *bo)
{
	return vnpu_bo_pending(bo, DMA_RESV_USAGE_KERNEL);
}

static struct dma_fence *vnpu_bo_pending_use(struct vnpu_bo *bo)
{
	return vnpu_bo_pending(bo, DMA_RESV_USAGE_BOOKKEEP);
}

static struct dma_fence *vnpu_bo_pending_content(struct vnpu_bo *bo)
{
	vnpu_bo_check_content(bo);
	return dma_fence_get(bo->content);
}

/*
 * Takes the reservation when @pending finds nothing to wait for. It is not held
 * during the wait: who submits may need it, and have the lock for room.
 */
static int vnpu_bo_lock_after(struct vnpu_bo *bo,
			      struct dma_fence *(*pending)(struct vnpu_bo *bo))
{
	struct dma_fence *fence;
	int ret;

	do {
		ret = dma_resv_lock_interruptible(bo->ttm.base.resv, NULL);
		if (ret)
			return ret;

		fence = pending(bo);
		if (!fence)
			return 0;

		dma_resv_unlock(bo->ttm.base.resv);
		ret = vnpu_bo_wait(fence);
	} while (!ret);

	return ret;
}

/**
 * vnpu_bo_lock_settled() - Take the reservation when the content is there or lost
 * @bo: BO.
 *
 * Sleeps interruptibly, with the reservation not held.
 *
 * Return: 0 with the reservation held, -EINTR or -ERESTARTSYS.
 */
int vnpu_bo_lock_settled(struct vnpu_bo *bo)
{
	return vnpu_bo_lock_after(bo, vnpu_bo_pending_content);
}

/**
 * vnpu_bo_wait_idle() - Wait until no job uses a BO
 * @bo: BO; its reservation is not held.
 *
 * Return: 0, -EINTR or -ERESTARTSYS.
 */
int vnpu_bo_wait_idle(struct vnpu_bo *bo)
{
	int ret = vnpu_bo_lock_after(bo, vnpu_bo_pending_use);

	if (!ret)
		dma_resv_unlock(bo->ttm.base.resv);
	return ret;
}

/**
 * vnpu_bo_wait_content() - Wait until the content of a pinned BO is there
 * @bo: BO; its reservation is not held.
 *
 * Return: 0, -EIO if it is lost, -EINTR or -ERESTARTSYS.
 */
int vnpu_bo_wait_content(struct vnpu_bo *bo)
{
	int ret = vnpu_bo_lock_after(bo, vnpu_bo_pending_move);

	if (ret)
		return ret;

	vnpu_bo_check_content(bo);
	if (bo->lost || bo->dirty)
		ret = -EIO;
	dma_resv_unlock(bo->ttm.base.resv);
	return ret;
}
