// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware queues.
 */

#include <linux/bitfield.h>
#include <linux/dma-mapping.h>
#include <linux/iopoll.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "vnpu_drv.h"
#include "vnpu_job.h"
#include "vnpu_reset.h"
#include "vnpu_ring.h"
#include "vnpu_trace.h"

#define VNPU_RING_MASK	(VNPU_RING_ENTRIES - 1)

static const char *vnpu_fence_driver_name(struct dma_fence *fence)
{
	return "vnpu";
}

/*
 * The scheduler's fences, which is what user space gets, have the name of the
 * queue. This one may outlive its ring.
 */
static const char *vnpu_fence_timeline_name(struct dma_fence *fence)
{
	return "vnpu-hw";
}

static const struct dma_fence_ops vnpu_fence_ops = {
	.get_driver_name = vnpu_fence_driver_name,
	.get_timeline_name = vnpu_fence_timeline_name,
};

struct vnpu_fence *vnpu_fence_alloc(void)
{
	/* dma_fence_put() frees it with kfree_rcu(). */
	BUILD_BUG_ON(offsetof(struct vnpu_fence, base));

	return kzalloc_obj(struct vnpu_fence, GFP_KERNEL_ACCOUNT);
}

static u32 vnpu_ring_reg(struct vnpu_ring *ring, u32 reg)
{
	return VNPU_QUEUE(ring->id) + reg;
}

/* Entries. */

static void *vnpu_ring_next(struct vnpu_ring *ring, u32 opcode, u32 flags)
{
	void *entry = ring->entries + (ring->tail++ & VNPU_RING_MASK) * VNPU_RING_ENTRY_BYTES;
	__le32 *hdr = entry;

	memset(entry, 0, VNPU_RING_ENTRY_BYTES);
	*hdr = cpu_to_le32(FIELD_PREP(VNPU_PKT_HDR_OPCODE_MASK, opcode) |
			   FIELD_PREP(VNPU_PKT_HDR_FLAGS_MASK, flags) |
			   FIELD_PREP(VNPU_PKT_HDR_DWORDS_MASK, VNPU_RING_ENTRY_BYTES / 4));
	return entry;
}

/* Run a command buffer at @addr in the context of the ring. */
void vnpu_ring_emit_indirect(struct vnpu_ring *ring, u64 addr, u32 size)
{
	struct vnpu_pkt_ring_indirect *entry = vnpu_ring_next(ring, VNPU_OP_RING_INDIRECT, 0);

	entry->size = cpu_to_le32(size);
	entry->addr = cpu_to_le64(addr);
}

/* Drop the translations of a range, which is made of whole pages. */
void vnpu_ring_emit_invalidate(struct vnpu_ring *ring, u32 ctx, u64 va, u64 size)
{
	struct vnpu_pkt_ring_invalidate *entry;

	entry = vnpu_ring_next(ring, VNPU_OP_RING_INVALIDATE, 0);
	entry->context = cpu_to_le32(ctx);
	entry->addr = cpu_to_le64(va);
	entry->size = cpu_to_le64(size);
}

/* Drop all translations of a context. */
void vnpu_ring_emit_invalidate_ctx(struct vnpu_ring *ring, u32 ctx)
{
	struct vnpu_pkt_ring_invalidate *entry;

	entry = vnpu_ring_next(ring, VNPU_OP_RING_INVALIDATE,
			       VNPU_RING_INVALIDATE_FLAG_CONTEXT);
	entry->context = cpu_to_le32(ctx);
}

static void vnpu_ring_emit_fence(struct vnpu_ring *ring, u64 value)
{
	struct vnpu_pkt_ring_fence *entry;

	entry = vnpu_ring_next(ring, VNPU_OP_RING_FENCE, VNPU_RING_FENCE_FLAG_IRQ);
	entry->addr = cpu_to_le64(ring->vdev->fences_dma +
				  ring->id * sizeof(*ring->vdev->fences));
	entry->value = cpu_to_le64(value);
}

