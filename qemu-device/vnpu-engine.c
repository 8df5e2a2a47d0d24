/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: engines.
 *
 * One thread an engine. It takes a prepared packet, computes, reports and
 * never takes the BQL; so all else here, which holds the BQL, may wait for it.
 * A short packet runs when it is handed over: waking a thread would take
 * longer. Without threads (sync=on) all of them do.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "vnpu-internal.h"
#include "trace.h"

/* A packet that takes no longer than this needs no thread, ns */
#define INLINE_NS (20 * 1000)

/* Engine thread, or BQL if the part runs when it is handed over */
static void engine_run_part(VnpuEngine *e)
{
    e->job.completed = vnpu_packet_exec(e->exec, &e->job);
}

static void *engine_thread(void *opaque)
{
    VnpuEngine *e = opaque;
    VnpuCore *c = e->core;

    qemu_mutex_lock(&c->lock);
    while (!c->quit) {
        if (e->phase != VNPU_PHASE_QUEUED) {
            qemu_cond_wait(&e->work, &c->lock);
            continue;
        }
        e->phase = VNPU_PHASE_RUNNING;
        e->started = get_clock();
        qemu_mutex_unlock(&c->lock);
        engine_run_part(e);
        qemu_mutex_lock(&c->lock);
        e->job.ns = get_clock() - e->started;
        e->phase = VNPU_PHASE_DONE;
        qemu_cond_broadcast(&c->idle);
        /* the BH is there as long as this thread is */
        c->ops->kick(c->opaque);
    }
    qemu_mutex_unlock(&c->lock);
    return NULL;
}

void vnpu_engine_submit(VnpuEngine *e)
{
    VnpuCore *c = e->core;

    qatomic_set(&e->abort, 0);
    /* without a thread, never keep the main loop for longer than needed */
    qatomic_set(&e->pause, !c->threads);
    e->job.pause = &e->pause;
    e->job.completed = false;
    e->job.ns = 0;
    if (!c->threads || vnpu_packet_cost(&e->job) <= INLINE_NS) {
        e->started = get_clock();
        engine_run_part(e);
        e->job.ns = get_clock() - e->started;
        WITH_QEMU_LOCK_GUARD(&c->lock) {
            e->phase = VNPU_PHASE_DONE;
        }
        return;
    }
    qemu_mutex_lock(&c->lock);
    e->phase = VNPU_PHASE_QUEUED;
    qemu_cond_signal(&e->work);
    qemu_mutex_unlock(&c->lock);
}

void vnpu_engine_hold(VnpuEngine *e)
{
    e->job.completed = false;
    e->job.ns = 0;
    WITH_QEMU_LOCK_GUARD(&e->core->lock) {
        e->phase = VNPU_PHASE_HELD;
    }
}

bool vnpu_engine_held(VnpuEngine *e)
{
    QEMU_LOCK_GUARD(&e->core->lock);
    return e->phase == VNPU_PHASE_HELD;
}

bool vnpu_engine_done(VnpuEngine *e)
{
    QEMU_LOCK_GUARD(&e->core->lock);
    return e->phase == VNPU_PHASE_DONE;
}

uint64_t vnpu_engine_busy_ns(VnpuEngine *e)
{
    if (!e->busy) {
        return 0;
    }
    QEMU_LOCK_GUARD(&e->core->lock);
    return e->phase == VNPU_PHASE_RUNNING ? get_clock() - e->started
                                          : e->job.ns;
}

void vnpu_engine_wait(VnpuEngine *e)
{
    QEMU_LOCK_GUARD(&e->core->lock);
    while (e->phase == VNPU_PHASE_QUEUED || e->phase == VNPU_PHASE_RUNNING) {
        qemu_cond_wait(&e->core->idle, &e->core->lock);
    }
}

bool vnpu_engine_stop(VnpuEngine *e)
{
    qatomic_set(&e->abort, 1);
    WITH_QEMU_LOCK_GUARD(&e->core->lock) {
        if (e->phase == VNPU_PHASE_QUEUED) {
            /* not taken yet, and so never started */
            e->phase = VNPU_PHASE_DONE;
        }
    }
    vnpu_engine_wait(e);
    return e->job.completed;
}

void vnpu_engine_release(VnpuEngine *e)
{
    VnpuCore *c = e->core;
    VnpuFault ignored;

    vnpu_job_unmap(c, &e->job, false, &ignored);
    WITH_QEMU_LOCK_GUARD(&c->lock) {
        e->phase = VNPU_PHASE_IDLE;
    }
    e->busy = false;
    c->queue[e->job.queue].running = false;
}

/* Stop a packet half way: its queue halts */
static void engine_kill(VnpuCore *c, VnpuEngine *e, const VnpuFault *f)
{
    VnpuJob *job = &e->job;

    if (vnpu_engine_stop(e) && job->pos + job->part >= job->total) {
        /* too late, it has finished */
        vnpu_engine_collect(c, e);
        return;
    }
    vnpu_engine_release(e);
    vnpu_queue_fault(c, job->queue, f, job->ip, vnpu_packet_arg(job));
    vnpu_kick(c);
}

