/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: what takes time.
 *
 * A driver asks for a reset, or for a queue or context to be enabled or
 * disabled, and has to look when it is done. What is taken away stops at
 * once, what is given is there at the end; until then the thing is under way,
 * and says so in its status. The time is that of the device clock.
 */

#include "qemu/osdep.h"
#include "vnpu-internal.h"

/* Longer than anything takes; in a loaded state it is refused */
#define CHANGE_MAX_NS (10ull * 1000 * 1000 * 1000)

static void change_expect(VnpuCore *c, uint64_t until)
{
    if (until < c->next_change) {
        c->next_change = until;
        c->ops->run_at(c->opaque, until - 1);
    }
}

void vnpu_change_begin(VnpuCore *c, uint64_t *until, uint64_t ns)
{
    if (!c->dead) {
        *until = c->ops->clock(c->opaque) + ns + 1;
        change_expect(c, *until);
    }
}

/* Is this one over by now? */
static bool change_over(VnpuCore *c, uint64_t *until, uint64_t now)
{
    if (!*until) {
        return false;
    }
    if (*until - 1 > now) {
        change_expect(c, *until);
        return false;
    }
    *until = 0;
    return true;
}

void vnpu_change_run(VnpuCore *c)
{
    uint64_t now;

    if (c->next_change == UINT64_MAX || c->paused || vnpu_gone(c)) {
        return;
    }
    now = c->ops->clock(c->opaque);
    if (c->next_change - 1 > now) {
        return;
    }
    c->next_change = UINT64_MAX;
    change_over(c, &c->until, now);
    /* queues look at their contexts, and so come after them */
    for (unsigned i = 0; i < VNPU_MAX_CONTEXTS; i++) {
        if (change_over(c, &c->ctx[i].until, now)) {
            c->ctx[i].valid = c->ctx[i].wanted;
        }
    }
    for (unsigned n = 0; n < c->nqueues; n++) {
        if (change_over(c, &c->queue[n].until, now)) {
            vnpu_queue_changed(c, n);
        }
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        if (change_over(c, &c->engine[i].until, now)) {
            vnpu_kick(c);
        }
    }
}

void vnpu_change_look(VnpuCore *c)
{
    if (c->next_change != UINT64_MAX && !c->depth) {
        vnpu_enter(c);
        vnpu_change_run(c);
        vnpu_leave(c);
    }
}

/* The clock here may be another one */
static bool change_move(VnpuCore *c, uint64_t *until, uint64_t now)
{
    uint64_t left = *until > c->saved_at ? *until - c->saved_at : 1;

    if (!*until) {
        return true;
    }
    if (left > CHANGE_MAX_NS) {
        return false;
    }
    *until = now + left;
    change_expect(c, *until);
    return true;
}

bool vnpu_change_loaded(VnpuCore *c)
{
    uint64_t now = c->ops->clock(c->opaque);
    bool good = change_move(c, &c->until, now) &&
                !c->ctx[VNPU_PHYS_CONTEXT].until;

    for (unsigned i = 0; i < VNPU_MAX_CONTEXTS; i++) {
        good &= change_move(c, &c->ctx[i].until, now);
    }
    for (unsigned n = 0; n < VNPU_MAX_QUEUES; n++) {
        good &= change_move(c, &c->queue[n].until, now) &&
                (n < c->nqueues || !c->queue[n].until);
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        good &= change_move(c, &c->engine[i].until, now);
    }
    return good;
}
