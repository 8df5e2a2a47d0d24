/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: REDUCE.
 *
 * The source is read in steps that do not care for rows; a row's partial
 * result is carried over, also to the next call. Sums of floats are kept in
 * double, so that the order of addition does not show in most results.
 */

#include "vnpu-exec-int.h"

/* As the low half of carry, which is a number and may go to another host */
#define ACC_LOW(type, name) \
    struct { uint32_t name##_pad[VNPU_EXEC_SWAP]; type name; }

typedef union Acc {
    double sum;
    ACC_LOW(float, max);
    ACC_LOW(uint32_t, isum);
    ACC_LOW(int32_t, imax);
} Acc;

static bool reduce_is_int(uint32_t dtype)
{
    return dtype == VNPU_DTYPE_I8 || dtype == VNPU_DTYPE_I32;
}

static Acc reduce_acc_start(const VnpuReduce *p)
{
    bool sum = p->op == VNPU_REDUCE_OP_SUM;

    if (reduce_is_int(p->dtype)) {
        return sum ? (Acc) { .isum = 0 } : (Acc) { .imax = INT32_MIN };
    }
    return sum ? (Acc) { .sum = 0 } : (Acc) { .max = -__builtin_inff() };
}

static Acc reduce_add_i8(Acc acc, const int8_t *v, size_t n, bool sum)
{
    if (sum) {
        for (size_t i = 0; i < n; i++) {
            acc.isum += v[i];
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            acc.imax = v[i] > acc.imax ? v[i] : acc.imax;
        }
    }
    return acc;
}

static Acc reduce_add_i32(Acc acc, const int32_t *v, size_t n, bool sum)
{
    if (sum) {
        for (size_t i = 0; i < n; i++) {
            acc.isum += v[i];
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            acc.imax = v[i] > acc.imax ? v[i] : acc.imax;
        }
    }
    return acc;
}

/* Four sums at a time: one would be bound by the latency of the addition. */
static double sum_f32(const float *v, size_t n)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    size_t i;

    for (i = 0; i + 4 <= n; i += 4) {
        s0 += v[i];
        s1 += v[i + 1];
        s2 += v[i + 2];
        s3 += v[i + 3];
    }
    for (; i < n; i++) {
        s0 += v[i];
    }
    return (s0 + s1) + (s2 + s3);
}

static Acc reduce_add_f32(Acc acc, const float *v, size_t n, bool sum)
{
    if (sum) {
        acc.sum += sum_f32(v, n);
        return acc;
    }
    for (size_t i = 0; i < n; i++) {
        /* once NaN, no comparison takes it away */
        if (v[i] > acc.max || v[i] != v[i]) {
            acc.max = v[i];
        }
    }
    return acc;
}

/* @v: as read for i8 and i32, already f32 for the float types */
static Acc reduce_acc_add(const VnpuReduce *p, Acc acc, const void *v,
                          size_t first, size_t n)
{
    bool sum = p->op == VNPU_REDUCE_OP_SUM;

    switch (p->dtype) {
    case VNPU_DTYPE_I8:
        return reduce_add_i8(acc, (const int8_t *)v + first, n, sum);
    case VNPU_DTYPE_I32:
        return reduce_add_i32(acc, (const int32_t *)v + first, n, sum);
    default:
        return reduce_add_f32(acc, (const float *)v + first, n, sum);
    }
}

static void reduce_acc_store(const VnpuReduce *p, Acc acc, VnpuCursor *dst)
{
    bool sum = p->op == VNPU_REDUCE_OP_SUM;

    if (reduce_is_int(p->dtype)) {
        uint32_t value = sum ? acc.isum : (uint32_t)acc.imax;

        vnpu_exec_swap(&value, sizeof(value), sizeof(value));
        vnpu_cursor_put(dst, &value, sizeof(value));
    } else {
        float value = sum ? (float)acc.sum : acc.max;

        vnpu_exec_swap(&value, sizeof(value), sizeof(value));
        vnpu_cursor_put(dst, &value, sizeof(value));
    }
}

static const void *reduce_read_step(VnpuExec *x, const VnpuReduce *p,
                                    VnpuCursor *src, size_t n)
{
    size_t elem = vnpu_dtype_bytes(p->dtype);
    const void *v = vnpu_cursor_read(src, x->step[0], n * elem, elem);

    if (elem != 2) {
        return v;
    }
    vnpu_to_f32(x->step[1], v, n, p->dtype);
    return x->step[1];
}

_Static_assert(sizeof(Acc) == sizeof(((VnpuReduce *)0)->carry), "carry");

static Acc reduce_acc_first(const VnpuReduce *p)
{
    Acc acc = reduce_acc_start(p);

    if (p->skip) {
        memcpy(&acc, &p->carry, sizeof(acc));
    }
    return acc;
}

bool vnpu_exec_reduce(VnpuExec *x, VnpuReduce *p, const int *pause)
{
    VnpuCursor src = vnpu_cursor(p->src, 0);
    VnpuCursor dst = vnpu_cursor(p->dst, 0);
    uint64_t left = p->count;
    uint64_t row_left = p->cols - p->skip;
    Acc acc = reduce_acc_first(p);

    while (left) {
        size_t n = vnpu_min(left, STEP_ELEMS);
        const void *v;

        if (vnpu_exec_aborted(x)) {
            return false;
        }
        v = reduce_read_step(x, p, &src, n);
        for (size_t done = 0; done < n;) {
            size_t part = vnpu_min(n - done, row_left);

            acc = reduce_acc_add(p, acc, v, done, part);
            done += part;
            row_left -= part;
            if (!row_left) {
                reduce_acc_store(p, acc, &dst);
                acc = reduce_acc_start(p);
                row_left = p->cols;
            }
        }
        left -= n;
        if (vnpu_exec_paused(pause)) {
            break;
        }
    }
    p->count -= left;
    memcpy(&p->carry, &acc, sizeof(acc));
    return true;
}