int vnpu_engine_queue(const VnpuCore *c, const VnpuEngine *e)
{
    int found = -1;

    if (e->busy) {
        return e->job.queue;
    }
    for (unsigned n = 0; n < c->nqueues; n++) {
        const VnpuQueue *q = &c->queue[n];

        if (vnpu_queue_parted(q) && vnpu_queue_engine(q) == e->index &&
            (found < 0 || vnpu_queue_priority(q) >
                          vnpu_queue_priority(&c->queue[found]))) {
            found = n;
        }
    }
    return found;
}

void vnpu_engine_reset(VnpuCore *c, unsigned n)
{
    VnpuFault f = { .code = VNPU_FAULT_RESET, .access = VNPU_ACCESS_NONE };
    VnpuEngine *e = &c->engine[n];
    int queue = vnpu_engine_queue(c, e);

    trace_vnpu_engine_reset(c->id, n, e->busy);
    vnpu_change_begin(c, &e->until, c->reset_ns);
    if (e->busy) {
        engine_kill(c, e, &f);
    } else if (queue >= 0) {
        /* its packet is between two parts */
        VnpuQueue *q = &c->queue[queue];

        vnpu_queue_fault(c, queue, &f, q->cmd_addr + q->cmd_pos,
                         ldq_le_p(q->cmd + q->cmd_pos));
    }
}

/*
 * A packet that is being prepared, or whose part has ended, is on no engine's
 * thread: there is nothing to wait for, but it may hold memory. The part is
 * not collected here, because that makes accesses.
 */
void vnpu_engines_drain(VnpuCore *c, uint64_t first, uint64_t last)
{
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (e->busy && vnpu_job_uses(&e->job, first, last)) {
            qatomic_set(&e->pause, 1);
        }
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (!e->busy || !vnpu_job_uses(&e->job, first, last)) {
            continue;
        }
        trace_vnpu_drain(c->id, i, e->job.queue, first, last);
        if (vnpu_engine_held(e)) {
            /* prepared anew and held again */
            vnpu_engine_release(e);
            vnpu_kick(c);
        } else {
            vnpu_engine_wait(e);
            vnpu_job_give_back(c, &e->job, first, last);
        }
    }
}

void vnpu_engines_bus_off(VnpuCore *c)
{
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];
        const VnpuMap *map = e->busy ? vnpu_job_host_map(&e->job) : NULL;
        VnpuFault f;

        if (map) {
            vnpu_fail(&f, VNPU_FAULT_DMA,
                      map->write ? VNPU_ACCESS_WRITE : VNPU_ACCESS_READ,
                      map->va);
            engine_kill(c, e, &f);
        }
    }
}

void vnpu_quiesce(VnpuCore *c, VnpuQuiesce how)
{
    trace_vnpu_quiesce(c->id, how == VNPU_QUIESCE_ABORT);
    /* all at once, then wait for each */
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];
        int *flag = how == VNPU_QUIESCE_ABORT ? &e->abort : &e->pause;

        qatomic_set(flag, 1);
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (!e->busy) {
            continue;
        }
        if (how == VNPU_QUIESCE_ABORT) {
            vnpu_engine_stop(e);
            vnpu_engine_release(e);
        } else if (vnpu_engine_held(e)) {
            /* prepared anew and held again when it goes on */
            vnpu_engine_release(e);
        } else {
            vnpu_engine_wait(e);
            vnpu_engine_collect(c, e);
        }
    }
}

bool vnpu_engines_start(VnpuCore *c, Error **errp)
{
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        e->exec = vnpu_exec_new(&e->abort);
        if (!e->exec) {
            error_setg(errp, "not enough memory for engine %u", i);
            return false;
        }
    }
    if (c->sync) {
        return true;
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];
        g_autofree char *name = g_strdup_printf("vnpu-engine%u", i);

        qemu_thread_create(&e->thread, name, engine_thread, e,
                           QEMU_THREAD_JOINABLE);
    }
    c->threads = true;
    return true;
}

void vnpu_engines_stop(VnpuCore *c)
{
    if (c->threads) {
        WITH_QEMU_LOCK_GUARD(&c->lock) {
            c->quit = true;
            for (unsigned i = 0; i < c->nengines; i++) {
                qatomic_set(&c->engine[i].abort, 1);
                qemu_cond_signal(&c->engine[i].work);
            }
        }
        for (unsigned i = 0; i < c->nengines; i++) {
            qemu_thread_join(&c->engine[i].thread);
        }
        c->threads = false;
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (e->phase == VNPU_PHASE_QUEUED) {
            /* nobody takes it any more, but somebody may wait for it */
            e->phase = VNPU_PHASE_DONE;
        }
    }
}
