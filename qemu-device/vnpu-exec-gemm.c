/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: GEMM.
 *
 * c is made in steps of MB x NB elements, KB deep, that add to c: by columns,
 * then by depth, then by rows, so that the panel of b which a column needs at
 * one depth is made once. Operands that BLAS can use where they lie (f32, rows
 * at a constant distance) stay there; all others are gathered from their lists
 * and converted into panels first: f16 and bf16 into f32, i8 into int16_t.
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
    /* slice: what a block column needs at one depth */
    size_t j0, nb;
    size_t k0, kb;
    size_t panel_ld;
    const float *bias_now;
    VnpuCursor a_rows;          /* column k0 of the next row of a */
    VnpuCursor c_rows;          /* end of what was used of c */
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
    uintptr_t first, stride;

    if (VNPU_EXEC_SWAP || !sg.niov || (uintptr_t)iov[0].base % sizeof(float)) {
        return (Matrix) { NULL };
    }
    first = (uintptr_t)iov[0].base;
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
static void gemm_read_row(Gemm *g, VnpuCursor *cur, void *dst, size_t count)
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

/* Where the panel's part of b starts */
static VnpuCursor gemm_b_start(const Gemm *g)
{
    size_t row = g->p->trans_b ? g->j0 : g->k0;
    size_t col = g->p->trans_b ? g->k0 : g->j0;
    size_t cols = g->p->trans_b ? g->p->k : g->p->n;

    return vnpu_cursor(g->p->b, (row * cols + col) * g->elem);
}

/* As many elements of the next row of the panel, or of the first one */
static void gemm_read_b(Gemm *g, VnpuCursor *cur, void *dst, bool first)
{
    size_t cols = g->p->trans_b ? g->p->k : g->p->n;
    size_t count = g->p->trans_b ? g->kb : g->nb;

    if (!first) {
        vnpu_cursor_skip(cur, (cols - count) * g->elem);
    }
    gemm_read_row(g, cur, dst, count);
}

/* The panel for BLAS: rows as they are stored. */
static bool gemm_pack_b_rows(Gemm *g)
{
    VnpuCursor cur = gemm_b_start(g);
    size_t rows = g->p->trans_b ? g->nb : g->kb;

    for (size_t i = 0; i < rows; i++) {
        if (vnpu_exec_aborted(g->x)) {
            return false;
        }
        gemm_read_b(g, &cur, g->x->panel_b + i * g->panel_ld, !i);
    }
    return true;
}

/* Element of the panel as vnpu_gemm_f32() wants it */
static float *strip_elem(Gemm *g, size_t k, size_t j)
{
    return g->x->panel_b + j / GEMM_STRIP * GEMM_STRIP * g->kb +
           k * GEMM_STRIP + j % GEMM_STRIP;
}

static void strips_put_row(Gemm *g, size_t k, const float *row)
{
    for (size_t j = 0; j < g->nb; j += GEMM_STRIP) {
        size_t n = vnpu_min(g->nb - j, GEMM_STRIP);
        float *out = strip_elem(g, k, j);

        memcpy(out, row + j, n * sizeof(*out));
        memset(out + n, 0, (GEMM_STRIP - n) * sizeof(*out));
    }
}

static void strips_put_column(Gemm *g, size_t j, const float *column)
{
    float *out = strip_elem(g, 0, j);

    for (size_t k = 0; k < g->kb; k++) {
        out[k * GEMM_STRIP] = column[k];
    }
}

/* The panel in strips of GEMM_STRIP columns. */
static bool gemm_pack_b_strips(Gemm *g)
{
    VnpuCursor cur = gemm_b_start(g);
    size_t rows = g->p->trans_b ? g->nb : g->kb;
    float *row = g->x->step[0];

    if (g->p->trans_b && g->nb % GEMM_STRIP) {
        memset(strip_elem(g, 0, g->nb - g->nb % GEMM_STRIP), 0,
               GEMM_STRIP * g->kb * sizeof(float));
    }
    for (size_t i = 0; i < rows; i++) {
        if (vnpu_exec_aborted(g->x)) {
            return false;
        }
        gemm_read_b(g, &cur, row, !i);
        if (g->p->trans_b) {
            strips_put_column(g, i, row);
        } else {
            strips_put_row(g, i, row);
        }
    }
    return true;
}

/* The panel as nb rows of kb int16_t; a little apart, for the cache's sake. */
static bool gemm_pack_b_i16(Gemm *g)
{
    int16_t *panel = (int16_t *)g->x->panel_b;
    int16_t *row = (int16_t *)g->x->step[0];
    VnpuCursor cur = gemm_b_start(g);
    size_t rows = g->p->trans_b ? g->nb : g->kb;

    for (size_t i = 0; i < rows; i++) {
        if (vnpu_exec_aborted(g->x)) {
            return false;
        }
        if (g->p->trans_b) {
            gemm_read_b(g, &cur, panel + i * g->panel_ld, !i);
            continue;
        }
        gemm_read_b(g, &cur, row, !i);
        for (size_t j = 0; j < g->nb; j++) {
            panel[j * g->panel_ld + i] = row[j];
        }
    }
    return true;
}