/**
 * vnpu_ring_entry_at() - What the hardware is at
 * @ring: Ring with entries; &vnpu_device.reset_lock held for writing.
 * @head: Value of the HEAD register.
 * @ctx: For an INVALIDATE: where the context goes whose translations are dropped.
 *
 * Return: Opcode of the entry.
 */
u32 vnpu_ring_entry_at(struct vnpu_ring *ring, u32 head, u32 *ctx)
{
	const struct vnpu_pkt_ring_invalidate *entry;

	lockdep_assert_held_write(&ring->vdev->reset_lock);

	entry = ring->entries + (head & VNPU_RING_MASK) * VNPU_RING_ENTRY_BYTES;
	*ctx = le32_to_cpu(entry->context);

	return FIELD_GET(VNPU_PKT_HDR_OPCODE_MASK, le32_to_cpu(entry->hdr));
}

static void vnpu_ring_doorbell(struct vnpu_ring *ring)
{
	/*
	 * Entries, and what the job wrote through the aperture, which is write
	 * combined, before the doorbell.
	 */
	wmb();
	vnpu_write32(ring->vdev, VNPU_DOORBELL_BASE + ring->id * VNPU_DOORBELL_STRIDE,
		     ring->tail);
}

/* Start a job; its entries are to follow. */
void vnpu_ring_begin(struct vnpu_ring *ring, struct vnpu_fence *fence)
{
	fence->start = ring->tail;
}

/*
 * The scheduler has a timer of its own, which starts anew with each job that is
 * handed over: a client could put off the end of a job that hangs.
 */
static void vnpu_ring_watch(struct vnpu_ring *ring)
{
	lockdep_assert_held(&ring->lock);

	ring->watching = ring->timeout && !list_empty(&ring->pending);
	if (ring->watching)
		queue_delayed_work(ring->vdev->reset_wq, &ring->watch,
				   DIV_ROUND_UP(ring->timeout, VNPU_RESET_LOOKS));
}

/**
 * vnpu_ring_watch_again() - Have the watch look again if jobs are left
 * @ring: Ring; called by the watch itself.
 */
void vnpu_ring_watch_again(struct vnpu_ring *ring)
{
	spin_lock_irq(&ring->lock);
	vnpu_ring_watch(ring);
	spin_unlock_irq(&ring->lock);
}

/*
 * End the job that was begun and hand it to the hardware. The fence gets its
 * second reference here, which is given up when it is signalled.
 */
void vnpu_ring_commit(struct vnpu_ring *ring, struct vnpu_fence *fence)
{
	unsigned long irq;

	spin_lock_irqsave(&ring->lock, irq);
	dma_fence_init(&fence->base, &vnpu_fence_ops, NULL, ring->fence_context,
		       ++ring->seqno);
	vnpu_ring_emit_fence(ring, fence->base.seqno);
	fence->end = ring->tail;
	list_add_tail(&fence->link, &ring->pending);
	if (!ring->watching)
		vnpu_ring_watch(ring);
	dma_fence_get(&fence->base);
	trace_vnpu_run(ring->id, fence->base.seqno, fence->start, fence->end);
	spin_unlock_irqrestore(&ring->lock, irq);

	vnpu_ring_doorbell(ring);
}

/* Completion. */

/* A fence record or a register said that @busy ns were spent since the reset. */
static void vnpu_ring_account(struct vnpu_ring *ring, u64 busy)
{
	u64 delta = busy - ring->last_busy;

	lockdep_assert_held(&ring->lock);

	/* It never goes back: a device that says so is not to be believed. */
	if ((s64)delta <= 0)
		return;

	ring->last_busy = busy;
	ring->busy_ns += delta;
	if (ring->stats)
		atomic64_add(delta, &ring->stats->busy_ns[ring->engine_class]);
}

