// SPDX-License-Identifier: GPL-2.0-only
/*
 * In which order binds take effect.
 */

#include <linux/dma-fence.h>
#include <linux/slab.h>

#include "vnpu_bind_job.h"
#include "vnpu_bind_line.h"
#include "vnpu_device.h"
#include "vnpu_ring.h"

/**
 * DOC: Bind queues
 *
 * The binds of a queue take effect in the order of the ioctls. Those of different
 * queues do not wait for what the others wait for. But the tree of page tables is
 * changed in the ioctl, and a job writes what is different from the tree before:
 * where two of them write to the same entry, or one to a table that the other puts
 * in or takes out, the later one waits until the earlier is over. The scheduler
 * asks for it when a job has no other dependencies left, because what a job writes
 * is known only when nothing may fail any more.
 *
 * A synchronous bind looks for such others before it commits, too, see "VM_BIND".
 *
 * Most tables are put in when the first range in them is mapped. They are empty,
 * so that nobody can tell, and are put in by the ioctl itself if no bind that is
 * pending has to do with the place. So later ones that map beside the first find
 * them there.
 */

int vnpu_bind_line_init(struct vnpu_bind_line *line, struct vnpu_device *vdev)
{
	line->last = NULL;
	return vnpu_ring_entity_init(vdev->mmu_ring, &line->entity);
}

void vnpu_bind_line_fini(struct vnpu_bind_line *line)
{
	drm_sched_entity_destroy(&line->entity);
	dma_fence_put(line->last);
}

struct vnpu_bind_pending *vnpu_bind_pending_create(void)
{
	struct vnpu_bind_pending *pending = kzalloc_obj(*pending, GFP_KERNEL_ACCOUNT);

	if (!pending)
		return NULL;

	kref_init(&pending->ref);
	spin_lock_init(&pending->lock);
	INIT_LIST_HEAD(&pending->jobs);
	return pending;
}

static void vnpu_bind_pending_release(struct kref *ref)
{
	kfree(container_of(ref, struct vnpu_bind_pending, ref));
}

void vnpu_bind_pending_put(struct vnpu_bind_pending *pending)
{
	kref_put(&pending->ref, vnpu_bind_pending_release);
}

void vnpu_bind_pending_add(struct vnpu_bind_pending *pending, struct vnpu_bind_job *job)
{
	kref_get(&pending->ref);
	job->pending = pending;

	spin_lock(&pending->lock);
	list_add_tail(&job->link, &pending->jobs);
	spin_unlock(&pending->lock);
}

void vnpu_bind_pending_remove(struct vnpu_bind_job *job)
{
	if (!job->pending)
		return;

	spin_lock(&job->pending->lock);
	list_del(&job->link);
	spin_unlock(&job->pending->lock);
	vnpu_bind_pending_put(job->pending);
}

static bool vnpu_bind_pending_is_before(const struct vnpu_bind_job *job,
					const struct vnpu_bind_line *line,
					const struct vnpu_pt_range *range)
{
	const struct vnpu_pt_range *other = &job->txn.span;

	return job->line != line && other->start < range->end && range->start < other->end &&
	       !dma_fence_is_signaled(job->finished);
}

struct dma_fence *vnpu_bind_pending_find(struct vnpu_bind_pending *pending,
					 const struct vnpu_bind_line *line,
					 const struct vnpu_pt_range *range,
					 const struct vnpu_bind_job *until)
{
	struct dma_fence *fence = NULL;
	struct vnpu_bind_job *job;

	spin_lock(&pending->lock);
	list_for_each_entry(job, &pending->jobs, link) {
		if (job == until)
			break;
		if (vnpu_bind_pending_is_before(job, line, range)) {
			fence = dma_fence_get(job->finished);
			break;
		}
	}
	spin_unlock(&pending->lock);

	return fence;
}
