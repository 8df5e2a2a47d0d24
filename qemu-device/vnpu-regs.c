/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: registers and doorbells of BAR0.
 *
 * Accesses come as 32 bits; wider ones are two, low half first. What is not
 * described reads as zero and ignores writes.
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "vnpu-internal.h"
#include "trace.h"

#define QUEUE_CONFIG_KNOWN (VNPU_QUEUE_CONFIG_LOG2_MASK | \
                            VNPU_QUEUE_CONFIG_VRAM_MASK | \
                            VNPU_QUEUE_CONFIG_ENGINE_MASK | \
                            VNPU_QUEUE_CONFIG_PRIORITY_MASK)

static uint32_t reg_lo(uint64_t v)
{
    return v;
}

static uint32_t reg_hi(uint64_t v)
{
    return v >> 32;
}

static void reg_set_lo(uint64_t *v, uint32_t val)
{
    *v = (*v & ~(uint64_t)UINT32_MAX) | val;
}

static void reg_set_hi(uint64_t *v, uint32_t val)
{
    *v = (uint32_t)*v | (uint64_t)val << 32;
}

static void reg_unknown_read(VnpuCore *c, uint64_t addr)
{
    trace_vnpu_reg_unknown_read(c->id, addr);
    qemu_log_mask(LOG_GUEST_ERROR, "%s: read of 0x%" PRIx64
                  ", where no register is\n", c->id, addr);
}

static void reg_unknown_write(VnpuCore *c, uint64_t addr, uint32_t val)
{
    trace_vnpu_reg_unknown_write(c->id, addr, val);
    qemu_log_mask(LOG_GUEST_ERROR, "%s: write of 0x%" PRIx32 " to 0x%" PRIx64
                  ", which cannot be written now\n", c->id, val, addr);
}

/* Something that the driver asked for is still under way */
static void reg_early_write(VnpuCore *c, uint64_t addr, uint32_t val)
{
    trace_vnpu_reg_early_write(c->id, addr, val);
    qemu_log_mask(LOG_GUEST_ERROR, "%s: write of 0x%" PRIx32 " to 0x%" PRIx64
                  " too early: look at the status first\n", c->id, val, addr);
}

/* The device */

static uint32_t reg_device_status(const VnpuCore *c)
{
    uint32_t status = c->until ? 0 : VNPU_STATUS_READY_MASK;

    for (unsigned i = 0; i < c->nengines; i++) {
        if (c->engine[i].busy) {
            status |= VNPU_STATUS_BUSY_MASK;
        }
    }
    for (unsigned n = 0; n < c->nqueues; n++) {
        uint32_t state = vnpu_queue_state(c, n);

        if (state == VNPU_QUEUE_STATE_RUNNING ||
            state == VNPU_QUEUE_STATE_WAITING) {
            status |= VNPU_STATUS_BUSY_MASK;
        }
    }
    return status;
}

static uint32_t reg_timestamp_latch(VnpuCore *c)
{
    uint64_t now = c->ops->clock(c->opaque);

    c->timestamp_hi = reg_hi(now);
    return reg_lo(now);
}

static uint32_t reg_device_read(VnpuCore *c, uint64_t addr)
{
    switch (addr) {
    case VNPU_REG_ID:
        return VNPU_MAGIC;
    case VNPU_REG_VERSION:
        return VNPU_VERSION_MAJOR << VNPU_VERSION_MAJOR_SHIFT |
               VNPU_VERSION_MINOR << VNPU_VERSION_MINOR_SHIFT;
    case VNPU_REG_CAPS:
        return c->caps;
    case VNPU_REG_QUEUES:
        return c->nqueues;
    case VNPU_REG_CONTEXTS:
        return VNPU_MAX_CONTEXTS;
    case VNPU_REG_ENGINES:
        return c->nengines;
    case VNPU_REG_VECTORS:
        return c->nvectors;
    case VNPU_REG_VRAM_SIZE_LO:
        return reg_lo(c->vram_size);
    case VNPU_REG_VRAM_SIZE_HI:
        return reg_hi(c->vram_size);
    case VNPU_REG_APERTURE_SIZE_LO:
        return reg_lo(c->aperture_size);
    case VNPU_REG_APERTURE_SIZE_HI:
        return reg_hi(c->aperture_size);
    case VNPU_REG_STATUS:
        return reg_device_status(c);
    case VNPU_REG_CONTROL:
        return 0;
    case VNPU_REG_SCRATCH:
        return c->scratch;
    case VNPU_REG_TIMESTAMP_LO:
        return reg_timestamp_latch(c);
    case VNPU_REG_TIMESTAMP_HI:
        return c->timestamp_hi;
    case VNPU_REG_EVENT_BASE_LO:
        return reg_lo(c->events.base);
    case VNPU_REG_EVENT_BASE_HI:
        return reg_hi(c->events.base);
    case VNPU_REG_EVENT_CONFIG:
        return c->events.config;
    case VNPU_REG_EVENT_HEAD:
        return c->events.head;
    case VNPU_REG_EVENT_TAIL:
        return c->events.tail;
    case VNPU_REG_EVENT_DROPPED:
        return c->events.dropped;
    default:
        reg_unknown_read(c, addr);
        return 0;
    }
}

