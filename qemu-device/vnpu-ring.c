/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: queues, from the doorbell to the fence.
 *
 * Ring entries are executed here, one a queue and pass; the packets of a
 * command buffer go to the queue's engine one at a time, so that priorities
 * count packet by packet.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "vnpu_int.h"
#include "trace.h"

/* Longest time that vnpu_run() keeps the BQL, ns, and then lets others in */
#define SLICE_NS (1000 * 1000)

typedef union RingEntry {
    uint32_t dw[VNPU_RING_ENTRY_BYTES / 4];
    struct vnpu_pkt_ring_nop nop;
    struct vnpu_pkt_ring_indirect indirect;
    struct vnpu_pkt_ring_fence fence;
    struct vnpu_pkt_ring_invalidate invalidate;
} RingEntry;

QEMU_BUILD_BUG_ON(sizeof(RingEntry) != VNPU_RING_ENTRY_BYTES);

static bool bad(VnpuFault *f, uint32_t code)
{
    return vnpu_fail(f, code, VNPU_ACCESS_NONE, 0);
}

static uint32_t ring_entries(const VnpuQueue *q)
{
    return 1u << VNPU_GET(q->config, VNPU_QUEUE_CONFIG_LOG2);
}

static uint32_t queue_engine(const VnpuQueue *q)
{
    return VNPU_GET(q->config, VNPU_QUEUE_CONFIG_ENGINE);
}

static bool queue_live(const VnpuQueue *q)
{
    return q->enabled && !q->fault;
}

/* Queue control */

uint32_t vnpu_queue_state(const VnpuCore *c, unsigned n)
{
    const VnpuQueue *q = &c->queue[n];

    if (q->fault) {
        return VNPU_QUEUE_STATE_FAULTED;
    }
    if (!q->enabled) {
        /* the last packet may still run */
        return q->running ? VNPU_QUEUE_STATE_RUNNING
                          : VNPU_QUEUE_STATE_DISABLED;
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
        queue_engine(q) >= c->nengines || q->vector >= c->nvectors ||
        q->base % VNPU_PAGE_SIZE || q->tail - q->head > ring_entries(q)) {
        return VNPU_FAULT_RING;
    }
    bytes = (uint64_t)ring_entries(q) * VNPU_RING_ENTRY_BYTES;
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
}

void vnpu_queue_fault(VnpuCore *c, unsigned n, const VnpuFault *f, uint64_t ip,
                      uint64_t arg)
{
    VnpuQueue *q = &c->queue[n];

    if (q->fault) {
        return;
    }
    trace_vnpu_fault(n, f->code, f->access, f->addr, ip, arg);
    q->fault = f->code;
    q->fault_addr = f->addr;
    q->fault_ip = ip;
    q->waiting = false;
    q->invalidating = false;
    vnpu_event_fault(c, n, f, ip, arg);
}

void vnpu_queue_enable(VnpuCore *c, unsigned n, bool on)
{
    VnpuQueue *q = &c->queue[n];
    VnpuFault f;

    if (q->fault || q->enabled == on) {
        return;
    }
    q->enabled = on;
    if (!on) {
        q->waiting = false;
        q->invalidating = false;
        return;
    }
    f.code = vnpu_queue_check(c, q);
    if (f.code != VNPU_FAULT_NONE) {
        bad(&f, f.code);
        vnpu_queue_fault(c, n, &f, q->head, 0);
        return;
    }
    c->ops->kick(c->opaque);
}

void vnpu_queue_reset(VnpuCore *c, unsigned n)
{
    VnpuQueue *q = &c->queue[n];

    for (unsigned i = 0; q->running && i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (e->busy && e->job.queue == n) {
            vnpu_engine_stop(e);
            vnpu_engine_release(e);
        }
    }
    vnpu_cmd_drop(q);
    *q = (VnpuQueue) {
        .base = q->base,
        .config = q->config,
        .context = q->context,
        .vector = q->vector,
    };
    /* others may have waited for the packet */
    c->ops->kick(c->opaque);
}