static void vnpu_ring_signal(struct vnpu_ring *ring, struct vnpu_fence *fence, int error)
{
	lockdep_assert_held(&ring->lock);

	list_del(&fence->link);
	ring->completed++;
	trace_vnpu_complete(ring->id, fence->base.seqno, error);

	if (error)
		dma_fence_set_error(&fence->base, error);
	dma_fence_signal(&fence->base);
	dma_fence_put(&fence->base);
}

/*
 * Signal the fences that the hardware has passed. Called by the interrupt and,
 * in case one was lost, by recovery; the lock keeps their order.
 */
void vnpu_ring_process(struct vnpu_ring *ring)
{
	const struct vnpu_rec_fence *record = &ring->vdev->fences[ring->id];
	struct vnpu_fence *fence, *next;
	unsigned long irq;
	u64 value;

	spin_lock_irqsave(&ring->lock, irq);
	if (!ring->entries || list_empty(&ring->pending))
		goto out;

	value = le64_to_cpu(READ_ONCE(record->value));
	/* The device writes the value last. */
	dma_rmb();
	vnpu_ring_account(ring, le64_to_cpu(READ_ONCE(record->busy_ns)));

	list_for_each_entry_safe(fence, next, &ring->pending, link) {
		if (fence->base.seqno > value)
			break;
		vnpu_ring_signal(ring, fence, 0);
	}
out:
	spin_unlock_irqrestore(&ring->lock, irq);
}

/* The hardware stopped the ring: have recovery look at it at once. */
void vnpu_ring_fault(struct vnpu_ring *ring, const struct vnpu_ring_fault *fault)
{
	unsigned long irq;

	spin_lock_irqsave(&ring->lock, irq);
	if (!ring->error && !ring->faulted) {
		ring->faulted = true;
		ring->fault = *fault;
		queue_work(ring->vdev->reset_wq, &ring->fault_work);
	}
	spin_unlock_irqrestore(&ring->lock, irq);
}

/* The oldest job that the hardware has ends with @first, the others with @rest. */
static void vnpu_ring_end_jobs(struct vnpu_ring *ring, int first, int rest)
{
	struct vnpu_fence *fence, *next;
	int error = first;

	ring->faulted = false;
	ring->fail = 0;
	list_for_each_entry_safe(fence, next, &ring->pending, link) {
		vnpu_ring_signal(ring, fence, error);
		error = rest;
	}
}

/*
 * Nothing runs on this ring any more: the oldest job that the hardware has
 * fails with @first, the others and all to come with @rest. The hardware must
 * have been stopped, and jobs that it had finished been processed.
 */
void vnpu_ring_fail(struct vnpu_ring *ring, int first, int rest)
{
	unsigned long irq;

	spin_lock_irqsave(&ring->lock, irq);
	ring->error = rest;
	vnpu_ring_end_jobs(ring, first, rest);
	spin_unlock_irqrestore(&ring->lock, irq);
}

/**
 * vnpu_ring_finish() - All jobs that the hardware has are done without it
 * @ring: Ring whose hardware is stopped.
 */
void vnpu_ring_finish(struct vnpu_ring *ring)
{
	spin_lock_irq(&ring->lock);
	vnpu_ring_end_jobs(ring, 0, 0);
	spin_unlock_irq(&ring->lock);
}

/* Only the oldest job fails; the others can be replayed. */
void vnpu_ring_fail_first(struct vnpu_ring *ring, int error)
{
	struct vnpu_fence *fence;
	unsigned long irq;

	spin_lock_irqsave(&ring->lock, irq);
	ring->faulted = false;
	ring->fail = 0;
	fence = list_first_entry_or_null(&ring->pending, struct vnpu_fence, link);
	if (fence)
		vnpu_ring_signal(ring, fence, error);
	spin_unlock_irqrestore(&ring->lock, irq);
}

