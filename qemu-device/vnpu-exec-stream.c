/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: execution kernels: copies past the cache.
 *
 * A large copy has no use for a cache: what it wrote is gone from it before
 * anybody reads it. Stores that bypass it save the read that an ordinary store
 * to memory begins with, a third of the traffic.
 */

#include "vnpu-exec-int.h"

#ifdef VNPU_EXEC_X86

#include <emmintrin.h>

#define LINE 64
#define LANE sizeof(__m128i)
#define AHEAD (16 * LINE)

static void stream_lines(char *dst, const char *src, size_t lines)
{
    for (; lines; lines--, dst += LINE, src += LINE) {
        __m128i v0 = _mm_loadu_si128((const __m128i *)src);
        __m128i v1 = _mm_loadu_si128((const __m128i *)(src + LANE));
        __m128i v2 = _mm_loadu_si128((const __m128i *)(src + 2 * LANE));
        __m128i v3 = _mm_loadu_si128((const __m128i *)(src + 3 * LANE));

        _mm_prefetch(src + AHEAD, _MM_HINT_NTA);
        _mm_stream_si128((__m128i *)dst, v0);
        _mm_stream_si128((__m128i *)(dst + LANE), v1);
        _mm_stream_si128((__m128i *)(dst + 2 * LANE), v2);
        _mm_stream_si128((__m128i *)(dst + 3 * LANE), v3);
    }
    /* These stores are not ordered with those that will tell of them. */
    _mm_sfence();
}

static bool stream_overlap(const char *a, const char *b, size_t n)
{
    return a < b + n && b < a + n;
}

void vnpu_stream(void *to, const void *from, size_t n)
{
    char *dst = to;
    const char *src = from;
    size_t head = -(uintptr_t)dst % LINE;

    if (n < head + LINE || stream_overlap(dst, src, n)) {
        memmove(dst, src, n);
        return;
    }
    memcpy(dst, src, head);
    dst += head;
    src += head;
    n -= head;
    stream_lines(dst, src, n / LINE);
    memcpy(dst + n / LINE * LINE, src + n / LINE * LINE, n % LINE);
}

#else

void vnpu_stream(void *to, const void *from, size_t n)
{
    memmove(to, from, n);
}

#endif
