/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the event ring.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "vnpu-internal.h"
#include "trace.h"

#define CONFIG_KNOWN (VNPU_EVENT_CONFIG_LOG2_MASK | \
                      VNPU_EVENT_CONFIG_ENABLE_MASK)

QEMU_BUILD_BUG_ON(sizeof(struct vnpu_rec_event) != VNPU_EVENT_BYTES);

static uint32_t event_slots(const VnpuEvents *ev)
{
    return 1u << VNPU_GET(ev->config, VNPU_EVENT_CONFIG_LOG2);
}

/* A ring that cannot be: ENABLE reads back as zero */
static bool event_config_good(const VnpuEvents *ev, uint32_t val)
{
    uint32_t log2 = VNPU_GET(val, VNPU_EVENT_CONFIG_LOG2);
    uint64_t bytes;

    if (log2 < VNPU_EVENT_LOG2_MIN || log2 > VNPU_EVENT_LOG2_MAX ||
        ev->base % VNPU_EVENT_BYTES) {
        return false;
    }
    bytes = (uint64_t)VNPU_EVENT_BYTES << log2;
    return ev->base <= UINT64_MAX - bytes;
}

void vnpu_event_config(VnpuCore *c, uint32_t val)
{
    VnpuEvents *ev = &c->events;

    val &= CONFIG_KNOWN;
    if (!(val & VNPU_EVENT_CONFIG_ENABLE_MASK)) {
        ev->config = val;
        return;
    }
    if (ev->config & VNPU_EVENT_CONFIG_ENABLE_MASK) {
        return;
    }
    if (!event_config_good(ev, val)) {
        ev->config = val & ~VNPU_EVENT_CONFIG_ENABLE_MASK;
        return;
    }
    ev->config = val;
    ev->head = 0;
    ev->tail = 0;
    ev->dropped = 0;
}

void vnpu_event_fault(VnpuCore *c, unsigned n, const VnpuFault *f, uint64_t ip,
                      uint64_t arg)
{
    VnpuEvents *ev = &c->events;
    VnpuQueue *q = &c->queue[n];
    struct vnpu_rec_event rec = {
        .type = cpu_to_le32(VNPU_EVENT_TYPE_FAULT),
        .seq = cpu_to_le32(ev->tail),
        .timestamp = cpu_to_le64(c->ops->clock(c->opaque)),
        .queue = cpu_to_le32(n),
        .context = cpu_to_le32(q->context),
        .code = cpu_to_le32(f->code),
        .access = cpu_to_le32(f->access),
        .addr = cpu_to_le64(f->addr),
        .ip = cpu_to_le64(ip),
        .entry = cpu_to_le32(q->head),
        .arg = cpu_to_le64(arg),
    };
    uint64_t slot;

    if (!(ev->config & VNPU_EVENT_CONFIG_ENABLE_MASK)) {
        return;
    }
    slot = ev->base + (uint64_t)(ev->tail % event_slots(ev)) * sizeof(rec);
    if (ev->tail - ev->head >= event_slots(ev) ||
        !vnpu_bus_write(c, slot, &rec, sizeof(rec))) {
        ev->dropped++;
        trace_vnpu_event_dropped(c->id, n, ev->dropped);
        return;
    }
    trace_vnpu_event(c->id, ev->tail, n, f->code);
    ev->tail++;
    vnpu_irq(c, VNPU_EVENT_VECTOR);
}