/**
 * vnpu_ring_has_begun_job() - Whether the hardware has begun a job that is not finished
 * @ring: Ring whose finished jobs have been processed.
 *
 * Jobs follow each other without a gap, so the hardware is at the oldest one, and
 * no register tells that none of its packets has run yet. A job that has nothing
 * but its fence has nothing that could have begun.
 *
 * Return: true also if it is not certain.
 */
bool vnpu_ring_has_begun_job(struct vnpu_ring *ring)
{
	struct vnpu_fence *fence;
	unsigned long irq;
	bool begun;

	spin_lock_irqsave(&ring->lock, irq);
	fence = list_first_entry_or_null(&ring->pending, struct vnpu_fence, link);
	begun = fence && fence->end - fence->start > 1;
	spin_unlock_irqrestore(&ring->lock, irq);

	return begun;
}

/**
 * vnpu_ring_first_seqno() - The oldest job that the hardware has not finished
 * @ring: Ring.
 *
 * Return: Value of its fence, or zero if there is none.
 */
u64 vnpu_ring_first_seqno(struct vnpu_ring *ring)
{
	struct vnpu_fence *fence;
	u64 seqno = 0;

	spin_lock_irq(&ring->lock);
	fence = list_first_entry_or_null(&ring->pending, struct vnpu_fence, link);
	if (fence)
		seqno = fence->base.seqno;
	spin_unlock_irq(&ring->lock);

	return seqno;
}

/* A job has failed or finished, and the hardware never had it. */
void vnpu_ring_count_done(struct vnpu_ring *ring)
{
	unsigned long irq;

	spin_lock_irqsave(&ring->lock, irq);
	ring->completed++;
	spin_unlock_irqrestore(&ring->lock, irq);
}

/* The hardware queue. */

void vnpu_ring_get_job(struct vnpu_ring *ring)
{
	spin_lock_irq(&ring->lock);
	ring->jobs++;
	spin_unlock_irq(&ring->lock);
}

/* The job is the scheduler's. */
void vnpu_ring_arm_job(struct vnpu_ring *ring)
{
	spin_lock_irq(&ring->lock);
	ring->submitted++;
	ring->armed++;
	wake_up_all(&ring->idle);
	spin_unlock_irq(&ring->lock);
}

/* The job's time has come, whether the hardware has it or it failed. */
void vnpu_ring_ran_job(struct vnpu_ring *ring)
{
	spin_lock_irq(&ring->lock);
	ring->ran++;
	spin_unlock_irq(&ring->lock);
}

/*
 * The ring may be gone when it returns. It is woken under the lock, so that who
 * sees that there is no job left sees that nobody is still here.
 */
void vnpu_ring_put_job(struct vnpu_ring *ring, bool armed, bool ran)
{
	spin_lock_irq(&ring->lock);
	ring->jobs--;
	ring->armed -= armed;
	ring->ran -= ran;
	if (!ring->jobs || !ring->armed || !ring->ran)
		wake_up_all(&ring->idle);
	spin_unlock_irq(&ring->lock);
}

bool vnpu_ring_has_no_job(struct vnpu_ring *ring)
{
	bool none;

	spin_lock_irq(&ring->lock);
	none = !ring->jobs;
	spin_unlock_irq(&ring->lock);

	return none;
}

/**
 * vnpu_ring_wait_idle() - Wait until all jobs of a ring are freed
 * @ring: Ring that gets no new jobs.
 *
 * Sleeps, uninterruptibly, for as long as the dependencies of the jobs take. Not
 * from the work of the scheduler, which frees them.
 */
void vnpu_ring_wait_idle(struct vnpu_ring *ring)
{
	wait_event(ring->idle, vnpu_ring_has_no_job(ring));
}

/* Time on engines that is accounted so far. */
u64 vnpu_ring_busy_ns(struct vnpu_ring *ring)
{
	unsigned long irq;
	u64 ns;

	spin_lock_irqsave(&ring->lock, irq);
	ns = ring->busy_ns;
	spin_unlock_irqrestore(&ring->lock, irq);

	return ns;
}

