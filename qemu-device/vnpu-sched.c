/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: what runs next.
 *
 * The packets of a command buffer go to the queue's engine one at a time, and
 * large ones part by part: after each the engine takes what has the highest
 * priority then. Queues of one priority take turns after a packet, or after
 * some parts of it.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "vnpu-internal.h"
#include "trace.h"

/*
 * About the longest time that vnpu_run() keeps the BQL, ns. Then it rests for
 * as long as it had it: a mutex that is taken again at once does not let others
 * in, and vCPUs need it for each access to a device.
 */
#define SLICE_NS (200 * 1000)

/* Parts of a packet that others of its priority wait for */
#define TURN_PARTS 4

static void sched_packet_done(VnpuCore *c, VnpuQueue *q, VnpuEngine *e,
                              const VnpuJob *job)
{
    trace_vnpu_packet_done(c->id, job->queue, e->index, job->ip);
    e->jobs++;
    q->progress++;
    q->waiting = false;
    q->part_pos = 0;
    q->cmd_pos += vnpu_packet_dwords(job) * 4;
    vnpu_probe_next(q, VNPU_SITE_PACKET);
    vnpu_probe_next(q, VNPU_SITE_PART);
    if (q->cmd_pos >= q->cmd_size) {
        vnpu_cmd_drop(q);
        vnpu_ring_entry_done(q);
    }
}

static void sched_packet_fault(VnpuCore *c, const VnpuJob *job,
                               const VnpuFault *f)
{
    vnpu_queue_fault(c, job->queue, f, job->ip, vnpu_packet_arg(job));
}

static bool sched_held(VnpuCore *c, const VnpuEngine *e, VnpuSite site)
{
    const VnpuJob *job = &e->job;
    VnpuPoint point = {
        .site = site,
        .queue = job->queue,
        .engine = e->index,
        .context = job->ctx,
        .opcode = VNPU_GET(le32_to_cpu(job->pkt.dw[0]), VNPU_PKT_HDR_OPCODE),
        .addr = job->ip,
    };

    return vnpu_probe(c, &point);
}

/* Hand a part to the engine that it is prepared for */
static void sched_part_submit(VnpuCore *c, VnpuEngine *e)
{
    vnpu_engine_submit(e);
    if (c->threads && vnpu_engine_done(e)) {
        vnpu_engine_collect(c, e);
    }
}

/*
 * Map and start the next part of the engine's packet, or all of it. If
 * something came back from the accesses that this takes, it is put back and
 * prepared anew when its turn comes again.
 */
static void sched_part_start(VnpuCore *c, VnpuEngine *e)
{
    VnpuJob *job = &e->job;
    unsigned unmaps = c->unmaps;
    VnpuFault f;

    job->serial = c->serial++;
    e->busy = true;
    c->queue[job->queue].running = true;
    if (!vnpu_packet_prepare(c, job, &f)) {
        vnpu_engine_release(e);
        sched_packet_fault(c, job, &f);
        return;
    }
    if (c->unmaps != unmaps || c->dead ||
        (c->deferred & ~VNPU_DEFER_RUN)) {
        vnpu_engine_release(e);
        return;
    }
    if (sched_held(c, e, VNPU_SITE_PART)) {
        vnpu_engine_hold(e);
        return;
    }
    sched_part_submit(c, e);
}

void vnpu_engine_collect(VnpuCore *c, VnpuEngine *e)
{
    VnpuJob *job = &e->job;
    VnpuQueue *q = &c->queue[job->queue];
    VnpuFault f;
    bool ok = vnpu_job_unmap(c, job, job->completed, &f);

    e->busy_ns += job->ns;
    q->busy_ns += job->ns;
    if (ok && !job->completed) {
        ok = vnpu_refuse(&f, VNPU_FAULT_RESET);
    }
    if (!ok) {
        vnpu_engine_release(e);
        sched_packet_fault(c, job, &f);
        return;
    }
    job->pos += job->part;
    q->part_pos = job->pos;
    q->part_carry = job->carry;
    vnpu_probe_next(q, VNPU_SITE_PART);
    vnpu_engine_release(e);
    if (job->pos >= job->total) {
        sched_packet_done(c, q, e, job);
    } else {
        q->progress++;
    }
}

