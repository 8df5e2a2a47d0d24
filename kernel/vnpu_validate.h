/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Room for the BOs of several clients.
 */

#ifndef __VNPU_VALIDATE_H__
#define __VNPU_VALIDATE_H__

#include <linux/rwsem.h>
#include <linux/types.h>

#include "vnpu_device.h"

/**
 * DOC: Room in VRAM
 *
 * TTM evicts only what it can lock. What other clients are about to use is
 * locked, so a client may find no room though there is enough for it: its
 * neighbours would give way a moment later. Such an error would be a lie and
 * depend on timing. So who makes BOs resident holds &vnpu_device.validate_lock
 * for reading, all the time that reservations are held. When there is no room
 * the reservations are given up and all is done once more with the lock held
 * for writing, when no other client holds reservations for long: what does not
 * fit then does not fit.
 *
 * The lock is outside of reservations. No fence of a user is waited for under
 * it.
 */

/**
 * struct vnpu_validate - Someone who makes BOs resident
 */
struct vnpu_validate {
	/** @vdev: The device. */
	struct vnpu_device *vdev;

	/** @alone: The lock is held for writing. */
	bool alone;
};

static inline int vnpu_validate_begin(struct vnpu_validate *v,
				      struct vnpu_device *vdev)
{
	v->vdev = vdev;
	v->alone = false;
	return down_read_interruptible(&vdev->validate_lock) ? -ERESTARTSYS : 0;
}

static inline void vnpu_validate_end(struct vnpu_validate *v)
{
	if (v->alone)
		up_write(&v->vdev->validate_lock);
	else
		up_read(&v->vdev->validate_lock);
}

/*
 * No reservation is held. Whether all that led to @ret has to be done again,
 * because there was no room but nobody was kept out yet.
 */
static inline bool vnpu_validate_again(struct vnpu_validate *v, int ret)
{
	if (ret != -ENOSPC || v->alone)
		return false;

	up_read(&v->vdev->validate_lock);
	down_write(&v->vdev->validate_lock);
	v->alone = true;
	return true;
}

#endif