/**
 * vnpu_ring_hw_set_priority() - Have engines take a ring's packets earlier or later
 * @ring: Ring that has its hardware queue, which may be at work.
 * @priority: One of enum vnpu_priority.
 *
 * &vnpu_device.reset_lock held, device there.
 */
void vnpu_ring_hw_set_priority(struct vnpu_ring *ring, u32 priority)
{
	vnpu_write32(ring->vdev, vnpu_ring_reg(ring, VNPU_QUEUE_REG_CONFIG),
		     FIELD_PREP(VNPU_QUEUE_CONFIG_LOG2_MASK, VNPU_RING_LOG2) |
		     FIELD_PREP(VNPU_QUEUE_CONFIG_ENGINE_MASK, ring->engine) |
		     FIELD_PREP(VNPU_QUEUE_CONFIG_PRIORITY_MASK, priority));
}

/*
 * Doorbells are for a queue that is enabled. One that faulted at once is for the
 * event to tell, and one that is not there for unplug.
 */
static int vnpu_ring_hw_wait(struct vnpu_ring *ring)
{
	u32 status;

	if (!read_poll_timeout(vnpu_read32, status,
			       FIELD_GET(VNPU_QUEUE_STATUS_STATE_MASK, status) !=
			       VNPU_QUEUE_STATE_CHANGING,
			       VNPU_HW_POLL_US, VNPU_HW_WAIT_US, false, ring->vdev,
			       vnpu_ring_reg(ring, VNPU_QUEUE_REG_STATUS)))
		return 0;

	drm_err(&ring->vdev->drm, "queue %u does not start\n", ring->id);
	return -EIO;
}

/* May sleep; fit for the signalling path. EIO: the queue does not start. */
static int vnpu_ring_hw_start(struct vnpu_ring *ring)
{
	struct vnpu_device *vdev = ring->vdev;

	/*
	 * The hardware counts from zero again. Fence values go on; those that
	 * the record had are signalled.
	 */
	spin_lock_irq(&ring->lock);
	vdev->fences[ring->id].busy_ns = 0;
	vdev->fences[ring->id].value = cpu_to_le64(0);
	ring->last_busy = 0;
	/* The fault is over with the reset; else the next one would be taken for it. */
	ring->faulted = false;
	spin_unlock_irq(&ring->lock);

	vnpu_write64(vdev, vnpu_ring_reg(ring, VNPU_QUEUE_REG_BASE_LO), ring->dma);
	vnpu_ring_hw_set_priority(ring, ring->priority);
	ring->raised = false;
	vnpu_write32(vdev, vnpu_ring_reg(ring, VNPU_QUEUE_REG_CONTEXT), ring->ctx);
	vnpu_write32(vdev, vnpu_ring_reg(ring, VNPU_QUEUE_REG_VECTOR), ring->vector);
	vnpu_write32(vdev, vnpu_ring_reg(ring, VNPU_QUEUE_REG_CONTROL),
		     VNPU_QUEUE_CONTROL_ENABLE_MASK);

	return vnpu_ring_hw_wait(ring);
}

/* The two halves are read apart while the counter runs. */
static u64 vnpu_ring_read_busy(struct vnpu_ring *ring)
{
	u32 reg = vnpu_ring_reg(ring, VNPU_QUEUE_REG_BUSY_LO);
	u32 lo, hi, again = vnpu_read32(ring->vdev, reg + 4);

	do {
		hi = again;
		lo = vnpu_read32(ring->vdev, reg);
		again = vnpu_read32(ring->vdev, reg + 4);
	} while (hi != again);

	return (u64)hi << 32 | lo;
}

/**
 * vnpu_ring_hw_save() - Account the time that unfinished jobs have taken
 * @ring: Ring that has its hardware queue.
 *
 * The hardware knows it, and loses it in a reset. vnpu_device.reset_lock held,
 * device there.
 */
