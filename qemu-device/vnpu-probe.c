/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: rules that hold work: see vnpu-probe.h.
 */

#include "qemu/osdep.h"
#include "vnpu-internal.h"
#include "trace.h"

struct VnpuHold {
    VnpuHold *next;             /* a younger rule */
    VnpuMatch match;
    uint64_t seen;
    unsigned nheld;
    uint32_t held[VNPU_MAX_QUEUES]; /* oldest first */
};

void vnpu_match_init(VnpuMatch *m, VnpuSite site)
{
    *m = (VnpuMatch) {
        .site = site,
        .queue_max = UINT32_MAX,
        .engine_max = UINT32_MAX,
        .context_max = UINT32_MAX,
        .opcode_max = UINT32_MAX,
        .addr_max = UINT64_MAX,
        .count = UINT64_MAX,
    };
}

static bool probe_within(uint64_t v, uint64_t min, uint64_t max)
{
    return v >= min && v <= max;
}

static bool probe_matches(const VnpuMatch *m, const VnpuPoint *p)
{
    return m->site == p->site &&
           probe_within(p->queue, m->queue_min, m->queue_max) &&
           probe_within(p->engine, m->engine_min, m->engine_max) &&
           probe_within(p->context, m->context_min, m->context_max) &&
           probe_within(p->opcode, m->opcode_min, m->opcode_max) &&
           probe_within(p->addr, m->addr_min, m->addr_max);
}

/* Does the rule want what has just matched? */
static bool probe_wants(VnpuHold *h)
{
    uint64_t before = h->seen++;

    return before >= h->match.skip && before - h->match.skip < h->match.count;
}

bool vnpu_probe_decide(VnpuCore *c, const VnpuPoint *p)
{
    VnpuQueue *q = &c->queue[p->queue];

    if (q->hold) {
        return q->hold_site == p->site;
    }
    if (q->passed & (1u << p->site)) {
        return false;
    }
    /* asked once for each piece of work, however often it is looked at */
    q->passed |= 1u << p->site;
    for (VnpuHold *h = c->holds; h; h = h->next) {
        if (probe_matches(&h->match, p) && probe_wants(h)) {
            q->hold = h;
            q->hold_site = p->site;
            h->held[h->nheld++] = p->queue;
            trace_vnpu_held(c->id, p->queue, p->site, p->opcode, p->addr);
            return true;
        }
    }
    return false;
}

/* Take a queue off the list of its rule */
static void probe_let_go(VnpuCore *c, VnpuHold *h, unsigned at)
{
    VnpuQueue *q = &c->queue[h->held[at]];

    trace_vnpu_let_go(c->id, h->held[at], q->hold_site);
    q->hold = NULL;
    h->nheld--;
    memmove(&h->held[at], &h->held[at + 1],
            (h->nheld - at) * sizeof(h->held[0]));
}

void vnpu_probe_forget(VnpuCore *c, unsigned queue)
{
    VnpuQueue *q = &c->queue[queue];

    for (unsigned i = 0; q->hold && i < q->hold->nheld; i++) {
        if (q->hold->held[i] == queue) {
            probe_let_go(c, q->hold, i);
        }
    }
    q->passed = 0;
}

VnpuHold *vnpu_hold_new(VnpuCore *c, const VnpuMatch *match)
{
    VnpuHold *h = g_new0(VnpuHold, 1);
    VnpuHold **end = &c->holds;

    h->match = *match;
    while (*end) {
        end = &(*end)->next;
    }
    *end = h;
    return h;
}

void vnpu_hold_release(VnpuCore *c, VnpuHold *h, uint64_t n)
{
    for (; n && h->nheld; n--) {
        probe_let_go(c, h, 0);
    }
    vnpu_kick(c);
}

bool vnpu_hold_release_queue(VnpuCore *c, VnpuHold *h, unsigned queue)
{
    for (unsigned i = 0; i < h->nheld; i++) {
        if (h->held[i] == queue) {
            probe_let_go(c, h, i);
            vnpu_kick(c);
            return true;
        }
    }
    return false;
}

void vnpu_hold_free(VnpuCore *c, VnpuHold *h)
{
    VnpuHold **at = &c->holds;

    vnpu_hold_release(c, h, UINT64_MAX);
    while (*at != h) {
        at = &(*at)->next;
    }
    *at = h->next;
    g_free(h);
}

unsigned vnpu_hold_queues(const VnpuHold *h, uint32_t queues[VNPU_MAX_QUEUES])
{
    memcpy(queues, h->held, h->nheld * sizeof(h->held[0]));
    return h->nheld;
}

uint64_t vnpu_hold_seen(const VnpuHold *h)
{
    return h->seen;
}
