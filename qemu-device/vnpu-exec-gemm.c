/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: GEMM.
 *
 * c is made block by block. Operands that BLAS can use where they lie (f32,
 * rows at a constant distance) stay there; all others are gathered from their
 * lists and converted into panels first: f16 and bf16 into f32, i8 into
 * int16_t.
 */

#ifdef CONFIG_VNPU_BLAS
#include <cblas.h>
#endif

#include "vnpu-exec-int.h"

/* A matrix that lies in memory as BLAS wants it; base is NULL if it does not */
typedef struct Matrix {
    float *base;
    size_t ld;
} Matrix;

typedef struct Gemm {
    VnpuExec *x;
    const VnpuGemm *p;
    size_t elem;                /* bytes of an element of a and b */
    bool blas;
    Matrix a, b, c;             /* used in place */
    VnpuCursor a_rows;          /* first row of the block row */
    VnpuCursor b_rows;          /* trans_b: first row of the panel */
    VnpuCursor bias;
    /* block column */
    size_t j0, nb;
    const float *bias_now;
    size_t panel_ld;
    /* walk over the rows of c in the block column */
    VnpuCursor c_rows;
    bool c_started;
} Gemm;

bool vnpu_exec_have_blas(void)
{
#ifdef CONFIG_VNPU_BLAS
    return true;
#else
    return false;
#endif
}

/* An engine is one thread; the setting is the process's */
void vnpu_gemm_init(void)
{
#ifdef CONFIG_VNPU_BLAS
    openblas_set_num_threads(1);
#endif
}

static void sgemm(bool trans_b, size_t m, size_t n, size_t k,
                  Matrix a, Matrix b, float beta, Matrix c)
{
#ifdef CONFIG_VNPU_BLAS
    cblas_sgemm(CblasRowMajor, CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans, m, n, k, 1.0f,
                a.base, a.ld, b.base, b.ld, beta, c.base, c.ld);
#endif
}

/* Rows of 4-byte elements at a constant distance, aligned? */
static Matrix matrix_in_place(VnpuSg sg, size_t rows, size_t cols)
{
    const VnpuIov *iov = sg.iov;
    size_t row = cols * sizeof(float);
    uintptr_t first = (uintptr_t)iov[0].base;
    uintptr_t stride;

    if (first % sizeof(float)) {
        return (Matrix) { NULL };
    }
    if (iov[0].len >= rows * row) {
        return (Matrix) { iov[0].base, cols };
    }
    if (sg.niov < rows) {
        return (Matrix) { NULL };
    }
    stride = (uintptr_t)iov[1].base - first;
    if (stride % sizeof(float) || stride < row || stride > INT32_MAX) {
        return (Matrix) { NULL };
    }
    for (size_t i = 0; i < rows; i++) {
        if ((uintptr_t)iov[i].base != first + i * stride ||
            (i + 1 < rows ? iov[i].len != row : iov[i].len < row)) {
            return (Matrix) { NULL };
        }
    }
    return (Matrix) { iov[0].base, stride / sizeof(float) };
}

/* Gather and convert: i8 to int16_t, else to float. */
static void read_row(Gemm *g, VnpuCursor *cur, void *dst, size_t count)
{
    const void *src = vnpu_cursor_read(cur, g->x->raw, count * g->elem,
                                       g->elem);

    if (g->p->dtype == VNPU_DTYPE_I8) {
        const int8_t *in = src;
        int16_t *out = dst;

        for (size_t i = 0; i < count; i++) {
            out[i] = in[i];
        }
    } else {
        vnpu_to_f32(dst, src, count, g->p->dtype);
    }
}