static bool gemm_pack_panel(Gemm *g)
{
    if (g->p->dtype == VNPU_DTYPE_I8) {
        return gemm_pack_b_i16(g);
    }
    return g->blas ? gemm_pack_b_rows(g) : gemm_pack_b_strips(g);
}

static size_t gemm_panel_ld(const Gemm *g)
{
    if (g->p->dtype == VNPU_DTYPE_I8) {
        return GEMM_KB + 16;
    }
    return g->p->trans_b ? GEMM_KB : GEMM_NB;
}

/* Make the panel, unless it is the one that is there */
static bool gemm_pack_b(Gemm *g)
{
    VnpuPanel *have = &g->x->panel;
    VnpuPanel want = {
        g->p->packet, g->p->col + g->j0, g->p->depth + g->k0,
    };

    if (g->b.base) {
        return true;
    }
    g->panel_ld = gemm_panel_ld(g);
    if (want.packet && have->packet == want.packet &&
        have->col == want.col && have->depth == want.depth) {
        return true;
    }
    have->packet = 0;
    if (!gemm_pack_panel(g)) {
        return false;
    }
    *have = want;
    return true;
}

/* The next mb rows of a, of the slice's depth, GEMM_KB apart. */
static void gemm_pack_a(Gemm *g, size_t mb)
{
    VnpuCursor cur = g->a_rows;
    size_t elem = g->p->dtype == VNPU_DTYPE_I8 ? sizeof(int16_t)
                                               : sizeof(float);

    for (size_t i = 0; i < mb; i++) {
        if (i) {
            vnpu_cursor_skip(&cur, (g->p->k - g->kb) * g->elem);
        }
        gemm_read_row(g, &cur, (char *)g->x->block_a + i * GEMM_KB * elem,
                      g->kb);
    }
}

static void multiply_blas(Gemm *g, Matrix c, size_t i0, size_t mb, bool add)
{
    Matrix a = { g->x->block_a, GEMM_KB };
    Matrix b = { g->x->panel_b, g->panel_ld };

    if (g->a.base) {
        a = (Matrix) { g->a.base + i0 * g->a.ld + g->k0, g->a.ld };
    } else {
        gemm_pack_a(g, mb);
    }
    if (g->b.base) {
        b = g->b;
        b.base += g->p->trans_b ? g->j0 * b.ld + g->k0
                                : g->k0 * b.ld + g->j0;
    }
    sgemm(g->p->trans_b, mb, g->nb, g->kb, a, b, add ? 1.0f : 0.0f, c);
}

/* false if aborted: these loops are slower than BLAS */
static bool multiply_loops(Gemm *g, size_t mb, bool add)
{
    VnpuExec *x = g->x;

    if (!add) {
        memset(x->block_c, 0, mb * GEMM_LDC * sizeof(*x->block_c));
    }
    gemm_pack_a(g, mb);
    for (size_t i = 0; i < mb; i += GEMM_LOOP_ROWS) {
        size_t rows = vnpu_min(mb - i, GEMM_LOOP_ROWS);
        float *c = x->block_c + i * GEMM_LDC;

        if (vnpu_exec_aborted(x)) {
            return false;
        }
        if (g->p->dtype == VNPU_DTYPE_I8) {
            vnpu_gemm_i16((uint32_t *)c, (int16_t *)x->block_a + i * GEMM_KB,
                          GEMM_KB, (int16_t *)x->panel_b, g->panel_ld,
                          rows, g->nb, g->kb);
        } else {
            vnpu_gemm_f32(c, x->block_a + i * GEMM_KB, GEMM_KB, x->panel_b,
                          rows, g->nb, g->kb);
        }
    }
    return true;
}

static void gemm_finish_f32(Gemm *g, Matrix c, size_t mb)
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

static void gemm_finish_i32(Gemm *g, Matrix c, size_t mb)
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
static void gemm_next_c_row(Gemm *g)
{
    if (g->c_started) {
        vnpu_cursor_skip(&g->c_rows, (g->p->n - g->nb) * sizeof(float));
    }
    g->c_started = true;
}

static void gemm_load_c(Gemm *g, size_t mb)
{
    VnpuCursor start = g->c_rows;
    bool started = g->c_started;

    for (size_t i = 0; i < mb; i++) {
        float *row = g->x->block_c + i * GEMM_LDC;

        gemm_next_c_row(g);
        vnpu_cursor_get(&g->c_rows, row, g->nb * sizeof(*row));
        vnpu_exec_swap(row, g->nb * sizeof(*row), sizeof(*row));
    }
    g->c_rows = start;
    g->c_started = started;
}

