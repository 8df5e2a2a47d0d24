/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_RESET_H
#define VNPU_RESET_H

#include <linux/types.h>

struct vnpu_device;
struct vnpu_ring;
struct work_struct;

/* Times that the watch looks at a ring in job_timeout_ms. */
#define VNPU_RESET_LOOKS	4

unsigned long vnpu_reset_timeout(void);
void vnpu_reset_fault_work(struct work_struct *work);
bool vnpu_watch_is_hung(struct vnpu_ring *ring);
void vnpu_reset_watch_work(struct work_struct *work);
void vnpu_reset_kill(struct vnpu_ring *ring);
int vnpu_reset_device(struct vnpu_device *vdev);
void vnpu_reset_prepare(struct vnpu_device *vdev);
void vnpu_reset_done(struct vnpu_device *vdev);
void vnpu_reset_queue_locked(struct vnpu_ring *ring);
int vnpu_reset_hw(struct vnpu_device *vdev);
int vnpu_reset_queue_hw(struct vnpu_device *vdev, u32 id);

#endif
