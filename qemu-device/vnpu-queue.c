/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: control of the queues: enable, doorbell, fault and reset.
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "vnpu-internal.h"
#include "trace.h"

uint32_t vnpu_queue_state(const VnpuCore *c, unsigned n)
{
    const VnpuQueue *q = &c->queue[n];

    if (q->fault) {
        return VNPU_QUEUE_STATE_FAULTED;
    }
    if (!q->enabled) {
        /* the last packet may still run */
        if (q->running || q->part_pos) {
            return VNPU_QUEUE_STATE_RUNNING;
        }
        return q->until ? VNPU_QUEUE_STATE_CHANGING : VNPU_QUEUE_STATE_DISABLED;
    }
    if (q->waiting) {
        return VNPU_QUEUE_STATE_WAITING;
    }
    return q->head == q->tail ? VNPU_QUEUE_STATE_IDLE
                              : VNPU_QUEUE_STATE_RUNNING;
}

uint32_t vnpu_queue_check(const VnpuCore *c, const VnpuQueue *q)
{
    uint32_t log2 = VNPU_GET(q->config, VNPU_QUEUE_CONFIG_LOG2);
    uint64_t bytes, end;

    if (log2 < VNPU_RING_LOG2_MIN || log2 > VNPU_RING_LOG2_MAX ||
        vnpu_queue_engine(q) >= c->nengines || q->vector >= c->nvectors ||
        q->base % VNPU_PAGE_SIZE || q->tail - q->head > vnpu_queue_entries(q)) {
        return VNPU_FAULT_RING;
    }
    bytes = (uint64_t)vnpu_queue_entries(q) * VNPU_RING_ENTRY_BYTES;
    end = q->config & VNPU_QUEUE_CONFIG_VRAM_MASK ? c->vram_size : UINT64_MAX;
    if (bytes > end || q->base > end - bytes) {
        return VNPU_FAULT_RING;
    }
    if (q->context >= VNPU_MAX_CONTEXTS || !c->ctx[q->context].valid) {
        return VNPU_FAULT_CONTEXT;
    }
    return VNPU_FAULT_NONE;
}

void vnpu_cmd_drop(VnpuQueue *q)
{
    g_free(q->cmd);
    q->cmd = NULL;
    q->cmd_addr = 0;
    q->cmd_size = 0;
    q->cmd_pos = 0;
    q->part_pos = 0;
    q->part_carry = 0;
}

void vnpu_queue_fault(VnpuCore *c, unsigned n, const VnpuFault *f, uint64_t ip,
                      uint64_t arg)
{
    VnpuQueue *q = &c->queue[n];

    if (q->fault) {
        return;
    }
    trace_vnpu_fault(c->id, n, f->code, f->access, f->addr, ip, arg);
    qemu_log_mask(LOG_GUEST_ERROR, "%s: queue %u: fault %" PRIu32
                  ", access %" PRIu32 " at 0x%" PRIx64 ", ip 0x%" PRIx64 "\n",
                  c->id, n, f->code, f->access, f->addr, ip);
    q->fault = f->code;
    q->fault_addr = f->addr;
    q->fault_ip = ip;
    q->waiting = false;
    q->invalidating = false;
    vnpu_probe_forget(c, n);
    vnpu_event_fault(c, n, f, ip, arg);
}

void vnpu_queue_enable(VnpuCore *c, unsigned n, bool on)
{
    VnpuQueue *q = &c->queue[n];

    if (q->fault || q->enabled == on) {
        return;
    }
    trace_vnpu_queue_enable(c->id, n, on);
    if (!on) {
        q->enabled = false;
        q->waiting = false;
        q->invalidating = false;
    }
    q->wanted = on;
    vnpu_change_begin(c, &q->until, c->enable_ns);
}

void vnpu_queue_changed(VnpuCore *c, unsigned n)
{
    VnpuQueue *q = &c->queue[n];
    VnpuFault f;

    if (q->fault || !q->wanted) {
        return;
    }
    q->enabled = true;
    f.code = vnpu_queue_check(c, q);
    if (f.code != VNPU_FAULT_NONE) {
        vnpu_refuse(&f, f.code);
        vnpu_queue_fault(c, n, &f, q->head, 0);
        return;
    }
    vnpu_kick(c);
}

void vnpu_queue_reset(VnpuCore *c, unsigned n)
{
    VnpuQueue *q = &c->queue[n];

    trace_vnpu_queue_reset(c->id, n);
    for (unsigned i = 0; q->running && i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (e->busy && e->job.queue == n) {
            vnpu_engine_stop(e);
            vnpu_engine_release(e);
        }
    }
    vnpu_cmd_drop(q);
    vnpu_probe_forget(c, n);
    *q = (VnpuQueue) {
        .base = q->base,
        .config = q->config,
        .context = q->context,
        .vector = q->vector,
    };
    vnpu_change_begin(c, &q->until, c->reset_ns);
    /* others may have waited for the packet */
    vnpu_kick(c);
}

void vnpu_queue_doorbell(VnpuCore *c, unsigned n, uint32_t tail)
{
    VnpuQueue *q = &c->queue[n];
    uint32_t have = q->tail - q->head;
    uint32_t want = tail - q->head;
    VnpuFault f;

    if (!vnpu_queue_live(q)) {
        trace_vnpu_doorbell_ignored(c->id, n, tail);
        qemu_log_mask(LOG_GUEST_ERROR, "%s: doorbell of queue %u, which is "
                      "not enabled or has faulted\n", c->id, n);
        return;
    }
    trace_vnpu_doorbell(c->id, n, tail, q->head);
    q->tail = tail;
    if (want > vnpu_queue_entries(q) || want < have) {
        vnpu_refuse(&f, VNPU_FAULT_RING);
        vnpu_queue_fault(c, n, &f, q->head, 0);
        return;
    }
    vnpu_kick(c);
}