static void reg_device_write(VnpuCore *c, uint64_t addr, uint32_t val)
{
    bool events_on = c->events.config & VNPU_EVENT_CONFIG_ENABLE_MASK;

    switch (addr) {
    case VNPU_REG_CONTROL:
        if (val & VNPU_CONTROL_RESET_MASK) {
            vnpu_core_reset_slowly(c);
        }
        break;
    case VNPU_REG_SCRATCH:
        c->scratch = val;
        break;
    case VNPU_REG_EVENT_BASE_LO:
        if (!events_on) {
            reg_set_lo(&c->events.base, val);
        }
        break;
    case VNPU_REG_EVENT_BASE_HI:
        if (!events_on) {
            reg_set_hi(&c->events.base, val);
        }
        break;
    case VNPU_REG_EVENT_CONFIG:
        vnpu_event_config(c, val);
        break;
    case VNPU_REG_EVENT_HEAD:
        c->events.head = val;
        break;
    default:
        reg_unknown_write(c, addr, val);
        break;
    }
}

/* Engine blocks */

static uint32_t reg_engine_status(const VnpuCore *c, const VnpuEngine *e)
{
    uint32_t status = e->until ? VNPU_ENGINE_STATUS_RESETTING_MASK : 0;
    int queue = vnpu_engine_queue(c, e);

    return queue < 0 ? status : status | VNPU_ENGINE_STATUS_BUSY_MASK |
                                queue << VNPU_ENGINE_STATUS_QUEUE_SHIFT;
}

static uint32_t reg_engine_read(VnpuCore *c, unsigned n, uint32_t reg)
{
    VnpuEngine *e = &c->engine[n];

    if (n >= c->nengines) {
        return 0;
    }
    switch (reg) {
    case VNPU_ENGINE_REG_TYPE:
        return e->type;
    case VNPU_ENGINE_REG_STATUS:
        return reg_engine_status(c, e);
    case VNPU_ENGINE_REG_JOBS:
        return e->jobs;
    case VNPU_ENGINE_REG_BUSY_LO:
        return reg_lo(e->busy_ns + vnpu_engine_busy_ns(e));
    case VNPU_ENGINE_REG_BUSY_HI:
        return reg_hi(e->busy_ns + vnpu_engine_busy_ns(e));
    default:
        return 0;
    }
}

static void reg_engine_write(VnpuCore *c, unsigned n, uint32_t reg,
                             uint32_t val)
{
    if (n < c->nengines && reg == VNPU_ENGINE_REG_CONTROL) {
        if (val & VNPU_ENGINE_CONTROL_RESET_MASK) {
            vnpu_engine_reset(c, n);
        }
        return;
    }
    reg_unknown_write(c, VNPU_ENGINE(n) + reg, val);
}

/* Context blocks */

static uint32_t reg_ctx_control(const VnpuContext *ctx)
{
    bool valid = ctx->until ? ctx->wanted : ctx->valid;

    return (valid ? VNPU_CTX_CONTROL_VALID_MASK : 0) |
           (ctx->until ? VNPU_CTX_CONTROL_CHANGING_MASK : 0);
}

static uint32_t reg_ctx_read(VnpuCore *c, unsigned n, uint32_t reg)
{
    VnpuContext *ctx = &c->ctx[n];

    switch (reg) {
    case VNPU_CTX_REG_PT_LO:
        return reg_lo(ctx->pt);
    case VNPU_CTX_REG_PT_HI:
        return reg_hi(ctx->pt);
    case VNPU_CTX_REG_CONTROL:
        return reg_ctx_control(ctx);
    default:
        return 0;
    }
}

static void reg_ctx_control_write(VnpuCore *c, unsigned n, uint32_t val)
{
    VnpuContext *ctx = &c->ctx[n];
    bool valid = val & VNPU_CTX_CONTROL_VALID_MASK;

    if (!valid) {
        vnpu_tlb_flush_ctx(c->tlb, n);
    }
    if (valid != ctx->valid) {
        ctx->valid = false;
        ctx->wanted = valid;
        vnpu_change_begin(c, &ctx->until, c->enable_ns);
    }
}

