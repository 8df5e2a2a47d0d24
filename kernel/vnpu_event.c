// SPDX-License-Identifier: GPL-2.0-only
/*
 * The event ring: fault records.
 */

#include <linux/bitfield.h>
#include <linux/dma-mapping.h>
#include <linux/log2.h>

#include <drm/drm_print.h>

#include "vnpu_device.h"
#include "vnpu_ring.h"
#include "vnpu_trace.h"

/*
 * A queue that faulted writes no more records until it is reset, so there are
 * never more of them than queues.
 */
#define VNPU_EVENTS		VNPU_MAX_QUEUES
#define VNPU_EVENTS_LOG2	ilog2(VNPU_EVENTS)

/*
 * The ring was stopped by its fault. Tell recovery; what the user did is worth
 * a debug message, not an error.
 */
static void vnpu_event_fault(struct vnpu_device *vdev, const struct vnpu_rec_event *record)
{
	struct vnpu_ring_fault fault = {
		.code = le32_to_cpu(record->code),
		.access = le32_to_cpu(record->access),
		.addr = le64_to_cpu(record->addr),
		.ip = le64_to_cpu(record->ip),
	};
	u32 queue = le32_to_cpu(record->queue);
	struct vnpu_irq_vector *vector;
	struct vnpu_ring *ring;

	trace_vnpu_fault(queue, le32_to_cpu(record->context), fault.code, fault.access,
			 fault.addr, fault.ip);
	drm_dbg_ratelimited(&vdev->drm, "queue %u: fault %u access %u at %#llx, ip %#llx\n",
			    queue, fault.code, fault.access, fault.addr, fault.ip);

	if (queue >= vdev->num_queues)
		return;

	vector = &vdev->irq.vectors[vnpu_irq_vector_of(vdev, queue)];
	spin_lock(&vector->lock);
	list_for_each_entry(ring, &vector->rings, irq_link)
		if (ring->id == queue && ring->ctx == le32_to_cpu(record->context))
			vnpu_ring_fault(ring, &fault);
	spin_unlock(&vector->lock);
}

/* Hard IRQ, or with interrupts off. */
void vnpu_events_handle(struct vnpu_device *vdev)
{
	struct vnpu_events *events = &vdev->events;
	u32 tail;

	spin_lock(&events->lock);

	tail = vnpu_read32(vdev, VNPU_REG_EVENT_TAIL);
	/* All ones: the device is gone. Too far: it is not in its right mind. */
	if (tail - events->head > VNPU_EVENTS)
		goto out;

	while (events->head != tail) {
		/* The device may write to it: look at one copy only. */
		struct vnpu_rec_event record = events->records[events->head % VNPU_EVENTS];

		if (le32_to_cpu(record.type) == VNPU_EVENT_TYPE_FAULT)
			vnpu_event_fault(vdev, &record);
		events->head++;
	}

	vnpu_write32(vdev, VNPU_REG_EVENT_HEAD, events->head);
out:
	spin_unlock(&events->lock);
}

/* Give the ring to the device; also after a reset of the device. */
void vnpu_events_start(struct vnpu_device *vdev)
{
	struct vnpu_events *events = &vdev->events;

	spin_lock_irq(&events->lock);
	events->head = 0;
	vnpu_write64(vdev, VNPU_REG_EVENT_BASE_LO, events->dma);
	vnpu_write32(vdev, VNPU_REG_EVENT_CONFIG,
		     FIELD_PREP(VNPU_EVENT_CONFIG_LOG2_MASK, VNPU_EVENTS_LOG2) |
		     VNPU_EVENT_CONFIG_ENABLE_MASK);
	spin_unlock_irq(&events->lock);
}

int vnpu_events_init(struct vnpu_device *vdev)
{
	struct vnpu_events *events = &vdev->events;

	spin_lock_init(&events->lock);
	events->records = dmam_alloc_coherent(&vdev->pdev->dev,
					      VNPU_EVENTS * VNPU_EVENT_BYTES,
					      &events->dma, GFP_KERNEL);

	return events->records ? 0 : -ENOMEM;
}
