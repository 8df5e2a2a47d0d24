/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the core of the device with libFuzzer.
 *
 * An input is a list of records of 16 bytes: what a guest, the bus and the
 * machine do. Some are followed by data. run.py builds this, and seeds.py makes
 * the first inputs of what the tests over qtest do.
 */

#include "records.h"
#include "surroundings.h"

/* What is to be covered is the device, not this */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#define MAX_DATA 4096u
#define COMMANDS 0x300000u              /* in RAM: a page of commands for each queue */
#define ROUNDS 6u

/* What comes back from an access to memory */

static Record hook_record;

static void hook_reset(World *w)
{
    vnpu_core_reset(w->core);
}

static void hook_pause(World *w)
{
    vnpu_core_pause(w->core, hook_record.b & 1);
}

static void hook_bus_off(World *w)
{
    vnpu_core_bus_off(w->core);
}

static void hook_write(World *w)
{
    vnpu_reg_write(w->core, hook_record.y & (VNPU_BAR_REGS_SIZE - 4), hook_record.x);
}

static void hook_read(World *w)
{
    vnpu_reg_read(w->core, hook_record.y & (VNPU_BAR_REGS_SIZE - 4));
}

static void hook_settle(World *w)
{
    CHECK(!vnpu_core_settle(w->core));
}

static void hook_unplug(World *w)
{
    world_exit(w);
}

static void hook_memory(World *w)
{
    /* the guest changes what is being read */
    world_write_ram(w, hook_record.y, &hook_record, sizeof(hook_record));
}

static void hook_unmap(World *w)
{
    vnpu_core_bus_unmap(w->core, hook_record.y, UINT64_MAX);
}

static void (*const hooks[])(World *w) = {
    hook_reset, hook_pause, hook_bus_off, hook_write, hook_read, hook_settle, hook_unplug,
    hook_memory, hook_unmap,
};

static void do_hook(World *w, const Record *r)
{
    hook_record = *r;
    w->hook = hooks[r->a % ARRAY_SIZE(hooks)];
    w->hook_refuses = r->c & 1;
    w->hook_at = w->accesses + 1 + r->x % 64;
}

/* Registers */

static void do_write(World *w, const Record *r)
{
    vnpu_reg_write(w->core, r->x & (VNPU_BAR_REGS_SIZE - 4), r->y);
}

static void do_read(World *w, const Record *r)
{
    vnpu_reg_read(w->core, r->x & (VNPU_BAR_REGS_SIZE - 4));
}

static void write64(World *w, uint64_t reg, uint64_t val)
{
    vnpu_reg_write(w->core, reg, val);
    vnpu_reg_write(w->core, reg + 4, val >> 32);
}

static void pass(World *w, uint64_t ns)
{
    w->clock += ns;
    w->kicked |= w->run_at <= w->clock;
}

/* A queue that works, of context @c on engine @a, its ring and commands in RAM or VRAM */
static void do_setup(World *w, const Record *r)
{
    unsigned n = r->b % VNPU_MAX_QUEUES;
    uint32_t log2 = 4 + r->x % 3, config;

    config = log2 | (r->a & 1) << VNPU_QUEUE_CONFIG_ENGINE_SHIFT |
             (r->x >> 8 & 3) << VNPU_QUEUE_CONFIG_PRIORITY_SHIFT |
             (r->a & 2 ? VNPU_QUEUE_CONFIG_VRAM_MASK : 0);
    vnpu_reg_write(w->core, VNPU_CTX(r->c) + VNPU_CTX_REG_CONTROL, VNPU_CTX_CONTROL_VALID_MASK);
    vnpu_reg_write(w->core, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTROL,
                   VNPU_QUEUE_CONTROL_RESET_MASK);
    pass(w, 1000 * 1000);
    write64(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_BASE_LO, 0x200000 + n * 2 * PAGE);
    vnpu_reg_write(w->core, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONFIG, config);
    vnpu_reg_write(w->core, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTEXT, r->c);
    vnpu_reg_write(w->core, VNPU_QUEUE(n) + VNPU_QUEUE_REG_VECTOR, n + 1);
    vnpu_reg_write(w->core, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTROL,
                   VNPU_QUEUE_CONTROL_ENABLE_MASK);
    pass(w, 1000 * 1000);
    vnpu_reg_read(w->core, VNPU_REG_STATUS);
}