void vnpu_queue_doorbell(VnpuCore *c, unsigned n, uint32_t tail)
{
    VnpuQueue *q = &c->queue[n];
    uint32_t have = q->tail - q->head;
    uint32_t want = tail - q->head;
    VnpuFault f;

    if (!queue_live(q)) {
        trace_vnpu_doorbell_ignored(n, tail);
        return;
    }
    trace_vnpu_doorbell(n, tail, q->head);
    q->tail = tail;
    if (want > ring_entries(q) || want < have) {
        bad(&f, VNPU_FAULT_RING);
        vnpu_queue_fault(c, n, &f, q->head, 0);
        return;
    }
    c->ops->kick(c->opaque);
}

/* Ring entries */

static bool entry_nop(VnpuCore *c, unsigned n, const RingEntry *e,
                      VnpuFault *f)
{
    for (int i = 0; i < ARRAY_SIZE(e->nop.reserved); i++) {
        if (e->nop.reserved[i]) {
            return bad(f, VNPU_FAULT_RESERVED);
        }
    }
    return true;
}

/* Copied in whole, so that what was checked is what runs. */
static bool entry_indirect(VnpuCore *c, unsigned n, const RingEntry *e,
                           VnpuFault *f)
{
    const struct vnpu_pkt_ring_indirect *p = &e->indirect;
    VnpuQueue *q = &c->queue[n];
    uint32_t size = le32_to_cpu(p->size);
    uint64_t addr = le64_to_cpu(p->addr);
    g_autofree uint8_t *cmd = NULL;

    for (int i = 0; i < ARRAY_SIZE(p->reserved); i++) {
        if (p->reserved[i]) {
            return bad(f, VNPU_FAULT_RESERVED);
        }
    }
    if (!size || size % 8 || size > VNPU_CMD_MAX_BYTES) {
        return bad(f, VNPU_FAULT_LENGTH);
    }
    if (addr % 8) {
        return vnpu_fail(f, VNPU_FAULT_ALIGNMENT, VNPU_ACCESS_NONE, addr);
    }
    cmd = g_malloc(size);
    if (!vnpu_mmu_range(c, q->context, addr, size, f) ||
        !vnpu_mmu_read(c, q->context, addr, cmd, size, VNPU_ACCESS_FETCH, f)) {
        return false;
    }
    q->cmd = g_steal_pointer(&cmd);
    q->cmd_addr = addr;
    q->cmd_size = size;
    q->cmd_pos = 0;
    q->part_pos = 0;
    return true;
}

/* Two writes, value last: whoever polls it may rely on the rest. */
static bool fence_write(VnpuCore *c, uint64_t addr, bool vram, uint64_t value,
                        uint64_t busy)
{
    VnpuSpan span = { .addr = addr + 8, .len = 8, .vram = vram };
    uint64_t le = cpu_to_le64(busy);

    if (!vnpu_mem_write(c, &span, &le)) {
        return false;
    }
    /* busy_ns before value, for CPUs that read them in the other order */
    smp_wmb();
    span.addr = addr;
    le = cpu_to_le64(value);
    return vnpu_mem_write(c, &span, &le);
}

static bool entry_fence(VnpuCore *c, unsigned n, const RingEntry *e,
                        VnpuFault *f)
{
    const struct vnpu_pkt_ring_fence *p = &e->fence;
    uint32_t flags = VNPU_GET(le32_to_cpu(p->hdr), VNPU_PKT_HDR_FLAGS);
    bool vram = flags & VNPU_RING_FENCE_FLAG_VRAM;
    VnpuQueue *q = &c->queue[n];
    uint64_t addr = le64_to_cpu(p->addr);
    uint64_t value = le64_to_cpu(p->value);

    if (p->reserved0 || p->reserved1) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    if (addr % sizeof(struct vnpu_rec_fence)) {
        return vnpu_fail(f, VNPU_FAULT_ALIGNMENT, VNPU_ACCESS_NONE, addr);
    }
    if (vram && (addr >= c->vram_size ||
                 c->vram_size - addr < sizeof(struct vnpu_rec_fence))) {
        return vnpu_fail(f, VNPU_FAULT_VRAM_RANGE, VNPU_ACCESS_WRITE, addr);
    }
    if (!fence_write(c, addr, vram, value, q->busy_ns)) {
        return vnpu_fail(f, VNPU_FAULT_DMA, VNPU_ACCESS_WRITE, addr);
    }
    trace_vnpu_fence(n, value, addr, flags);
    q->fence = value;
    if (flags & VNPU_RING_FENCE_FLAG_IRQ) {
        c->ops->notify(c->opaque, q->vector);
    }
    return true;
}