void vnpu_ring_hw_save(struct vnpu_ring *ring)
{
	u64 busy = vnpu_ring_read_busy(ring);
	unsigned long irq;

	spin_lock_irqsave(&ring->lock, irq);
	vnpu_ring_account(ring, busy);
	spin_unlock_irqrestore(&ring->lock, irq);
}

/**
 * vnpu_ring_sample_busy() - Account the time of the job that runs now
 * @ring: Ring.
 *
 * What was accounted before stays if the device is gone. Takes
 * vnpu_device.reset_lock.
 */
void vnpu_ring_sample_busy(struct vnpu_ring *ring)
{
	struct vnpu_device *vdev = ring->vdev;
	int idx;

	vnpu_device_lock_read(vdev);
	if (!vdev->wedged && drm_dev_enter(&vdev->drm, &idx)) {
		vnpu_ring_hw_save(ring);
		drm_dev_exit(idx);
	}
	up_read(&vdev->reset_lock);
}

/**
 * vnpu_ring_sample_all_busy() - Account the time of jobs of a file that run now
 * @vdev: Device.
 * @stats: Of whose rings, those included that only their last jobs keep.
 *
 * What was accounted before stays if the device is gone. Takes
 * vnpu_device.reset_lock.
 */
void vnpu_ring_sample_all_busy(struct vnpu_device *vdev, struct vnpu_stats *stats)
{
	struct vnpu_ring *ring;
	int idx;
	u32 i;

	vnpu_device_lock_read(vdev);
	mutex_lock(&vdev->rings_lock);
	if (vdev->wedged || !drm_dev_enter(&vdev->drm, &idx))
		goto out_unlock;

	for (i = VNPU_FIRST_USER_QUEUE; i < vdev->num_queues; i++) {
		ring = vdev->rings[i];
		if (ring && ring->stats == stats)
			vnpu_ring_hw_save(ring);
	}
	drm_dev_exit(idx);
out_unlock:
	mutex_unlock(&vdev->rings_lock);
	up_read(&vdev->reset_lock);
}

/* Stop the queue whatever it does. It fails if the hardware does not obey. */
int vnpu_ring_hw_reset(struct vnpu_ring *ring)
{
	vnpu_ring_hw_save(ring);
	ring->tail = 0;

	return vnpu_reset_queue_hw(ring->vdev, ring->id);
}

/*
 * The device was reset: start the queue and give it again the jobs that it had
 * not finished. They are the ones between the first pending fence and the tail,
 * and move to the start of the ring because that is where the hardware begins.
 * A job of the kernel that had begun runs from its beginning once more, which
 * changes nothing; one of a client has been taken out by recovery.
 */
void vnpu_ring_hw_replay(struct vnpu_ring *ring)
{
	void *copy = ring->vdev->replay_buf;
	struct vnpu_fence *fence;
	u32 i, count, start;

	lockdep_assert_held_write(&ring->vdev->reset_lock);

	spin_lock_irq(&ring->lock);
	fence = list_first_entry_or_null(&ring->pending, struct vnpu_fence, link);
	start = fence ? fence->start : ring->tail;
	count = ring->tail - start;

	memcpy(copy, ring->entries, VNPU_RING_BYTES);
	for (i = 0; i < count; i++)
		memcpy(ring->entries + i * VNPU_RING_ENTRY_BYTES,
		       copy + ((start + i) & VNPU_RING_MASK) * VNPU_RING_ENTRY_BYTES,
		       VNPU_RING_ENTRY_BYTES);

	list_for_each_entry(fence, &ring->pending, link) {
		fence->start -= start;
		fence->end -= start;
	}
	ring->tail = count;
	spin_unlock_irq(&ring->lock);

	/* The first job has all its time before it. */
	ring->look.seqno = 0;

	/* If it does not start, its jobs time out. */
	if (!vnpu_ring_hw_start(ring) && count)
		vnpu_ring_doorbell(ring);
}

