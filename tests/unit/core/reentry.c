/* SPDX-License-Identifier: MIT */
/*
 * What happens when an access that the device makes comes back into it.
 *
 * For every kind of packet, for every access that the core makes on its behalf,
 * and for everything that the surroundings may do at that moment: run it, and
 * see that nothing is used after its end, given back twice or forgotten, that
 * a reset or unplug ends all accesses, and that what is not a reset changes no
 * result. "reentry threads" does it with engine threads, and fewer cases;
 * "reentry threads N" at every Nth access only.
 */

#include <stdio.h>
#include <unistd.h>
#include "world.h"

#define VA_BASE (1ull << 30)            /* host pages, then VRAM pages */
#define VRAM_DATA 0x100000u
#define TABLES 0x10000u
#define RINGS 0u
#define EVENTS (4 * PAGE)
#define FENCES (5 * PAGE)
#define WORDS (6 * PAGE)
#define COMMANDS (8 * PAGE)             /* a page for each queue */
#define DATA (64 * PAGE)
#define BAD (250 * PAGE)

#define VA(off) (VA_BASE + (off))
#define VA_VRAM(off) (VA_BASE + RAM_SIZE + (off))

#define DOORBELL(n) (VNPU_DOORBELL_BASE + (n) * VNPU_DOORBELL_STRIDE)

#define HDR(op, type, flags) \
    ((op) | (flags) << VNPU_PKT_HDR_FLAGS_SHIFT | \
     (uint32_t)(sizeof(struct type) / 4) << VNPU_PKT_HDR_DWORDS_SHIFT)

/* Packets; each is small but spread over pages of every mode */

typedef struct Buffer {
    uint8_t bytes[PAGE];
    unsigned len;
} Buffer;

static void add(Buffer *b, const void *packet, unsigned len)
{
    memcpy(b->bytes + b->len, packet, len);
    b->len += len;
}

#define ADD(b, ...) \
    do { __auto_type p_ = (__VA_ARGS__); add(b, &p_, sizeof(p_)); } while (0)

static void put_nop(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_nop) { .hdr = HDR(VNPU_OP_NOP, vnpu_pkt_nop, 0) });
}

static void put_signal(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_signal) {
        .hdr = HDR(VNPU_OP_SIGNAL, vnpu_pkt_signal, 0),
        .op = VNPU_SIGNAL_OP_ADD, .addr = VA(WORDS), .value = 1,
    });
}

static void put_wait(Buffer *b)
{
    put_signal(b);
    ADD(b, (struct vnpu_pkt_wait) {
        .hdr = HDR(VNPU_OP_WAIT, vnpu_pkt_wait, 0),
        .compare = VNPU_COMPARE_GE, .addr = VA(WORDS), .value = 1,
        .mask = UINT64_MAX,
    });
}

static void put_copy(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_copy) {
        .hdr = HDR(VNPU_OP_COPY, vnpu_pkt_copy, 0),
        .src = VA(DATA + 100), .dst = VA(DATA + 8 * PAGE + 33),
        .size = 3 * PAGE,
    });
}

static void put_copy_vram(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_copy) {
        .hdr = HDR(VNPU_OP_COPY, vnpu_pkt_copy, 0),
        .src = VA(DATA), .dst = VA_VRAM(PAGE / 2), .size = 2 * PAGE,
    });
}

static void put_copy_2d(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_copy_2d) {
        .hdr = HDR(VNPU_OP_COPY_2D, vnpu_pkt_copy_2d, 0), .rows = 4,
        .src = VA(DATA + 5), .dst = VA(DATA + 16 * PAGE + 4000),
        .src_stride = PAGE, .dst_stride = PAGE, .row_bytes = 200,
    });
}

static void put_fill(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_fill) {
        .hdr = HDR(VNPU_OP_FILL, vnpu_pkt_fill, 0), .pattern = 0x12345678,
        .dst = VA(DATA + 24 * PAGE + 8), .size = 2 * PAGE,
    });
}

static void put_gemm(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_gemm) {
        .hdr = HDR(VNPU_OP_GEMM, vnpu_pkt_gemm,
                   VNPU_GEMM_FLAG_BIAS | VNPU_GEMM_FLAG_ACCUMULATE),
        .dtype = VNPU_DTYPE_I8,
        .a = VA(DATA), .b = VA(DATA + 32 * PAGE), .c = VA(DATA + 40 * PAGE),
        .bias = VA(DATA + 4 * PAGE), .m = 4, .n = 16, .k = 3,
        .lda = PAGE, .ldb = PAGE, .ldc = PAGE / 4,
    });
}

