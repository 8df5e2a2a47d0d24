/* SPDX-License-Identifier: MIT */
/*
 * How libFuzzer changes an input: by whole records, so that what follows stays
 * what it is, with values that mean something to the device. What LLVM's own
 * mutations do to the bytes of one record, or of all, is in it too.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "vnpu_hw.h"

/* What is to be covered is the device, not this */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#define MAX_RECORDS 4096u
#define MAX_DATA 4096u

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint64_t state;

static uint32_t next(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return state >> 33;
}

static uint32_t below(uint32_t n)
{
    return n ? next() % n : 0;
}

/* Values */

static const uint64_t addresses[] = {
    0, 8, 0x1000, 0x2ff8, 0x200000, 0x300000, 0x3ff000, 0x3fffff, 0x1000000, 0x3fff000, 0x3fffff8,
    0x4000000, 0x1000000000, 0x1000001000, 0x10000ff000, 0x1000200000, 0xfffffffff000,
    0xffffffffffff, 1ull << 48, 1ull << 52, 1ull << 63, (1ull << 63) + 0x100000,
    (1ull << 63) + 0x3fff000, (1ull << 63) + 0x4000000 - 8, UINT64_MAX - 7, UINT64_MAX,
};

static const uint64_t numbers[] = {
    0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 255, 256, 257, 511,
    512, 1000, 4095, 4096, 4097, 8192, 16383, 16384, 16385, 65535, 65536, 65537, 1 << 20, 1 << 24,
    1 << 28, (1 << 28) + 1, 1 << 30, (1 << 30) + 1, INT32_MAX, 1ull << 31, UINT32_MAX, 1ull << 32,
    1ull << 63, UINT64_MAX,
};

static uint64_t address(void)
{
    return addresses[below(ARRAY_SIZE(addresses))] + (below(3) ? 0 : below(2) ? below(64) * 8
                                                                             : below(8192));
}

static uint64_t number(void)
{
    return below(4) ? below(64) : numbers[below(ARRAY_SIZE(numbers))];
}

/* Registers that exist, and their neighbours */
static uint32_t some_register(void)
{
    uint32_t near = below(16) * 4;

    switch (below(6)) {
    case 0:
        return VNPU_ENGINE(below(3)) + near % VNPU_ENGINE_STRIDE;
    case 1:
        return VNPU_CTX(below(4)) + near % VNPU_CTX_STRIDE;
    case 2:
    case 3:
        return VNPU_QUEUE(below(4)) + below(VNPU_QUEUE_STRIDE / 4) * 4;
    case 4:
        return VNPU_DOORBELL_BASE + below(4) * VNPU_DOORBELL_STRIDE;
    default:
        return below(32) * 4;
    }
}

/* Packets that might be right */

#define HDR(op, type, flags) \
    ((op) | (uint32_t)(flags) << VNPU_PKT_HDR_FLAGS_SHIFT | \
     (uint32_t)(sizeof(struct type) / 4) << VNPU_PKT_HDR_DWORDS_SHIFT)

typedef struct Bytes {
    uint8_t data[MAX_DATA];
    unsigned len;
} Bytes;

#define ADD(b, ...) \
    do { \
        __auto_type p_ = (__VA_ARGS__); \
        memcpy((b)->data + (b)->len, &p_, sizeof(p_)); \
        (b)->len += sizeof(p_); \
    } while (0)

static void add_copy(Bytes *b)
{
    ADD(b, (struct vnpu_pkt_copy) {
        .hdr = HDR(VNPU_OP_COPY, vnpu_pkt_copy, 0),
        .src = address(), .dst = address(), .size = number() * (1 + below(100)),
    });
}

static void add_copy_2d(Bytes *b)
{
    uint32_t bytes = number();

    ADD(b, (struct vnpu_pkt_copy_2d) {
        .hdr = HDR(VNPU_OP_COPY_2D, vnpu_pkt_copy_2d, 0), .rows = number(),
        .src = address(), .dst = address(), .row_bytes = bytes,
        .src_stride = bytes + number(), .dst_stride = bytes + number(),
    });
}

static void add_fill(Bytes *b)
{
    ADD(b, (struct vnpu_pkt_fill) {
        .hdr = HDR(VNPU_OP_FILL, vnpu_pkt_fill, 0), .pattern = next(),
        .dst = address() & ~3ull, .size = number() * 4,
    });
}

static void add_gemm(Bytes *b)
{
    uint32_t flags = below(8), n = 1 + below(40), k = 1 + below(40);

    ADD(b, (struct vnpu_pkt_gemm) {
        .hdr = HDR(VNPU_OP_GEMM, vnpu_pkt_gemm, flags), .dtype = below(6),
        .a = address() & ~3ull, .b = address() & ~3ull, .c = address() & ~3ull,
        .bias = flags & VNPU_GEMM_FLAG_BIAS ? address() & ~3ull : 0,
        .m = below(8) ? 1 + below(40) : number(), .n = n, .k = k,
        .lda = k + below(100), .ldb = (flags & VNPU_GEMM_FLAG_TRANS_B ? k : n) + below(100),
        .ldc = n + below(100), .activation = below(3),
    });
}

