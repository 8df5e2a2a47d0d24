/* SPDX-License-Identifier: MIT */
/*
 * What the execution kernels leave in memory, as a number for each: the same on
 * hosts of either byte order. Values are small integers, so that sums of floats
 * are exact and no order of addition shows.
 */

#include <stdio.h>
#include <string.h>
#include "vnpu-exec-int.h"

enum { SIZE = 1 << 20 };

static uint8_t a[SIZE], b[SIZE], c[SIZE];
static unsigned seed;

static unsigned any(unsigned n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % n;
}

/* One element, the low byte first; floats of either size by their upper bits */
static void put(uint8_t *p, uint32_t dtype, int value)
{
    float f = value;
    uint32_t bits;
    size_t size = vnpu_dtype_bytes(dtype);

    memcpy(&bits, &f, sizeof(bits));
    switch (dtype) {
    case VNPU_DTYPE_I8:
    case VNPU_DTYPE_I32:
        bits = value;
        break;
    case VNPU_DTYPE_BF16:
        bits >>= 16;
        break;
    case VNPU_DTYPE_F16:
        bits = value ? (bits >> 16 & 0x8000) |
                       (((bits >> 23 & 0xff) - 112) << 10 |
                        (bits >> 13 & 0x3ff)) : 0;
        break;
    }
    for (size_t i = 0; i < size; i++) {
        p[i] = bits >> (8 * i);
    }
}

static void fill(uint32_t dtype)
{
    size_t size = vnpu_dtype_bytes(dtype);

    seed = dtype + 1;
    for (size_t i = 0; i + size <= SIZE; i += size) {
        put(a + i, dtype, (int)any(9) - 4);
        put(b + i, dtype, (int)any(9) - 4);
    }
    for (size_t i = 0; i < SIZE; i += 4) {
        put(c + i, dtype == VNPU_DTYPE_I8 || dtype == VNPU_DTYPE_I32
                   ? VNPU_DTYPE_I32 : VNPU_DTYPE_F32, (int)any(9) - 4);
    }
}

static void tell(const char *name, uint32_t dtype, bool ok)
{
    uint64_t hash = 0xcbf29ce484222325ull;

    for (size_t i = 0; i < SIZE; i++) {
        hash = (hash ^ c[i]) * 0x100000001b3ull;
    }
    printf("%s %u %d: %016llx\n", name, dtype, ok, (unsigned long long)hash);
}

#define SG(x) (VnpuSg) { (VnpuIov[]) { { x, 1001 }, { x + 1001, SIZE - 1001 } }, 2 }
#define WHOLE(x) (VnpuSg) { (VnpuIov[]) { { x, SIZE } }, 1 }

static void run_gemm(VnpuExec *x, uint32_t dtype)
{
    for (int i = 0; i < 8; i++) {
        VnpuGemm p = {
            .dtype = dtype, .activation = i & 1, .m = 70, .n = 50, .k = 340,
            .trans_b = i & 2, .accumulate = i & 4, .has_bias = i & 1,
            .a = SG(a), .b = i & 4 ? WHOLE(b) : SG(b),
            .c = i & 2 ? WHOLE(c) : SG(c), .bias = SG(b),
        };

        fill(dtype);
        for (int j = 0; j < 50; j++) {
            put(b + 4 * j, dtype == VNPU_DTYPE_I8 ? VNPU_DTYPE_I32
                                                  : VNPU_DTYPE_F32, j);
        }
        tell("gemm", dtype, vnpu_exec_gemm(x, &p));
    }
}

static void run_rest(VnpuExec *x, uint32_t dtype)
{
    int pause = 1;

    for (uint32_t op = VNPU_ELTWISE_OP_ADD; op <= VNPU_ELTWISE_OP_MAX; op++) {
        VnpuEltwise p = {
            .op = op, .dtype = dtype, .count = 9000, .a = SG(a),
            .b = WHOLE(b), .dst = op % 2 ? SG(c) : WHOLE(c),
        };

        fill(dtype);
        tell("eltwise", dtype, vnpu_exec_eltwise(x, &p, NULL));
    }
    for (int i = 0; i < 4; i++) {
        VnpuReduce p = {
            .op = i & 1 ? VNPU_REDUCE_OP_MAX : VNPU_REDUCE_OP_SUM,
            .dtype = dtype, .cols = 4500, .count = 9000, .src = SG(a),
            .dst = i & 2 ? SG(c) : WHOLE(c),
        };

        fill(dtype);
        tell("reduce", dtype, vnpu_exec_reduce(x, &p, i & 2 ? &pause : NULL));
        printf("carry %u: %llx\n", dtype, i & 1 && i & 2
               ? (unsigned long long)(uint32_t)p.carry : 0);
    }
}

int main(void)
{
    VnpuExec *x = vnpu_exec_new(NULL);
    VnpuFill f = { .dst = SG(c), .size = 77776, .pattern = 0x12345678 };
    VnpuCopy p = { .src = SG(a), .dst = WHOLE(c), .size = 99999 };

    for (uint32_t dtype = VNPU_DTYPE_I8; dtype <= VNPU_DTYPE_F32; dtype++) {
        if (dtype != VNPU_DTYPE_I32) {
            run_gemm(x, dtype);
        }
        run_rest(x, dtype);
    }
    fill(VNPU_DTYPE_F32);
    tell("fill", 0, vnpu_exec_fill(x, &f, NULL));
    tell("copy", 0, vnpu_exec_copy(x, &p, NULL));
    vnpu_exec_free(x);
    return 0;
}