static void put_eltwise(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_eltwise) {
        .hdr = HDR(VNPU_OP_ELTWISE, vnpu_pkt_eltwise, 0),
        .op = VNPU_ELTWISE_OP_ADD, .dtype = VNPU_DTYPE_I32,
        .a = VA(DATA), .b = VA(DATA + 48 * PAGE), .dst = VA(DATA + 52 * PAGE),
        .count = 2 * PAGE / 4,
    });
}

static void put_reduce(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_reduce) {
        .hdr = HDR(VNPU_OP_REDUCE, vnpu_pkt_reduce, 0),
        .op = VNPU_REDUCE_OP_SUM, .dtype = VNPU_DTYPE_I8,
        .src = VA(DATA), .dst = VA(DATA + 56 * PAGE + 4088),
        .rows = 4, .cols = 3000,
    });
}

static void put_bad_opcode(Buffer *b)
{
    put_nop(b);
    b->bytes[b->len - sizeof(struct vnpu_pkt_nop)] = 0xEE;
}

static void put_bad_dma(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_copy) {
        .hdr = HDR(VNPU_OP_COPY, vnpu_pkt_copy, 0),
        .src = VA(DATA), .dst = VA(BAD - PAGE), .size = 2 * PAGE,
    });
}

static void put_unmapped(Buffer *b)
{
    ADD(b, (struct vnpu_pkt_fill) {
        .hdr = HDR(VNPU_OP_FILL, vnpu_pkt_fill, 0),
        .dst = VA(BAD), .size = 64,
    });
    ADD(b, (struct vnpu_pkt_fill) {
        .hdr = HDR(VNPU_OP_FILL, vnpu_pkt_fill, 0),
        .dst = VA_BASE - 64, .size = 64,
    });
}

static void put_all_copy(Buffer *b)
{
    put_nop(b);
    put_wait(b);
    put_copy(b);
    put_copy_vram(b);
    put_copy_2d(b);
    put_fill(b);
}

static void put_all_tensor(Buffer *b)
{
    put_gemm(b);
    put_eltwise(b);
    put_reduce(b);
    put_signal(b);
}

static const struct Kind {
    const char *name;
    void (*put[2])(Buffer *b);          /* by engine; NULL: nothing */
} kinds[] = {
    { "NOP", { put_nop } },
    { "SIGNAL", { put_signal } },
    { "WAIT", { put_wait } },
    { "COPY", { put_copy } },
    { "COPY to VRAM", { put_copy_vram } },
    { "COPY_2D", { put_copy_2d } },
    { "FILL", { put_fill } },
    { "GEMM", { NULL, put_gemm } },
    { "ELTWISE", { NULL, put_eltwise } },
    { "REDUCE", { NULL, put_reduce } },
    { "bad opcode", { put_bad_opcode } },
    { "bad DMA", { put_bad_dma } },
    { "bad address", { put_unmapped } },
    { "all", { put_all_copy, put_all_tensor } },
};

#define FILL 6
#define ALL (ARRAY_SIZE(kinds) - 1)

/* A machine with this work in its queues */

static void fill_memory(World *w)
{
    static uint8_t data[RAM_SIZE];
    uint8_t *table = w->vram + TABLES;
    uint64_t flags = VNPU_PTE_VALID_MASK | VNPU_PTE_LEAF_MASK |
                     VNPU_PTE_WRITE_MASK;

    for (unsigned i = DATA; !data[DATA + 1] && i < RAM_SIZE; i++) {
        data[i] = i * 7 + i / PAGE;
    }
    memcpy(w->ram, data, RAM_SIZE);
    for (unsigned i = 0; i < RAM_SIZE / PAGE; i++) {
        w->mode[i] = i % 2 ? PAGE_BOUNCED : PAGE_MAPPED;
    }
    w->mode[BAD / PAGE] = PAGE_NONE;
    for (int level = 0; level < VNPU_PT_LEVELS - 1; level++) {
        unsigned shift = VNPU_PAGE_SHIFT +
                         (VNPU_PT_LEVELS - 1 - level) * VNPU_PT_BITS;

        put64(table + level * PAGE + (VA_BASE >> shift) % VNPU_PT_ENTRIES * 8,
              VNPU_PTE_VALID_MASK | VNPU_PTE_VRAM_MASK |
              (TABLES + (level + 1) * PAGE));
    }
    table += (VNPU_PT_LEVELS - 1) * PAGE;
    for (unsigned i = 0; i < RAM_SIZE / PAGE; i++) {
        put64(table + i * 8, flags | i * PAGE);
        put64(table + (i + RAM_SIZE / PAGE) * 8,
              flags | VNPU_PTE_VRAM_MASK | (VRAM_DATA + i * PAGE));
    }
}

