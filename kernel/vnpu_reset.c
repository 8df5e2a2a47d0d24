// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recovery from jobs that fault or hang.
 */

#include <linux/bitfield.h>
#include <linux/iopoll.h>
#include <linux/jiffies.h>
#include <linux/mm.h>

#include <drm/drm_print.h>

#include "vnpu_drv.h"
#include "vnpu_reset.h"
#include "vnpu_ring.h"
#include "vnpu_vm.h"

/**
 * DOC: Recovery
 *
 * A job fails in two ways. The hardware stops a queue that faults, and says so
 * in an event. A queue that hangs is found by looking at it VNPU_RESET_LOOKS
 * times in job_timeout_ms: when its first job has not been seen to move for
 * job_timeout_ms (PROGRESS is the same, and no packet of another queue keeps it
 * from running), the job is given up. So it is found when it has not moved for
 * once to one and a half times job_timeout_ms. Nothing that a client does on this
 * queue or another one puts this off. A job that has not finished after
 * VNPU_WATCH_MAX_TIMEOUTS times job_timeout_ms is given up whatever it did. The
 * bound makes sure that every fence signals in finite time.
 *
 * Time in which others have the engine counts for neither: a queue does nothing
 * wrong by being less important. So that it gets its engine at last it is made more
 * important when it has waited for VNPU_WATCH_STARVED_TIMEOUTS times
 * job_timeout_ms, until its job is done.
 *
 * The queues of the kernel itself do nothing that takes long, but they wait for
 * the packets of clients: for an engine, or, to invalidate translations, for
 * packets that use them. This is the client's time: its own queue is looked at as
 * any other, and given up if its packet does not end. Until then the kernel's
 * queue is in order, however long it takes.
 *
 * The queue of a client that failed is banned: the job that did it gets EIO or
 * ETIME, the ones behind it ECANCELED, later submits are refused, and the
 * hardware queue is reset. Nobody else notices. Only if the hardware does not
 * obey, or if a queue of the kernel hangs and no client can be named for it, the
 * whole device is reset. The kernel's job gets a second chance then; a bind has
 * none to need, because the reset drops all translations. VRAM
 * survives it; contexts are programmed again, and queues get the jobs again that
 * had not begun. A job that had begun may have done a part of its work, and what
 * it does is the client's affair: to add to a word twice is not the same as once.
 * So it fails with ECANCELED and the queue says that it lost one. Jobs of the
 * kernel's own queues can be run twice.
 *
 * The scheduler is not told of any of this. It is not stopped, either:
 * vnpu_device.reset_lock keeps run_job away, and the jobs that failed finish as
 * others do, by their hardware fence. Its timer is not used, because each job
 * that it runs sets it back.
 *
 * The alternative was drm_sched_stop() and drm_sched_start(), which take the
 * fences off jobs, to put them on again if nothing happened, and are different
 * in each kernel.
 */

/**
 * vnpu_reset_timeout() - The time that a job may take without progress
 *
 * Return: jiffies, for queues that are made now; zero for no limit.
 */
unsigned long vnpu_reset_timeout(void)
{
	return msecs_to_jiffies(READ_ONCE(vnpu_job_timeout_ms));
}

static u32 vnpu_reset_read(struct vnpu_ring *ring, u32 reg)
{
	return vnpu_read32(ring->vdev, VNPU_QUEUE(ring->id) + reg);
}

/**
 * vnpu_reset_hw() - Reset the device and wait until it is ready
 * @vdev: Device; its registers are mapped. All that it was told is gone after it.
 *
 * May sleep; fit for the signalling path.
 *
 * Return: 0, or -EIO if the device does not come back or does not answer.
 */