/* The panel as k rows of nb floats, GEMM_NB apart, the rest zero. */
static bool pack_b_rows(Gemm *g)
{
    VnpuCursor cur = vnpu_cursor(g->p->b, g->j0 * g->elem);
    float *out = g->x->panel_b;

    g->panel_ld = GEMM_NB;
    for (size_t k = 0; k < g->p->k; k++, out += GEMM_NB) {
        if (vnpu_exec_aborted(g->x)) {
            return false;
        }
        if (k) {
            vnpu_cursor_skip(&cur, (g->p->n - g->nb) * g->elem);
        }
        read_row(g, &cur, out, g->nb);
        memset(out + g->nb, 0, (GEMM_NB - g->nb) * sizeof(*out));
    }
    return true;
}

/* The same from b stored transposed. */
static bool pack_b_rows_from_trans(Gemm *g)
{
    float *row = g->x->step[0];

    g->panel_ld = GEMM_NB;
    for (size_t j = 0; j < GEMM_NB; j++) {
        float *out = g->x->panel_b + j;

        for (size_t k = 0; k < g->p->k; k += STEP_ELEMS) {
            size_t n = vnpu_min(g->p->k - k, STEP_ELEMS);

            if (vnpu_exec_aborted(g->x)) {
                return false;
            }
            if (j < g->nb) {
                read_row(g, &g->b_rows, row, n);
            } else {
                memset(row, 0, n * sizeof(*row));
            }
            for (size_t i = 0; i < n; i++, out += GEMM_NB) {
                *out = row[i];
            }
        }
    }
    return true;
}

/* The panel as nb rows of k floats, for BLAS to transpose. */
static bool pack_b_trans(Gemm *g)
{
    g->panel_ld = g->p->k;
    for (size_t j = 0; j < g->nb; j++) {
        if (vnpu_exec_aborted(g->x)) {
            return false;
        }
        read_row(g, &g->b_rows, g->x->panel_b + j * g->panel_ld, g->p->k);
    }
    return true;
}

/* The panel as nb rows of k int16_t; a little apart, for the cache's sake. */
static bool pack_b_i16(Gemm *g)
{
    int16_t *panel = (int16_t *)g->x->panel_b;
    int16_t *row = (int16_t *)g->x->step[0];
    VnpuCursor cur;

    g->panel_ld = g->p->k + 16;
    if (g->p->trans_b) {
        for (size_t j = 0; j < g->nb; j++) {
            if (vnpu_exec_aborted(g->x)) {
                return false;
            }
            read_row(g, &g->b_rows, panel + j * g->panel_ld, g->p->k);
        }
        return true;
    }
    cur = vnpu_cursor(g->p->b, g->j0);
    for (size_t k = 0; k < g->p->k; k++) {
        if (vnpu_exec_aborted(g->x)) {
            return false;
        }
        if (k) {
            vnpu_cursor_skip(&cur, g->p->n - g->nb);
        }
        read_row(g, &cur, row, g->nb);
        for (size_t j = 0; j < g->nb; j++) {
            panel[j * g->panel_ld + k] = row[j];
        }
    }
    return true;
}

static bool pack_b(Gemm *g)
{
    if (g->b.base) {
        return true;
    }
    if (g->p->dtype == VNPU_DTYPE_I8) {
        return pack_b_i16(g);
    }
    if (!g->p->trans_b) {
        return pack_b_rows(g);
    }
    return g->blas ? pack_b_trans(g) : pack_b_rows_from_trans(g);
}

/* Block of a: mb rows of kb elements, GEMM_KB apart, from column k0. */
static void pack_a(Gemm *g, size_t mb, size_t k0, size_t kb)
{
    VnpuCursor cur = g->a_rows;
    size_t elem = g->p->dtype == VNPU_DTYPE_I8 ? sizeof(int16_t)
                                               : sizeof(float);

    vnpu_cursor_skip(&cur, k0 * g->elem);
    for (size_t i = 0; i < mb; i++) {
        if (i) {
            vnpu_cursor_skip(&cur, (g->p->k - kb) * g->elem);
        }
        read_row(g, &cur, (char *)g->x->block_a + i * GEMM_KB * elem, kb);
    }
}

