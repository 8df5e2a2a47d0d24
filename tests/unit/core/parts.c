/* SPDX-License-Identifier: MIT */
/*
 * Packets that run in parts, without threads and one pass at a time: how long
 * others wait for them, who is found on an engine, and what they compute.
 */

#include <stdio.h>
#include "world.h"

#define HDR(op, type, flags) \
    ((op) | (flags) << VNPU_PKT_HDR_FLAGS_SHIFT | \
     (uint32_t)(sizeof(struct type) / 4) << VNPU_PKT_HDR_DWORDS_SHIFT)
#define PHYS_VRAM (1ull << VNPU_PHYS_VRAM_BIT)
#define FENCES (8 * PAGE)
#define COMMANDS (16 * PAGE)            /* a page for each queue */
#define EVENTS (9 * PAGE)
#define PART (512u * 1024)
/* parts of one queue's packet before an equal has its turn */
#define TURN 4

static World w;
static int64_t now;

/* vnpu_run() makes one pass and takes its time to be over */
int64_t get_clock(void)
{
    return now += 1000000000;
}

static bool step(void)
{
    bool kicked = world_take_kick(&w);

    if (!kicked && !w.wake) {
        return false;
    }
    if (w.wake) {
        w.wake = false;
        vnpu_wake(w.core);
    }
    vnpu_run(w.core);
    return true;
}

static uint32_t queue_reg(unsigned n, unsigned reg)
{
    return vnpu_reg_read(w.core, VNPU_QUEUE(n) + reg);
}

static uint32_t progress(unsigned n)
{
    return queue_reg(n, VNPU_QUEUE_REG_PROGRESS);
}

static bool done(unsigned n)
{
    return queue_reg(n, VNPU_QUEUE_REG_FENCE_LO) == 1;
}

/* Enable queue @n with a command buffer of one packet, and a fence */
static void submit(unsigned n, unsigned engine, unsigned priority,
                   const void *packet, unsigned len)
{
    struct vnpu_pkt_ring_indirect indirect = {
        .hdr = HDR(VNPU_OP_RING_INDIRECT, vnpu_pkt_ring_indirect, 0),
        .addr = COMMANDS + n * PAGE, .size = len,
    };
    struct vnpu_pkt_ring_fence fence = {
        .hdr = HDR(VNPU_OP_RING_FENCE, vnpu_pkt_ring_fence, 0),
        .addr = FENCES + n * sizeof(struct vnpu_rec_fence), .value = 1,
    };

    memcpy(w.ram + COMMANDS + n * PAGE, packet, len);
    memcpy(w.ram + n * PAGE, &indirect, sizeof(indirect));
    memcpy(w.ram + n * PAGE + sizeof(indirect), &fence, sizeof(fence));
    wr64(&w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_BASE_LO, n * PAGE);
    wr(&w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONFIG,
       4 | engine << VNPU_QUEUE_CONFIG_ENGINE_SHIFT |
       priority << VNPU_QUEUE_CONFIG_PRIORITY_SHIFT);
    wr(&w, VNPU_QUEUE(n) + VNPU_QUEUE_REG_CONTROL,
       VNPU_QUEUE_CONTROL_ENABLE_MASK);
    wr(&w, VNPU_DOORBELL_BASE + n * VNPU_DOORBELL_STRIDE, 2);
}

static void submit_fill(unsigned n, unsigned priority, uint64_t dst,
                        uint64_t size)
{
    struct vnpu_pkt_fill fill = {
        .hdr = HDR(VNPU_OP_FILL, vnpu_pkt_fill, 0), .pattern = n,
        .dst = PHYS_VRAM | dst, .size = size,
    };

    submit(n, COPY, priority, &fill, sizeof(fill));
}

static void begin(const char *name)
{
    snprintf(world_case, sizeof(world_case), "%s", name);
    world_start(&w, true);
    vnpu_core_reset(w.core);
    /* what the case before has asked for */
    vnpu_wake(w.core);
    for (unsigned i = 0; i < VRAM_SIZE; i++) {
        w.vram[i] = i * 7 + i / 1021;
    }
}

static void end(void)
{
    printf("%s: 1\n", world_case);
}

/* A row is as long as it likes */

