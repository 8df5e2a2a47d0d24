/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: state, scatter lists, COPY and FILL.
 */

#include <stdlib.h>

#include "vnpu-exec-int.h"

VnpuExec *vnpu_exec_new(const int *abort)
{
    VnpuExec *x = calloc(1, sizeof(*x));
    bool ok;

    if (!x) {
        return NULL;
    }
    vnpu_gemm_init();
    x->abort = abort;
    x->blas = vnpu_exec_have_blas();
    /* Only what is used is ever backed by memory. */
    x->panel_b = malloc(sizeof(float) * GEMM_KB * GEMM_NB);
    x->block_a = malloc(sizeof(float) * GEMM_MB * GEMM_KB);
    x->block_c = malloc(sizeof(float) * GEMM_MB * GEMM_LDC);
    x->raw = malloc(sizeof(float) * STEP_ELEMS);
    ok = x->panel_b && x->block_a && x->block_c && x->raw;
    for (int i = 0; i < 3; i++) {
        x->step[i] = malloc(sizeof(float) * STEP_ELEMS);
        ok = ok && x->step[i];
    }
    if (!ok) {
        vnpu_exec_free(x);
        return NULL;
    }
    return x;
}

void vnpu_exec_free(VnpuExec *x)
{
    if (!x) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        free(x->step[i]);
    }
    free(x->raw);
    free(x->block_c);
    free(x->block_a);
    free(x->panel_b);
    free(x);
}

void vnpu_exec_use_blas(VnpuExec *x, bool on)
{
    x->blas = on && vnpu_exec_have_blas();
}

void vnpu_cursor_get(VnpuCursor *c, void *buf, size_t len)
{
    char *p = buf;

    while (len) {
        size_t n = vnpu_min(len, vnpu_cursor_run(c));

        memcpy(p, vnpu_cursor_ptr(c), n);
        vnpu_cursor_skip(c, n);
        p += n;
        len -= n;
    }
}

void vnpu_cursor_put(VnpuCursor *c, const void *buf, size_t len)
{
    const char *p = buf;

    while (len) {
        size_t n = vnpu_min(len, vnpu_cursor_run(c));

        memcpy(vnpu_cursor_ptr(c), p, n);
        vnpu_cursor_skip(c, n);
        p += n;
        len -= n;
    }
}

void vnpu_exec_swap(void *p, size_t len, size_t elem)
{
    char *at = p;

    for (size_t i = 0; VNPU_EXEC_SWAP && elem > 1 && i < len; i += elem) {
        for (size_t j = 0; j < elem / 2; j++) {
            char low = at[i + j];

            at[i + j] = at[i + elem - 1 - j];
            at[i + elem - 1 - j] = low;
        }
    }
}

static bool cursor_in_place(const VnpuCursor *c, size_t len, size_t elem)
{
    return vnpu_cursor_run(c) >= len && (!VNPU_EXEC_SWAP || elem == 1) &&
           (uintptr_t)vnpu_cursor_ptr(c) % elem == 0;
}

const void *vnpu_cursor_read(VnpuCursor *c, void *scratch, size_t len,
                             size_t elem)
{
    const void *p = scratch;

    if (cursor_in_place(c, len, elem)) {
        p = vnpu_cursor_ptr(c);
        vnpu_cursor_skip(c, len);
    } else {
        vnpu_cursor_get(c, scratch, len);
        vnpu_exec_swap(scratch, len, elem);
    }
    return p;
}

void *vnpu_cursor_write(const VnpuCursor *c, void *scratch, size_t len,
                        size_t elem)
{
    return cursor_in_place(c, len, elem) ? vnpu_cursor_ptr(c) : scratch;
}

void vnpu_cursor_commit(VnpuCursor *c, void *where, size_t len, size_t elem)
{
    if (where == vnpu_cursor_ptr(c)) {
        vnpu_cursor_skip(c, len);
    } else {
        vnpu_exec_swap(where, len, elem);
        vnpu_cursor_put(c, where, len);
    }
}

/* Go on with a step of a copy or fill, after @done bytes; else the end of it */
static bool exec_go_on(const int *pause, uint64_t done, uint64_t *size)
{
    if (done && done < *size && vnpu_exec_paused(pause)) {
        *size = done;
    }
    return done < *size;
}

