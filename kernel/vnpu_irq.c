// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts: one vector for events, the others for fences of queues.
 *
 * Queues share as many vectors as there are processors to handle them at once.
 * More buy nothing, and each costs the system a descriptor and its files, which
 * take long to remove.
 */

#include <linux/interrupt.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "vnpu_device.h"
#include "vnpu_ring.h"

static irqreturn_t vnpu_irq_handler(int irq, void *data)
{
	struct vnpu_irq_vector *vector = data;
	struct vnpu_ring *ring;

	spin_lock(&vector->lock);
	list_for_each_entry(ring, &vector->rings, irq_link)
		vnpu_ring_process(ring);
	spin_unlock(&vector->lock);

	/* After the fences: a job that finished ahead of a fault is not guilty. */
	if (vector->index == VNPU_EVENT_VECTOR)
		vnpu_events_handle(vector->vdev);

	return IRQ_HANDLED;
}

/*
 * The vector of a queue. With one for each there is nothing to share; with
 * fewer, the queues take turns on those that are not the event vector, which
 * they use only if there is no other.
 */
u32 vnpu_irq_vector_of(struct vnpu_device *vdev, u32 queue)
{
	if (vdev->irq.count == 1)
		return VNPU_EVENT_VECTOR;

	return 1 + queue % (vdev->irq.count - 1);
}

void vnpu_irq_attach(struct vnpu_ring *ring)
{
	struct vnpu_irq_vector *vector = &ring->vdev->irq.vectors[ring->vector];

	spin_lock_irq(&vector->lock);
	list_add_tail(&ring->irq_link, &vector->rings);
	spin_unlock_irq(&vector->lock);
}

/* When it returns no handler looks at the ring any more. */
void vnpu_irq_detach(struct vnpu_ring *ring)
{
	struct vnpu_irq_vector *vector = &ring->vdev->irq.vectors[ring->vector];

	spin_lock_irq(&vector->lock);
	list_del_init(&ring->irq_link);
	spin_unlock_irq(&vector->lock);
}

/* When it returns no handler runs, and none will until vnpu_irq_enable(). May sleep. */
void vnpu_irq_disable(struct vnpu_device *vdev)
{
	u32 i;

	for (i = 0; i < vdev->irq.count; i++)
		disable_irq(vdev->irq.vectors[i].virq);
}

void vnpu_irq_enable(struct vnpu_device *vdev)
{
	u32 i;

	for (i = 0; i < vdev->irq.count; i++)
		enable_irq(vdev->irq.vectors[i].virq);
}

static int vnpu_irq_init_vector(struct vnpu_device *vdev, u32 index)
{
	struct vnpu_irq_vector *vector = &vdev->irq.vectors[index];

	vector->vdev = vdev;
	vector->index = index;
	spin_lock_init(&vector->lock);
	INIT_LIST_HEAD(&vector->rings);

	vector->virq = pci_irq_vector(vdev->pdev, index);
	if (vector->virq < 0)
		return vector->virq;

	return devm_request_irq(&vdev->pdev->dev, vector->virq, vnpu_irq_handler, 0,
				index == VNPU_EVENT_VECTOR ? "vnpu-event" : "vnpu-queue",
				vector);
}

int vnpu_irq_init(struct vnpu_device *vdev)
{
	u32 want = min(vnpu_read32(vdev, VNPU_REG_VECTORS),
		       min(vdev->num_queues, num_online_cpus()) + 1);
	int i, count, ret;

	if (!want)
		return -ENODEV;

	count = pci_alloc_irq_vectors(vdev->pdev, 1, want, PCI_IRQ_MSIX);
	if (count < 0)
		return count;

	vdev->irq.vectors = drmm_kcalloc(&vdev->drm, count, sizeof(*vdev->irq.vectors),
					 GFP_KERNEL);
	if (!vdev->irq.vectors)
		return -ENOMEM;
	vdev->irq.count = count;

	for (i = 0; i < count; i++) {
		ret = vnpu_irq_init_vector(vdev, i);
		if (ret)
			return ret;
	}

	drm_dbg_driver(&vdev->drm, "%d vectors for %u queues\n", count, vdev->num_queues);
	return 0;
}