/* Page tables, in the last megabytes of VRAM, four pages for each context */

static uint64_t table_of(unsigned ctx, unsigned level)
{
    return VRAM_SIZE - (4ull << 20) + (ctx * 4 + level) * PAGE;
}

static void put_entry(World *w, unsigned ctx, unsigned level, uint64_t va, uint64_t entry)
{
    unsigned shift = VNPU_PAGE_SHIFT + level * VNPU_PT_BITS;
    uint64_t at = table_of(ctx, level) + (va >> shift) % VNPU_PT_ENTRIES * 8;

    world_write_vram(w, at, &entry, sizeof(entry));
}

/* Map @c pages from @x, as @a says, at @y; odd entries come from @a too */
static void do_map(World *w, const Record *r)
{
    unsigned ctx = r->b, leaf = r->a & 0x80 ? VNPU_PT_HUGE_LEVEL : 0;
    uint64_t page = 1ull << (VNPU_PAGE_SHIFT + leaf * VNPU_PT_BITS);

    write64(w, VNPU_CTX(ctx) + VNPU_CTX_REG_PT_LO, table_of(ctx, VNPU_PT_LEVELS - 1));
    for (unsigned level = VNPU_PT_LEVELS - 1; level > leaf; level--) {
        put_entry(w, ctx, level, r->y, table_of(ctx, level - 1) | VNPU_PTE_VALID_MASK |
                                       VNPU_PTE_VRAM_MASK);
    }
    for (unsigned i = 0; i <= r->c; i++) {
        uint64_t entry = ((uint64_t)r->x << VNPU_PAGE_SHIFT) + i * page;

        put_entry(w, ctx, leaf, r->y + i * page, entry | (r->a & 0x7f));
    }
}

/* Work */

/* Where the next entry of a queue's ring is */
static bool ring_write(World *w, VnpuQueue *q, const void *entry)
{
    uint64_t at = q->base + (uint64_t)(q->tail % vnpu_queue_entries(q)) * VNPU_RING_ENTRY_BYTES;

    return q->config & VNPU_QUEUE_CONFIG_VRAM_MASK ?
           world_write_vram(w, at, entry, VNPU_RING_ENTRY_BYTES) :
           world_write_ram(w, at, entry, VNPU_RING_ENTRY_BYTES);
}

static void ring_push(World *w, unsigned n, const void *entry)
{
    VnpuQueue *q = &w->core->queue[n];

    if (VNPU_GET(q->config, VNPU_QUEUE_CONFIG_LOG2) <= VNPU_RING_LOG2_MAX &&
        ring_write(w, q, entry)) {
        vnpu_reg_write(w->core, VNPU_DOORBELL_BASE + n * VNPU_DOORBELL_STRIDE, q->tail + 1);
    }
}

/* Data: a ring entry as it is */
static void do_entry(World *w, const Record *r, const uint8_t *data, unsigned len)
{
    uint8_t entry[VNPU_RING_ENTRY_BYTES] = {};

    memcpy(entry, data, MIN(len, sizeof(entry)));
    ring_push(w, r->b % VNPU_MAX_QUEUES, entry);
}

/* Data: packets. Their buffer is in RAM, which context 0 and, if mapped so, others see */
static void do_commands(World *w, const Record *r, const uint8_t *data, unsigned len)
{
    unsigned n = r->b % VNPU_MAX_QUEUES;
    uint64_t at = COMMANDS + n * PAGE;
    struct vnpu_pkt_ring_indirect entry = {
        .hdr = VNPU_OP_RING_INDIRECT | 8 << VNPU_PKT_HDR_DWORDS_SHIFT,
        .size = len & ~7u,
        .addr = r->y ? r->y : at,
    };

    world_write_ram(w, at, data, len);
    ring_push(w, n, &entry);
}

