// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debugfs: what a round trip through the hardware costs.
 *
 * The floor under every submit: a fence entry, the doorbell, the interrupt and
 * the wake-up, on a hardware queue of its own, without user space, scheduler or
 * address space.
 */

#include <linux/ktime.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_drv.h>

#include "vnpu_device.h"
#include "vnpu_latency.h"
#include "vnpu_ring.h"

/* Enough for a median on a noisy machine; some tens of milliseconds. */
#define VNPU_LATENCY_ROUNDS	256

static int vnpu_latency_round(struct vnpu_ring *ring, u64 *ns)
{
	struct vnpu_fence *fence = vnpu_fence_alloc();
	long left;
	ktime_t start;

	if (!fence)
		return -ENOMEM;

	start = ktime_get();
	vnpu_device_lock_read(ring->vdev);
	if (ring->error) {
		up_read(&ring->vdev->reset_lock);
		kfree(fence);
		return ring->error;
	}
	vnpu_ring_begin(ring, fence);
	vnpu_ring_commit(ring, fence);
	up_read(&ring->vdev->reset_lock);

	left = dma_fence_wait_timeout(&fence->base, true, HZ);
	*ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	dma_fence_put(&fence->base);
	if (left < 0)
		return left;

	return left ? 0 : -ETIMEDOUT;
}

static int vnpu_latency_compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static int vnpu_latency_measure(struct vnpu_ring *ring, u64 *times)
{
	unsigned int i;
	int ret;

	for (i = 0; i < VNPU_LATENCY_ROUNDS; i++) {
		ret = vnpu_latency_round(ring, &times[i]);
		if (ret)
			return ret;
	}

	sort(times, VNPU_LATENCY_ROUNDS, sizeof(*times), vnpu_latency_compare, NULL);
	return 0;
}

int vnpu_latency_show(struct seq_file *m, void *data)
{
	struct drm_debugfs_entry *entry = m->private;
	struct vnpu_device *vdev = to_vnpu_device(entry->dev);
	struct vnpu_ring_args args = {
		.name = "vnpu-latency",
		.id = VNPU_ANY_QUEUE,
		.ctx = VNPU_PHYS_CONTEXT,
		.priority = VNPU_PRIORITY_NORMAL,
		.engine_class = DRM_VNPU_ENGINE_COPY,
	};
	struct vnpu_ring *ring;
	int idx, ret = -ENODEV;
	u64 *times;

	if (!drm_dev_enter(&vdev->drm, &idx))
		return ret;

	ret = -ENOMEM;
	times = kcalloc(VNPU_LATENCY_ROUNDS, sizeof(*times), GFP_KERNEL);
	if (!times)
		goto out_exit;

	args.engine = vnpu_device_pick_engine(vdev, args.engine_class);
	ring = vnpu_ring_create(vdev, &args);
	ret = PTR_ERR_OR_ZERO(ring);
	if (ret)
		goto out_free;

	ret = vnpu_latency_measure(ring, times);
	vnpu_ring_destroy(ring);
	if (ret)
		goto out_free;

	seq_printf(m, "rounds: %u\n", VNPU_LATENCY_ROUNDS);
	seq_printf(m, "min_ns: %llu\n", times[0]);
	seq_printf(m, "median_ns: %llu\n", times[VNPU_LATENCY_ROUNDS / 2]);
	seq_printf(m, "max_ns: %llu\n", times[VNPU_LATENCY_ROUNDS - 1]);

out_free:
	kfree(times);
out_exit:
	drm_dev_exit(idx);
	return ret;
}