static struct vnpu_pkt_copy_2d one_row(uint32_t bytes)
{
    return (struct vnpu_pkt_copy_2d) {
        .hdr = HDR(VNPU_OP_COPY_2D, vnpu_pkt_copy_2d, 0), .rows = 1,
        .src = PHYS_VRAM, .dst = PHYS_VRAM | VRAM_SIZE / 2,
        .src_stride = bytes, .dst_stride = bytes, .row_bytes = bytes,
    };
}

static void test_important_packet_waits_for_a_part_of_a_row(void)
{
    struct vnpu_pkt_copy_2d p = one_row(3 * PART);

    begin("important packet and a long row");
    submit(0, COPY, VNPU_PRIORITY_LOW, &p, sizeof(p));
    while (progress(0) < 1) {
        CHECK(step());
    }
    submit_fill(2, VNPU_PRIORITY_KERNEL, VRAM_SIZE - PAGE, 64);
    while (!done(2)) {
        CHECK(step());
    }
    CHECK(progress(0) <= 2 && !done(0));
    while (step()) {
    }
    CHECK(done(0) && progress(0) == 3 + 2);
    CHECK(!memcmp(w.vram + VRAM_SIZE / 2, w.vram, 3 * PART));
    end();
}

/* Parts that begin and end inside of rows */
static void test_rows_that_are_cut(void)
{
    static const struct { uint32_t rows, bytes, src, dst; } shapes[] = {
        { 3, 400001, 400003, 400007 }, { 1, PART + 1, PART + 1, PART + 1 },
        { 7, 250000, 250000, 280000 }, { 9000, 100, 101, 203 },
        { 2, PART, PART, PART + 64 }, { 5, 3, 4096, 8192 },
    };
    static uint8_t want[VRAM_SIZE];

    begin("rows that are cut");
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        struct vnpu_pkt_copy_2d p = one_row(shapes[i].bytes);

        p.rows = shapes[i].rows;
        p.src_stride = shapes[i].src;
        p.dst_stride = shapes[i].dst;
        memcpy(want, w.vram, VRAM_SIZE);
        for (unsigned r = 0; r < p.rows; r++) {
            memcpy(want + VRAM_SIZE / 2 + r * p.dst_stride,
                   w.vram + r * p.src_stride, p.row_bytes);
        }
        submit(0, COPY, VNPU_PRIORITY_NORMAL, &p, sizeof(p));
        while (step()) {
        }
        CHECK(done(0));
        CHECK(!memcmp(want, w.vram, VRAM_SIZE));
        vnpu_core_reset(w.core);
    }
    end();
}

/* Turns */

static void test_equals_take_turns(void)
{
    uint32_t seen[2] = { 0, 0 };
    unsigned last = 0, streak = 0, turns = 0, longest = 0;

    begin("equals take turns");
    submit_fill(0, VNPU_PRIORITY_NORMAL, 0, 7 * PART);
    submit_fill(2, VNPU_PRIORITY_NORMAL, 0, 7 * PART);
    while (!done(0) && !done(2)) {
        CHECK(step());
        for (unsigned i = 0; i < 2; i++) {
            if (progress(2 * i) == seen[i]) {
                continue;
            }
            seen[i] = progress(2 * i);
            streak = last == i ? streak + 1 : 1;
            turns += last != i;
            last = i;
            longest = MAX(longest, streak);
        }
    }
    CHECK(turns >= 2 && longest == TURN);
    end();
}

static void test_turn_survives_an_important_packet(void)
{
    begin("turn and an important packet");
    submit_fill(0, VNPU_PRIORITY_NORMAL, 0, 7 * PART);
    while (progress(0) < 2) {
        CHECK(step());
    }
    submit_fill(2, VNPU_PRIORITY_NORMAL, 0, 7 * PART);
    submit_fill(3, VNPU_PRIORITY_KERNEL, 0, 64);
    while (!done(3)) {
        CHECK(step());
    }
    CHECK(progress(2) == 0);
    while (progress(0) < TURN) {
        CHECK(step());
        CHECK(progress(2) == 0);
    }
    while (progress(2) < 2) {
        CHECK(step());
        CHECK(progress(0) == TURN);
    }
    end();
}

/* Who is on an engine */

static uint32_t engine_status(void)
{
    return vnpu_reg_read(w.core, VNPU_ENGINE(COPY) + VNPU_ENGINE_REG_STATUS);
}