/* Loading a state: data are fields and their values */

typedef struct Field {
    size_t offset;
    size_t size;
} Field;

#define QUEUE_FIELD(f) { offsetof(VnpuQueue, f), sizeof(((VnpuQueue *)0)->f) }

static const Field queue_fields[] = {
    QUEUE_FIELD(base), QUEUE_FIELD(config), QUEUE_FIELD(context), QUEUE_FIELD(vector),
    QUEUE_FIELD(head), QUEUE_FIELD(tail), QUEUE_FIELD(progress), QUEUE_FIELD(fault),
    QUEUE_FIELD(fence), QUEUE_FIELD(fault_addr), QUEUE_FIELD(fault_ip), QUEUE_FIELD(busy_ns),
    QUEUE_FIELD(enabled), QUEUE_FIELD(waiting), QUEUE_FIELD(wanted), QUEUE_FIELD(until),
    /* from LOAD_PLACE on */
    QUEUE_FIELD(cmd_addr), QUEUE_FIELD(cmd_pos), QUEUE_FIELD(part_pos), QUEUE_FIELD(part_carry),
};

#define CORE_FIELD(f) { offsetof(VnpuCore, f), sizeof(((VnpuCore *)0)->f) }

static const Field core_fields[] = {
    CORE_FIELD(scratch), CORE_FIELD(timestamp_hi), CORE_FIELD(saved_at), CORE_FIELD(until),
    CORE_FIELD(irq[0]), CORE_FIELD(irq[1]), CORE_FIELD(irq[2]), CORE_FIELD(events.base),
    CORE_FIELD(events.config), CORE_FIELD(events.head), CORE_FIELD(events.tail),
    CORE_FIELD(events.dropped), CORE_FIELD(engine[0].turn[0].last), CORE_FIELD(engine[0].until),
    CORE_FIELD(engine[1].turn[1].last), CORE_FIELD(engine[1].until),
};

static void set_field(void *object, const Field *f, uint64_t value)
{
    /* a boolean is loaded as one */
    if (f->size == 1) {
        value = !!value;
    }
    memcpy((uint8_t *)object + f->offset, &value, f->size);
}

static void load_commands(VnpuQueue *q, const uint8_t *data, unsigned len)
{
    g_free(q->cmd);
    q->cmd_size = len & ~7u;
    q->cmd = g_memdup2(data, q->cmd_size);
}

static void load_field(VnpuCore *c, const Record *r)
{
    VnpuQueue *q = &c->queue[r->b % VNPU_MAX_QUEUES];
    unsigned nq = ARRAY_SIZE(queue_fields), nc = ARRAY_SIZE(core_fields);
    unsigned which = r->a % (nq + nc + 3);

    if (which < nq) {
        set_field(q, &queue_fields[which], r->y);
    } else if (which < nq + nc) {
        set_field(c, &core_fields[which - nq], r->y);
    } else if (which == nq + nc) {
        c->ctx[r->b].pt = r->y;
    } else if (which == nq + nc + 1) {
        c->ctx[r->b].valid = r->y & 1;
    } else {
        c->ctx[r->b].until = r->y;
        c->ctx[r->b].wanted = r->x & 1;
    }
}