int vnpu_reset_hw(struct vnpu_device *vdev)
{
	u32 status;
	int ret;

	/* The bits of a device that is not there mean nothing. */
	if (vnpu_read32(vdev, VNPU_REG_ID) != VNPU_MAGIC)
		return -EIO;

	vnpu_write32(vdev, VNPU_REG_CONTROL, VNPU_CONTROL_RESET_MASK);
	ret = read_poll_timeout(vnpu_read32, status, status & VNPU_STATUS_READY_MASK,
				VNPU_HW_POLL_US, VNPU_HW_WAIT_US, false, vdev, VNPU_REG_STATUS);

	/* Or it has gone meanwhile: all ones look ready. */
	if (ret || vnpu_read32(vdev, VNPU_REG_ID) != VNPU_MAGIC)
		return -EIO;

	return 0;
}

/**
 * vnpu_reset_queue_hw() - Reset a hardware queue and wait until it has stopped
 * @vdev: Device; its registers are mapped.
 * @id: Hardware queue.
 *
 * May sleep; fit for the signalling path.
 *
 * Return: 0, or -EIO if the queue does not stop.
 */
int vnpu_reset_queue_hw(struct vnpu_device *vdev, u32 id)
{
	u32 reg = VNPU_QUEUE(id);
	u32 status;

	vnpu_write32(vdev, reg + VNPU_QUEUE_REG_CONTROL, VNPU_QUEUE_CONTROL_RESET_MASK);
	if (read_poll_timeout(vnpu_read32, status,
			      FIELD_GET(VNPU_QUEUE_STATUS_STATE_MASK, status) ==
			      VNPU_QUEUE_STATE_DISABLED || status == U32_MAX,
			      VNPU_HW_POLL_US, VNPU_HW_WAIT_US, false, vdev,
			      reg + VNPU_QUEUE_REG_STATUS))
		return -EIO;

	/* Of a device that is not there anything may be read. */
	if (vnpu_read32(vdev, reg + VNPU_QUEUE_REG_CONTROL) ||
	    vnpu_read32(vdev, VNPU_REG_ID) != VNPU_MAGIC)
		return -EIO;

	return 0;
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

/*
 * Whether the hardware queue has faulted, and where. Its registers tell it: the
 * event record, which also has the access, may have been lost, or it is late and
 * belongs to who had the hardware queue before.
 */
static bool vnpu_reset_check_fault(struct vnpu_ring *ring)
{
	u32 status = vnpu_reset_read(ring, VNPU_QUEUE_REG_STATUS);
	bool faulted = FIELD_GET(VNPU_QUEUE_STATUS_STATE_MASK, status) == VNPU_QUEUE_STATE_FAULTED;
	u32 reg = VNPU_QUEUE(ring->id);
	struct vnpu_ring_fault fault = {
		.code = FIELD_GET(VNPU_QUEUE_STATUS_FAULT_MASK, status),
		.addr = vnpu_read64(ring->vdev, reg + VNPU_QUEUE_REG_FAULT_ADDR_LO),
		.ip = vnpu_read64(ring->vdev, reg + VNPU_QUEUE_REG_FAULT_IP_LO),
	};

	spin_lock_irq(&ring->lock);
	if (faulted && (!ring->faulted || ring->fault.code != fault.code ||
			ring->fault.addr != fault.addr || ring->fault.ip != fault.ip))
		ring->fault = fault;
	ring->faulted = faulted;
	spin_unlock_irq(&ring->lock);

	return faulted;
}

/*
 * Nothing runs on this device any more, and it may write nothing. What it had
 * finished has succeeded, whether somebody has heard of it or not.
 */
static void vnpu_reset_wedge(struct vnpu_device *vdev)
{
	u32 i;

	pci_clear_master(vdev->pdev);
	vdev->wedged = true;
	for (i = 0; i < vdev->num_queues; i++) {
		if (!vdev->rings[i])
			continue;
		vnpu_ring_process(vdev->rings[i]);
		vnpu_ring_fail(vdev->rings[i], -ENODEV, -ENODEV);
	}
}

/* What the hardware knows and is about to forget. */
static void vnpu_reset_save(struct vnpu_device *vdev)
{
	struct vnpu_ring *ring;
	u32 i;

	for (i = 0; i < vdev->num_queues; i++) {
		ring = vdev->rings[i];
		if (!ring || ring->error)
			continue;
		/* A queue of the kernel has a second chance, and may fault again. */
		if (vnpu_reset_check_fault(ring) && !ring->kernel && !ring->fail)
			vnpu_reset_doom(ring, DRM_VNPU_QUEUE_STATE_FAULT, -EIO);
		vnpu_ring_hw_save(ring);
	}
}

/* The device has been reset and is ready: tell it all again. */
static void vnpu_reset_restore(struct vnpu_device *vdev)
{
	struct vnpu_ring *ring;
	u32 i;

	vnpu_events_start(vdev);
	vnpu_vm_dev_restore(vdev);

	for (i = 0; i < vdev->num_queues; i++) {
		ring = vdev->rings[i];
		if (!ring || ring->error)
			continue;
		vnpu_ring_process(ring);
		/* The tables are written, and no translation has survived the reset. */
		if (ring == vdev->mmu_ring)
			vnpu_ring_finish(ring);
		vnpu_reset_settle(ring);
		if (ring->error)
			continue;
		vnpu_reset_lose(ring);
		vnpu_ring_hw_replay(ring);
	}
}

static void vnpu_reset_restart(struct vnpu_device *vdev)
{
	WRITE_ONCE(vdev->reset_count, vdev->reset_count + 1);

	if (!vnpu_reset_hw(vdev)) {
		vnpu_reset_restore(vdev);
		return;
	}

	drm_err(&vdev->drm, "the device does not come back from a reset\n");
	vnpu_reset_wedge(vdev);
}

static void vnpu_reset_device_locked(struct vnpu_device *vdev)
{
	lockdep_assert_held_write(&vdev->reset_lock);

	if (vdev->wedged)
		return;

	drm_warn(&vdev->drm, "resetting the device\n");
	vnpu_reset_save(vdev);
	vnpu_reset_restart(vdev);
}

/**
 * vnpu_reset_device() - Reset the whole device
 * @vdev: Device.
 *
 * For debugfs. Takes &vnpu_device.reset_lock.
 *
 * Return: 0, -ENODEV if the device is gone, -EIO if it did not come back.
 */
int vnpu_reset_device(struct vnpu_device *vdev)
{
	int ret = -ENODEV;
	bool cookie;

	cookie = dma_fence_begin_signalling();
	vnpu_device_lock_write(vdev);
	if (!vdev->gone) {
		vnpu_reset_device_locked(vdev);
		ret = vdev->wedged ? -EIO : 0;
	}
	up_write(&vdev->reset_lock);
	dma_fence_end_signalling(cookie);

	return ret;
}

/* Stop the hardware queue of a ring, with the whole device if need be. */
void vnpu_reset_queue_locked(struct vnpu_ring *ring)
{
	/* A device that was given up does nothing, and would let each queue wait. */
	if (ring->vdev->wedged || !vnpu_ring_hw_reset(ring))
		return;

	drm_warn(&ring->vdev->drm, "queue %u does not stop\n", ring->id);
	vnpu_reset_device_locked(ring->vdev);
}

static void vnpu_reset_kernel_ring_locked(struct vnpu_ring *ring, int error)
{
	u64 seqno = vnpu_ring_first_seqno(ring);

	/* What others rely on is not given up for what the reset may cure. */
	if (ring->retried_seqno == seqno)
		vnpu_reset_doom(ring, 0, error);
	ring->retried_seqno = seqno;

	vnpu_reset_device_locked(ring->vdev);
}

static void vnpu_reset_ring_locked(struct vnpu_ring *ring, u32 why, int error)
{
	if (ring->kernel) {
		vnpu_reset_kernel_ring_locked(ring, error);
		return;
	}

	vnpu_reset_doom(ring, why, error);
	vnpu_reset_queue_locked(ring);
	vnpu_ring_process(ring);
	vnpu_reset_settle(ring);
}

/*
 * Runs in the signalling path: fences wait for it, and reclaim for them. Unplug,
 * too, waits for fences, of those who are between drm_dev_enter() and
 * drm_dev_exit(): recovery goes on until unplug itself has failed the jobs.
 */
static bool vnpu_reset_begin(struct vnpu_ring *ring, bool *cookie)
{
	struct vnpu_device *vdev = ring->vdev;

	*cookie = dma_fence_begin_signalling();
	vnpu_device_lock_write(vdev);

	if (!vdev->gone) {
		vnpu_ring_process(ring);
		if (!ring->error)
			return true;
	}

	up_write(&vdev->reset_lock);
	dma_fence_end_signalling(*cookie);
	return false;
}

static void vnpu_reset_end(struct vnpu_ring *ring, bool cookie)
{
	up_write(&ring->vdev->reset_lock);
	dma_fence_end_signalling(cookie);
}

void vnpu_reset_fault_work(struct work_struct *work)
{
	struct vnpu_ring *ring = container_of(work, struct vnpu_ring, fault_work);
	bool cookie;

	if (!vnpu_reset_begin(ring, &cookie))
		return;

	if (READ_ONCE(ring->faulted) && vnpu_reset_check_fault(ring))
		vnpu_reset_ring_locked(ring, DRM_VNPU_QUEUE_STATE_FAULT, -EIO);

	vnpu_reset_end(ring, cookie);
}

void vnpu_reset_watch_work(struct work_struct *work)
{
	struct vnpu_ring *ring = container_of(to_delayed_work(work), struct vnpu_ring, watch);
	bool cookie;

	if (vnpu_reset_begin(ring, &cookie)) {
		if (vnpu_reset_check_fault(ring))
			vnpu_reset_ring_locked(ring, DRM_VNPU_QUEUE_STATE_FAULT, -EIO);
		else if (vnpu_watch_is_hung(ring))
			vnpu_reset_ring_locked(ring, DRM_VNPU_QUEUE_STATE_TIMEOUT, -ETIME);

		vnpu_reset_end(ring, cookie);
	}

	vnpu_ring_watch_again(ring);
}

/* The client is gone: its jobs that the hardware has, and later ones, fail. */
void vnpu_reset_kill(struct vnpu_ring *ring)
{
	bool cookie;

	if (!vnpu_reset_begin(ring, &cookie))
		return;

	vnpu_reset_ring_locked(ring, 0, -ECANCELED);

	vnpu_reset_end(ring, cookie);
}

/**
 * vnpu_reset_prepare() - The PCI core is about to reset the function
 * @vdev: Device; that of the PCI device is locked.
 *
 * Stops the device and keeps everybody away from its BARs until
 * vnpu_reset_done(). May sleep.
 */
void vnpu_reset_prepare(struct vnpu_device *vdev)
{
	down_write(&vdev->aperture_lock);
	down_write(&vdev->reset_lock);
	WRITE_ONCE(vdev->offline, true);
	if (!vdev->wedged) {
		vnpu_reset_save(vdev);
		/* What an engine does must not go on while the bus is away. */
		vnpu_reset_hw(vdev);
	}
	up_write(&vdev->reset_lock);
	up_write(&vdev->aperture_lock);

	vnpu_irq_disable(vdev);

	/* Processes that touch VRAM come back by a fault, which waits. */
	unmap_mapping_range(vdev->drm.anon_inode->i_mapping, 0, 0, 1);
}

/**
 * vnpu_reset_done() - The PCI core has reset the function
 * @vdev: Device; that of the PCI device is locked.
 *
 * As after any other reset of the device: jobs that had begun are lost, those
 * that had not run now. If the reset has failed, the device may still be there.
 * May sleep.
 */
void vnpu_reset_done(struct vnpu_device *vdev)
{
	bool cookie = dma_fence_begin_signalling();

	down_write(&vdev->reset_lock);
	drm_info(&vdev->drm, "the function was reset\n");
	if (!vdev->wedged)
		vnpu_reset_restart(vdev);
	WRITE_ONCE(vdev->offline, false);
	up_write(&vdev->reset_lock);
	dma_fence_end_signalling(cookie);

	vnpu_irq_enable(vdev);
	wake_up_all(&vdev->online);
}
