/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_EVENT_H
#define VNPU_EVENT_H

#include <linux/spinlock.h>
#include <linux/types.h>

struct vnpu_device;
struct vnpu_rec_event;

/* The event ring, into which the device writes fault records. */
struct vnpu_events {
	/* Guards @head and the hardware's EVENT_HEAD. Taken in hard IRQ. */
	spinlock_t lock;

	/* Records in coherent memory; gone with the PCI device. */
	struct vnpu_rec_event *records;
	dma_addr_t dma;

	/* Free-running index of the next record to read. */
	u32 head;
};

int vnpu_events_init(struct vnpu_device *vdev);
void vnpu_events_start(struct vnpu_device *vdev);
void vnpu_events_handle(struct vnpu_device *vdev);

#endif