static void sched_turn(VnpuEngine *e, unsigned n, const VnpuQueue *q)
{
    VnpuTurn *turn = &e->turn[vnpu_queue_priority(q)];

    turn->parts = turn->last == n && q->part_pos ? turn->parts + 1 : 1;
    turn->last = n;
}

/* Run the packet of a queue that has one ready, on its idle engine */
static void sched_packet_start(VnpuCore *c, unsigned n, VnpuEngine *e)
{
    VnpuQueue *q = &c->queue[n];
    VnpuJob *job = &e->job;
    VnpuStep step = VNPU_STEP_FAULT;
    VnpuFault f;

    if (vnpu_packet_fetch(c, n, job, &f)) {
        if (sched_held(c, e, VNPU_SITE_PACKET)) {
            return;
        }
        step = vnpu_packet_begin(c, job, &f);
    }
    sched_turn(e, n, q);
    trace_vnpu_packet(c->id, n, e->index, vnpu_packet_name(job), job->ip);
    switch (step) {
    case VNPU_STEP_FAULT:
        sched_packet_fault(c, job, &f);
        break;
    case VNPU_STEP_DONE:
        sched_packet_done(c, q, e, job);
        break;
    case VNPU_STEP_BLOCKED:
        q->waiting = true;
        break;
    case VNPU_STEP_ENGINE:
        job->pos = q->part_pos < job->total ? q->part_pos : 0;
        job->carry = q->part_carry;
        if (!job->pos || !q->packet) {
            q->packet = ++c->packets;
        }
        job->packet = q->packet;
        sched_part_start(c, e);
        break;
    }
}

/* Look again at a WAIT; needs no engine, so that none is kept from work */
static bool sched_wait_step(VnpuCore *c, unsigned n)
{
    VnpuQueue *q = &c->queue[n];
    VnpuStep step = VNPU_STEP_FAULT;
    VnpuJob job;
    VnpuFault f;

    if (!vnpu_queue_live(q) || !q->waiting) {
        return false;
    }
    if (vnpu_packet_fetch(c, n, &job, &f)) {
        step = vnpu_packet_begin(c, &job, &f);
    }
    switch (step) {
    case VNPU_STEP_FAULT:
        sched_packet_fault(c, &job, &f);
        return true;
    case VNPU_STEP_DONE:
        sched_packet_done(c, q, &c->engine[vnpu_queue_engine(q)], &job);
        return true;
    case VNPU_STEP_BLOCKED:
        return false;
    default:
        q->waiting = false;
        return true;
    }
}

static bool sched_ready(const VnpuQueue *q, const VnpuEngine *e)
{
    /* disabling a queue stops it after the packet, not the part */
    return q->cmd_size && (vnpu_queue_live(q) || vnpu_queue_parted(q)) &&
           !q->running && !q->waiting && vnpu_queue_engine(q) == e->index &&
           !vnpu_queue_held(q, VNPU_SITE_PACKET);
}

/* The priority of the most important queue that has something, or -1 */
static int sched_top(const VnpuCore *c, const VnpuEngine *e)
{
    int top = -1;

    for (unsigned n = 0; n < c->nqueues; n++) {
        const VnpuQueue *q = &c->queue[n];

        if (sched_ready(q, e)) {
            top = MAX(top, (int)vnpu_queue_priority(q));
        }
    }
    return top;
}