/* Is there a packet on an engine that may use what was dropped? */
static bool inval_pending(VnpuCore *c, const VnpuQueue *q)
{
    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (e->busy && e->job.serial < q->inval_serial &&
            e->job.ctx != VNPU_PHYS_CONTEXT &&
            (q->inval_ctx == VNPU_EVERY_CONTEXT ||
             q->inval_ctx == e->job.ctx)) {
            return true;
        }
    }
    return false;
}

static bool inval_check(const struct vnpu_pkt_ring_invalidate *p,
                        uint32_t flags, VnpuFault *f)
{
    uint64_t addr = le64_to_cpu(p->addr), size = le64_to_cpu(p->size);
    uint64_t limit = 1ull << VNPU_VA_BITS;
    bool all = flags & VNPU_RING_INVALIDATE_FLAG_ALL;

    if (p->reserved || (flags && (addr || size)) || (all && p->context) ||
        (all && flags != VNPU_RING_INVALIDATE_FLAG_ALL)) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    if (le32_to_cpu(p->context) >= VNPU_MAX_CONTEXTS) {
        return bad(f, VNPU_FAULT_CONTEXT);
    }
    if (addr % VNPU_PAGE_SIZE || size % VNPU_PAGE_SIZE) {
        return vnpu_fail(f, VNPU_FAULT_ALIGNMENT, VNPU_ACCESS_NONE, addr);
    }
    if (addr > limit || size > limit - addr) {
        return vnpu_fail(f, VNPU_FAULT_ADDRESS, VNPU_ACCESS_NONE, addr);
    }
    return true;
}

static bool entry_invalidate(VnpuCore *c, unsigned n, const RingEntry *e,
                             VnpuFault *f)
{
    const struct vnpu_pkt_ring_invalidate *p = &e->invalidate;
    uint32_t flags = VNPU_GET(le32_to_cpu(p->hdr), VNPU_PKT_HDR_FLAGS);
    uint32_t ctx = le32_to_cpu(p->context);
    VnpuQueue *q = &c->queue[n];

    if (!inval_check(p, flags, f)) {
        return false;
    }
    if (flags & VNPU_RING_INVALIDATE_FLAG_ALL) {
        ctx = VNPU_EVERY_CONTEXT;
        vnpu_tlb_flush_all(c);
    } else if (flags & VNPU_RING_INVALIDATE_FLAG_CONTEXT) {
        vnpu_tlb_flush_ctx(c, ctx);
    } else {
        vnpu_tlb_flush_range(c, ctx, le64_to_cpu(p->addr),
                             le64_to_cpu(p->size));
    }
    trace_vnpu_invalidate(n, ctx, le64_to_cpu(p->addr), le64_to_cpu(p->size));
    q->inval_ctx = ctx;
    q->inval_serial = c->serial;
    q->invalidating = true;
    return true;
}

static const struct {
    const char *name;
    uint32_t flags;
    bool (*run)(VnpuCore *c, unsigned n, const RingEntry *e, VnpuFault *f);
} entry_ops[] = {
    [VNPU_OP_RING_NOP] = { "NOP", 0, entry_nop },
    [VNPU_OP_RING_INDIRECT] = { "INDIRECT", 0, entry_indirect },
    [VNPU_OP_RING_FENCE] = {
        "FENCE", VNPU_RING_FENCE_FLAG_IRQ | VNPU_RING_FENCE_FLAG_VRAM,
        entry_fence,
    },
    [VNPU_OP_RING_INVALIDATE] = {
        "INVALIDATE",
        VNPU_RING_INVALIDATE_FLAG_ALL | VNPU_RING_INVALIDATE_FLAG_CONTEXT,
        entry_invalidate,
    },
};