static void put_entry(World *w, unsigned n, unsigned *tail, const void *entry)
{
    memcpy(w->ram + RINGS + n * PAGE + *tail * VNPU_RING_ENTRY_BYTES, entry,
           VNPU_RING_ENTRY_BYTES);
    ++*tail;
}

/* Run the commands, fence, invalidate; twice */
static unsigned fill_ring(World *w, unsigned n, void (*put)(Buffer *b))
{
    struct vnpu_pkt_ring_indirect indirect = {
        .hdr = HDR(VNPU_OP_RING_INDIRECT, vnpu_pkt_ring_indirect, 0),
        .addr = VA(COMMANDS + n * PAGE),
    };
    struct vnpu_pkt_ring_fence fence = {
        .hdr = HDR(VNPU_OP_RING_FENCE, vnpu_pkt_ring_fence,
                   VNPU_RING_FENCE_FLAG_IRQ),
        .addr = FENCES + n * sizeof(struct vnpu_rec_fence),
    };
    struct vnpu_pkt_ring_invalidate invalidate = {
        .hdr = HDR(VNPU_OP_RING_INVALIDATE, vnpu_pkt_ring_invalidate,
                   VNPU_RING_INVALIDATE_FLAG_CONTEXT),
        .context = 1,
    };
    Buffer b = { .len = 0 };
    unsigned tail = 0;

    put(&b);
    memcpy(w->ram + COMMANDS + n * PAGE, b.bytes, b.len);
    indirect.size = b.len;
    for (int i = 1; i <= 2; i++) {
        put_entry(w, n, &tail, &indirect);
        fence.value = i;
        put_entry(w, n, &tail, &fence);
        put_entry(w, n, &tail, &invalidate);
    }
    return tail;
}

static void setup_queue(World *w, unsigned n, unsigned engine)
{
    wr64(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_BASE_LO, RINGS + n * PAGE);
    wr(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONFIG,
       4 | engine << VNPU_QUEUE_CONFIG_ENGINE_SHIFT);
    wr(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTEXT, 1);
    wr(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_VECTOR, 1 + n);
    wr(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTROL,
       VNPU_QUEUE_CONTROL_ENABLE_MASK);
}

static void setup_device(World *w)
{
    wr64(w, VNPU_CTX(1) + VNPU_CTX_REG_PT_LO, TABLES);
    wr(w, VNPU_CTX(1) + VNPU_CTX_REG_CONTROL, VNPU_CTX_CONTROL_VALID_MASK);
    wr64(w, VNPU_REG_EVENT_BASE_LO, EVENTS);
    wr(w, VNPU_REG_EVENT_CONFIG, 4 | VNPU_EVENT_CONFIG_ENABLE_MASK);
}

/* Queues 0 and 2 on the copy engine, 1 and 3 on the tensor engine */
static void start(World *w, const struct Kind *kind)
{
    setup_device(w);
    for (unsigned n = 0; n < QUEUES; n++) {
        if (kind->put[n % 2]) {
            setup_queue(w, n, n % 2);
            wr(w, DOORBELL(n), fill_ring(w, n, kind->put[n % 2]));
        }
    }
}

/* Clock: vnpu_run() makes one pass and takes its time to be over */

static bool stepping;
static unsigned calm;

