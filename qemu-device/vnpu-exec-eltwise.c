/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: ELTWISE.
 *
 * dst may be a or b: every element is read before it is written, and none
 * again after, also when only some of the operands are gathered.
 */

#include "vnpu-exec-int.h"

static int8_t saturate(int value)
{
    return value > INT8_MAX ? INT8_MAX : value < INT8_MIN ? INT8_MIN : value;
}

static void eltwise_i8(int8_t *d, const int8_t *a, const int8_t *b,
                       size_t n, uint32_t op)
{
    switch (op) {
    case VNPU_ELTWISE_OP_ADD:
        for (size_t i = 0; i < n; i++) {
            d[i] = saturate(a[i] + b[i]);
        }
        break;
    case VNPU_ELTWISE_OP_MUL:
        for (size_t i = 0; i < n; i++) {
            d[i] = saturate(a[i] * b[i]);
        }
        break;
    case VNPU_ELTWISE_OP_MAX:
        for (size_t i = 0; i < n; i++) {
            d[i] = a[i] > b[i] ? a[i] : b[i];
        }
        break;
    }
}

static void eltwise_i32(int32_t *d, const int32_t *a, const int32_t *b,
                        size_t n, uint32_t op)
{
    switch (op) {
    case VNPU_ELTWISE_OP_ADD:
        for (size_t i = 0; i < n; i++) {
            d[i] = (uint32_t)a[i] + (uint32_t)b[i];
        }
        break;
    case VNPU_ELTWISE_OP_MUL:
        for (size_t i = 0; i < n; i++) {
            d[i] = (uint32_t)a[i] * (uint32_t)b[i];
        }
        break;
    case VNPU_ELTWISE_OP_MAX:
        for (size_t i = 0; i < n; i++) {
            d[i] = a[i] > b[i] ? a[i] : b[i];
        }
        break;
    }
}

static void eltwise_f32(float *d, const float *a, const float *b,
                        size_t n, uint32_t op)
{
    switch (op) {
    case VNPU_ELTWISE_OP_ADD:
        for (size_t i = 0; i < n; i++) {
            d[i] = a[i] + b[i];
        }
        break;
    case VNPU_ELTWISE_OP_MUL:
        for (size_t i = 0; i < n; i++) {
            d[i] = a[i] * b[i];
        }
        break;
    case VNPU_ELTWISE_OP_MAX:
        for (size_t i = 0; i < n; i++) {
            /* a NaN in b fails the comparison and is chosen */
            d[i] = a[i] > b[i] || a[i] != a[i] ? a[i] : b[i];
        }
        break;
    }
}

/* a and b are overwritten: they are scratch */
static void eltwise_half(void *d, float *a, const float *b, size_t n,
                         const VnpuEltwise *p)
{
    eltwise_f32(a, a, b, n, p->op);
    vnpu_from_f32(d, a, n, p->dtype);
}

static void eltwise_step(VnpuExec *x, const VnpuEltwise *p, VnpuCursor *a,
                         VnpuCursor *b, VnpuCursor *dst, size_t n)
{
    size_t elem = vnpu_dtype_bytes(p->dtype);
    void *d = vnpu_cursor_write(dst, x->raw, n * elem, elem);
    const void *pa, *pb;

    if (elem == 2) {
        pa = vnpu_cursor_read(a, x->step[2], n * elem, elem);
        vnpu_to_f32(x->step[0], pa, n, p->dtype);
        pb = vnpu_cursor_read(b, x->step[2], n * elem, elem);
        vnpu_to_f32(x->step[1], pb, n, p->dtype);
        eltwise_half(d, x->step[0], x->step[1], n, p);
    } else {
        pa = vnpu_cursor_read(a, x->step[0], n * elem, elem);
        pb = vnpu_cursor_read(b, x->step[1], n * elem, elem);
        if (p->dtype == VNPU_DTYPE_I8) {
            eltwise_i8(d, pa, pb, n, p->op);
        } else if (p->dtype == VNPU_DTYPE_I32) {
            eltwise_i32(d, pa, pb, n, p->op);
        } else {
            eltwise_f32(d, pa, pb, n, p->op);
        }
    }
    vnpu_cursor_commit(dst, d, n * elem, elem);
}

bool vnpu_exec_eltwise(VnpuExec *x, VnpuEltwise *p, const int *pause)
{
    VnpuCursor a = vnpu_cursor(p->a, 0);
    VnpuCursor b = vnpu_cursor(p->b, 0);
    VnpuCursor dst = vnpu_cursor(p->dst, 0);

    for (uint64_t done = 0; done < p->count; done += STEP_ELEMS) {
        if (vnpu_exec_aborted(x)) {
            return false;
        }
        if (done && done % ELTWISE_PAUSE == 0 && vnpu_exec_paused(pause)) {
            p->count = done;
            break;
        }
        eltwise_step(x, p, &a, &b, &dst, vnpu_min(p->count - done, STEP_ELEMS));
    }
    return true;
}
