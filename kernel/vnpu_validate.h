/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_VALIDATE_H
#define VNPU_VALIDATE_H

#include <linux/dma-resv.h>
#include <linux/list.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct dma_fence;
struct task_struct;
struct vnpu_device;

/**
 * struct vnpu_room - Who may ask for room in VRAM, see "Room in VRAM"
 */
struct vnpu_room {
	/**
	 * @lock: Held for reading by those who make BOs resident, for writing by
	 * one who found no room. Outside of reservations.
	 */
	struct rw_semaphore lock;

	/** @users_lock: Protects @users and their &vnpu_validate.busy; innermost. */
	spinlock_t users_lock;

	/** @users: List of struct vnpu_validate. */
	struct list_head users;
};

/**
 * enum vnpu_validate_mode - How &vnpu_room.lock is held
 * @VNPU_VALIDATE_NONE: Not at all.
 * @VNPU_VALIDATE_SHARED: For reading.
 * @VNPU_VALIDATE_ALONE: For writing.
 */
enum vnpu_validate_mode {
	VNPU_VALIDATE_NONE,
	VNPU_VALIDATE_SHARED,
	VNPU_VALIDATE_ALONE,
};

/**
 * struct vnpu_validate - Someone who makes BOs resident
 */
struct vnpu_validate {
	/** @vdev: The device. */
	struct vnpu_device *vdev;

	/** @mode: How the lock is held. */
	enum vnpu_validate_mode mode;

	/** @task: Who it is; only compared. */
	struct task_struct *task;

	/** @link: In vnpu_room.users. */
	struct list_head link;

	/** @busy: Fence of memory that could not be had yet, or NULL. */
	struct dma_fence *busy;
};

void vnpu_room_init(struct vnpu_room *room);

int vnpu_validate_begin(struct vnpu_validate *v, struct vnpu_device *vdev);
bool vnpu_validate_again(struct vnpu_validate *v, int *ret);
void vnpu_validate_end(struct vnpu_validate *v);

bool vnpu_validate_busy(struct vnpu_device *vdev, struct dma_resv *resv,
			enum dma_resv_usage usage);
bool vnpu_validate_will_wait(struct vnpu_device *vdev);

#endif