static void add_eltwise(Bytes *b)
{
    ADD(b, (struct vnpu_pkt_eltwise) {
        .hdr = HDR(VNPU_OP_ELTWISE, vnpu_pkt_eltwise, 0), .op = below(5),
        .a = address() & ~3ull, .b = address() & ~3ull, .dst = address() & ~3ull,
        .count = number(), .dtype = below(7),
    });
}

static void add_reduce(Bytes *b)
{
    ADD(b, (struct vnpu_pkt_reduce) {
        .hdr = HDR(VNPU_OP_REDUCE, vnpu_pkt_reduce, 0), .op = below(4),
        .src = address() & ~3ull, .dst = address() & ~3ull, .rows = number(), .cols = number(),
        .dtype = below(7),
    });
}

static void add_sync(Bytes *b)
{
    if (below(2)) {
        ADD(b, (struct vnpu_pkt_wait) {
            .hdr = HDR(VNPU_OP_WAIT, vnpu_pkt_wait, 0), .compare = below(5),
            .addr = address() & ~7ull, .value = below(3), .mask = UINT64_MAX,
        });
    } else {
        ADD(b, (struct vnpu_pkt_signal) {
            .hdr = HDR(VNPU_OP_SIGNAL, vnpu_pkt_signal, 0), .op = below(4),
            .addr = address() & ~7ull, .value = below(3),
        });
    }
}

static void add_nop(Bytes *b)
{
    uint32_t dwords = 2 + 2 * below(32);
    uint32_t hdr = VNPU_OP_NOP | dwords << VNPU_PKT_HDR_DWORDS_SHIFT;

    memset(b->data + b->len, next(), dwords * 4);
    memcpy(b->data + b->len, &hdr, sizeof(hdr));
    b->len += dwords * 4;
}

static void (*const packets[])(Bytes *b) = {
    add_nop, add_sync, add_copy, add_copy_2d, add_fill, add_gemm, add_eltwise, add_reduce,
};

static void add_packets(Bytes *b)
{
    for (unsigned i = 1 + below(4); i; i--) {
        packets[below(ARRAY_SIZE(packets))](b);
    }
}

static void add_entry(Bytes *b)
{
    uint32_t dwords = 8u << VNPU_PKT_HDR_DWORDS_SHIFT;

    switch (below(4)) {
    case 0:
        ADD(b, (struct vnpu_pkt_ring_fence) {
            .hdr = VNPU_OP_RING_FENCE | below(4) << VNPU_PKT_HDR_FLAGS_SHIFT | dwords,
            .addr = address() & ~15ull, .value = number(),
        });
        break;
    case 1:
        ADD(b, (struct vnpu_pkt_ring_invalidate) {
            .hdr = VNPU_OP_RING_INVALIDATE | below(4) << VNPU_PKT_HDR_FLAGS_SHIFT | dwords,
            .context = below(3), .addr = address() & ~4095ull, .size = number() << 12,
        });
        break;
    case 2:
        ADD(b, (struct vnpu_pkt_ring_indirect) {
            .hdr = VNPU_OP_RING_INDIRECT | dwords, .size = number() * 8,
            .addr = address() & ~7ull,
        });
        break;
    default:
        ADD(b, (struct vnpu_pkt_ring_nop) { .hdr = VNPU_OP_RING_NOP | dwords });
        break;
    }
}

/* A few fields of a state; more often than not, of a queue that is in a command buffer */
static void add_state(Record *r, Bytes *b)
{
    bool inside = below(4);

    r->a = inside ? 2 : below(8);
    r->b = 1 + below(3);
    for (unsigned i = 0; i < r->b; i++) {
        ADD(b, (Record) {
            .a = inside && below(2) ? LOAD_PLACE + below(LOAD_PLACES) : next(),
            .b = inside ? r->c : below(4), .x = next(), .y = number(),
        });
    }
    if (inside || below(2)) {
        add_packets(b);
    }
}

/* A record, and its data */
static void new_record(Record *r, Bytes *b)
{
    *r = (Record) {
        .op = below(NUM_OPS), .a = next(), .b = below(4), .c = below(4), .x = number(),
        .y = address(),
    };
    b->len = 0;
    switch (r->op) {
    case OP_WRITE:
        r->x = some_register();
        r->y = below(2) ? number() : address();
        break;
    case OP_READ:
        r->x = some_register();
        break;
    case OP_CLOCK:
        r->y = number() * 1000;
        break;
    case OP_MODE:
        r->x = address() / 4096;
        break;
    case OP_EXIT:
        /* seldom: nothing comes after it */
        r->op = below(8) ? OP_RUN : OP_EXIT;
        break;
    case OP_SETUP:
        r->x = below(4) << 8 | below(3);
        break;
    case OP_MAP:
        r->a = below(6) ? VNPU_PTE_VALID_MASK | VNPU_PTE_WRITE_MASK | VNPU_PTE_LEAF_MASK |
                          below(2) * VNPU_PTE_VRAM_MASK | below(2) << 7 : next();
        r->c = below(32);
        r->x = below(4) ? below(16384) : next();
        r->y = address() & ~4095ull;
        break;
    case OP_ENTRY:
        add_entry(b);
        break;
    case OP_COMMANDS:
        r->y = below(4) ? 0 : address() & ~7ull;
        add_packets(b);
        break;
    case OP_LOAD:
        add_state(r, b);
        break;
    case OP_RAM:
    case OP_VRAM:
        add_packets(b);
        break;
    }
    switch (r->op) {
    case OP_RAM: case OP_VRAM: case OP_ENTRY: case OP_COMMANDS: case OP_LOAD:
        r->x = b->len;
    }
}

