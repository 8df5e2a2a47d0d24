/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: life of the core.
 */

#include "qemu/osdep.h"
#include "vnpu-internal.h"
#include "trace.h"

VnpuCore *vnpu_core_new(const VnpuConfig *config, const VnpuOps *ops,
                        void *opaque, Error **errp)
{
    VnpuCore *c = g_new0(VnpuCore, 1);

    c->ops = ops;
    c->opaque = opaque;
    c->id = g_strdup(config->id);
    c->vram = config->vram;
    c->vram_size = config->vram_size;
    c->aperture_size = config->aperture_size;
    c->nqueues = config->queues;
    c->nvectors = config->queues + 1;
    c->nengines = config->copy_engines + config->tensor_engines;
    c->sync = config->sync;
    c->tlb = vnpu_tlb_new();
    c->paused = true;
    qemu_mutex_init(&c->lock);
    qemu_cond_init(&c->idle);
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        e->core = c;
        e->index = i;
        e->type = i < config->copy_engines ? VNPU_ENGINE_TYPE_COPY
                                           : VNPU_ENGINE_TYPE_TENSOR;
        vnpu_job_init(&e->job);
        qemu_cond_init(&e->work);
    }
    vnpu_core_reset(c);
    if (!vnpu_engines_start(c, errp)) {
        vnpu_core_free(c);
        return NULL;
    }
    return c;
}

void vnpu_core_exit(VnpuCore *c)
{
    vnpu_core_reset(c);
    vnpu_engines_stop(c);
    c->paused = true;
}

void vnpu_core_free(VnpuCore *c)
{
    for (unsigned i = 0; i < c->nengines; i++) {
        qemu_cond_destroy(&c->engine[i].work);
        vnpu_job_free(&c->engine[i].job);
    }
    qemu_cond_destroy(&c->idle);
    qemu_mutex_destroy(&c->lock);
    g_free(c->tlb);
    g_free(c->id);
    g_free(c);
}

void vnpu_core_reset(VnpuCore *c)
{
    trace_vnpu_reset(c->id);
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

bool vnpu_core_paused(const VnpuCore *c)
{
    return c->paused;
}

void vnpu_core_settle(VnpuCore *c)
{
    bool paused = c->paused;

    /* with the VM stopped this has been done already */
    c->paused = true;
    vnpu_quiesce(c, VNPU_QUIESCE_FINISH);
    c->paused = paused;
    if (!paused) {
        vnpu_poll(c);
    }
}

const char *vnpu_core_id(const VnpuCore *c)
{
    return c->id;
}

unsigned vnpu_core_vectors(const VnpuCore *c)
{
    return c->nvectors;
}