/* The queue whose packet an engine takes next, or -1 */
static int sched_pick(const VnpuCore *c, const VnpuEngine *e)
{
    int top = sched_top(c, e);
    const VnpuTurn *turn = &e->turn[MAX(top, 0)];
    const VnpuQueue *last = &c->queue[turn->last];

    if (top < 0) {
        return -1;
    }
    if (last->part_pos && turn->parts < TURN_PARTS && sched_ready(last, e) &&
        vnpu_queue_priority(last) == top) {
        return turn->last;
    }
    for (unsigned i = 1; ; i++) {
        unsigned n = (turn->last + i) % c->nqueues;

        if (sched_ready(&c->queue[n], e) &&
            vnpu_queue_priority(&c->queue[n]) == top) {
            return n;
        }
    }
}

/* Something more important has come: the running part is to end early */
static void sched_outrank(VnpuCore *c, VnpuEngine *e)
{
    const VnpuQueue *running = &c->queue[e->job.queue];

    if (sched_top(c, e) > (int)vnpu_queue_priority(running)) {
        qatomic_set(&e->pause, 1);
    }
}

static bool sched_engine_step(VnpuCore *c, VnpuEngine *e)
{
    int n;

    if (e->busy && vnpu_engine_held(e)) {
        if (vnpu_queue_held(&c->queue[e->job.queue], VNPU_SITE_PART)) {
            return false;
        }
        sched_part_submit(c, e);
        return true;
    }
    if (e->busy) {
        if (!vnpu_engine_done(e)) {
            sched_outrank(c, e);
            return false;
        }
        vnpu_engine_collect(c, e);
        return true;
    }
    n = e->until ? -1 : sched_pick(c, e);
    if (n < 0) {
        return false;
    }
    sched_packet_start(c, n, e);
    return true;
}

/* Short packets in a row that an engine does before others are looked at */
#define BURST 4

static bool sched_engine_turn(VnpuCore *c, VnpuEngine *e)
{
    unsigned done = 0;

    while (sched_engine_step(c, e)) {
        done++;
        if (done == BURST || !c->threads || e->busy || c->deferred) {
            break;
        }
    }
    return done;
}

/* The next queue or engine that has its turn goes on, if it can */
static bool sched_next(VnpuCore *c)
{
    unsigned i = c->next;

    c->next = (i + 1) % (c->nqueues + c->nengines);
    return i < c->nqueues ? vnpu_ring_step(c, i)
                          : sched_engine_turn(c, &c->engine[i - c->nqueues]);
}

/*
 * Everything that can go on now, once; false if nothing could. After @end it
 * stops and the next call goes on from there, so that the order of things does
 * not depend on how long they take.
 */
static bool sched_pass(VnpuCore *c, int64_t end)
{
    bool more = c->next;

    if (c->recheck && !c->next) {
        c->recheck = false;
        for (unsigned n = 0; n < c->nqueues && !vnpu_gone(c); n++) {
            more |= sched_wait_step(c, n);
        }
    }
    do {
        if (sched_next(c)) {
            more = true;
            if (get_clock() >= end) {
                return true;
            }
        }
    } while (c->next && !c->deferred);
    return more || c->recheck;
}

void vnpu_run(VnpuCore *c)
{
    int64_t start = get_clock(), now = start;
    bool more = !c->paused && !c->resting;

    if (c->depth) {
        c->deferred |= VNPU_DEFER_RUN;
        return;
    }
    vnpu_enter(c);
    vnpu_change_run(c);
    while (more && !c->deferred && now - start < SLICE_NS) {
        more = sched_pass(c, start + SLICE_NS);
        now = get_clock();
    }
    if (more && !c->dead) {
        c->resting = true;
        c->ops->wake_later(c->opaque, now - start);
    }
    for (unsigned n = 0; n < c->nqueues; n++) {
        if (c->queue[n].waiting && !c->dead) {
            c->ops->poll_later(c->opaque);
            break;
        }
    }
    vnpu_leave(c);
}

void vnpu_wake(VnpuCore *c)
{
    c->resting = false;
    vnpu_kick(c);
}

void vnpu_poll(VnpuCore *c)
{
    c->recheck = true;
    vnpu_kick(c);
}
