/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: life of the core.
 */

#include "qemu/osdep.h"
#include "vnpu_int.h"
#include "trace.h"

/* The caller has filled in ops, opaque, memory and counts. */
bool vnpu_core_init(VnpuCore *c, Error **errp)
{
    c->tlb = vnpu_tlb_new();
    c->paused = true;
    c->quit = false;
    qemu_mutex_init(&c->lock);
    qemu_cond_init(&c->idle);
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        e->core = c;
        e->index = i;
        vnpu_job_init(&e->job);
        qemu_cond_init(&e->work);
    }
    vnpu_core_reset(c);
    if (!vnpu_engines_start(c, errp)) {
        vnpu_core_exit(c);
        return false;
    }
    return true;
}

void vnpu_core_exit(VnpuCore *c)
{
    vnpu_core_reset(c);
    vnpu_engines_stop(c);
    for (unsigned i = 0; i < c->nengines; i++) {
        qemu_cond_destroy(&c->engine[i].work);
        vnpu_job_free(&c->engine[i].job);
    }
    qemu_cond_destroy(&c->idle);
    qemu_mutex_destroy(&c->lock);
    g_clear_pointer(&c->tlb, g_free);
}

void vnpu_core_reset(VnpuCore *c)
{
    trace_vnpu_reset();
    vnpu_quiesce(c, VNPU_QUIESCE_ABORT);
    for (unsigned n = 0; n < VNPU_MAX_QUEUES; n++) {
        vnpu_cmd_drop(&c->queue[n]);
        c->queue[n] = (VnpuQueue) {};
    }
    memset(c->ctx, 0, sizeof(c->ctx));
    c->ctx[VNPU_PHYS_CONTEXT].valid = true;
    for (unsigned i = 0; i < c->nengines; i++) {
        c->engine[i].jobs = 0;
        c->engine[i].busy_ns = 0;
        c->engine[i].last = 0;
    }
    c->events = (VnpuEvents) {};
    c->scratch = 0;
    c->timestamp_hi = 0;
    c->recheck = false;
    vnpu_tlb_flush_all(c);
}

/*
 * While paused no work starts; what runs comes to the end of its part first,
 * so that the state is complete and nothing is mapped.
 */
void vnpu_core_pause(VnpuCore *c, bool pause)
{
    if (c->paused == pause) {
        return;
    }
    c->paused = pause;
    if (pause) {
        vnpu_quiesce(c, VNPU_QUIESCE_FINISH);
    } else {
        vnpu_poll(c);
    }
}
