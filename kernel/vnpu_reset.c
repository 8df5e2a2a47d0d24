// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recovery from jobs that fault or hang.
 */

#include <linux/bitfield.h>
#include <linux/jiffies.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "vnpu_drv.h"
#include "vnpu_reset.h"
#include "vnpu_ring.h"
#include "vnpu_vm.h"

/**
 * DOC: Recovery
 *
 * A job fails in two ways. The hardware stops a queue that faults, and says so
 * in an event. A queue that hangs is found by looking at it every half
 * job_timeout_ms: when its first job has not moved for job_timeout_ms (PROGRESS
 * is the same, and it was not just kept from running by other queues), or has
 * not finished after VNPU_RESET_MAX_PERIODS looks whatever it did, the job is
 * given up. The bound makes sure that every fence signals in finite time.
 *
 * The queue of a client that failed is banned: the job that did it gets EIO or
 * ETIME, the ones behind it ECANCELED, later submits are refused, and the
 * hardware queue is reset. Nobody else notices. Only if the hardware does not
 * obey, or if the queue is one of the kernel's own, whose jobs are everybody's,
 * the whole device is reset. VRAM survives it; contexts are programmed again,
 * and queues get the jobs again that had not begun. A job that had begun may have
 * done a part of its work, and what it does is the client's affair: to add to a
 * word twice is not the same as once. So it fails with ECANCELED and the queue
 * says that it lost one. Jobs of the kernel's own queues can be run twice.
 *
 * The scheduler is not told of any of this. It is not stopped, either:
 * vnpu_device.reset_lock keeps run_job away, and the jobs that failed finish as
 * others do, by their hardware fence. So whatever happened, for the scheduler a
 * timeout is always one of a job that did not hang.
 *
 * The alternative was drm_sched_stop() and drm_sched_start(), which take the
 * fences off jobs, to put them on again if nothing happened, and are different
 * in each kernel.
 */

/* Looks at a job, two in each job_timeout_ms, until it is given up: 5 min. */
#define VNPU_RESET_MAX_PERIODS	60

/* Looks in a row that see no progress: a whole job_timeout_ms. */
#define VNPU_RESET_MAX_STALLS	2

/* Timeout of schedulers of rings, in jiffies. */
long vnpu_reset_period(void)
{
	unsigned int ms = READ_ONCE(vnpu_job_timeout_ms);

	if (!ms)
		return MAX_SCHEDULE_TIMEOUT;

	return max(msecs_to_jiffies(ms) / VNPU_RESET_MAX_STALLS, 1UL);
}

static u32 vnpu_reset_read(struct vnpu_ring *ring, u32 reg)
{
	return vnpu_read32(ring->vdev, VNPU_QUEUE(ring->id) + reg);
}

/* Reset the device; all that the driver had told it is gone. */
int vnpu_reset_hw(struct vnpu_device *vdev)
{
	vnpu_write32(vdev, VNPU_REG_CONTROL, VNPU_CONTROL_RESET_MASK);

	/* The reset is complete when the write is: no need to wait. */
	if (vnpu_read32(vdev, VNPU_REG_STATUS) & VNPU_STATUS_READY_MASK)
		return 0;

	drm_err(&vdev->drm, "device is not ready after a reset\n");
	return -EIO;
}

static void vnpu_reset_doom(struct vnpu_ring *ring, u32 why, int error)
{
	spin_lock_irq(&ring->lock);
	ring->fail = error;
	if (!ring->kernel)
		ring->state |= why;
	spin_unlock_irq(&ring->lock);
}

/* A job that others' trouble has stopped in the middle. */
static void vnpu_reset_lose(struct vnpu_ring *ring)
{
	if (ring->kernel || !vnpu_ring_has_begun_job(ring))
		return;

	spin_lock_irq(&ring->lock);
	ring->state |= DRM_VNPU_QUEUE_STATE_LOST;
	spin_unlock_irq(&ring->lock);

	vnpu_ring_fail_first(ring, -ECANCELED);
}

/* The hardware is stopped: now jobs can fail, and free what they used. */
static void vnpu_reset_settle(struct vnpu_ring *ring)
{
	int error = ring->fail;

	if (!error)
		return;

	if (ring->kernel) {
		drm_err(&ring->vdev->drm, "%s: job failed: %d\n", ring->name, error);
		vnpu_ring_fail_first(ring, error);
	} else {
		vnpu_reset_doom(ring, DRM_VNPU_QUEUE_STATE_BANNED, error);
		vnpu_ring_fail(ring, error, -ECANCELED);
	}
}