static void multiply_blas(Gemm *g, Matrix c, size_t i0, size_t mb,
                          size_t k0, size_t kb, bool add)
{
    Matrix a = { g->x->block_a, GEMM_KB };
    Matrix b = { g->x->panel_b, g->panel_ld };
    size_t col = 0;

    if (g->a.base) {
        a = (Matrix) { g->a.base + i0 * g->a.ld + k0, g->a.ld };
    } else {
        pack_a(g, mb, k0, kb);
    }
    if (g->b.base) {
        b = g->b;
        col = g->j0;
    }
    b.base += g->p->trans_b ? col * b.ld + k0 : k0 * b.ld + col;
    sgemm(g->p->trans_b, mb, g->nb, kb, a, b, add ? 1.0f : 0.0f, c);
}

static void multiply(Gemm *g, Matrix c, size_t i0, size_t mb,
                     size_t k0, size_t kb, bool add)
{
    VnpuExec *x = g->x;

    if (g->blas) {
        multiply_blas(g, c, i0, mb, k0, kb, add);
        return;
    }
    if (!add) {
        memset(c.base, 0, mb * GEMM_NB * sizeof(*c.base));
    }
    pack_a(g, mb, k0, kb);
    if (g->p->dtype == VNPU_DTYPE_I8) {
        vnpu_gemm_i16((uint32_t *)c.base, (int16_t *)x->block_a, GEMM_KB,
                      (int16_t *)x->panel_b + k0, g->panel_ld,
                      mb, g->nb, kb);
    } else {
        vnpu_gemm_f32(c.base, x->block_a, GEMM_KB,
                      x->panel_b + k0 * g->panel_ld, mb, g->nb, kb);
    }
}

static void finish_f32(Gemm *g, Matrix c, size_t mb)
{
    for (size_t i = 0; i < mb; i++) {
        float *row = c.base + i * c.ld;

        if (g->bias_now) {
            for (size_t j = 0; j < g->nb; j++) {
                row[j] += g->bias_now[j];
            }
        }
        if (g->p->activation == VNPU_ACTIVATION_RELU) {
            for (size_t j = 0; j < g->nb; j++) {
                row[j] = row[j] < 0 ? 0 : row[j];       /* NaN stays */
            }
        }
    }
}

static void finish_i32(Gemm *g, Matrix c, size_t mb)
{
    const uint32_t *bias = (const uint32_t *)g->bias_now;

    for (size_t i = 0; i < mb; i++) {
        int32_t *row = (int32_t *)c.base + i * c.ld;

        if (bias) {
            for (size_t j = 0; j < g->nb; j++) {
                row[j] = (uint32_t)row[j] + bias[j];
            }
        }
        if (g->p->activation == VNPU_ACTIVATION_RELU) {
            for (size_t j = 0; j < g->nb; j++) {
                row[j] = row[j] < 0 ? 0 : row[j];
            }
        }
    }
}

/* Step over what lies between two rows of the block column. */
static void next_c_row(Gemm *g)
{
    if (g->c_started) {
        vnpu_cursor_skip(&g->c_rows, (g->p->n - g->nb) * sizeof(float));
    }
    g->c_started = true;
}

static void load_c(Gemm *g, size_t mb)
{
    VnpuCursor start = g->c_rows;
    bool started = g->c_started;

    for (size_t i = 0; i < mb; i++) {
        next_c_row(g);
        vnpu_cursor_get(&g->c_rows, g->x->block_c + i * GEMM_NB,
                        g->nb * sizeof(float));
    }
    g->c_rows = start;
    g->c_started = started;
}

static void store_c(Gemm *g, size_t mb)
{
    for (size_t i = 0; i < mb; i++) {
        next_c_row(g);
        vnpu_cursor_put(&g->c_rows, g->x->block_c + i * GEMM_NB,
                        g->nb * sizeof(float));
    }
}

