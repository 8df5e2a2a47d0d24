/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: life of the core.
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
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
    c->caps = (config->sync ? VNPU_CAPS_SYNC_MASK : 0) |
              (vnpu_exec_have_blas() ? VNPU_CAPS_BLAS_MASK : 0);
    c->gemm_unit = vnpu_exec_gemm_unit();
    c->pwc = config->pwc;
    c->reset_ns = config->reset_ns;
    c->enable_ns = config->enable_ns;
    c->tlb = vnpu_tlb_new();
    c->paused = c->pause_wanted = true;
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
        vnpu_core_exit(c);
        vnpu_core_free(c);
        return NULL;
    }
    return c;
}

void vnpu_core_free(VnpuCore *c)
{
    while (c->holds) {
        vnpu_hold_free(c, c->holds);
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        vnpu_exec_free(c->engine[i].exec);
        qemu_cond_destroy(&c->engine[i].work);
        vnpu_job_free(&c->engine[i].job);
    }
    qemu_cond_destroy(&c->idle);
    qemu_mutex_destroy(&c->lock);
    vnpu_tlb_free(c->tlb);
    g_free(c->id);
    g_free(c);
}

static void core_reset(VnpuCore *c)
{
    trace_vnpu_reset(c->id);
    vnpu_quiesce(c, VNPU_QUIESCE_ABORT);
    for (unsigned n = 0; n < VNPU_MAX_QUEUES; n++) {
        vnpu_cmd_drop(&c->queue[n]);
        vnpu_probe_forget(c, n);
        c->queue[n] = (VnpuQueue) {};
    }
    memset(c->ctx, 0, sizeof(c->ctx));
    c->ctx[VNPU_PHYS_CONTEXT].valid = true;
    for (unsigned i = 0; i < c->nengines; i++) {
        c->engine[i].jobs = 0;
        c->engine[i].busy_ns = 0;
        memset(c->engine[i].turn, 0, sizeof(c->engine[i].turn));
        c->engine[i].until = 0;
    }
    c->events = (VnpuEvents) {};
    c->scratch = 0;
    c->timestamp_hi = 0;
    c->until = 0;
    c->next_change = UINT64_MAX;
    c->recheck = false;
    c->next = 0;
    c->loading = false;
    memset(c->irq, 0, sizeof(c->irq));
    c->ops->irq_clear(c->opaque);
    vnpu_tlb_flush_all(c->tlb);
}

static void core_pause(VnpuCore *c)
{
    if (c->paused == c->pause_wanted || c->dead) {
        return;
    }
    c->paused = c->pause_wanted;
    if (c->loading && !c->paused) {
        /* somebody goes on although loading has failed */
        core_reset(c);
    }
    if (c->paused) {
        vnpu_quiesce(c, VNPU_QUIESCE_FINISH);
    } else {
        vnpu_poll(c);
    }
}

void vnpu_enter(VnpuCore *c)
{
    c->depth++;
}

/* Each turn ends jobs and starts none, so that their number is bounded. */
void vnpu_leave(VnpuCore *c)
{
    while (c->depth == 1 && c->deferred) {
        unsigned what = c->deferred;

        c->deferred = 0;
        if (what & VNPU_DEFER_RESET) {
            core_reset(c);
        }
        if (what & VNPU_DEFER_UNREADY) {
            vnpu_change_begin(c, &c->until, c->reset_ns);
            vnpu_change_run(c);
        }
        if (what & VNPU_DEFER_BUS_OFF) {
            vnpu_engines_bus_off(c);
        }
        if (what & VNPU_DEFER_PAUSE) {
            core_pause(c);
        }
        if (what & VNPU_DEFER_RUN) {
            vnpu_kick(c);
        }
    }
    c->depth--;
}

static void core_defer(VnpuCore *c, unsigned what)
{
    vnpu_enter(c);
    c->deferred |= what;
    vnpu_leave(c);
}

void vnpu_core_reset(VnpuCore *c)
{
    core_defer(c, VNPU_DEFER_RESET);
}

void vnpu_core_reset_slowly(VnpuCore *c)
{
    core_defer(c, VNPU_DEFER_RESET | VNPU_DEFER_UNREADY);
}

void vnpu_core_pause(VnpuCore *c, bool pause)
{
    c->pause_wanted = pause;
    core_defer(c, VNPU_DEFER_PAUSE);
}

void vnpu_core_bus_off(VnpuCore *c)
{
    core_defer(c, VNPU_DEFER_BUS_OFF);
}

/*
 * Not deferred when it comes from inside of an access: it does nothing that an
 * outer call could trip over. What that has mapped so far is not used then.
 */
void vnpu_core_bus_unmap(VnpuCore *c, uint64_t first, uint64_t last)
{
    vnpu_enter(c);
    c->unmaps++;
    vnpu_engines_drain(c, first, last);
    vnpu_leave(c);
}

void vnpu_core_exit(VnpuCore *c)
{
    c->dead = true;
    c->paused = true;
    /* these can't wait: they use what the caller is about to take away */
    vnpu_engines_stop(c);
    core_defer(c, VNPU_DEFER_RESET);
}

bool vnpu_core_paused(const VnpuCore *c)
{
    return c->paused;
}

bool vnpu_core_settle(VnpuCore *c)
{
    bool paused = c->paused;

    if (c->depth) {
        return false;
    }
    if (c->loading) {
        /* what was loaded in part is neither good to run nor to save */
        vnpu_core_reset(c);
    }
    c->saved_at = c->ops->clock(c->opaque);
    /* with the VM stopped this has been done already */
    vnpu_enter(c);
    c->paused = true;
    vnpu_quiesce(c, VNPU_QUIESCE_FINISH);
    c->paused = paused || c->dead;
    if (!c->paused) {
        vnpu_poll(c);
    }
    vnpu_leave(c);
    return true;
}

void vnpu_irq(VnpuCore *c, unsigned vector)
{
    c->irq[vector / 32] |= 1u << (vector % 32);
    vnpu_kick(c);
}

bool vnpu_irq_next(VnpuCore *c, unsigned *vector)
{
    for (unsigned i = 0; i < ARRAY_SIZE(c->irq); i++) {
        if (c->irq[i]) {
            *vector = i * 32 + ctz32(c->irq[i]);
            c->irq[i] &= c->irq[i] - 1;
            return true;
        }
    }
    return false;
}

const char *vnpu_core_id(const VnpuCore *c)
{
    return c->id;
}

unsigned vnpu_core_vectors(const VnpuCore *c)
{
    return c->nvectors;
}
