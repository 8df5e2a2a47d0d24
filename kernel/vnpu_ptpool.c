// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page-table pages: 4 KiB pieces of pinned, CPU-visible VRAM.
 */

#include <linux/bitops.h>
#include <linux/io.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_drv.h"
#include "vnpu_hw.h"
#include "vnpu_ptpool.h"
#include "vnpu_ring.h"
#include "vnpu_validate.h"

/**
 * DOC: Page-table pool
 *
 * Page tables are written by the CPU through the aperture while jobs that run
 * wait for it, so they have to be where the CPU sees them and may not move. A
 * chunk is a pinned buffer of 64 pages. An empty chunk is given back, but for
 * one that is kept for the next client. Nobody can take a page away from a client,
 * so each has a limit.
 *
 * Pages come back from the scheduler's work, on which eviction may wait, and
 * giving back a chunk takes its reservation. So that is done by a work item.
 *
 * A bind job holds no reference to the device, and it is freed some time after
 * its fence has signalled, which is all that the end of a VM waits for. So the
 * end of the pool waits for the jobs themselves.
 */

#define VNPU_PT_BYTES		BIT(VNPU_PAGE_SHIFT)
#define VNPU_CHUNK_PAGES	64u
#define VNPU_CHUNK_BYTES	(VNPU_CHUNK_PAGES * VNPU_PT_BYTES)

/**
 * struct vnpu_pt_chunk - Some pages
 */
struct vnpu_pt_chunk {
	/** @link: In vnpu_ptpool.chunks. */
	struct list_head link;

	/** @bo: The memory; constant. */
	struct vnpu_bo *bo;

	/** @offset: VRAM offset; constant. */
	u64 offset;

	/** @cpu: The memory, through the aperture; constant. */
	void __iomem *cpu;

	/** @used: A bit for each page in use; under vnpu_ptpool.lock. */
	u64 used;
};

static struct vnpu_pt_chunk *vnpu_ptpool_find_free(struct vnpu_ptpool *pool)
{
	struct vnpu_pt_chunk *chunk;

	lockdep_assert_held(&pool->lock);

	list_for_each_entry(chunk, &pool->chunks, link)
		if (chunk->used != U64_MAX)
			return chunk;

	return NULL;
}

/* Takes a page of a chunk that has one, or returns false. */
static bool vnpu_ptpool_take(struct vnpu_ptpool *pool,
			     struct vnpu_pt_page *page)
{
	struct vnpu_pt_chunk *chunk;
	unsigned int i;

	spin_lock(&pool->lock);
	chunk = vnpu_ptpool_find_free(pool);
	if (chunk) {
		i = __ffs64(~chunk->used);
		chunk->used |= BIT_ULL(i);
		pool->used++;
		page->chunk = chunk;
		page->offset = chunk->offset + (u64)i * VNPU_PT_BYTES;
	}
	spin_unlock(&pool->lock);

	return chunk;
}

static void vnpu_ptpool_destroy_chunk(struct vnpu_pt_chunk *chunk)
{
	iounmap(chunk->cpu);
	vnpu_bo_free_kernel(chunk->bo);
	kfree(chunk);
}

static struct vnpu_pt_chunk *vnpu_ptpool_create_chunk(struct vnpu_device *vdev)
{
	struct vnpu_pt_chunk *chunk;
	int ret;

	chunk = kzalloc_obj(*chunk, GFP_KERNEL_ACCOUNT);
	if (!chunk)
		return ERR_PTR(-ENOMEM);

	chunk->bo = vnpu_bo_create_kernel(vdev, VNPU_CHUNK_BYTES, &chunk->offset);
	if (IS_ERR(chunk->bo)) {
		ret = PTR_ERR(chunk->bo);
		goto err_free;
	}
	chunk->cpu = vnpu_aperture_map(vdev, chunk->offset, VNPU_CHUNK_BYTES);
	if (!chunk->cpu) {
		ret = -ENOMEM;
		goto err_bo;
	}
	return chunk;

err_bo:
	vnpu_bo_free_kernel(chunk->bo);
err_free:
	kfree(chunk);
	return ERR_PTR(ret);
}

