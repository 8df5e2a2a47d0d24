// SPDX-License-Identifier: GPL-2.0-only
/*
 * The watch of queues: whose job goes on, hangs, or is kept from its engine.
 */

#include <linux/bitfield.h>
#include <linux/jiffies.h>

#include "vnpu_device.h"
#include "vnpu_reset.h"
#include "vnpu_ring.h"

/* Times job_timeout_ms until a job is given up whatever it does: 5 min. */
#define VNPU_WATCH_MAX_TIMEOUTS		30

/* Times job_timeout_ms without its engine until a queue counts for more. */
#define VNPU_WATCH_STARVED_TIMEOUTS	3

static u32 vnpu_watch_read(struct vnpu_ring *ring, u32 reg)
{
	return vnpu_read32(ring->vdev, VNPU_QUEUE(ring->id) + reg);
}

/* The ring whose packet is on an engine, or NULL. */
static struct vnpu_ring *vnpu_watch_on_engine(struct vnpu_device *vdev, u32 engine)
{
	u32 status = vnpu_read32(vdev, VNPU_ENGINE(engine) + VNPU_ENGINE_REG_STATUS);
	u32 queue = FIELD_GET(VNPU_ENGINE_STATUS_QUEUE_MASK, status);

	if (!(status & VNPU_ENGINE_STATUS_BUSY_MASK) || queue >= vdev->num_queues)
		return NULL;

	return vdev->rings[queue];
}

/* A ring that has a packet of context @ctx on an engine, or NULL. */
static struct vnpu_ring *vnpu_watch_user_of(struct vnpu_device *vdev, u32 ctx)
{
	struct vnpu_ring *ring;
	u32 i;

	for (i = 0; i < vdev->num_engines; i++) {
		ring = vnpu_watch_on_engine(vdev, i);
		if (ring && ring->ctx == ctx)
			return ring;
	}

	return NULL;
}

static u32 vnpu_watch_jobs(struct vnpu_ring *ring)
{
	return vnpu_read32(ring->vdev, VNPU_ENGINE(ring->engine) + VNPU_ENGINE_REG_JOBS);
}

/*
 * Whether others have the engine of a ring: now, or, where it is between two
 * packets, since the last look, because it has ended some, and none of this ring.
 */
static bool vnpu_watch_is_taken(struct vnpu_ring *ring, bool moved)
{
	struct vnpu_ring *user = vnpu_watch_on_engine(ring->vdev, ring->engine);

	if (user)
		return user != ring;

	return !moved && vnpu_watch_jobs(ring) != ring->look.jobs;
}

/*
 * Whether packets of others keep the first job of a ring from going on. @moved: it
 * has got on since the last look.
 */
static bool vnpu_watch_is_blocked(struct vnpu_ring *ring, bool moved)
{
	u32 status = vnpu_watch_read(ring, VNPU_QUEUE_REG_STATUS);
	u32 head = vnpu_watch_read(ring, VNPU_QUEUE_REG_HEAD);
	u32 ctx;

	if (FIELD_GET(VNPU_QUEUE_STATUS_STATE_MASK, status) != VNPU_QUEUE_STATE_RUNNING)
		return false;

	switch (vnpu_ring_entry_at(ring, head, &ctx)) {
	case VNPU_OP_RING_INVALIDATE:
		return vnpu_watch_user_of(ring->vdev, ctx);
	case VNPU_OP_RING_INDIRECT:
		return vnpu_watch_is_taken(ring, moved);
	default:
		/* A fence waits for nobody. */
		return false;
	}
}

/* The ring is as others are again. */
static void vnpu_watch_lower(struct vnpu_ring *ring)
{
	if (!ring->raised)
		return;

	vnpu_ring_hw_set_priority(ring, ring->priority);
	ring->raised = false;
}

/*
 * Fences must signal in finite time, and those who have more important work may
 * have it for ever. Now the ring takes turns with the most important.
 */
static void vnpu_watch_raise(struct vnpu_ring *ring)
{
	if (ring->raised || ring->priority >= VNPU_PRIORITY_HIGH)
		return;

	vnpu_ring_hw_set_priority(ring, VNPU_PRIORITY_HIGH);
	ring->raised = true;
}

static void vnpu_watch_look_again(struct vnpu_ring *ring, u32 progress, unsigned long now)
{
	unsigned long starved = VNPU_WATCH_STARVED_TIMEOUTS * ring->timeout;
	struct vnpu_look *look = &ring->look;
	bool moved = look->progress != progress;
	bool blocked = vnpu_watch_is_blocked(ring, moved);

	if (moved) {
		look->moved = now;
		look->served = now;
	} else if (blocked) {
		look->moved = now;
	}

	/* The time that others had is not the job's. */
	if (blocked)
		look->first += now - look->at;
	if (blocked && time_after_eq(now, look->served + starved))
		vnpu_watch_raise(ring);
}

/**
 * vnpu_watch_is_hung() - Look at a ring
 * @ring: Ring that has a time limit; &vnpu_device.reset_lock held for writing,
 *	device there.
 *
 * To be called VNPU_RESET_LOOKS times in &vnpu_ring.timeout while jobs are
 * pending, and once when there are none any more.
 *
 * Return: true if the first job is to be given up.
 */
bool vnpu_watch_is_hung(struct vnpu_ring *ring)
{
	u32 progress = vnpu_watch_read(ring, VNPU_QUEUE_REG_PROGRESS);
	u64 seqno = vnpu_ring_first_seqno(ring);
	struct vnpu_look *look = &ring->look;
	unsigned long now = jiffies;

	if (!seqno || look->seqno != seqno) {
		vnpu_watch_lower(ring);
		look->seqno = seqno;
		look->first = now;
		look->moved = now;
		look->served = now;
	} else {
		vnpu_watch_look_again(ring, progress, now);
	}
	look->progress = progress;
	look->jobs = vnpu_watch_jobs(ring);
	look->at = now;

	return seqno && (time_after_eq(now, look->moved + ring->timeout) ||
			 time_after_eq(now, look->first +
				       VNPU_WATCH_MAX_TIMEOUTS * ring->timeout));
}