int64_t get_clock(void)
{
    struct timespec ts;

    if (stepping) {
        return calm ? calm--, 0 : 1000000000;
    }
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* What the shell does when it is kicked; false: nothing to do */
static bool step(World *w)
{
    bool kicked = world_take_kick(w);
    unsigned vector;

    if (!kicked && !w->poll && !w->wake) {
        return false;
    }
    if (w->poll) {
        w->poll = false;
        vnpu_poll(w->core);
    }
    if (w->wake) {
        w->wake = false;
        vnpu_wake(w->core);
    }
    calm = 1;
    vnpu_run(w->core);
    while (vnpu_irq_next(w->core, &vector)) {
        w->irqs++;
    }
    return true;
}

static bool busy(World *w)
{
    return vnpu_reg_read(w->core, VNPU_REG_STATUS) & VNPU_STATUS_BUSY_MASK;
}

/* A step, or a moment for the engines to work in; false: nothing to do */
static bool step_or_wait(World *w)
{
    if (step(w)) {
        return true;
    }
    if (stepping || !busy(w) || w->core->paused) {
        return false;
    }
    usleep(50);
    return true;
}

static void run(World *w, unsigned steps)
{
    while (steps-- && step_or_wait(w)) {
    }
}

/* Until the device has nothing to do: an engine may get no CPU for seconds */
static void run_all(World *w)
{
    time_t end = time(NULL) + 120;

    while (step_or_wait(w)) {
        CHECK(time(NULL) < end);
    }
}

/* What may come back */

static void do_reset(World *w)
{
    vnpu_core_reset(w->core);
    w->no_access = true;
}

static void do_pause(World *w)
{
    vnpu_core_pause(w->core, true);
}

static void do_nap(World *w)
{
    vnpu_core_pause(w->core, true);
    vnpu_core_pause(w->core, false);
}

static void do_bus_off(World *w)
{
    w->bus_on = false;
    vnpu_core_bus_off(w->core);
}

static void do_exit(World *w)
{
    vnpu_core_exit(w->core);
    w->no_access = true;
}

static void do_run(World *w)
{
    CHECK(!vnpu_core_settle(w->core));
    vnpu_poll(w->core);
    vnpu_run(w->core);
}

static void do_writes(World *w)
{
    wr(w, VNPU_REG_CONTROL, VNPU_CONTROL_RESET_MASK);
    wr(w, VNPU_REG_EVENT_CONFIG, 0);
    wr(w, VNPU_CTX(1) + VNPU_CTX_REG_CONTROL, 0);
    for (unsigned i = 0; i < 2; i++) {
        wr(w, VNPU_ENGINE(i) + VNPU_ENGINE_REG_CONTROL,
           VNPU_ENGINE_CONTROL_RESET_MASK);
    }
    for (unsigned n = 0; n < QUEUES; n++) {
        wr(w, DOORBELL(n), 1000);
        wr(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTROL, 0);
        wr(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTROL,
           VNPU_QUEUE_CONTROL_RESET_MASK);
    }
    for (uint64_t addr = 0; addr < VNPU_BAR_REGS_SIZE; addr += 4) {
        vnpu_reg_read(w->core, addr);
    }
}

/* A domain flush: all that was mapped may be gone, and is still there */
static void do_flush(World *w)
{
    vnpu_core_bus_unmap(w->core, 0, UINT64_MAX);
    CHECK(g_hash_table_size(w->maps) == 0);
}

/* One page less, which the device only fills: nothing is written to it any more */
#define TAKEN (DATA + 24 * PAGE)

static void do_unmap(World *w)
{
    vnpu_core_bus_unmap(w->core, TAKEN, TAKEN + PAGE - 1);
    world_check_unlent(w, TAKEN, TAKEN + PAGE - 1);
    w->mode[TAKEN / PAGE] = PAGE_NONE;
    memset(w->ram + TAKEN, 0xAA, PAGE);
}

static void do_everything(World *w)
{
    do_flush(w);
    do_pause(w);
    do_bus_off(w);
    do_writes(w);
    do_run(w);
    do_reset(w);
    do_nap(w);
    do_exit(w);
    do_pause(w);
    do_bus_off(w);
    do_reset(w);
}

enum { RESET = 1, EXIT = 2, PAUSE = 4, BUS_OFF = 8, UNMAP = 16 };

static const struct Action {
    const char *name;
    void (*run)(World *w);
    unsigned is;
} actions[] = {
    { "reset", do_reset, RESET },
    { "unplug", do_exit, EXIT },
    { "sleep", do_pause, PAUSE },
    { "sleep and wake", do_nap, 0 },
    { "bus off", do_bus_off, BUS_OFF },
    { "register writes", do_writes, 0 },
    { "run", do_run, 0 },
    { "domain flush", do_flush, 0 },
    { "unmap", do_unmap, UNMAP },
    { "everything", do_everything, EXIT | RESET | PAUSE | BUS_OFF },
};

/* What the surroundings may be doing when the access is made */

static void outer_queue_reset(World *w)
{
    for (unsigned n = 0; n < QUEUES; n++) {
        wr(w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTROL,
           VNPU_QUEUE_CONTROL_RESET_MASK);
    }
}

static void outer_engine_reset(World *w)
{
    for (unsigned i = 0; i < 2; i++) {
        wr(w, VNPU_ENGINE(i) + VNPU_ENGINE_REG_CONTROL,
           VNPU_ENGINE_CONTROL_RESET_MASK);
    }
}

static void outer_doorbell(World *w)
{
    wr(w, DOORBELL(0), 1000);
}

static void outer_control(World *w)
{
    wr(w, VNPU_REG_CONTROL, VNPU_CONTROL_RESET_MASK);
}

static void outer_sleep(World *w)
{
    vnpu_core_pause(w->core, true);
}

static void outer_bus_off(World *w)
{
    vnpu_core_bus_off(w->core);
}

static void outer_save(World *w)
{
    vnpu_core_settle(w->core);
}

static void outer_exit(World *w)
{
    vnpu_core_exit(w->core);
}

static const struct Outer {
    const char *name;
    void (*run)(World *w);
} outers[] = {
    { "queue reset", outer_queue_reset },
    { "engine reset", outer_engine_reset },
    { "bad doorbell", outer_doorbell },
    { "device reset", outer_control },
    { "falling asleep", outer_sleep },
    { "bus going off", outer_bus_off },
    { "saving", outer_save },
    { "unplugging", outer_exit },
};

static bool engines_idle(const World *w)
{
    return !w->core->engine[COPY].busy && !w->core->engine[TENSOR].busy;
}

/* After the outermost call has returned */
static void check_after(World *w, const struct Action *a)
{
    VnpuCore *c = w->core;

    CHECK(c->depth == 0 && c->deferred == 0);
    if (a->is & ~UNMAP) {
        CHECK(g_hash_table_size(w->maps) == 0);
    }
    if (a->is & (RESET | EXIT | PAUSE)) {
        CHECK(engines_idle(w));
    }
    if (stepping && (a->is & (RESET | EXIT | PAUSE | BUS_OFF))) {
        /* nothing has been started that was to stop at once */
        CHECK(world_execs() == w->execs);
    }
    if (a->is & (PAUSE | EXIT)) {
        CHECK(vnpu_core_paused(c));
    }
    if (a->is & (RESET | EXIT)) {
        for (unsigned n = 0; n < QUEUES; n++) {
            CHECK(vnpu_queue_state(c, n) == VNPU_QUEUE_STATE_DISABLED);
            CHECK(!c->queue[n].cmd && !c->queue[n].head);
        }
        CHECK(!c->ctx[1].valid && !c->events.config && !c->irq[0]);
        CHECK(w->irq_clears);
    }
    if (a->is == RESET) {
        w->no_access = false;
    }
}

/* It works, as it did at first */
static void check_alive(World *w)
{
    uint64_t value;

    w->armed = false;
    w->bus_on = true;
    vnpu_core_pause(w->core, false);
    vnpu_core_reset(w->core);
    put64(w->ram + FENCES, 0);
    start(w, &kinds[FILL]);
    run_all(w);
    memcpy(&value, w->ram + FENCES, sizeof(value));
    CHECK(value == 2);
}

static uint8_t *expected[ARRAY_SIZE(kinds)];

/* All memory of the host, without the time that the fences tell */
static const uint8_t *result(World *w)
{
    for (unsigned n = 0; n < QUEUES; n++) {
        put64(w->ram + FENCES + n * sizeof(struct vnpu_rec_fence) + 8, 0);
    }
    return w->ram;
}

static void check_result(World *w, unsigned kind)
{
    CHECK(!memcmp(result(w), expected[kind], RAM_SIZE));
}

/* Accesses that were on their way when it was unplugged do nothing */
static void check_dead(World *w)
{
    world_take_kick(w);
    do_writes(w);
    wr(w, VNPU_REG_SCRATCH, 1);
    CHECK(vnpu_reg_read(w->core, VNPU_REG_SCRATCH) == 0);
    CHECK(!world_take_kick(w));
}

static void check_taken(World *w)
{
    for (unsigned i = 0; i < PAGE; i++) {
        CHECK(w->ram[TAKEN + i] == 0xAA);
    }
    w->mode[TAKEN / PAGE] = PAGE_MAPPED;
}

static void finish(World *w, const struct Action *a, int kind)
{
    if (w->fired && (a->is & EXIT)) {
        run(w, 100);
        check_dead(w);
        world_unplugged(w);
        return;
    }
    if (w->fired && (a->is & UNMAP)) {
        run_all(w);
        check_taken(w);
    } else if (kind >= 0 && !w->refuse &&
               !(w->fired && (a->is & (RESET | BUS_OFF)))) {
        vnpu_core_pause(w->core, false);
        run_all(w);
        check_result(w, kind);
    }
    check_alive(w);
    vnpu_core_reset(w->core);
}

static World w;

/* The access number @at of this work; false if there are not so many */
static bool one_access(unsigned kind, const struct Action *a, unsigned at,
                       bool refuse, bool sync)
{

    snprintf(world_case, sizeof(world_case), "%s, %s at access %u%s",
             kinds[kind].name, a->name, at, refuse ? " that fails" : "");
    world_start(&w, sync);
    fill_memory(&w);
    world_arm(&w, at, refuse, a->run);
    start(&w, &kinds[kind]);
    if (w.fired) {
        check_after(&w, a);
    }
    while (!w.fired && step_or_wait(&w)) {
        if (w.fired) {
            check_after(&w, a);
        }
    }
    finish(&w, a, sync || kind != ALL ? kind : -1);
    return w.fired;
}

/* As before, but @outer happens after @steps and makes the access */
static bool one_outer(const struct Outer *outer, unsigned steps,
                      const struct Action *a, unsigned at, bool refuse,
                      bool sync)
{

    snprintf(world_case, sizeof(world_case),
             "%s after %u steps, %s at access %u%s", outer->name, steps,
             a->name, at, refuse ? " that fails" : "");
    world_start(&w, sync);
    fill_memory(&w);
    start(&w, &kinds[ALL]);
    run(&w, steps);
    world_arm(&w, at, refuse, a->run);
    outer->run(&w);
    w.armed = false;
    if (w.fired) {
        check_after(&w, a);
    }
    if (outer->run == outer_exit) {
        check_dead(&w);
        world_unplugged(&w);
    } else {
        finish(&w, a, -1);
    }
    return w.fired;
}

static void expect(unsigned kind, bool sync)
{

    snprintf(world_case, sizeof(world_case), "%s", kinds[kind].name);
    world_start(&w, sync);
    fill_memory(&w);
    start(&w, &kinds[kind]);
    run_all(&w);
    expected[kind] = malloc(RAM_SIZE);
    memcpy(expected[kind], result(&w), RAM_SIZE);
    vnpu_core_reset(w.core);
}

/* How many accesses to go on by */
static unsigned stride;

static unsigned all_accesses(unsigned kind, bool sync)
{
    unsigned runs = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(actions); i++) {
        for (int refuse = 0; refuse < 1 + sync; refuse++) {
            for (unsigned at = 1;
                 one_access(kind, &actions[i], at, refuse, sync);
                 at += stride) {
                runs++;
            }
        }
    }
    printf("%s: %u\n", kinds[kind].name, runs);
    fflush(stdout);
    return runs;
}

static unsigned all_steps(const struct Outer *outer, bool sync)
{
    unsigned runs = 0;

    for (unsigned steps = 1; steps < 24; steps += sync ? 1 : 5) {
        for (unsigned i = 0; i < ARRAY_SIZE(actions); i++) {
            for (int refuse = 0; refuse < 1 + sync; refuse++) {
                for (unsigned at = 1; one_outer(outer, steps, &actions[i], at,
                                                refuse, sync); at++) {
                    runs++;
                }
            }
        }
    }
    printf("%s: %u\n", outer->name, runs);
    fflush(stdout);
    return runs;
}

int main(int argc, char **argv)
{
    bool sync = argc < 2;

    stride = argc > 2 ? atoi(argv[2]) : 1;
    stepping = sync;
    for (unsigned kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        expect(kind, sync);
        if (sync || kind == ALL) {
            all_accesses(kind, sync);
        }
    }
    for (unsigned i = 0; stride == 1 && i < ARRAY_SIZE(outers); i++) {
        all_steps(&outers[i], sync);
    }
    for (unsigned kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        free(expected[kind]);
    }
    world_end(&w);
    return 0;
}