/* The state before stays, apart from what the data change */
static void do_load(World *w, const Record *r, const uint8_t *data, unsigned len)
{
    VnpuCore *c = w->core;
    unsigned fields = MIN(r->b % 16, len / sizeof(Record));
    const uint8_t *rest = data + fields * sizeof(Record);

    vnpu_core_pause(c, true);
    if (!vnpu_core_settle(c)) {
        return;
    }
    if (r->a & 1) {
        vnpu_core_load_begin(c);
    }
    c->loading = true;
    w->loaded = true;
    /* what runs next is no part of what ran before, though the core counts on */
    memset(w->chain, 0, sizeof(w->chain));
    if (r->a & 2) {
        load_commands(&c->queue[r->c % VNPU_MAX_QUEUES], rest, len - fields * sizeof(Record));
    }
    for (unsigned i = 0; i < fields; i++) {
        Record field;

        memcpy(&field, data + i * sizeof(field), sizeof(field));
        load_field(c, &field);
    }
    /* sometimes its end never comes */
    if (!(r->a & 4)) {
        vnpu_core_load_end(c);
    }
    vnpu_core_pause(c, false);
}

/* Parts that are long, as with threads, are stopped half way: there are none */
static void do_reset(World *w, const Record *r)
{
    vnpu_core_reset(w->core);
    w->core->sync = !(r->a & 1);
}

static void do_mode(World *w, const Record *r)
{
    for (unsigned i = 0; i <= r->b; i++) {
        w->mode[(r->x + i) % (RAM_SIZE / PAGE)] = r->a % 3;
    }
}

static void do_bus(World *w, const Record *r)
{
    w->bus_on = r->a & 1;
    if (!w->bus_on) {
        vnpu_core_bus_off(w->core);
    }
}

static void do_poll(World *w)
{
    w->poll = false;
    vnpu_poll(w->core);
}

/* How many bytes of data follow a record */
static unsigned data_len(const Record *r)
{
    switch (r->op) {
    case OP_RAM:
    case OP_VRAM:
    case OP_ENTRY:
    case OP_COMMANDS:
    case OP_LOAD:
        return r->x % (MAX_DATA + 1);
    default:
        return 0;
    }
}

static void execute(World *w, const Record *r, const uint8_t *data, unsigned len)
{
    switch (r->op) {
    case OP_WRITE: do_write(w, r); break;
    case OP_READ: do_read(w, r); break;
    case OP_RAM: world_write_ram(w, r->y, data, len); break;
    case OP_VRAM: world_write_vram(w, r->y, data, len); break;
    case OP_CLOCK: pass(w, r->y % (2ull * 1000 * 1000 * 1000)); break;
    case OP_RUN: world_run(w, 1 + r->a % 16); break;
    case OP_POLL: do_poll(w); break;
    case OP_PAUSE: vnpu_core_pause(w->core, r->a & 1); break;
    case OP_BUS: do_bus(w, r); break;
    case OP_MODE: do_mode(w, r); break;
    case OP_HOOK: do_hook(w, r); break;
    case OP_RESET: do_reset(w, r); break;
    case OP_SETTLE: vnpu_core_settle(w->core); break;
    case OP_LOAD: do_load(w, r, data, len); break;
    case OP_EXIT: world_exit(w); break;
    case OP_SETUP: do_setup(w, r); break;
    case OP_MAP: do_map(w, r); break;
    case OP_ENTRY: do_entry(w, r, data, len); break;
    case OP_COMMANDS: do_commands(w, r, data, len); break;
    case OP_UNMAP: vnpu_core_bus_unmap(w->core, r->y, r->y + r->x); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool tell = getenv("VNPU_FUZZ_TELL");
    World *w = &world;

    world_begin(w);
    while (size >= sizeof(Record) && !w->gone) {
        Record r;
        unsigned len, padded;

        memcpy(&r, data, sizeof(r));
        r.op %= NUM_OPS;
        data += sizeof(r);
        size -= sizeof(r);
        len = MIN(data_len(&r), size);
        padded = MIN(DIV_ROUND_UP(len, sizeof(r)) * sizeof(r), size);
        if (tell) {
            record_print(&r, len);
        }
        execute(w, &r, data, len);
        /* a main loop would come by now and then */
        if (r.op != OP_RAM && r.op != OP_VRAM && r.op != OP_MODE) {
            world_run(w, ROUNDS);
        }
        data += padded;
        size -= padded;
    }
    world_check(w);
    return 0;
}

#pragma clang attribute pop
