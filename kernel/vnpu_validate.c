// SPDX-License-Identifier: GPL-2.0-only
/*
 * Room for the BOs of several clients.
 */

#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "vnpu_device.h"
#include "vnpu_validate.h"

/**
 * DOC: Room in VRAM
 *
 * TTM evicts only what it can lock. What other clients are about to use is
 * locked, so a client may find no room though there is enough for it: its
 * neighbours would give way a moment later. Such an error would be a lie and
 * depend on timing. So who makes BOs resident holds &vnpu_room.lock for reading,
 * all the time that reservations are held. When there is no room the
 * reservations are given up and all is done once more with the lock held for
 * writing, when no other client holds reservations for long: what does not fit
 * then does not fit.
 *
 * Memory may also be there but busy: a BO was freed while a job uses it, or what
 * was evicted from a page-table chunk is still being copied. How long that takes
 * is up to the job, and nobody must hold up everybody for so long. So code that
 * meets such memory does not wait, it notes the fence by vnpu_validate_busy()
 * and says that there is no room. Before all is done once more the fence is
 * waited for, with neither the lock nor a reservation held.
 *
 * The lock is outside of reservations. No fence of a user is waited for under
 * it, and every wait for it ends when the client is killed.
 */

/* The order of locks, told now and not when it happens for the first time under load. */
static void vnpu_room_prime_lockdep(struct vnpu_room *room)
{
	struct dma_resv resv;

	if (!IS_ENABLED(CONFIG_LOCKDEP))
		return;

	dma_resv_init(&resv);
	down_write(&room->lock);
	dma_resv_lock(&resv, NULL);
	fs_reclaim_acquire(GFP_KERNEL);
	fs_reclaim_release(GFP_KERNEL);
	dma_resv_unlock(&resv);
	up_write(&room->lock);
	dma_resv_fini(&resv);
}

/**
 * vnpu_room_init() - Set up vnpu_device.room
 * @room: Zeroed.
 */
void vnpu_room_init(struct vnpu_room *room)
{
	init_rwsem(&room->lock);
	spin_lock_init(&room->users_lock);
	INIT_LIST_HEAD(&room->users);
	vnpu_room_prime_lockdep(room);
}

/* For the current task; dropped if it does not make BOs resident. */
static void vnpu_validate_set_busy(struct vnpu_room *room, struct dma_fence *fence)
{
	struct vnpu_validate *v;

	spin_lock(&room->users_lock);
	list_for_each_entry(v, &room->users, link) {
		if (v->task == current) {
			swap(v->busy, fence);
			break;
		}
	}
	spin_unlock(&room->users_lock);

	dma_fence_put(fence);
}

/**
 * vnpu_validate_busy() - Look whether memory is in use
 * @vdev: Device.
 * @resv: Reservation of the memory; need not be held.
 * @usage: Fences that count.
 *
 * If it is, the caller fails with -ENOSPC, and vnpu_validate_again() waits.
 *
 * Return: Whether a fence has not signalled yet.
 */
bool vnpu_validate_busy(struct vnpu_device *vdev, struct dma_resv *resv,
			enum dma_resv_usage usage)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	bool busy = false;

	dma_resv_iter_begin(&cursor, resv, usage);
	dma_resv_for_each_fence_unlocked(&cursor, fence) {
		vnpu_validate_set_busy(&vdev->room, dma_fence_get(fence));
		busy = true;
		break;
	}
	dma_resv_iter_end(&cursor);

	return busy;
}

/**
 * vnpu_validate_will_wait() - Whether the current task has found busy memory
 * @vdev: Device.
 *
 * Return: true if vnpu_validate_again() is going to wait for it.
 */
bool vnpu_validate_will_wait(struct vnpu_device *vdev)
{
	struct vnpu_room *room = &vdev->room;
	struct vnpu_validate *v;
	bool found = false;

	spin_lock(&room->users_lock);
	list_for_each_entry(v, &room->users, link)
		found |= v->task == current && v->busy;
	spin_unlock(&room->users_lock);

	return found;
}

/**
 * vnpu_validate_begin() - Be about to make BOs resident
 * @v: Told what the lock is like.
 * @vdev: Device.
 *
 * No reservation is held.
 *
 * Return: 0, or -ERESTARTSYS when a signal came.
 */
int vnpu_validate_begin(struct vnpu_validate *v, struct vnpu_device *vdev)
{
	*v = (struct vnpu_validate) { .vdev = vdev, .task = current };

	if (down_read_interruptible(&vdev->room.lock))
		return -ERESTARTSYS;
	v->mode = VNPU_VALIDATE_SHARED;

	spin_lock(&vdev->room.users_lock);
	list_add(&v->link, &vdev->room.users);
	spin_unlock(&vdev->room.users_lock);
	return 0;
}

static void vnpu_validate_unlock(struct vnpu_validate *v)
{
	if (v->mode == VNPU_VALIDATE_ALONE)
		up_write(&v->vdev->room.lock);
	else if (v->mode == VNPU_VALIDATE_SHARED)
		up_read(&v->vdev->room.lock);

	v->mode = VNPU_VALIDATE_NONE;
}

/**
 * vnpu_validate_end() - Undo vnpu_validate_begin()
 * @v: As that left it.
 */
void vnpu_validate_end(struct vnpu_validate *v)
{
	struct vnpu_room *room = &v->vdev->room;

	vnpu_validate_unlock(v);

	spin_lock(&room->users_lock);
	list_del(&v->link);
	spin_unlock(&room->users_lock);
	dma_fence_put(v->busy);
}

/* Waits for v->busy without the lock, and takes that again. */
static int vnpu_validate_wait(struct vnpu_validate *v)
{
	long ret;

	vnpu_validate_unlock(v);
	ret = dma_fence_wait(v->busy, true);
	dma_fence_put(v->busy);
	v->busy = NULL;
	if (ret < 0)
		return ret;

	if (down_read_interruptible(&v->vdev->room.lock))
		return -ERESTARTSYS;
	v->mode = VNPU_VALIDATE_SHARED;
	return 0;
}

static int vnpu_validate_alone(struct vnpu_validate *v)
{
	vnpu_validate_unlock(v);
	if (down_write_killable(&v->vdev->room.lock))
		return -EINTR;

	v->mode = VNPU_VALIDATE_ALONE;
	return 0;
}

/**
 * vnpu_validate_again() - Whether to try once more
 * @v: As vnpu_validate_begin() left it.
 * @ret: What came of the last try; an error if the lock was not got back.
 *
 * No reservation is held. After a try that failed with -ENOSPC this waits for
 * memory that was busy, else it keeps the others out.
 *
 * Return: Whether all that led to @ret has to be done again.
 */
bool vnpu_validate_again(struct vnpu_validate *v, int *ret)
{
	if (*ret != -ENOSPC)
		return false;

	/* Only this task sets it. */
	if (v->busy)
		*ret = vnpu_validate_wait(v);
	else if (v->mode == VNPU_VALIDATE_SHARED)
		*ret = vnpu_validate_alone(v);

	return !*ret;
}
