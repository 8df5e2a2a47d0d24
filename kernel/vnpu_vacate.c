// SPDX-License-Identifier: GPL-2.0-only
/*
 * VRAM whose content is still being copied away.
 */

#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/list.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include <kunit/visibility.h>

#include "vnpu_vacate.h"
#include "vnpu_vram.h"

/**
 * DOC: Vacating
 *
 * A BO leaves VRAM at once, for the rest of the driver, but its content does so
 * when the copy has been made, which waits for the jobs that use it. TTM would
 * have every BO that gets VRAM from then on wait for this copy, whether it gets
 * this memory or not, and so a job of one client would hold up all others.
 *
 * So the manager knows which memory it is. It keeps the blocks to itself until the
 * fence of the copy has signalled, and gives other memory to who asks. Only when
 * there is not enough the blocks are handed out before, those that wait for the
 * longest time first, and who gets a part of them has to wait for the fence: it
 * becomes a KERNEL fence of his reservation. What remains of such blocks is known
 * until the fence has signalled, too.
 *
 * Blocks that are kept do not count as used.
 */

/**
 * vnpu_vacate_prepare() - A resource is about to be given back too early
 * @mgr: Manager.
 * @vres: Resource of the manager; the reservation of its BO is held.
 * @fence: Signals when the memory has its content no more. A reference is taken.
 *
 * May sleep.
 *
 * Return: 0 if the memory is going to be kept until @fence has signalled, -ENOMEM.
 */
int vnpu_vacate_prepare(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres,
			struct dma_fence *fence)
{
	u32 n = list_count_nodes(&vres->blocks);
	struct vnpu_vacating *vacating;
	struct gpu_buddy_block *block;

	vacating = kvzalloc(struct_size(vacating, ranges, n), GFP_KERNEL_ACCOUNT);
	if (!vacating)
		return -ENOMEM;

	INIT_LIST_HEAD(&vacating->blocks);
	vacating->fence = dma_fence_get(fence);
	vacating->num_ranges = n;
	n = 0;
	list_for_each_entry(block, &vres->blocks, link) {
		struct vnpu_vacating_range *range = &vacating->ranges[n++];

		range->offset = gpu_buddy_block_offset(block);
		range->size = gpu_buddy_block_size(&mgr->mm, block);
		vacating->size += range->size;
	}

	vres->vacating = vacating;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vacate_prepare);

/**
 * vnpu_vacate_hold() - Keep the blocks of a resource
 * @mgr: Manager; its lock is held.
 * @vres: Resource that was prepared for it. It has no blocks after this.
 */
void vnpu_vacate_hold(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres)
{
	struct vnpu_vacating *vacating = vres->vacating;

	lockdep_assert_held(&mgr->lock);

	vres->vacating = NULL;
	mgr->visible_used -= vres->visible;
	mgr->held += vacating->size;
	list_splice_init(&vres->blocks, &vacating->blocks);
	list_add_tail(&vacating->link, &mgr->vacating);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vacate_hold);

static void vnpu_vacate_give(struct vnpu_vram_mgr *mgr, struct vnpu_vacating *vacating)
{
	if (list_empty(&vacating->blocks))
		return;

	mgr->held -= vacating->size;
	gpu_buddy_free_list(&mgr->mm, &vacating->blocks, 0);
}

static void vnpu_vacate_free(struct vnpu_vram_mgr *mgr, struct vnpu_vacating *vacating)
{
	vnpu_vacate_give(mgr, vacating);
	list_del(&vacating->link);
	dma_fence_put(vacating->fence);
	kvfree(vacating);
}

/**
 * vnpu_vacate_reap() - Give the allocator what is vacant by now
 * @mgr: Manager; its lock is held.
 */
void vnpu_vacate_reap(struct vnpu_vram_mgr *mgr)
{
	struct vnpu_vacating *vacating, *next;

	lockdep_assert_held(&mgr->lock);

	list_for_each_entry_safe(vacating, next, &mgr->vacating, link)
		if (dma_fence_is_signaled(vacating->fence))
			vnpu_vacate_free(mgr, vacating);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vacate_reap);

/**
 * vnpu_vacate_release() - Give the allocator what is kept for the longest time
 * @mgr: Manager; its lock is held.
 *
 * Who gets some of it is told by vnpu_vacate_add_fences().
 *
 * Return: Whether there was something.
 */
bool vnpu_vacate_release(struct vnpu_vram_mgr *mgr)
{
	struct vnpu_vacating *vacating;

	lockdep_assert_held(&mgr->lock);

	list_for_each_entry(vacating, &mgr->vacating, link) {
		if (!list_empty(&vacating->blocks)) {
			vnpu_vacate_give(mgr, vacating);
			return true;
		}
	}
	return false;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vacate_release);

static bool vnpu_vacate_overlaps(struct vnpu_vram_mgr *mgr, const struct vnpu_vacating *vacating,
				 const struct gpu_buddy_block *block)
{
	u64 offset = gpu_buddy_block_offset(block);
	u64 end = offset + gpu_buddy_block_size(&mgr->mm, (struct gpu_buddy_block *)block);
	u32 i;

	for (i = 0; i < vacating->num_ranges; i++) {
		const struct vnpu_vacating_range *range = &vacating->ranges[i];

		if (offset < range->offset + range->size && end > range->offset)
			return true;
	}
	return false;
}

static bool vnpu_vacate_concerns(struct vnpu_vram_mgr *mgr, const struct vnpu_vacating *vacating,
				 struct vnpu_vram_resource *vres)
{
	struct gpu_buddy_block *block;

	/* What is kept can be nobody's. */
	if (!list_empty(&vacating->blocks))
		return false;

	list_for_each_entry(block, &vres->blocks, link)
		if (vnpu_vacate_overlaps(mgr, vacating, block))
			return true;

	return false;
}

/**
 * vnpu_vacate_add_fences() - Have the new owner of memory wait for the old content
 * @mgr: Manager; its lock is held.
 * @vres: New resource.
 * @resv: Reservation of its BO, held.
 *
 * May sleep. Room for one more fence than are added is left in @resv.
 *
 * Return: 0, or -ENOMEM.
 */
int vnpu_vacate_add_fences(struct vnpu_vram_mgr *mgr, struct vnpu_vram_resource *vres,
			   struct dma_resv *resv)
{
	struct vnpu_vacating *vacating;
	int ret;

	lockdep_assert_held(&mgr->lock);

	list_for_each_entry(vacating, &mgr->vacating, link) {
		if (!vnpu_vacate_concerns(mgr, vacating, vres))
			continue;

		ret = dma_resv_reserve_fences(resv, 2);
		if (ret)
			return ret;
		dma_resv_add_fence(resv, vacating->fence, DMA_RESV_USAGE_KERNEL);
	}
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_vacate_add_fences);

/**
 * vnpu_vacate_fini() - Give all back
 * @mgr: Manager; its lock is held. No job is left.
 */
void vnpu_vacate_fini(struct vnpu_vram_mgr *mgr)
{
	vnpu_vacate_reap(mgr);
	WARN_ON(!list_empty(&mgr->vacating));
}