static bool entry_run(VnpuCore *c, unsigned n, const RingEntry *e,
                      VnpuFault *f)
{
    uint32_t hdr = le32_to_cpu(e->dw[0]);
    uint32_t opcode = VNPU_GET(hdr, VNPU_PKT_HDR_OPCODE);

    if (opcode >= ARRAY_SIZE(entry_ops) || !entry_ops[opcode].run) {
        return bad(f, VNPU_FAULT_OPCODE);
    }
    if (VNPU_GET(hdr, VNPU_PKT_HDR_DWORDS) * 4 != VNPU_RING_ENTRY_BYTES) {
        return bad(f, VNPU_FAULT_LENGTH);
    }
    if (VNPU_GET(hdr, VNPU_PKT_HDR_FLAGS) & ~entry_ops[opcode].flags) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    trace_vnpu_entry(n, c->queue[n].head, entry_ops[opcode].name);
    return entry_ops[opcode].run(c, n, e, f);
}

static void entry_done(VnpuQueue *q)
{
    q->head++;
    q->progress++;
}

/* Go on with the entry at the head; false: nothing to do now */
static bool ring_step(VnpuCore *c, unsigned n)
{
    VnpuQueue *q = &c->queue[n];
    VnpuSpan span;
    VnpuFault f;
    RingEntry e;

    if (!queue_live(q) || q->cmd_size) {
        return false;
    }
    if (q->invalidating) {
        if (inval_pending(c, q)) {
            return false;
        }
        q->invalidating = false;
        entry_done(q);
        return true;
    }
    if (q->head == q->tail) {
        return false;
    }

    span = (VnpuSpan) {
        .addr = q->base + (uint64_t)(q->head % ring_entries(q)) * sizeof(e),
        .len = sizeof(e),
        .vram = q->config & VNPU_QUEUE_CONFIG_VRAM_MASK,
    };
    if (!vnpu_mem_read(c, &span, &e)) {
        vnpu_fail(&f, VNPU_FAULT_DMA, VNPU_ACCESS_FETCH, span.addr);
        vnpu_queue_fault(c, n, &f, q->head, 0);
        return true;
    }
    if (!entry_run(c, n, &e, &f)) {
        vnpu_queue_fault(c, n, &f, q->head, ldq_le_p(e.dw));
        return true;
    }
    if (!q->cmd_size && !q->invalidating) {
        entry_done(q);
    }
    return true;
}

/* Packets */

static void packet_done(VnpuCore *c, VnpuQueue *q, VnpuEngine *e,
                        const VnpuJob *job)
{
    trace_vnpu_packet_done(job->queue, e->index, job->ip);
    e->jobs++;
    q->progress++;
    q->waiting = false;
    q->part_pos = 0;
    q->cmd_pos += vnpu_packet_dwords(job) * 4;
    if (q->cmd_pos >= q->cmd_size) {
        vnpu_cmd_drop(q);
        entry_done(q);
    }
}

static void packet_fault(VnpuCore *c, const VnpuJob *job, const VnpuFault *f)
{
    vnpu_queue_fault(c, job->queue, f, job->ip, vnpu_packet_arg(job));
}

/* Map and start the next part of the engine's packet */
static void part_start(VnpuCore *c, VnpuEngine *e)
{
    VnpuJob *job = &e->job;
    VnpuFault f;

    job->serial = c->serial++;
    e->busy = true;
    c->queue[job->queue].running = true;
    if (!vnpu_packet_prepare(c, job, &f)) {
        vnpu_engine_release(e);
        packet_fault(c, job, &f);
        return;
    }
    vnpu_engine_submit(e);
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
        ok = bad(&f, VNPU_FAULT_RESET);
    }
    if (!ok) {
        vnpu_engine_release(e);
        packet_fault(c, job, &f);
        return;
    }
    job->pos += job->part;
    q->part_pos = job->pos;
    if (job->pos < job->total && !c->paused && !q->fault) {
        part_start(c, e);
        return;
    }
    vnpu_engine_release(e);
    if (job->pos >= job->total) {
        packet_done(c, q, e, job);
    }
}