static uint32_t on_engine(unsigned n)
{
    return VNPU_ENGINE_STATUS_BUSY_MASK | n << VNPU_ENGINE_STATUS_QUEUE_SHIFT;
}

static uint32_t fault(unsigned n)
{
    return VNPU_GET(queue_reg(n, VNPU_QUEUE_REG_STATUS),
                    VNPU_QUEUE_STATUS_FAULT);
}

static void reset_engine(void)
{
    wr(&w, VNPU_ENGINE(COPY) + VNPU_ENGINE_REG_CONTROL,
       VNPU_ENGINE_CONTROL_RESET_MASK);
}

/* The last one that the engine has served is another queue's */
static void test_parked_packet_is_on_the_engine(void)
{
    begin("parked packet");
    submit_fill(0, VNPU_PRIORITY_LOW, 0, 7 * PART);
    while (progress(0) < 2) {
        CHECK(step());
    }
    submit_fill(2, VNPU_PRIORITY_NORMAL, 0, 7 * PART);
    submit_fill(3, VNPU_PRIORITY_KERNEL, 0, 64);
    while (progress(2) < 2) {
        CHECK(step());
    }
    while (w.core->engine[COPY].busy) {
        CHECK(step());
    }
    CHECK(engine_status() == on_engine(2));
    reset_engine();
    CHECK(fault(2) == VNPU_FAULT_RESET && !fault(0) && !fault(3));
    CHECK(engine_status() == on_engine(0));
    reset_engine();
    CHECK(fault(0) == VNPU_FAULT_RESET);
    CHECK(engine_status() == 0);
    end();
}

/* A product in parts of one step each: what is kept of b is that of the step */
static void test_product_in_steps(void)
{
    enum { M = 1100, N = 1030, K = 330, A = 0, B = 0x80000, C = 0x100000 };
    struct vnpu_pkt_gemm p = {
        .hdr = HDR(VNPU_OP_GEMM, vnpu_pkt_gemm, 0), .dtype = VNPU_DTYPE_I8,
        .a = PHYS_VRAM | A, .b = PHYS_VRAM | B, .c = PHYS_VRAM | C,
        .m = M / 2, .n = N / 2, .k = K, .lda = K, .ldb = N, .ldc = N / 2,
    };
    const int8_t *a, *b;

    begin("product in steps");
    for (unsigned round = 0; round < 2; round++) {
        p.m = round ? M : M / 2;
        p.n = round ? 600 : N;
        p.ldb = p.ldc = p.n;
        memset(w.vram + B, 0x31 + round, 8);
        submit(1, TENSOR, VNPU_PRIORITY_NORMAL, &p, sizeof(p));
        while (step()) {
        }
        CHECK(done(1));
        a = (int8_t *)w.vram + A;
        b = (int8_t *)w.vram + B;
        for (unsigned i = 0; i < p.m; i += 37) {
            for (unsigned j = 0; j < p.n; j++) {
                int32_t sum = 0, got;

                for (unsigned k = 0; k < K; k++) {
                    sum += a[i * K + k] * b[k * p.n + j];
                }
                memcpy(&got, w.vram + C + (i * p.n + j) * 4, 4);
                CHECK((int32_t)le32_to_cpu(got) == sum);
            }
        }
        vnpu_core_reset(w.core);
    }
    end();
}

/* Entries may take long, an INVALIDATE some ms: time is up in the middle too */
static void test_time_is_up_between_two_queues(void)
{
    unsigned begun;

    begin("time between queues");
    for (unsigned n = 0; n < QUEUES; n++) {
        submit_fill(n, VNPU_PRIORITY_NORMAL, 0, 64);
    }
    for (unsigned i = 1; i <= QUEUES; i++) {
        CHECK(step());
        begun = 0;
        for (unsigned n = 0; n < QUEUES; n++) {
            begun += !!w.core->queue[n].cmd_size;
        }
        CHECK(begun == i);
    }
    while (step()) {
    }
    for (unsigned n = 0; n < QUEUES; n++) {
        CHECK(done(n));
    }
    end();
}

int main(void)
{
    world_start(&w, true);
    test_important_packet_waits_for_a_part_of_a_row();
    test_rows_that_are_cut();
    test_equals_take_turns();
    test_turn_survives_an_important_packet();
    test_parked_packet_is_on_the_engine();
    test_product_in_steps();
    test_time_is_up_between_two_queues();
    world_end(&w);
    return 0;
}
