/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: whether a loaded state can be.
 */

#include "qemu/osdep.h"
#include "vnpu-internal.h"

static bool load_queue_good(const VnpuCore *c, unsigned n)
{
    const VnpuQueue *q = &c->queue[n];

    if (q->fault > VNPU_FAULT_RESET ||
        (q->cmd_size ? q->cmd_pos >= q->cmd_size : q->cmd_pos) ||
        q->cmd_pos % 8 || q->cmd_addr % 8 ||
        ((q->waiting || q->part_pos) && !q->cmd_size) ||
        (q->until && q->enabled)) {
        return false;
    }
    if (n >= c->nqueues) {
        return !q->enabled && !q->fault && !q->cmd_size;
    }
    if (q->enabled && !q->fault) {
        uint32_t bad = vnpu_queue_check(c, q);

        /* its context may have been taken away since */
        return bad == VNPU_FAULT_NONE ||
               (bad == VNPU_FAULT_CONTEXT && q->context < VNPU_MAX_CONTEXTS);
    }
    return true;
}

static bool load_events_good(const VnpuEvents *ev)
{
    uint32_t log2 = VNPU_GET(ev->config, VNPU_EVENT_CONFIG_LOG2);

    return !(ev->config & VNPU_EVENT_CONFIG_ENABLE_MASK) ||
           (log2 >= VNPU_EVENT_LOG2_MIN && log2 <= VNPU_EVENT_LOG2_MAX &&
            ev->base % VNPU_EVENT_BYTES == 0 &&
            ev->base <= UINT64_MAX - ((uint64_t)VNPU_EVENT_BYTES << log2));
}

static bool load_good(const VnpuCore *c)
{
    if (!load_events_good(&c->events) || !c->ctx[VNPU_PHYS_CONTEXT].valid) {
        return false;
    }
    for (unsigned i = 0; i < VNPU_MAX_CONTEXTS; i++) {
        if (c->ctx[i].pt % VNPU_PAGE_SIZE) {
            return false;
        }
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        for (unsigned p = 0; p < VNPU_PRIORITIES; p++) {
            if (c->engine[i].turn[p].last >= c->nqueues) {
                return false;
            }
        }
    }
    for (unsigned n = 0; n < VNPU_MAX_QUEUES; n++) {
        if (!load_queue_good(c, n)) {
            return false;
        }
    }
    return true;
}

void vnpu_core_load_begin(VnpuCore *c)
{
    vnpu_core_reset(c);
    c->loading = true;
}

bool vnpu_core_load_end(VnpuCore *c)
{
    if (!load_good(c) || !vnpu_change_loaded(c)) {
        vnpu_core_reset(c);
        return false;
    }
    c->loading = false;
    return true;
}
