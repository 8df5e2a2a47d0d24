/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: what the engines compute.
 *
 * Plain C on mapped host memory. Nothing here knows QEMU, the guest, addresses
 * or packets, so that it can be compiled, sanitized and fuzzed alone. The
 * caller has decoded and validated the packet, translated its addresses and
 * mapped them; these functions never fail, they only finish or are aborted.
 *
 * Scatter lists. An operand is the list of the host memory pieces that hold
 * its bytes, in order. An operand with rows (COPY_2D, GEMM) is its rows end to
 * end: the bytes between rows are not in the list and are never touched, and a
 * leading dimension or stride needs no mention. Pieces have any length and
 * alignment (an element may straddle two pieces); neighbours that are
 * contiguous in host memory should be merged, because then no copy is made. The
 * list must hold at least the operand's bytes: more is ignored.
 *
 * Memory may change while it is read (a guest CPU writes it): results then are
 * arbitrary, but nothing outside the lists is touched.
 *
 * Building: the loops want -O3, and only vnpu-exec-gemm.c knows of BLAS:
 *
 *   openblas = dependency('openblas', required: false)
 *   vnpu_exec = static_library('vnpu-exec', build_by_default: false,
 *     sources: files('vnpu-exec.c', 'vnpu-exec-convert.c',
 *                    'vnpu-exec-eltwise.c', 'vnpu-exec-gemm.c',
 *                    'vnpu-exec-gemm-loops.c', 'vnpu-exec-reduce.c',
 *                    'vnpu-exec-stream.c'),
 *     c_args: ['-O3'] + (openblas.found() ? ['-DCONFIG_VNPU_BLAS'] : []),
 *     dependencies: openblas)
 */

#ifndef VNPU_EXEC_H
#define VNPU_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct VnpuIov {
    void *base;
    size_t len;
} VnpuIov;

typedef struct VnpuSg {
    const VnpuIov *iov;
    size_t niov;
} VnpuSg;

/*
 * COPY and COPY_2D. Overlap is a matter of the guest's addresses, which only
 * the caller knows: it sets @backward when the destination starts inside the
 * source range (src < dst < src + size), and the bytes then move last first.
 * COPY_2D never sets it.
 */
typedef struct VnpuCopy {
    VnpuSg src;
    VnpuSg dst;
    uint64_t size;
    bool backward;
} VnpuCopy;

typedef struct VnpuFill {
    VnpuSg dst;
    uint64_t size;              /* multiple of 4 */
    uint32_t pattern;
} VnpuFill;

/* c[m,n] = activation(a[m,k] x b[k,n] + bias[n]), as the packet says */
typedef struct VnpuGemm {
    uint32_t dtype;             /* enum vnpu_dtype: I8, F16, BF16 or F32 */
    uint32_t activation;        /* enum vnpu_activation */
    uint32_t m;
    uint32_t n;
    uint32_t k;
    bool trans_b;               /* b is n rows of k elements */
    bool accumulate;
    bool has_bias;
    VnpuSg a;                   /* m rows of k elements */
    VnpuSg b;                   /* k rows of n elements, unless trans_b */
    VnpuSg c;                   /* m rows of n elements of 4 bytes */
    VnpuSg bias;                /* n elements of 4 bytes */
    /*
     * Not zero: names a product that this is part of, @col columns and @depth
     * elements of k from its beginning. What was prepared of b is used again
     * for the next part.
     */
    uint64_t packet;
    uint32_t col;
    uint32_t depth;
} VnpuGemm;

typedef struct VnpuEltwise {
    uint32_t op;                /* enum vnpu_eltwise_op */
    uint32_t dtype;             /* enum vnpu_dtype, any */
    uint64_t count;
    VnpuSg a;
    VnpuSg b;
    VnpuSg dst;
} VnpuEltwise;

typedef struct VnpuReduce {
    uint32_t op;                /* enum vnpu_reduce_op */
    uint32_t dtype;             /* enum vnpu_dtype, any */
    uint32_t cols;
    uint32_t skip;              /* elements of the first row done before */
    uint64_t count;             /* elements to reduce */
    uint64_t carry;             /* of the row that is not finished */
    VnpuSg src;                 /* count elements */
    VnpuSg dst;                 /* an element of 4 bytes for each row */
} VnpuReduce;

/* State of one engine's thread: scratch memory and choices. */
typedef struct VnpuExec VnpuExec;

/*
 * @abort is read atomically while working and may be set by any thread: the
 * function that runs returns false within some milliseconds, its output
 * written in part. NULL: never aborted. Returns NULL when memory is short.
 */
VnpuExec *vnpu_exec_new(const int *abort);
void vnpu_exec_free(VnpuExec *x);

/* Bytes of an element, zero if there is no such type */
size_t vnpu_dtype_bytes(uint32_t dtype);

/* f32 products run on a BLAS library; the reference is used otherwise */
bool vnpu_exec_have_blas(void);

/*
 * Choose between BLAS (the default where built in) and the reference, for
 * comparison. No effect where BLAS is not built in.
 */
void vnpu_exec_use_blas(VnpuExec *x, bool on);

/*
 * Each returns false if it was aborted. Between two steps, some tenths of a
 * millisecond, @pause is read atomically unless it is NULL; if it is not zero,
 * the function returns true, and @p->size or @p->count is what has been done:
 * of a backward copy the last bytes.
 */
bool vnpu_exec_copy(VnpuExec *x, VnpuCopy *p, const int *pause);
bool vnpu_exec_fill(VnpuExec *x, VnpuFill *p, const int *pause);
bool vnpu_exec_eltwise(VnpuExec *x, VnpuEltwise *p, const int *pause);

/*
 * The same; @p->carry is for the call that goes on, to be handed over with the
 * new @p->skip. Results are the same to the bit if all but the last count are
 * multiples of VNPU_REDUCE_STEP.
 */
#define VNPU_REDUCE_STEP 4096

bool vnpu_exec_reduce(VnpuExec *x, VnpuReduce *p, const int *pause);

bool vnpu_exec_gemm(VnpuExec *x, const VnpuGemm *p);

/*
 * A big GEMM takes long, so it is made in steps of c's columns, then the depth,
 * then c's rows, and can be left between two of them and gone on with later:
 * @done counts them, from zero to vnpu_exec_gemm_steps(). After each one @pause
 * is read atomically; if it is not zero, the function returns true with what is
 * done so far. Sums that are not complete are kept in c.
 */
#define VNPU_GEMM_STEP_M 512
#define VNPU_GEMM_STEP_N 1024
#define VNPU_GEMM_STEP_K 320

bool vnpu_exec_gemm_some(VnpuExec *x, const VnpuGemm *p, uint64_t *done,
                         const int *pause);
uint64_t vnpu_exec_gemm_steps(uint32_t m, uint32_t n, uint32_t k);
/* What @done means, as a number: the shape of a step. Part of a saved state */
uint32_t vnpu_exec_gemm_unit(void);

#endif
