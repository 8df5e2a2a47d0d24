/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_IRQ_H
#define VNPU_IRQ_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct vnpu_device;
struct vnpu_ring;

/* An MSI-X vector and the rings whose fences raise it. */
struct vnpu_irq_vector {
	struct vnpu_device *vdev;

	/* Guards @rings; nests outside vnpu_ring.lock. Taken in hard IRQ. */
	spinlock_t lock;
	struct list_head rings;

	u32 index;
	int virq;
};

struct vnpu_irq {
	struct vnpu_irq_vector *vectors;
	u32 count;
};

int vnpu_irq_init(struct vnpu_device *vdev);
u32 vnpu_irq_vector_of(struct vnpu_device *vdev, u32 queue);
void vnpu_irq_disable(struct vnpu_device *vdev);
void vnpu_irq_enable(struct vnpu_device *vdev);
void vnpu_irq_attach(struct vnpu_ring *ring);
void vnpu_irq_detach(struct vnpu_ring *ring);

#endif