static void reg_ctx_write(VnpuCore *c, unsigned n, uint32_t reg, uint32_t val)
{
    VnpuContext *ctx = &c->ctx[n];

    if (n == VNPU_PHYS_CONTEXT) {
        return;
    }
    if (ctx->until) {
        reg_early_write(c, VNPU_CTX(n) + reg, val);
        return;
    }
    switch (reg) {
    case VNPU_CTX_REG_PT_LO:
        reg_set_lo(&ctx->pt, val & ~(uint32_t)(VNPU_PAGE_SIZE - 1));
        break;
    case VNPU_CTX_REG_PT_HI:
        reg_set_hi(&ctx->pt, val);
        break;
    case VNPU_CTX_REG_CONTROL:
        reg_ctx_control_write(c, n, val);
        break;
    default:
        reg_unknown_write(c, VNPU_CTX(n) + reg, val);
        break;
    }
}

/* Queue blocks */

static uint32_t reg_queue_status(VnpuCore *c, unsigned n)
{
    return vnpu_queue_state(c, n) << VNPU_QUEUE_STATUS_STATE_SHIFT |
           c->queue[n].fault << VNPU_QUEUE_STATUS_FAULT_SHIFT;
}

static uint64_t reg_queue_busy_ns(VnpuCore *c, unsigned n)
{
    uint64_t ns = c->queue[n].busy_ns;

    for (unsigned i = 0; i < c->nengines; i++) {
        VnpuEngine *e = &c->engine[i];

        if (e->busy && e->job.queue == n) {
            ns += vnpu_engine_busy_ns(e);
        }
    }
    return ns;
}

static uint32_t reg_queue_read(VnpuCore *c, unsigned n, uint32_t reg)
{
    VnpuQueue *q = &c->queue[n];

    if (n >= c->nqueues) {
        return 0;
    }
    switch (reg) {
    case VNPU_QUEUE_REG_BASE_LO:
        return reg_lo(q->base);
    case VNPU_QUEUE_REG_BASE_HI:
        return reg_hi(q->base);
    case VNPU_QUEUE_REG_CONFIG:
        return q->config;
    case VNPU_QUEUE_REG_CONTEXT:
        return q->context;
    case VNPU_QUEUE_REG_VECTOR:
        return q->vector;
    case VNPU_QUEUE_REG_CONTROL:
        return (q->until ? q->wanted : q->enabled) ?
               VNPU_QUEUE_CONTROL_ENABLE_MASK : 0;
    case VNPU_QUEUE_REG_STATUS:
        return reg_queue_status(c, n);
    case VNPU_QUEUE_REG_HEAD:
        return q->head;
    case VNPU_QUEUE_REG_TAIL:
        return q->tail;
    case VNPU_QUEUE_REG_PROGRESS:
        return q->progress;
    case VNPU_QUEUE_REG_FENCE_LO:
        return reg_lo(q->fence);
    case VNPU_QUEUE_REG_FENCE_HI:
        return reg_hi(q->fence);
    case VNPU_QUEUE_REG_FAULT_ADDR_LO:
        return reg_lo(q->fault_addr);
    case VNPU_QUEUE_REG_FAULT_ADDR_HI:
        return reg_hi(q->fault_addr);
    case VNPU_QUEUE_REG_FAULT_IP_LO:
        return reg_lo(q->fault_ip);
    case VNPU_QUEUE_REG_FAULT_IP_HI:
        return reg_hi(q->fault_ip);
    case VNPU_QUEUE_REG_BUSY_LO:
        return reg_lo(reg_queue_busy_ns(c, n));
    case VNPU_QUEUE_REG_BUSY_HI:
        return reg_hi(reg_queue_busy_ns(c, n));
    default:
        return 0;
    }
}

/* false: no such register, or not one for writing */
static bool reg_queue_config_write(VnpuQueue *q, uint32_t reg, uint32_t val)
{
    switch (reg) {
    case VNPU_QUEUE_REG_BASE_LO:
        reg_set_lo(&q->base, val);
        return true;
    case VNPU_QUEUE_REG_BASE_HI:
        reg_set_hi(&q->base, val);
        return true;
    case VNPU_QUEUE_REG_CONFIG:
        q->config = val & QUEUE_CONFIG_KNOWN;
        return true;
    case VNPU_QUEUE_REG_CONTEXT:
        q->context = val;
        return true;
    case VNPU_QUEUE_REG_VECTOR:
        q->vector = val;
        return true;
    default:
        return false;
    }
}

/* The same while the queue may run: its priority counts from the next turn */
static bool reg_queue_priority_write(VnpuQueue *q, uint32_t reg, uint32_t val)
{
    uint32_t mask = VNPU_QUEUE_CONFIG_PRIORITY_MASK;

    if (reg != VNPU_QUEUE_REG_CONFIG) {
        return false;
    }
    q->config = (q->config & ~mask) | (val & mask);
    return true;
}