/* The event record of a fault may have been lost: the registers tell as much. */
static bool vnpu_reset_check_fault(struct vnpu_ring *ring)
{
	u32 status = vnpu_reset_read(ring, VNPU_QUEUE_REG_STATUS);
	u32 reg = VNPU_QUEUE(ring->id);

	if (FIELD_GET(VNPU_QUEUE_STATUS_STATE_MASK, status) != VNPU_QUEUE_STATE_FAULTED)
		return false;

	spin_lock_irq(&ring->lock);
	if (!ring->faulted) {
		ring->faulted = true;
		ring->fault = (struct vnpu_ring_fault) {
			.code = FIELD_GET(VNPU_QUEUE_STATUS_FAULT_MASK, status),
			.addr = vnpu_read64(ring->vdev, reg + VNPU_QUEUE_REG_FAULT_ADDR_LO),
			.ip = vnpu_read64(ring->vdev, reg + VNPU_QUEUE_REG_FAULT_IP_LO),
		};
	}
	spin_unlock_irq(&ring->lock);

	return true;
}

/* No hope: nothing runs on this device any more, and it may write nothing. */
static void vnpu_reset_wedge(struct vnpu_device *vdev)
{
	u32 i;

	pci_clear_master(vdev->pdev);
	vdev->wedged = true;
	for (i = 0; i < vdev->num_queues; i++)
		if (vdev->rings[i])
			vnpu_ring_fail(vdev->rings[i], -ENODEV, -ENODEV);
}

static void vnpu_reset_device_locked(struct vnpu_device *vdev)
{
	struct vnpu_ring *ring;
	u32 i;

	lockdep_assert_held_write(&vdev->reset_lock);

	if (vdev->wedged)
		return;

	drm_warn(&vdev->drm, "resetting the device\n");
	WRITE_ONCE(vdev->reset_count, vdev->reset_count + 1);

	for (i = 0; i < vdev->num_queues; i++) {
		ring = vdev->rings[i];
		if (!ring || ring->error)
			continue;
		if (vnpu_reset_check_fault(ring) && !ring->fail)
			vnpu_reset_doom(ring, DRM_VNPU_QUEUE_STATE_FAULT, -EIO);
		vnpu_ring_hw_save(ring);
	}

	if (vnpu_reset_hw(vdev)) {
		vnpu_reset_wedge(vdev);
		return;
	}

	vnpu_events_start(vdev);
	vnpu_vm_dev_restore(vdev);

	for (i = 0; i < vdev->num_queues; i++) {
		ring = vdev->rings[i];
		if (!ring || ring->error)
			continue;
		vnpu_ring_process(ring);
		vnpu_reset_settle(ring);
		if (ring->error)
			continue;
		vnpu_reset_lose(ring);
		vnpu_ring_hw_replay(ring);
	}
}

/* Asked for by debugfs. */
int vnpu_reset_device(struct vnpu_device *vdev)
{
	bool cookie;
	int idx;

	if (!drm_dev_enter(&vdev->drm, &idx))
		return -ENODEV;

	cookie = dma_fence_begin_signalling();
	down_write(&vdev->reset_lock);
	vnpu_reset_device_locked(vdev);
	up_write(&vdev->reset_lock);
	dma_fence_end_signalling(cookie);

	drm_dev_exit(idx);
	return vdev->wedged ? -EIO : 0;
}

/* Stop the hardware queue of a ring, with the whole device if need be. */
void vnpu_reset_queue_locked(struct vnpu_ring *ring)
{
	if (!vnpu_ring_hw_reset(ring))
		return;

	drm_warn(&ring->vdev->drm, "queue %u does not stop\n", ring->id);
	vnpu_reset_device_locked(ring->vdev);
}

static void vnpu_reset_ring_locked(struct vnpu_ring *ring, u32 why, int error)
{
	vnpu_reset_doom(ring, why, error);

	if (ring->kernel) {
		vnpu_reset_device_locked(ring->vdev);
	} else {
		vnpu_reset_queue_locked(ring);
		vnpu_ring_process(ring);
		vnpu_reset_settle(ring);
	}
}

