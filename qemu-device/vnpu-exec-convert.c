/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: element types.
 */

#include "vnpu-exec-int.h"

#ifdef VNPU_EXEC_X86
#include <cpuid.h>
#include <immintrin.h>
#endif

size_t vnpu_dtype_bytes(uint32_t dtype)
{
    switch (dtype) {
    case VNPU_DTYPE_I8:
        return 1;
    case VNPU_DTYPE_F16:
    case VNPU_DTYPE_BF16:
        return 2;
    case VNPU_DTYPE_I32:
    case VNPU_DTYPE_F32:
        return 4;
    }
    return 0;
}

static inline float bits_to_f32(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof(f));
    return f;
}

static inline uint32_t f32_to_bits(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exp = h >> 10 & 0x1f;
    uint32_t man = h & 0x3ff;

    if (exp == 0x1f) {
        /* NaN becomes quiet, as conversion instructions do it */
        return bits_to_f32(sign | 0x7f800000 | man << 13 |
                           (man ? 0x400000 : 0));
    }
    if (exp) {
        return bits_to_f32(sign | (exp + 112) << 23 | man << 13);
    }
    /* zero or subnormal: man / 2^24 is exact */
    return bits_to_f32(sign | f32_to_bits(man / 16777216.0f));
}

/* @value >> @shift, rounded to the nearest even; 1 <= shift <= 31 */
static inline uint32_t shift_round(uint32_t value, unsigned shift)
{
    uint32_t odd = value >> shift & 1;

    return (uint32_t)(((uint64_t)value + (1u << (shift - 1)) - 1 + odd)
                      >> shift);
}

static inline uint16_t f32_to_f16(float f)
{
    uint32_t bits = f32_to_bits(f);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t mag = bits & 0x7fffffff;

    if (mag > 0x7f800000) {
        return sign | 0x7e00 | (mag >> 13 & 0x1ff);
    }
    if (mag >= 0x47800000) {            /* 2^16 and up, infinity */
        return sign | 0x7c00;
    }
    if (mag >= 0x38800000) {            /* normal, may round to infinity */
        return sign | shift_round(mag - (112u << 23), 13);
    }
    if (mag < 0x33000000) {             /* below half the smallest */
        return sign;
    }
    return sign | shift_round((mag & 0x7fffff) | 0x800000,
                              126 - (mag >> 23));
}

static inline uint16_t f32_to_bf16(float f)
{
    uint32_t bits = f32_to_bits(f);

    if ((bits & 0x7fffffff) > 0x7f800000) {
        return bits >> 16 | 0x40;
    }
    return shift_round(bits, 16);
}

#ifdef VNPU_EXEC_X86
/* Return how many elements were converted: what is left is less than 8. */
__attribute__((target("avx2,f16c")))
static size_t f16_to_f32_x86(float *dst, const uint16_t *src, size_t count)
{
    size_t i;

    for (i = 0; i + 8 <= count; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(src + i));

        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(h));
    }
    return i;
}

__attribute__((target("avx2,f16c")))
static size_t f32_to_f16_x86(uint16_t *dst, const float *src, size_t count)
{
    size_t i;

    for (i = 0; i + 8 <= count; i += 8) {
        __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(src + i),
                                    _MM_FROUND_TO_NEAREST_INT);

        _mm_storeu_si128((__m128i *)(dst + i), h);
    }
    return i;
}

static bool have_f16c(void)
{
    unsigned a, b, c, d;

    /* not all compilers have a name for it */
    return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) &&
           (c & bit_F16C);
}
#endif

void vnpu_to_f32(float *dst, const void *src, size_t count, uint32_t dtype)
{
    const uint16_t *half = src;
    size_t i = 0;

    switch (dtype) {
    case VNPU_DTYPE_F16:
#ifdef VNPU_EXEC_X86
        if (have_f16c()) {
            i = f16_to_f32_x86(dst, half, count);
        }
#endif
        for (; i < count; i++) {
            dst[i] = f16_to_f32(half[i]);
        }
        break;
    case VNPU_DTYPE_BF16:
        for (; i < count; i++) {
            dst[i] = bits_to_f32((uint32_t)half[i] << 16);
        }
        break;
    default:
        memcpy(dst, src, count * sizeof(*dst));
    }
}

void vnpu_from_f32(void *dst, const float *src, size_t count, uint32_t dtype)
{
    uint16_t *half = dst;
    size_t i = 0;

    switch (dtype) {
    case VNPU_DTYPE_F16:
#ifdef VNPU_EXEC_X86
        if (have_f16c()) {
            i = f32_to_f16_x86(half, src, count);
        }
#endif
        for (; i < count; i++) {
            half[i] = f32_to_f16(src[i]);
        }
        break;
    case VNPU_DTYPE_BF16:
        for (; i < count; i++) {
            half[i] = f32_to_bf16(src[i]);
        }
        break;
    default:
        memcpy(dst, src, count * sizeof(*src));
    }
}