/*
 * Adds a chunk and takes its first page. What was in its memory may have to be
 * copied away first, which waits for jobs: until then it is kept aside, and
 * there is no room.
 */
static int vnpu_ptpool_grow(struct vnpu_device *vdev, struct vnpu_pt_page *page)
{
	struct vnpu_ptpool *pool = &vdev->ptpool;
	struct vnpu_pt_chunk *chunk = pool->coming;

	lockdep_assert_held(&pool->grow_lock);

	if (!chunk) {
		chunk = vnpu_ptpool_create_chunk(vdev);
		if (IS_ERR(chunk))
			return PTR_ERR(chunk);
	}

	pool->coming = chunk;
	if (vnpu_validate_busy(vdev, chunk->bo->ttm.base.resv, DMA_RESV_USAGE_KERNEL))
		return -ENOSPC;
	pool->coming = NULL;

	chunk->used = BIT_ULL(0);
	page->chunk = chunk;
	page->offset = chunk->offset;

	spin_lock(&pool->lock);
	list_add(&chunk->link, &pool->chunks);
	pool->used++;
	spin_unlock(&pool->lock);
	return 0;
}

static int vnpu_ptpool_get(struct vnpu_device *vdev, struct vnpu_pt_page *page)
{
	struct vnpu_ptpool *pool = &vdev->ptpool;
	int ret;

	if (vnpu_ptpool_take(pool, page))
		return 0;

	/* Who waited here may find a page of the chunk that the other added. */
	ret = mutex_lock_interruptible(&pool->grow_lock);
	if (ret)
		return -ERESTARTSYS;
	if (!vnpu_ptpool_take(pool, page))
		ret = vnpu_ptpool_grow(vdev, page);
	mutex_unlock(&pool->grow_lock);

	return ret;
}

/* Counts @page for an open file, or refuses with -EDQUOT. */
static int vnpu_ptpool_charge(struct vnpu_device *vdev, struct vnpu_pt_page *page,
			      struct vnpu_stats *stats)
{
	if (!atomic_add_unless(&stats->num_tables, 1, vnpu_max_file_tables(vdev)))
		return -EDQUOT;

	page->stats = vnpu_stats_get(stats);
	return 0;
}

static void vnpu_ptpool_uncharge(struct vnpu_pt_page *page)
{
	atomic_dec(&page->stats->num_tables);
	vnpu_stats_put(page->stats);
}

/**
 * vnpu_ptpool_alloc() - Take a page for a table
 * @vdev: Device.
 * @stats: Of the open file that it is for.
 *
 * May sleep and evict; waits for no fence. Reservations may be held. Takes
 * &vnpu_ptpool.grow_lock.
 *
 * Return: A zeroed page, or an ERR_PTR: -EDQUOT (the client has as many as it may),
 * -ENOSPC (no visible VRAM, or none yet: see vnpu_validate_again()), -ENOMEM,
 * -ENODEV, -ERESTARTSYS.
 */
struct vnpu_pt_page *vnpu_ptpool_alloc(struct vnpu_device *vdev, struct vnpu_stats *stats)
{
	struct vnpu_pt_page *page;
	int idx, ret;

	page = kzalloc_obj(*page, GFP_KERNEL_ACCOUNT);
	if (!page)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&page->link);

	ret = vnpu_ptpool_charge(vdev, page, stats);
	if (ret)
		goto err_free;

	if (!drm_dev_enter(&vdev->drm, &idx)) {
		ret = -ENODEV;
		goto err_uncharge;
	}

	ret = vnpu_ptpool_get(vdev, page);
	if (!ret) {
		page->cpu = page->chunk->cpu + (page->offset - page->chunk->offset);
		vnpu_aperture_lock(vdev);
		memset_io(page->cpu, 0, VNPU_PT_BYTES);
		up_read(&vdev->aperture_lock);
	}
	drm_dev_exit(idx);
	if (ret)
		goto err_uncharge;

	return page;