/*
 * Give the hardware queue and its memory back. The queue is stopped already: by
 * vnpu_ring_hw_reset() or with the whole device. Idempotent.
 */
void vnpu_ring_hw_fini(struct vnpu_ring *ring)
{
	void *entries;

	lockdep_assert_held_write(&ring->vdev->reset_lock);

	spin_lock_irq(&ring->lock);
	entries = ring->entries;
	ring->entries = NULL;
	spin_unlock_irq(&ring->lock);

	if (!entries)
		return;

	vnpu_irq_detach(ring);
	dma_free_coherent(&ring->vdev->pdev->dev, VNPU_RING_BYTES, entries, ring->dma);
}

/* Creation and destruction. */

static int vnpu_ring_take_id(struct vnpu_ring *ring, u32 id)
{
	struct vnpu_device *vdev = ring->vdev;
	int ret = 0;

	mutex_lock(&vdev->rings_lock);
	if (id == VNPU_ANY_QUEUE)
		for (id = VNPU_FIRST_USER_QUEUE; id < vdev->num_queues; id++)
			if (!vdev->rings[id])
				break;

	if (id >= vdev->num_queues) {
		ret = -EBUSY;
	} else {
		ring->id = id;
		ring->attached = true;
		vdev->rings[id] = ring;
		vdev->engines[ring->engine].load++;
	}
	mutex_unlock(&vdev->rings_lock);

	return ret;
}

static void vnpu_ring_release_id(struct vnpu_ring *ring)
{
	struct vnpu_device *vdev = ring->vdev;

	mutex_lock(&vdev->rings_lock);
	ring->attached = false;
	vdev->rings[ring->id] = NULL;
	vdev->engines[ring->engine].load--;
	mutex_unlock(&vdev->rings_lock);
}

/*
 * From here on interrupts and resets know the ring. A device that is gone or
 * given up takes no new one.
 */
static int vnpu_ring_hw_init(struct vnpu_ring *ring, u32 id)
{
	struct vnpu_device *vdev = ring->vdev;
	int idx, ret = -ENODEV;

	vnpu_device_lock_read(vdev);
	if (vdev->wedged || !drm_dev_enter(&vdev->drm, &idx))
		goto out_unlock;

	ret = vnpu_ring_take_id(ring, id);
	if (ret)
		goto out_exit;

	ring->vector = vnpu_irq_vector_of(vdev, ring->id);
	vnpu_irq_attach(ring);
	ret = vnpu_ring_hw_start(ring);
	if (ret) {
		vnpu_irq_detach(ring);
		vnpu_ring_release_id(ring);
	}
out_exit:
	drm_dev_exit(idx);
out_unlock:
	up_read(&vdev->reset_lock);
	return ret;
}

static int vnpu_ring_sched_init(struct vnpu_ring *ring)
{
	struct drm_sched_init_args args = {
		.ops = &vnpu_sched_ops,
		.submit_wq = ring->vdev->sched_wq,
		.num_rqs = 1,
		.credit_limit = VNPU_RING_CREDITS,
		/* See vnpu_ring_watch(). */
		.timeout = MAX_SCHEDULE_TIMEOUT,
		.name = ring->name,
		.dev = ring->vdev->drm.dev,
	};

	return drm_sched_init(&ring->sched, &args);
}

static void vnpu_ring_init(struct vnpu_ring *ring, struct vnpu_device *vdev,
			   const struct vnpu_ring_args *args)
{
	ring->vdev = vdev;
	ring->name = args->name;
	ring->engine = args->engine;
	ring->ctx = args->ctx;
	ring->priority = args->priority;
	ring->engine_class = args->engine_class;
	ring->kernel = args->id != VNPU_ANY_QUEUE;
	ring->fence_context = dma_fence_context_alloc(1);
	if (args->stats)
		ring->stats = vnpu_stats_get(args->stats);

	INIT_LIST_HEAD(&ring->irq_link);
	INIT_LIST_HEAD(&ring->pending);
	spin_lock_init(&ring->lock);
	ring->timeout = vnpu_reset_timeout();
	INIT_DELAYED_WORK(&ring->watch, vnpu_reset_watch_work);
	INIT_WORK(&ring->fault_work, vnpu_reset_fault_work);
	init_waitqueue_head(&ring->idle);
}

