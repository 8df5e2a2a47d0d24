/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: inner loops of GEMM.
 *
 * Written so that a compiler vectorizes them (build with -O3). On x86 each body
 * is compiled twice, for the baseline and for AVX2, and chosen at run time:
 * QEMU itself is built for the baseline.
 */

#include "vnpu-exec-int.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

#define F32_LANES       8
#define F32_ROWS        4
#define F32_VECS        2
#define F32_COLS        (F32_LANES * F32_VECS)

_Static_assert(F32_COLS == GEMM_STRIP, "a tile is as wide as a strip");

typedef float F32Vec __attribute__((vector_size(F32_LANES * sizeof(float)),
                                    aligned(4), may_alias));

/* @rows x F32_COLS elements of c, kept in registers over the depth */
static ALWAYS_INLINE void
f32_tile(float *c, const float *a, size_t lda, const float *b, size_t kb,
         const int rows)
{
    F32Vec acc[F32_ROWS][F32_VECS];

    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < F32_VECS; v++) {
            acc[r][v] = *(F32Vec *)(c + r * GEMM_LDC + v * F32_LANES);
        }
    }
    for (size_t k = 0; k < kb; k++) {
        const float *row = b + k * F32_COLS;

        for (int r = 0; r < rows; r++) {
            for (int v = 0; v < F32_VECS; v++) {
                acc[r][v] += a[r * lda + k] *
                             *(const F32Vec *)(row + v * F32_LANES);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < F32_VECS; v++) {
            *(F32Vec *)(c + r * GEMM_LDC + v * F32_LANES) = acc[r][v];
        }
    }
}

static ALWAYS_INLINE void
f32_block(float *c, const float *a, size_t lda, const float *b,
          size_t mb, size_t nb, size_t kb)
{
    /* columns from nb up to the next multiple compute on zeros */
    for (size_t j = 0; j < nb; j += F32_COLS, b += F32_COLS * kb) {
        size_t i = 0;

        for (; i + F32_ROWS <= mb; i += F32_ROWS) {
            f32_tile(c + i * GEMM_LDC + j, a + i * lda, lda, b, kb, F32_ROWS);
        }
        for (; i < mb; i++) {
            f32_tile(c + i * GEMM_LDC + j, a + i * lda, lda, b, kb, 1);
        }
    }
}

#define I16_ROWS        2
#define I16_COLS        4

/* rows x cols dot products at once, so that each load is used several times */
static ALWAYS_INLINE void
i16_tile(uint32_t *c, const int16_t *a, size_t lda,
         const int16_t *b, size_t ldb, size_t kb)
{
    const int16_t *a0 = a, *a1 = a + lda;
    const int16_t *b0 = b, *b1 = b + ldb, *b2 = b + 2 * ldb, *b3 = b + 3 * ldb;
    int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0;
    int32_t s10 = 0, s11 = 0, s12 = 0, s13 = 0;

    for (size_t k = 0; k < kb; k++) {
        s00 += a0[k] * b0[k];
        s01 += a0[k] * b1[k];
        s02 += a0[k] * b2[k];
        s03 += a0[k] * b3[k];
        s10 += a1[k] * b0[k];
        s11 += a1[k] * b1[k];
        s12 += a1[k] * b2[k];
        s13 += a1[k] * b3[k];
    }
    c[0] += s00;
    c[1] += s01;
    c[2] += s02;
    c[3] += s03;
    c[GEMM_LDC] += s10;
    c[GEMM_LDC + 1] += s11;
    c[GEMM_LDC + 2] += s12;
    c[GEMM_LDC + 3] += s13;
}

static ALWAYS_INLINE uint32_t i16_dot(const int16_t *a, const int16_t *b,
                                      size_t kb)
{
    int32_t sum = 0;

    for (size_t k = 0; k < kb; k++) {
        sum += a[k] * b[k];
    }
    return sum;
}

static ALWAYS_INLINE void
i16_edge(uint32_t *c, const int16_t *a, size_t lda,
         const int16_t *b, size_t ldb, size_t rows, size_t cols, size_t kb)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            c[i * GEMM_LDC + j] += i16_dot(a + i * lda, b + j * ldb, kb);
        }
    }
}

/* Sums of products of int8_t over GEMM_MAX_DIM cannot overflow int32_t. */
static ALWAYS_INLINE void
i16_block(uint32_t *c, const int16_t *a, size_t lda,
          const int16_t *b, size_t ldb, size_t mb, size_t nb, size_t kb)
{
    size_t mfull = mb - mb % I16_ROWS;
    size_t nfull = nb - nb % I16_COLS;

    for (size_t j = 0; j < nfull; j += I16_COLS) {
        for (size_t i = 0; i < mfull; i += I16_ROWS) {
            i16_tile(c + i * GEMM_LDC + j, a + i * lda, lda, b + j * ldb, ldb,
                     kb);
        }
    }
    i16_edge(c + nfull, a, lda, b + nfull * ldb, ldb, mfull, nb - nfull, kb);
    i16_edge(c + mfull * GEMM_LDC, a + mfull * lda, lda, b, ldb,
             mb - mfull, nb, kb);
}

#ifdef VNPU_EXEC_X86
__attribute__((target("avx2,fma")))
static void f32_block_avx2(float *c, const float *a, size_t lda,
                           const float *b, size_t mb, size_t nb, size_t kb)
{
    f32_block(c, a, lda, b, mb, nb, kb);
}

__attribute__((target("avx2,fma")))
static void i16_block_avx2(uint32_t *c, const int16_t *a, size_t lda,
                           const int16_t *b, size_t ldb,
                           size_t mb, size_t nb, size_t kb)
{
    i16_block(c, a, lda, b, ldb, mb, nb, kb);
}

static bool have_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

void vnpu_gemm_f32(float *c, const float *a, size_t lda, const float *b,
                   size_t mb, size_t nb, size_t kb)
{
#ifdef VNPU_EXEC_X86
    if (have_avx2()) {
        f32_block_avx2(c, a, lda, b, mb, nb, kb);
        return;
    }
#endif
    f32_block(c, a, lda, b, mb, nb, kb);
}

void vnpu_gemm_i16(uint32_t *c, const int16_t *a, size_t lda,
                   const int16_t *b, size_t ldb,
                   size_t mb, size_t nb, size_t kb)
{
#ifdef VNPU_EXEC_X86
    if (have_avx2()) {
        i16_block_avx2(c, a, lda, b, ldb, mb, nb, kb);
        return;
    }
#endif
    i16_block(c, a, lda, b, ldb, mb, nb, kb);
}