err_uncharge:
	vnpu_ptpool_uncharge(page);
err_free:
	kfree(page);
	return ERR_PTR(ret);
}

/**
 * vnpu_ptpool_free() - Give a page back
 * @vdev: Device.
 * @page: As vnpu_ptpool_alloc() returned it; the device must not use it any more.
 *
 * Does not sleep.
 */
void vnpu_ptpool_free(struct vnpu_device *vdev, struct vnpu_pt_page *page)
{
	struct vnpu_ptpool *pool = &vdev->ptpool;
	struct vnpu_pt_chunk *chunk = page->chunk;
	bool empty;

	spin_lock(&pool->lock);
	chunk->used &= ~BIT_ULL((page->offset - chunk->offset) >> VNPU_PAGE_SHIFT);
	pool->used--;
	empty = !chunk->used;
	spin_unlock(&pool->lock);

	vnpu_ptpool_uncharge(page);
	kfree(page);
	if (empty)
		schedule_work(&pool->shrink);
}

static struct vnpu_pt_chunk *vnpu_ptpool_find_empty(struct vnpu_ptpool *pool,
						    unsigned int keep)
{
	struct vnpu_pt_chunk *chunk;

	lockdep_assert_held(&pool->lock);

	list_for_each_entry(chunk, &pool->chunks, link)
		if (!chunk->used && !keep--)
			return chunk;

	return NULL;
}

/* An empty chunk off the list, if there are more than @keep. */
static struct vnpu_pt_chunk *vnpu_ptpool_pop_empty(struct vnpu_ptpool *pool,
						   unsigned int keep)
{
	struct vnpu_pt_chunk *chunk;

	spin_lock(&pool->lock);
	chunk = vnpu_ptpool_find_empty(pool, keep);
	if (chunk)
		list_del(&chunk->link);
	spin_unlock(&pool->lock);

	return chunk;
}

static void vnpu_ptpool_trim(struct vnpu_ptpool *pool, unsigned int keep)
{
	struct vnpu_pt_chunk *chunk;

	while ((chunk = vnpu_ptpool_pop_empty(pool, keep)))
		vnpu_ptpool_destroy_chunk(chunk);
}

static void vnpu_ptpool_shrink(struct work_struct *work)
{
	vnpu_ptpool_trim(container_of(work, struct vnpu_ptpool, shrink), 1);
}

static void vnpu_ptpool_fini(struct drm_device *drm, void *data)
{
	struct vnpu_device *vdev = to_vnpu_device(drm);
	struct vnpu_ptpool *pool = data;

	vnpu_ring_wait_idle(vdev->mmu_ring);
	cancel_work_sync(&pool->shrink);
	vnpu_ptpool_trim(pool, 0);
	if (pool->coming)
		vnpu_ptpool_destroy_chunk(pool->coming);
	WARN_ON(!list_empty(&pool->chunks));
	mutex_destroy(&pool->grow_lock);
}

int vnpu_ptpool_init(struct vnpu_device *vdev)
{
	struct vnpu_ptpool *pool = &vdev->ptpool;

	mutex_init(&pool->grow_lock);
	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->chunks);
	INIT_WORK(&pool->shrink, vnpu_ptpool_shrink);

	return drmm_add_action_or_reset(&vdev->drm, vnpu_ptpool_fini, pool);
}

void vnpu_ptpool_print(struct vnpu_device *vdev, struct drm_printer *p)
{
	struct vnpu_ptpool *pool = &vdev->ptpool;
	struct vnpu_pt_chunk *chunk;
	unsigned long used, chunks = 0;

	spin_lock(&pool->lock);
	used = pool->used;
	list_for_each_entry(chunk, &pool->chunks, link)
		chunks++;
	spin_unlock(&pool->lock);

	drm_printf(p, "page-table pages: %lu used of %lu\n", used,
		   chunks * VNPU_CHUNK_PAGES);
}