/* Where records begin */
static unsigned parse(const uint8_t *data, size_t size, size_t *at)
{
    unsigned count = 0;
    size_t pos = 0;

    while (size - pos >= sizeof(Record) && count < MAX_RECORDS) {
        Record r;
        size_t len = 0;

        memcpy(&r, data + pos, sizeof(r));
        switch (r.op % NUM_OPS) {
        case OP_RAM: case OP_VRAM: case OP_ENTRY: case OP_COMMANDS: case OP_LOAD:
            len = (r.x % (MAX_DATA + 1) + sizeof(r) - 1) / sizeof(r) * sizeof(r);
        }
        at[count++] = pos;
        pos += sizeof(r);
        pos += len < size - pos ? len : size - pos;
    }
    at[count] = pos;
    return count;
}

static size_t splice(uint8_t *data, size_t size, size_t max, size_t at, size_t take,
                     const void *with, size_t len)
{
    if (size - take + len > max) {
        return size;
    }
    memmove(data + at + len, data + at + take, size - at - take);
    if (len) {
        memcpy(data + at, with, len);
    }
    return size - take + len;
}

static size_t insert_new(uint8_t *data, size_t size, size_t max, size_t at)
{
    static uint8_t made[sizeof(Record) + MAX_DATA + sizeof(Record)];
    static Bytes b;
    Record r;

    new_record(&r, &b);
    memset(made, 0, sizeof(made));
    memcpy(made, &r, sizeof(r));
    memcpy(made + sizeof(r), b.data, b.len);
    return splice(data, size, max, at, 0, made,
                  sizeof(r) + (b.len + sizeof(r) - 1) / sizeof(r) * sizeof(r));
}

static void change_field(Record *r)
{
    switch (below(6)) {
    case 0: r->a = next(); break;
    case 1: r->b = below(2) ? below(4) : next(); break;
    case 2: r->c = below(2) ? below(4) : next(); break;
    case 3: r->x = below(2) ? some_register() : number(); break;
    case 4: r->y = number(); break;
    case 5: r->y = address(); break;
    }
}

/* A dword or quadword of the data of a record */
static void change_data(uint8_t *data, size_t len)
{
    uint64_t value = below(2) ? address() : number();
    size_t width = below(2) ? 8 : 4;

    if (len >= sizeof(Record) + width) {
        size_t words = (len - sizeof(Record)) / 4 - width / 4 + 1;

        memcpy(data + sizeof(Record) + below(words) * 4, &value, width);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static size_t at[MAX_RECORDS + 1];
    static uint8_t copy[1 << 16];
    unsigned count = parse(data, size, at);
    size_t one, len;
    Record r;

    state = seed;
    if (!count || !below(20)) {
        return count ? LLVMFuzzerMutate(data, size, max) : insert_new(data, size, max, 0);
    }
    one = below(count);
    len = at[one + 1] - at[one];
    memcpy(&r, data + at[one], sizeof(r));
    switch (below(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return insert_new(data, size, max, at[below(count + 1)]);
    case 4:
        return splice(data, size, max, at[one], len, NULL, 0);
    case 5:
        if (len > sizeof(copy)) {
            return size;
        }
        memcpy(copy, data + at[one], len);
        return splice(data, size, max, at[below(count + 1)], 0, copy, len);
    case 6:
    case 7:
        change_field(&r);
        memcpy(data + at[one], &r, sizeof(r));
        return size;
    case 8:
        change_data(data + at[one], len);
        return size;
    default:
        LLVMFuzzerMutate(data + at[one], len, len);
        return size;
    }
}

static const char *const names[NUM_OPS] = {
    "write", "read", "ram", "vram", "clock", "run", "poll", "pause", "bus", "mode", "hook",
    "reset", "settle", "load", "exit", "setup", "map", "entry", "commands", "unmap",
};

void record_print(const Record *r, unsigned len)
{
    fprintf(stderr, "%-8s a=%u b=%u c=%u x=%#" PRIx32 " y=%#" PRIx64, names[r->op], r->a, r->b,
            r->c, r->x, r->y);
    if (len) {
        fprintf(stderr, " (%u bytes)", len);
    }
    fprintf(stderr, "\n");
}

#pragma clang attribute pop