static void reg_queue_write(VnpuCore *c, unsigned n, uint32_t reg, uint32_t val)
{
    VnpuQueue *q = &c->queue[n];
    bool busy, known;

    if (n >= c->nqueues) {
        reg_unknown_write(c, VNPU_QUEUE(n) + reg, val);
        return;
    }
    if (reg == VNPU_QUEUE_REG_CONTROL) {
        if (val & VNPU_QUEUE_CONTROL_RESET_MASK) {
            vnpu_queue_reset(c, n);
        } else if (q->until) {
            reg_early_write(c, VNPU_QUEUE(n) + reg, val);
        } else {
            vnpu_queue_enable(c, n, val & VNPU_QUEUE_CONTROL_ENABLE_MASK);
        }
        return;
    }
    /* its last packet may still run after disabling */
    busy = q->enabled || q->running || vnpu_queue_parted(q);
    known = q->until ? false :
            busy ? reg_queue_priority_write(q, reg, val) :
                   reg_queue_config_write(q, reg, val);
    if (!known) {
        reg_unknown_write(c, VNPU_QUEUE(n) + reg, val);
    }
}

/* The address map */

static bool reg_in_blocks(uint64_t addr, uint64_t base, uint64_t stride,
                          unsigned count, unsigned *n, uint32_t *reg)
{
    if (addr < base || addr >= base + stride * count) {
        return false;
    }
    *n = (addr - base) / stride;
    *reg = (addr - base) % stride;
    return true;
}

static uint32_t reg_read(VnpuCore *c, uint64_t addr)
{
    uint32_t reg;
    unsigned n;

    if (reg_in_blocks(addr, VNPU_ENGINE_BASE, VNPU_ENGINE_STRIDE,
                      VNPU_MAX_ENGINES, &n, &reg)) {
        return reg_engine_read(c, n, reg);
    }
    if (reg_in_blocks(addr, VNPU_CTX_BASE, VNPU_CTX_STRIDE, VNPU_MAX_CONTEXTS,
                      &n, &reg)) {
        return reg_ctx_read(c, n, reg);
    }
    if (reg_in_blocks(addr, VNPU_QUEUE_BASE, VNPU_QUEUE_STRIDE, VNPU_MAX_QUEUES,
                      &n, &reg)) {
        return reg_queue_read(c, n, reg);
    }
    return reg_device_read(c, addr);
}

uint32_t vnpu_reg_read(VnpuCore *c, uint64_t addr)
{
    uint32_t val;

    vnpu_change_look(c);
    val = reg_read(c, addr);
    trace_vnpu_reg_read(c->id, addr, val);
    return val;
}

static void reg_write(VnpuCore *c, uint64_t addr, uint32_t val)
{
    uint32_t reg;
    unsigned n;

    if (reg_in_blocks(addr, VNPU_DOORBELL_BASE, VNPU_DOORBELL_STRIDE,
                      VNPU_MAX_QUEUES, &n, &reg)) {
        if (n < c->nqueues && !reg) {
            vnpu_queue_doorbell(c, n, val);
        } else {
            reg_unknown_write(c, addr, val);
        }
    } else if (reg_in_blocks(addr, VNPU_ENGINE_BASE, VNPU_ENGINE_STRIDE,
                             VNPU_MAX_ENGINES, &n, &reg)) {
        reg_engine_write(c, n, reg, val);
    } else if (reg_in_blocks(addr, VNPU_CTX_BASE, VNPU_CTX_STRIDE,
                             VNPU_MAX_CONTEXTS, &n, &reg)) {
        reg_ctx_write(c, n, reg, val);
    } else if (reg_in_blocks(addr, VNPU_QUEUE_BASE, VNPU_QUEUE_STRIDE,
                             VNPU_MAX_QUEUES, &n, &reg)) {
        reg_queue_write(c, n, reg, val);
    } else {
        reg_device_write(c, addr, val);
    }
}

void vnpu_reg_write(VnpuCore *c, uint64_t addr, uint32_t val)
{
    trace_vnpu_reg_write(c->id, addr, val);
    if (c->dead || c->depth) {
        /* unplugged, or one of the device's own accesses came back */
        trace_vnpu_reg_refused(c->id, addr, val);
        return;
    }
    vnpu_enter(c);
    vnpu_change_run(c);
    if (c->until) {
        reg_early_write(c, addr, val);
    } else {
        reg_write(c, addr, val);
        vnpu_change_run(c);
    }
    vnpu_leave(c);
}
