// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debugfs: what the queues do.
 */

#include <linux/bitfield.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "vnpu_debugfs.h"
#include "vnpu_device.h"
#include "vnpu_latency.h"
#include "vnpu_reset.h"
#include "vnpu_ring.h"
#include "vnpu_ttm.h"
#include "vnpu_vm.h"

static const char *vnpu_debugfs_state(u32 status)
{
	static const char * const names[] = {
		[VNPU_QUEUE_STATE_DISABLED] = "disabled",
		[VNPU_QUEUE_STATE_IDLE] = "idle",
		[VNPU_QUEUE_STATE_RUNNING] = "running",
		[VNPU_QUEUE_STATE_WAITING] = "waiting",
		[VNPU_QUEUE_STATE_FAULTED] = "faulted",
	};
	u32 state = FIELD_GET(VNPU_QUEUE_STATUS_STATE_MASK, status);

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static void vnpu_debugfs_queue(struct seq_file *m, struct vnpu_ring *ring)
{
	struct vnpu_device *vdev = ring->vdev;
	u32 reg = VNPU_QUEUE(ring->id);
	u64 seqno, submitted, completed;
	u32 flags;
	int error;

	spin_lock_irq(&ring->lock);
	seqno = ring->seqno;
	submitted = ring->submitted;
	completed = ring->completed;
	error = ring->error;
	flags = ring->state;
	spin_unlock_irq(&ring->lock);

	seq_printf(m, "%u %s engine=%u priority=%u context=%u vector=%u", ring->id, ring->name,
		   ring->engine, ring->priority, ring->ctx, ring->vector);
	seq_printf(m, " state=%s head=%u tail=%u progress=%u fence=%llu/%llu",
		   vnpu_debugfs_state(vnpu_read32(vdev, reg + VNPU_QUEUE_REG_STATUS)),
		   vnpu_read32(vdev, reg + VNPU_QUEUE_REG_HEAD),
		   vnpu_read32(vdev, reg + VNPU_QUEUE_REG_TAIL),
		   vnpu_read32(vdev, reg + VNPU_QUEUE_REG_PROGRESS),
		   vnpu_read64(vdev, reg + VNPU_QUEUE_REG_FENCE_LO), seqno);
	seq_printf(m, " jobs=%llu/%llu busy_ns=%llu flags=%#x error=%d\n", completed, submitted,
		   vnpu_ring_busy_ns(ring), flags, error);
}

static int vnpu_debugfs_queues(struct seq_file *m, void *data)
{
	struct drm_debugfs_entry *entry = m->private;
	struct vnpu_device *vdev = to_vnpu_device(entry->dev);
	u32 i;
	int idx;

	if (!drm_dev_enter(&vdev->drm, &idx))
		return -ENODEV;

	vnpu_device_lock_read(vdev);
	mutex_lock(&vdev->rings_lock);
	seq_printf(m, "resets=%u wedged=%d\n", vdev->reset_count, vdev->wedged);
	for (i = 0; i < vdev->num_queues; i++)
		if (vdev->rings[i])
			vnpu_debugfs_queue(m, vdev->rings[i]);
	mutex_unlock(&vdev->rings_lock);
	up_read(&vdev->reset_lock);

	drm_dev_exit(idx);
	return 0;
}

static int vnpu_debugfs_page_tables(struct seq_file *m, void *data)
{
	struct drm_debugfs_entry *entry = m->private;
	struct drm_printer p = drm_seq_file_printer(m);

	vnpu_ptpool_print(to_vnpu_device(entry->dev), &p);
	return 0;
}

/* Any write resets the device, as if a queue of the kernel had hung. */
static int vnpu_debugfs_reset(void *data, u64 value)
{
	return vnpu_reset_device(data);
}
DEFINE_DEBUGFS_ATTRIBUTE(vnpu_debugfs_reset_fops, NULL, vnpu_debugfs_reset, "%llu\n");

/*
 * DRM core does not call drm_driver.debugfs_init for an accel minor, and gives
 * it its directory when it registers the device: called after that.
 */
void vnpu_debugfs_init(struct vnpu_device *vdev)
{
	drm_debugfs_add_file(&vdev->drm, "queues", vnpu_debugfs_queues, NULL);
	drm_debugfs_add_file(&vdev->drm, "ring_latency", vnpu_latency_show, NULL);
	drm_debugfs_add_file(&vdev->drm, "page_tables", vnpu_debugfs_page_tables, NULL);
	debugfs_create_file_unsafe("reset", 0200, vdev->drm.accel->debugfs_root, vdev,
				   &vnpu_debugfs_reset_fops);
	vnpu_ttm_debugfs_init(vdev, vdev->drm.accel);
	vnpu_vm_debugfs_init(vdev, vdev->drm.accel);
}