/* Run the packet of a queue that has one ready, on its idle engine */
static void packet_start(VnpuCore *c, unsigned n, VnpuEngine *e)
{
    VnpuQueue *q = &c->queue[n];
    VnpuJob *job = &e->job;
    VnpuStep step = VNPU_STEP_FAULT;
    VnpuFault f;

    e->last = n;
    if (vnpu_packet_fetch(c, n, job, &f)) {
        step = vnpu_packet_begin(c, job, &f);
    }
    trace_vnpu_packet(n, e->index, vnpu_packet_name(job), job->ip);
    switch (step) {
    case VNPU_STEP_FAULT:
        packet_fault(c, job, &f);
        break;
    case VNPU_STEP_DONE:
        packet_done(c, q, e, job);
        break;
    case VNPU_STEP_BLOCKED:
        q->waiting = true;
        break;
    case VNPU_STEP_ENGINE:
        job->pos = q->part_pos < job->total ? q->part_pos : 0;
        part_start(c, e);
        break;
    }
}

/* Look again at a WAIT; needs no engine, so that none is kept from work */
static bool wait_step(VnpuCore *c, unsigned n)
{
    VnpuQueue *q = &c->queue[n];
    VnpuStep step = VNPU_STEP_FAULT;
    VnpuJob job;
    VnpuFault f;

    if (!queue_live(q) || !q->waiting) {
        return false;
    }
    if (vnpu_packet_fetch(c, n, &job, &f)) {
        step = vnpu_packet_begin(c, &job, &f);
    }
    switch (step) {
    case VNPU_STEP_FAULT:
        packet_fault(c, &job, &f);
        return true;
    case VNPU_STEP_DONE:
        packet_done(c, q, &c->engine[queue_engine(q)], &job);
        return true;
    case VNPU_STEP_BLOCKED:
        return false;
    default:
        q->waiting = false;
        return true;
    }
}

/* The queue whose packet an engine takes next, or -1 */
static int pick_queue(VnpuCore *c, const VnpuEngine *e)
{
    uint32_t priority, best = 0;
    int found = -1;

    for (unsigned i = 1; i <= c->nqueues; i++) {
        unsigned n = (e->last + i) % c->nqueues;
        VnpuQueue *q = &c->queue[n];

        if (!queue_live(q) || !q->cmd_size || q->running || q->waiting ||
            queue_engine(q) != e->index) {
            continue;
        }
        priority = VNPU_GET(q->config, VNPU_QUEUE_CONFIG_PRIORITY);
        if (found < 0 || priority > best) {
            found = n;
            best = priority;
        }
    }
    return found;
}

static bool engine_step(VnpuCore *c, VnpuEngine *e)
{
    int n;

    if (e->busy) {
        if (!vnpu_engine_done(e)) {
            return false;
        }
        vnpu_engine_collect(c, e);
        return true;
    }
    n = pick_queue(c, e);
    if (n < 0) {
        return false;
    }
    packet_start(c, n, e);
    return true;
}

/* Everything that can go on now, once; false if nothing could */
static bool pass(VnpuCore *c)
{
    bool more = false;

    if (c->recheck) {
        c->recheck = false;
        for (unsigned n = 0; n < c->nqueues; n++) {
            more |= wait_step(c, n);
        }
    }
    for (unsigned n = 0; n < c->nqueues; n++) {
        more |= ring_step(c, n);
    }
    for (unsigned i = 0; i < c->nengines; i++) {
        more |= engine_step(c, &c->engine[i]);
    }
    return more || c->recheck;
}

void vnpu_run(VnpuCore *c)
{
    int64_t end = get_clock() + SLICE_NS;
    bool more = !c->paused;

    while (more && get_clock() < end) {
        more = pass(c);
    }
    if (more) {
        c->ops->kick(c->opaque);
    }
    for (unsigned n = 0; n < c->nqueues; n++) {
        if (c->queue[n].waiting) {
            c->ops->poll_later(c->opaque);
            break;
        }
    }
}

void vnpu_poll(VnpuCore *c)
{
    c->recheck = true;
    c->ops->kick(c->opaque);
}
