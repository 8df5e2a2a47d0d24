/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: inside of the execution kernels: scratch memory, the abort
 * check, walking of scatter lists and conversion of element types.
 */

#ifndef VNPU_EXEC_INT_H
#define VNPU_EXEC_INT_H

#include <assert.h>
#include <string.h>

#include "vnpu_hw.h"
#include "vnpu-exec.h"

/*
 * Some loops have an AVX2 twin, chosen at run time. VNPU_EXEC_PORTABLE leaves
 * it out.
 */
#if defined(__x86_64__) && defined(__GNUC__) && \
    !defined(VNPU_EXEC_PORTABLE)
#define VNPU_EXEC_X86 1
#endif

/* A step of GEMM, the work between two abort checks: some 3 ms */
#define GEMM_MB         VNPU_GEMM_STEP_M
#define GEMM_NB         VNPU_GEMM_STEP_N
#define GEMM_KB         VNPU_GEMM_STEP_K
/* distance of the rows of block_c: not all in the same set of the cache */
#define GEMM_LDC        (GEMM_NB + 16)
/* the loops that are no BLAS check after so many rows */
#define GEMM_LOOP_ROWS  128
/* columns that lie together in the panel of vnpu_gemm_f32() */
#define GEMM_STRIP      16

/* elements of one step of ELTWISE and REDUCE */
#define STEP_ELEMS      VNPU_REDUCE_STEP
/* ELTWISE looks whether to pause after so many elements */
#define ELTWISE_PAUSE   (32 * STEP_ELEMS)
/* bytes of one step of COPY and FILL */
#define STEP_BYTES      (512 * 1024)
/* a COPY of so many bytes goes past the cache */
#define STREAM_BYTES    (4 * 1024 * 1024)
#define FILL_BYTES      (16 * 1024)

/* What panel_b is a copy of */
typedef struct VnpuPanel {
    uint64_t packet;            /* zero: nothing that is known */
    uint64_t col;
    uint64_t depth;
} VnpuPanel;

struct VnpuExec {
    const int *abort;
    bool blas;
    /* GEMM */
    float *panel_b;             /* GEMM_KB x GEMM_NB */
    VnpuPanel panel;
    float *block_a;             /* GEMM_MB x GEMM_KB */
    float *block_c;             /* GEMM_MB x GEMM_LDC, float or int32_t */
    /* one step of each operand; raw: of what is gathered or written */
    float *step[3];
    void *raw;                  /* STEP_ELEMS elements of 4 bytes */
};

/* memmove() that leaves nothing in the cache, where the host can do that */
void vnpu_stream(void *to, const void *from, size_t n);

static inline bool vnpu_exec_aborted(const VnpuExec *x)
{
    return x->abort && __atomic_load_n(x->abort, __ATOMIC_RELAXED);
}

static inline bool vnpu_exec_paused(const int *pause)
{
    return pause && __atomic_load_n(pause, __ATOMIC_RELAXED);
}

static inline size_t vnpu_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A position in a scatter list. Running off its end is the caller's bug. */
typedef struct VnpuCursor {
    const VnpuIov *iov;
    size_t niov;
    size_t off;
} VnpuCursor;

static inline void vnpu_cursor_skip(VnpuCursor *c, uint64_t len)
{
    while (c->niov && len >= c->iov->len - c->off) {
        len -= c->iov->len - c->off;
        c->iov++;
        c->niov--;
        c->off = 0;
    }
    assert(c->niov || !len);
    c->off += len;
}

static inline VnpuCursor vnpu_cursor(VnpuSg sg, uint64_t skip)
{
    VnpuCursor c = { .iov = sg.iov, .niov = sg.niov };

    vnpu_cursor_skip(&c, skip);
    return c;
}

static inline size_t vnpu_cursor_run(const VnpuCursor *c)
{
    assert(c->niov);
    return c->iov->len - c->off;
}

static inline void *vnpu_cursor_ptr(const VnpuCursor *c)
{
    return (char *)c->iov->base + c->off;
}

/* Memory is little endian. If the host is not, no element is used in place */
#define VNPU_EXEC_SWAP (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

/* Between the host's order and that of memory */
void vnpu_exec_swap(void *p, size_t len, size_t elem);

/* Copy @len bytes out of or into the list and go on, in the order of memory. */
void vnpu_cursor_get(VnpuCursor *c, void *buf, size_t len);
void vnpu_cursor_put(VnpuCursor *c, const void *buf, size_t len);

/*
 * The next @len bytes as one aligned array of elements of @elem bytes: in place
 * if they are, else in @scratch. Goes on.
 */
const void *vnpu_cursor_read(VnpuCursor *c, void *scratch, size_t len,
                             size_t elem);

/*
 * Where to write the next @len bytes: in place, or @scratch. Does not go on;
 * vnpu_cursor_commit() does, and stores @scratch if that was the answer.
 */
void *vnpu_cursor_write(const VnpuCursor *c, void *scratch, size_t len,
                        size_t elem);
void vnpu_cursor_commit(VnpuCursor *c, void *where, size_t len, size_t elem);

/* f16, bf16 or f32 to f32; @src is aligned to its element */
void vnpu_to_f32(float *dst, const void *src, size_t count, uint32_t dtype);
/* f32 to f16, bf16 or f32, to the nearest even; NaN stays a quiet NaN */
void vnpu_from_f32(void *dst, const float *src, size_t count, uint32_t dtype);

/* Before any GEMM; while none runs, or with no other effect than before */
void vnpu_gemm_init(void);

/*
 * Inner loops, built for the baseline and, on x86, for AVX2, chosen at run
 * time. c has rows GEMM_LDC apart and is added to.
 */

/*
 * a: mb x lda floats; b: strips of kb x GEMM_STRIP floats, zero from column nb
 * on
 */
void vnpu_gemm_f32(float *c, const float *a, size_t lda, const float *b,
                   size_t mb, size_t nb, size_t kb);
/* a: mb rows, b: nb rows of kb int16_t each, ld apart */
void vnpu_gemm_i16(uint32_t *c, const int16_t *a, size_t lda,
                   const int16_t *b, size_t ldb,
                   size_t mb, size_t nb, size_t kb);

#endif