static bool copy_forward(VnpuExec *x, VnpuCopy *p, const int *pause)
{
    VnpuCursor src = vnpu_cursor(p->src, 0);
    VnpuCursor dst = vnpu_cursor(p->dst, 0);
    bool stream = p->size >= STREAM_BYTES;
    uint64_t done = 0;

    while (exec_go_on(pause, done, &p->size)) {
        size_t budget = vnpu_min(p->size - done, STEP_BYTES);

        if (vnpu_exec_aborted(x)) {
            return false;
        }
        done += budget;
        while (budget) {
            size_t n = vnpu_min(budget, vnpu_min(vnpu_cursor_run(&src),
                                                 vnpu_cursor_run(&dst)));

            /* two addresses may name one page: pieces may overlap */
            if (stream) {
                vnpu_stream(vnpu_cursor_ptr(&dst), vnpu_cursor_ptr(&src), n);
            } else {
                memmove(vnpu_cursor_ptr(&dst), vnpu_cursor_ptr(&src), n);
            }
            vnpu_cursor_skip(&src, n);
            vnpu_cursor_skip(&dst, n);
            budget -= n;
        }
    }
    return true;
}

/* The end of a list, for walking it backwards: bytes before it in its piece. */
static VnpuCursor cursor_end(VnpuSg sg, uint64_t size)
{
    VnpuCursor c = { .iov = sg.iov, .niov = sg.niov };

    while (c.niov && size > c.iov->len) {
        size -= c.iov->len;
        c.iov++;
        c.niov--;
    }
    assert(c.niov);
    c.off = size;
    return c;
}

static void cursor_back(VnpuCursor *c, size_t n, bool more)
{
    c->off -= n;
    while (more && !c->off) {
        c->iov--;
        c->off = c->iov->len;
    }
}

static bool copy_backward(VnpuExec *x, VnpuCopy *p, const int *pause)
{
    VnpuCursor src = cursor_end(p->src, p->size);
    VnpuCursor dst = cursor_end(p->dst, p->size);
    uint64_t done = 0;

    while (exec_go_on(pause, done, &p->size)) {
        size_t budget = vnpu_min(p->size - done, STEP_BYTES);

        if (vnpu_exec_aborted(x)) {
            return false;
        }
        while (budget) {
            size_t n = vnpu_min(budget, vnpu_min(src.off, dst.off));

            memmove((char *)dst.iov->base + dst.off - n,
                    (char *)src.iov->base + src.off - n, n);
            budget -= n;
            done += n;
            cursor_back(&src, n, done < p->size);
            cursor_back(&dst, n, done < p->size);
        }
    }
    return true;
}

bool vnpu_exec_copy(VnpuExec *x, VnpuCopy *p, const int *pause)
{
    if (!p->size) {
        return true;
    }
    return p->backward ? copy_backward(x, p, pause) : copy_forward(x, p, pause);
}

bool vnpu_exec_fill(VnpuExec *x, VnpuFill *p, const int *pause)
{
    VnpuCursor dst = vnpu_cursor(p->dst, 0);
    char *pattern = (char *)x->step[0];
    uint64_t done = 0;

    _Static_assert(FILL_BYTES <= sizeof(float) * STEP_ELEMS, "pattern buffer");
    for (size_t i = 0; i < FILL_BYTES; i += sizeof(p->pattern)) {
        memcpy(pattern + i, &p->pattern, sizeof(p->pattern));
    }
    vnpu_exec_swap(pattern, FILL_BYTES, sizeof(p->pattern));
    while (exec_go_on(pause, done, &p->size)) {
        size_t budget = vnpu_min(p->size - done, STEP_BYTES);

        if (vnpu_exec_aborted(x)) {
            return false;
        }
        while (budget) {
            size_t phase = done % sizeof(p->pattern);
            size_t n = vnpu_min(vnpu_min(budget, vnpu_cursor_run(&dst)),
                                FILL_BYTES - phase);

            memcpy(vnpu_cursor_ptr(&dst), pattern + phase, n);
            vnpu_cursor_skip(&dst, n);
            done += n;
            budget -= n;
        }
    }
    return true;
}
