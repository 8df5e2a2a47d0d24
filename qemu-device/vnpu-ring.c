/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the entries of the rings, which are executed one a queue and
 * pass.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "vnpu-internal.h"
#include "trace.h"

typedef union RingEntry {
    uint32_t dw[VNPU_RING_ENTRY_BYTES / 4];
    struct vnpu_pkt_ring_nop nop;
    struct vnpu_pkt_ring_indirect indirect;
    struct vnpu_pkt_ring_fence fence;
    struct vnpu_pkt_ring_invalidate invalidate;
} RingEntry;

QEMU_BUILD_BUG_ON(sizeof(RingEntry) != VNPU_RING_ENTRY_BYTES);

static bool ring_nop(VnpuCore *c, unsigned n, const RingEntry *e,
                     VnpuFault *f)
{
    for (int i = 0; i < ARRAY_SIZE(e->nop.reserved); i++) {
        if (e->nop.reserved[i]) {
            return vnpu_refuse(f, VNPU_FAULT_RESERVED);
        }
    }
    return true;
}

/* Copied in whole, so that what was checked is what runs. */
static bool ring_indirect(VnpuCore *c, unsigned n, const RingEntry *e,
                          VnpuFault *f)
{
    const struct vnpu_pkt_ring_indirect *p = &e->indirect;
    VnpuQueue *q = &c->queue[n];
    uint32_t size = le32_to_cpu(p->size);
    uint64_t addr = le64_to_cpu(p->addr);
    g_autofree uint8_t *cmd = NULL;

    for (int i = 0; i < ARRAY_SIZE(p->reserved); i++) {
        if (p->reserved[i]) {
            return vnpu_refuse(f, VNPU_FAULT_RESERVED);
        }
    }
    if (!size || size % 8 || size > VNPU_CMD_MAX_BYTES) {
        return vnpu_refuse(f, VNPU_FAULT_LENGTH);
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
static bool ring_fence_write(VnpuCore *c, uint64_t addr, bool vram,
                             uint64_t value, uint64_t busy)
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

static bool ring_fence(VnpuCore *c, unsigned n, const RingEntry *e,
                       VnpuFault *f)
{
    const struct vnpu_pkt_ring_fence *p = &e->fence;
    uint32_t flags = VNPU_GET(le32_to_cpu(p->hdr), VNPU_PKT_HDR_FLAGS);
    bool vram = flags & VNPU_RING_FENCE_FLAG_VRAM;
    VnpuQueue *q = &c->queue[n];
    uint64_t addr = le64_to_cpu(p->addr);
    uint64_t value = le64_to_cpu(p->value);

    if (p->reserved0 || p->reserved1) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    if (addr % sizeof(struct vnpu_rec_fence)) {
        return vnpu_fail(f, VNPU_FAULT_ALIGNMENT, VNPU_ACCESS_NONE, addr);
    }
    if (vram && (addr >= c->vram_size ||
                 c->vram_size - addr < sizeof(struct vnpu_rec_fence))) {
        return vnpu_fail(f, VNPU_FAULT_VRAM_RANGE, VNPU_ACCESS_WRITE, addr);
    }
    if (!ring_fence_write(c, addr, vram, value, q->busy_ns)) {
        return vnpu_fail(f, VNPU_FAULT_DMA, VNPU_ACCESS_WRITE, addr);
    }
    trace_vnpu_fence(c->id, n, value, addr, flags);
    q->fence = value;
    if (flags & VNPU_RING_FENCE_FLAG_IRQ) {
        vnpu_irq(c, q->vector);
    }
    return true;
}

/* Is there a packet on an engine that may use what was dropped? */
static bool ring_inval_pending(VnpuCore *c, const VnpuQueue *q)
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

static bool ring_inval_check(const struct vnpu_pkt_ring_invalidate *p,
                             uint32_t flags, VnpuFault *f)
{
    uint64_t addr = le64_to_cpu(p->addr), size = le64_to_cpu(p->size);
    uint64_t limit = 1ull << VNPU_VA_BITS;
    bool all = flags & VNPU_RING_INVALIDATE_FLAG_ALL;

    if (p->reserved || (flags && (addr || size)) || (all && p->context) ||
        (all && flags != VNPU_RING_INVALIDATE_FLAG_ALL)) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    if (le32_to_cpu(p->context) >= VNPU_MAX_CONTEXTS) {
        return vnpu_refuse(f, VNPU_FAULT_CONTEXT);
    }
    if (addr % VNPU_PAGE_SIZE || size % VNPU_PAGE_SIZE) {
        return vnpu_fail(f, VNPU_FAULT_ALIGNMENT, VNPU_ACCESS_NONE, addr);
    }
    if (addr > limit || size > limit - addr) {
        return vnpu_fail(f, VNPU_FAULT_ADDRESS, VNPU_ACCESS_NONE, addr);
    }
    return true;
}

static bool ring_invalidate(VnpuCore *c, unsigned n, const RingEntry *e,
                            VnpuFault *f)
{
    const struct vnpu_pkt_ring_invalidate *p = &e->invalidate;
    uint32_t flags = VNPU_GET(le32_to_cpu(p->hdr), VNPU_PKT_HDR_FLAGS);
    uint32_t ctx = le32_to_cpu(p->context);
    VnpuQueue *q = &c->queue[n];

    if (!ring_inval_check(p, flags, f)) {
        return false;
    }
    if (flags & VNPU_RING_INVALIDATE_FLAG_ALL) {
        ctx = VNPU_EVERY_CONTEXT;
        vnpu_tlb_flush_all(c->tlb);
    } else if (flags & VNPU_RING_INVALIDATE_FLAG_CONTEXT) {
        vnpu_tlb_flush_ctx(c->tlb, ctx);
    } else {
        vnpu_tlb_flush_range(c->tlb, ctx, le64_to_cpu(p->addr),
                             le64_to_cpu(p->size));
    }
    trace_vnpu_invalidate(c->id, n, ctx, le64_to_cpu(p->addr),
                          le64_to_cpu(p->size));
    q->inval_ctx = ctx;
    q->inval_serial = c->serial;
    q->invalidating = true;
    return true;
}

static const struct {
    const char *name;
    uint32_t flags;
    bool (*run)(VnpuCore *c, unsigned n, const RingEntry *e, VnpuFault *f);
} ring_ops[] = {
    [VNPU_OP_RING_NOP] = { "NOP", 0, ring_nop },
    [VNPU_OP_RING_INDIRECT] = { "INDIRECT", 0, ring_indirect },
    [VNPU_OP_RING_FENCE] = {
        "FENCE", VNPU_RING_FENCE_FLAG_IRQ | VNPU_RING_FENCE_FLAG_VRAM,
        ring_fence,
    },
    [VNPU_OP_RING_INVALIDATE] = {
        "INVALIDATE",
        VNPU_RING_INVALIDATE_FLAG_ALL | VNPU_RING_INVALIDATE_FLAG_CONTEXT,
        ring_invalidate,
    },
};

static bool ring_run(VnpuCore *c, unsigned n, const RingEntry *e,
                     VnpuFault *f)
{
    uint32_t hdr = le32_to_cpu(e->dw[0]);
    uint32_t opcode = VNPU_GET(hdr, VNPU_PKT_HDR_OPCODE);

    if (opcode >= ARRAY_SIZE(ring_ops) || !ring_ops[opcode].run) {
        return vnpu_refuse(f, VNPU_FAULT_OPCODE);
    }
    if (VNPU_GET(hdr, VNPU_PKT_HDR_DWORDS) * 4 != VNPU_RING_ENTRY_BYTES) {
        return vnpu_refuse(f, VNPU_FAULT_LENGTH);
    }
    if (VNPU_GET(hdr, VNPU_PKT_HDR_FLAGS) & ~ring_ops[opcode].flags) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    trace_vnpu_entry(c->id, n, c->queue[n].head, ring_ops[opcode].name);
    return ring_ops[opcode].run(c, n, e, f);
}

/* Is the entry held? It has not been checked yet. */
static bool ring_held(VnpuCore *c, unsigned n, const RingEntry *e)
{
    uint32_t opcode = VNPU_GET(le32_to_cpu(e->dw[0]), VNPU_PKT_HDR_OPCODE);
    VnpuPoint point = {
        .site = VNPU_SITE_ENTRY,
        .queue = n,
        .engine = vnpu_queue_engine(&c->queue[n]),
        .context = opcode == VNPU_OP_RING_INVALIDATE
                   ? le32_to_cpu(e->invalidate.context) : c->queue[n].context,
        .opcode = opcode,
        /* those that have an address have it at the same place */
        .addr = le64_to_cpu(e->indirect.addr),
    };

    return vnpu_probe(c, &point);
}

QEMU_BUILD_BUG_ON(offsetof(struct vnpu_pkt_ring_indirect, addr) !=
                  offsetof(struct vnpu_pkt_ring_fence, addr));
QEMU_BUILD_BUG_ON(offsetof(struct vnpu_pkt_ring_indirect, addr) !=
                  offsetof(struct vnpu_pkt_ring_invalidate, addr));

void vnpu_ring_entry_done(VnpuQueue *q)
{
    vnpu_probe_next(q, VNPU_SITE_ENTRY);
    q->head++;
    q->progress++;
}

bool vnpu_ring_step(VnpuCore *c, unsigned n)
{
    VnpuQueue *q = &c->queue[n];
    VnpuSpan span;
    VnpuFault f;
    RingEntry e;

    if (!vnpu_queue_live(q) || q->cmd_size) {
        return false;
    }
    if (q->invalidating) {
        if (ring_inval_pending(c, q)) {
            return false;
        }
        q->invalidating = false;
        vnpu_ring_entry_done(q);
        return true;
    }
    if (q->head == q->tail || vnpu_queue_held(q, VNPU_SITE_ENTRY)) {
        return false;
    }

    span = (VnpuSpan) {
        .addr = q->base +
                (uint64_t)(q->head % vnpu_queue_entries(q)) * sizeof(e),
        .len = sizeof(e),
        .vram = q->config & VNPU_QUEUE_CONFIG_VRAM_MASK,
    };
    if (!vnpu_mem_read(c, &span, &e)) {
        vnpu_fail(&f, VNPU_FAULT_DMA, VNPU_ACCESS_FETCH, span.addr);
        vnpu_queue_fault(c, n, &f, q->head, 0);
        return true;
    }
    if (ring_held(c, n, &e)) {
        return false;
    }
    if (!ring_run(c, n, &e, &f)) {
        vnpu_queue_fault(c, n, &f, q->head, ldq_le_p(e.dw));
        return true;
    }
    if (!q->cmd_size && !q->invalidating) {
        vnpu_ring_entry_done(q);
    }
    return true;
}
