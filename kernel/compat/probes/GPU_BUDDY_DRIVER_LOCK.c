// SPDX-License-Identifier: GPL-2.0-only
/* The allocator can be told what lock protects it. */
#include <linux/gpu_buddy.h>
#include <linux/mutex.h>

void vnpu_probe(struct gpu_buddy *mm, struct mutex *lock);
void vnpu_probe(struct gpu_buddy *mm, struct mutex *lock)
{
	gpu_buddy_driver_set_lock(mm, lock);
}