static bool block(Gemm *g, size_t i0, size_t mb)
{
    Matrix c = { g->x->block_c, GEMM_NB };

    if (g->c.base) {
        c = (Matrix) { g->c.base + i0 * g->c.ld + g->j0, g->c.ld };
    } else if (g->p->accumulate) {
        load_c(g, mb);
    }
    for (size_t k0 = 0; k0 < g->p->k; k0 += GEMM_KB) {
        if (vnpu_exec_aborted(g->x)) {
            return false;
        }
        multiply(g, c, i0, mb, k0, vnpu_min(g->p->k - k0, GEMM_KB),
                 g->p->accumulate || k0);
    }
    if (g->p->dtype == VNPU_DTYPE_I8) {
        finish_i32(g, c, mb);
    } else {
        finish_f32(g, c, mb);
    }
    if (!g->c.base) {
        store_c(g, mb);
    }
    return true;
}

static bool paused(const int *pause)
{
    return pause && __atomic_load_n(pause, __ATOMIC_RELAXED);
}

/* The blocks of a column from row @i0 on, until paused */
static bool block_column(Gemm *g, size_t i0, uint64_t *done, const int *pause)
{
    size_t m = g->p->m;

    if (!pack_b(g)) {
        return false;
    }
    if (g->p->has_bias) {
        g->bias_now = vnpu_cursor_read(&g->bias, g->x->step[1],
                                       g->nb * sizeof(float), sizeof(float));
    }
    g->a_rows = vnpu_cursor(g->p->a, i0 * g->p->k * g->elem);
    g->c_rows = vnpu_cursor(g->p->c, (i0 * g->p->n + g->j0) * sizeof(float));
    g->c_started = false;
    for (; i0 < m; i0 += GEMM_MB) {
        size_t mb = vnpu_min(m - i0, GEMM_MB);

        if (!block(g, i0, mb)) {
            return false;
        }
        vnpu_cursor_skip(&g->a_rows, mb * g->p->k * g->elem);
        ++*done;
        if (paused(pause)) {
            return true;
        }
    }
    return true;
}

static uint64_t blocks_of(uint32_t dim, uint32_t size)
{
    return (dim + size - 1) / size;
}

uint32_t vnpu_exec_gemm_unit(void)
{
    return GEMM_MB << 16 | GEMM_NB;
}

uint64_t vnpu_exec_gemm_blocks(uint32_t m, uint32_t n)
{
    return blocks_of(m, GEMM_MB) * blocks_of(n, GEMM_NB);
}

bool vnpu_exec_gemm_some(VnpuExec *x, const VnpuGemm *p, uint64_t *done,
                         const int *pause)
{
    Gemm g = {
        .x = x,
        .p = p,
        .elem = vnpu_dtype_bytes(p->dtype),
        .blas = x->blas && p->dtype != VNPU_DTYPE_I8,
    };
    uint64_t column = blocks_of(p->m, GEMM_MB);

    _Static_assert(GEMM_NB <= STEP_ELEMS && GEMM_NB % 16 == 0, "block shape");
    if (g.blas) {
        g.c = matrix_in_place(p->c, p->m, p->n);
        if (p->dtype == VNPU_DTYPE_F32) {
            g.a = matrix_in_place(p->a, p->m, p->k);
            g.b = matrix_in_place(p->b, p->trans_b ? p->n : p->k,
                                  p->trans_b ? p->k : p->n);
        }
    }
    g.j0 = *done / column * GEMM_NB;
    if (g.j0 >= p->n) {
        return true;
    }
    g.b_rows = vnpu_cursor(p->b, p->trans_b ? g.j0 * p->k * g.elem : 0);
    if (p->has_bias) {
        g.bias = vnpu_cursor(p->bias, g.j0 * sizeof(float));
    }
    for (; g.j0 < p->n; g.j0 += GEMM_NB) {
        g.nb = vnpu_min(p->n - g.j0, GEMM_NB);
        if (!block_column(&g, *done % column * GEMM_MB, done, pause)) {
            return false;
        }
        if (paused(pause)) {
            break;
        }
    }
    return true;
}

bool vnpu_exec_gemm(VnpuExec *x, const VnpuGemm *p)
{
    uint64_t done = 0;

    return vnpu_exec_gemm_some(x, p, &done, NULL);
}