/* Runs in the signalling path: fences wait for it, and reclaim for them. */
static bool vnpu_reset_begin(struct vnpu_ring *ring, bool *cookie, int *idx)
{
	struct vnpu_device *vdev = ring->vdev;

	*cookie = dma_fence_begin_signalling();
	down_write(&vdev->reset_lock);

	/* Unplug has failed or will fail the jobs of a device that is gone. */
	if (drm_dev_enter(&vdev->drm, idx)) {
		vnpu_ring_process(ring);
		if (!ring->error)
			return true;
		drm_dev_exit(*idx);
	}

	up_write(&vdev->reset_lock);
	dma_fence_end_signalling(*cookie);
	return false;
}

static void vnpu_reset_end(struct vnpu_ring *ring, bool cookie, int idx)
{
	drm_dev_exit(idx);
	up_write(&ring->vdev->reset_lock);
	dma_fence_end_signalling(cookie);
}

void vnpu_reset_fault_work(struct work_struct *work)
{
	struct vnpu_ring *ring = container_of(work, struct vnpu_ring, fault_work);
	bool cookie;
	int idx;

	if (!vnpu_reset_begin(ring, &cookie, &idx))
		return;

	if (READ_ONCE(ring->faulted))
		vnpu_reset_ring_locked(ring, DRM_VNPU_QUEUE_STATE_FAULT, -EIO);

	vnpu_reset_end(ring, cookie, idx);
}

/* Whether the first job of a ring waits for an engine that others use. */
static bool vnpu_reset_is_starved(struct vnpu_ring *ring)
{
	u32 status = vnpu_reset_read(ring, VNPU_QUEUE_REG_STATUS);
	u32 engine;

	if (FIELD_GET(VNPU_QUEUE_STATUS_STATE_MASK, status) != VNPU_QUEUE_STATE_RUNNING)
		return false;

	engine = vnpu_read32(ring->vdev, VNPU_ENGINE(ring->engine) + VNPU_ENGINE_REG_STATUS);
	return (engine & VNPU_ENGINE_STATUS_BUSY_MASK) &&
	       FIELD_GET(VNPU_ENGINE_STATUS_QUEUE_MASK, engine) != ring->id;
}

static bool vnpu_reset_is_hung(struct vnpu_ring *ring)
{
	u32 progress = vnpu_reset_read(ring, VNPU_QUEUE_REG_PROGRESS);
	struct vnpu_fence *fence;
	u64 seqno = 0;

	spin_lock_irq(&ring->lock);
	fence = list_first_entry_or_null(&ring->pending, struct vnpu_fence, link);
	if (fence)
		seqno = fence->base.seqno;
	spin_unlock_irq(&ring->lock);

	if (!seqno)
		return false;

	if (ring->watch_seqno != seqno) {
		ring->watch_seqno = seqno;
		ring->watch_periods = 0;
		ring->watch_stalls = 0;
	} else if (ring->watch_progress != progress || vnpu_reset_is_starved(ring)) {
		ring->watch_stalls = 0;
	} else {
		ring->watch_stalls++;
	}

	ring->watch_progress = progress;
	ring->watch_periods++;

	return ring->watch_stalls >= VNPU_RESET_MAX_STALLS ||
	       ring->watch_periods >= VNPU_RESET_MAX_PERIODS;
}

/* Look at a ring whose first job has taken long. */
void vnpu_reset_timeout(struct vnpu_ring *ring)
{
	bool cookie;
	int idx;

	if (!vnpu_reset_begin(ring, &cookie, &idx))
		return;

	if (vnpu_reset_check_fault(ring))
		vnpu_reset_ring_locked(ring, DRM_VNPU_QUEUE_STATE_FAULT, -EIO);
	else if (vnpu_reset_is_hung(ring))
		vnpu_reset_ring_locked(ring, DRM_VNPU_QUEUE_STATE_TIMEOUT, -ETIME);

	vnpu_reset_end(ring, cookie, idx);
}

/* The client is gone: its jobs that the hardware has, and later ones, fail. */
void vnpu_reset_kill(struct vnpu_ring *ring)
{
	bool cookie;
	int idx;

	if (!vnpu_reset_begin(ring, &cookie, &idx))
		return;

	vnpu_reset_ring_locked(ring, 0, -ECANCELED);

	vnpu_reset_end(ring, cookie, idx);
}