/*
 * Who looks at a finished fence that user space holds, under RCU, may have seen
 * it before it signalled, and then reads the name of its scheduler.
 */
static void vnpu_ring_free(struct vnpu_ring *ring)
{
	if (ring->stats)
		vnpu_stats_put(ring->stats);
	kfree_rcu(ring, rcu);
}

/* EBUSY: all hardware queues are in use. ENODEV: the device is gone. EIO: it fails. */
struct vnpu_ring *vnpu_ring_create(struct vnpu_device *vdev,
				   const struct vnpu_ring_args *args)
{
	struct device *dev = &vdev->pdev->dev;
	struct vnpu_ring *ring;
	int idx, ret;

	/* Memory of a device that is gone cannot be had, nor given back. */
	if (!drm_dev_enter(&vdev->drm, &idx))
		return ERR_PTR(-ENODEV);

	ret = -ENOMEM;
	ring = kzalloc_obj(*ring, GFP_KERNEL_ACCOUNT);
	if (!ring)
		goto out_exit;
	vnpu_ring_init(ring, vdev, args);

	ring->entries = dma_alloc_coherent(dev, VNPU_RING_BYTES, &ring->dma,
					   GFP_KERNEL_ACCOUNT);
	if (!ring->entries)
		goto out_free;

	ret = vnpu_ring_sched_init(ring);
	if (ret)
		goto out_free_entries;

	ret = vnpu_ring_hw_init(ring, args->id);
	if (ret)
		goto out_sched;

	drm_dev_exit(idx);
	return ring;

out_sched:
	drm_sched_fini(&ring->sched);
out_free_entries:
	dma_free_coherent(dev, VNPU_RING_BYTES, ring->entries, ring->dma);
out_free:
	vnpu_ring_free(ring);
out_exit:
	drm_dev_exit(idx);
	return ERR_PTR(ret);
}

/**
 * vnpu_ring_detach() - Give the hardware queue up for good
 * @ring: Ring; idempotent.
 *
 * Jobs that are left fail. Takes vnpu_device.reset_lock.
 */
void vnpu_ring_detach(struct vnpu_ring *ring)
{
	struct vnpu_device *vdev = ring->vdev;

	vnpu_device_lock_write(vdev);
	if (ring->attached) {
		vnpu_ring_fail(ring, -ECANCELED, -ECANCELED);
		if (!vdev->gone) {
			vnpu_reset_queue_locked(ring);
			vnpu_ring_hw_fini(ring);
		}
		vnpu_ring_release_id(ring);
	}
	up_write(&vdev->reset_lock);
}

/*
 * The ring's users have given up their entities. Waits for the jobs that are
 * left to be freed: they finish, time out or are failed by unplug, so that the
 * scheduler never has one when it goes.
 */
void vnpu_ring_destroy(struct vnpu_ring *ring)
{
	vnpu_ring_wait_idle(ring);
	drm_sched_fini(&ring->sched);
	vnpu_ring_detach(ring);

	/* There is nothing to watch, and the event handler does not know the ring. */
	cancel_delayed_work_sync(&ring->watch);
	cancel_work_sync(&ring->fault_work);
	vnpu_ring_free(ring);
}

int vnpu_ring_entity_init(struct vnpu_ring *ring, struct drm_sched_entity *entity)
{
	struct drm_gpu_scheduler *sched = &ring->sched;

	/* The one run queue that schedulers of rings have. */
	return drm_sched_entity_init(entity, DRM_SCHED_PRIORITY_KERNEL, &sched, 1, NULL);
}
