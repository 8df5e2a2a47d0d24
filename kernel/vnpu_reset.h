/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_RESET_H
#define VNPU_RESET_H

#include <linux/types.h>

struct vnpu_device;
struct vnpu_ring;
struct work_struct;

long vnpu_reset_period(void);
void vnpu_reset_fault_work(struct work_struct *work);
void vnpu_reset_timeout(struct vnpu_ring *ring);
void vnpu_reset_kill(struct vnpu_ring *ring);
int vnpu_reset_device(struct vnpu_device *vdev);
void vnpu_reset_queue_locked(struct vnpu_ring *ring);
int vnpu_reset_hw(struct vnpu_device *vdev);

#endif