static void gemm_store_c(Gemm *g, size_t mb)
{
    for (size_t i = 0; i < mb; i++) {
        float *row = g->x->block_c + i * GEMM_LDC;

        gemm_next_c_row(g);
        vnpu_exec_swap(row, g->nb * sizeof(*row), sizeof(*row));
        vnpu_cursor_put(&g->c_rows, row, g->nb * sizeof(*row));
    }
}

static void gemm_finish(Gemm *g, Matrix c, size_t mb)
{
    if (g->p->dtype == VNPU_DTYPE_I8) {
        gemm_finish_i32(g, c, mb);
    } else {
        gemm_finish_f32(g, c, mb);
    }
}

/* One step; false if aborted */
static bool gemm_step(Gemm *g, size_t i0, size_t mb)
{
    Matrix c = { g->x->block_c, GEMM_LDC };
    bool add = g->p->accumulate || g->k0;

    if (vnpu_exec_aborted(g->x)) {
        return false;
    }
    if (g->c.base) {
        c = (Matrix) { g->c.base + i0 * g->c.ld + g->j0, g->c.ld };
    } else if (add) {
        gemm_load_c(g, mb);
    }
    if (g->blas) {
        multiply_blas(g, c, i0, mb, add);
    } else if (!multiply_loops(g, mb, add)) {
        return false;
    }
    if (g->k0 + g->kb == g->p->k) {
        gemm_finish(g, c, mb);
    }
    if (!g->c.base) {
        gemm_store_c(g, mb);
    }
    return true;
}

/* Make what the steps of a slice share, from row @i0 on */
static bool gemm_slice_start(Gemm *g, size_t i0)
{
    const VnpuGemm *p = g->p;

    if (!gemm_pack_b(g)) {
        return false;
    }
    g->bias_now = NULL;
    if (p->has_bias) {
        VnpuCursor bias = vnpu_cursor(p->bias, g->j0 * sizeof(float));

        g->bias_now = vnpu_cursor_read(&bias, g->x->step[1],
                                       g->nb * sizeof(float), sizeof(float));
    }
    g->a_rows = vnpu_cursor(p->a, (i0 * p->k + g->k0) * g->elem);
    g->c_rows = vnpu_cursor(p->c, (i0 * p->n + g->j0) * sizeof(float));
    g->c_started = false;
    return true;
}

/* The steps of a slice from row @i0 on, until paused */
static bool gemm_slice(Gemm *g, size_t i0, uint64_t *done, const int *pause)
{
    size_t m = g->p->m;

    if (!gemm_slice_start(g, i0)) {
        return false;
    }
    for (;;) {
        if (!gemm_step(g, i0, vnpu_min(m - i0, GEMM_MB))) {
            return false;
        }
        ++*done;
        i0 += GEMM_MB;
        if (i0 >= m || vnpu_exec_paused(pause)) {
            return true;
        }
        vnpu_cursor_skip(&g->a_rows, GEMM_MB * g->p->k * g->elem);
    }
}

static uint64_t gemm_steps_of(uint32_t dim, uint32_t size)
{
    return (dim + size - 1) / size;
}

uint32_t vnpu_exec_gemm_unit(void)
{
    return GEMM_MB << 21 | GEMM_NB << 10 | GEMM_KB;
}

uint64_t vnpu_exec_gemm_steps(uint32_t m, uint32_t n, uint32_t k)
{
    return gemm_steps_of(m, GEMM_MB) * gemm_steps_of(n, GEMM_NB) *
           gemm_steps_of(k, GEMM_KB);
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
    uint64_t rows = gemm_steps_of(p->m, GEMM_MB);
    uint64_t slices = gemm_steps_of(p->k, GEMM_KB);
    uint64_t total = vnpu_exec_gemm_steps(p->m, p->n, p->k);

    _Static_assert(GEMM_NB <= STEP_ELEMS && GEMM_NB % GEMM_STRIP == 0 &&
                   GEMM_KB <= GEMM_NB, "shape of a step");
    if (g.blas) {
        g.c = matrix_in_place(p->c, p->m, p->n);
        if (p->dtype == VNPU_DTYPE_F32) {
            g.a = matrix_in_place(p->a, p->m, p->k);
            g.b = matrix_in_place(p->b, p->trans_b ? p->n : p->k,
                                  p->trans_b ? p->k : p->n);
        }
    }
    while (*done < total) {
        g.j0 = *done / rows / slices * GEMM_NB;
        g.k0 = *done / rows % slices * GEMM_KB;
        g.nb = vnpu_min(p->n - g.j0, GEMM_NB);
        g.kb = vnpu_min(p->k - g.k0, GEMM_KB);
        if (!gemm_slice(&g, *done % rows * GEMM_MB, done, pause)) {
            return false;
        }
        if (vnpu_exec_paused(pause)) {
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
