/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the packets of command buffers.
 *
 * A packet is taken out of the device's own copy of the command buffer and
 * checked in full before anything is done. Checks go from the header to the
 * operands; the first that fails decides the fault.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "vnpu_int.h"
#include "trace.h"

/* Most bytes of an operand, and most rows, that one part of a packet maps */
#define PART_BYTES (16ull * 1024 * 1024)
#define PART_ROWS 4096ull

#define L32(x) le32_to_cpu(x)
#define L64(x) le64_to_cpu(x)

struct VnpuPacketOp {
    const char *name;
    unsigned dwords;            /* zero: variable */
    uint32_t flags;             /* those that exist */
    uint32_t engines;           /* bit mask of enum vnpu_engine_type */
    /* are the fields good? sets job->total */
    bool (*check)(VnpuCore *c, VnpuJob *job, VnpuFault *f);
    /* do it under the BQL; NULL: an engine does it */
    VnpuStep (*inline_run)(VnpuCore *c, VnpuJob *job, VnpuFault *f);
    /* map the operands of the part at job->pos; sets job->part and job->u */
    bool (*prepare)(VnpuCore *c, VnpuJob *job, VnpuFault *f);
    /* engine thread; may do less and make job->part smaller */
    bool (*exec)(VnpuExec *x, VnpuJob *job);
};

static bool bad(VnpuFault *f, uint32_t code)
{
    return vnpu_fail(f, code, VNPU_ACCESS_NONE, 0);
}

static bool aligned(uint64_t addr, uint64_t to, VnpuFault *f)
{
    if (addr % to) {
        return vnpu_fail(f, VNPU_FAULT_ALIGNMENT, VNPU_ACCESS_NONE, addr);
    }
    return true;
}

static uint32_t dtype_size(uint32_t dtype)
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

static bool overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
    return a < b ? b - a < alen : a - b < blen;
}

/* NOP */

static VnpuStep nop_run(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    return VNPU_STEP_DONE;
}

/* WAIT and SIGNAL */

static bool wait_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_wait *p = &job->pkt.wait;
    uint32_t compare = L32(p->compare);

    if (compare < VNPU_COMPARE_EQ || compare > VNPU_COMPARE_GE) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    return aligned(L64(p->addr), 8, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->addr), 8, f);
}

static VnpuStep wait_run(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_wait *p = &job->pkt.wait;
    uint64_t value = L64(p->value);
    uint64_t mem;
    bool go;

    if (!vnpu_mmu_read(c, job->ctx, L64(p->addr), &mem, sizeof(mem),
                       VNPU_ACCESS_READ, f)) {
        return VNPU_STEP_FAULT;
    }
    mem = le64_to_cpu(mem) & L64(p->mask);
    switch (L32(p->compare)) {
    case VNPU_COMPARE_EQ:
        go = mem == value;
        break;
    case VNPU_COMPARE_NE:
        go = mem != value;
        break;
    default:
        go = mem >= value;
        break;
    }
    return go ? VNPU_STEP_DONE : VNPU_STEP_BLOCKED;
}

static bool signal_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_signal *p = &job->pkt.signal;
    uint32_t op = L32(p->op);

    if (op != VNPU_SIGNAL_OP_SET && op != VNPU_SIGNAL_OP_ADD) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    return aligned(L64(p->addr), 8, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->addr), 8, f);
}

/* Atomic towards other queues, because all of them do it under the BQL. */
static VnpuStep signal_run(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_signal *p = &job->pkt.signal;
    uint64_t mem = 0;

    if (L32(p->op) == VNPU_SIGNAL_OP_ADD &&
        !vnpu_mmu_read(c, job->ctx, L64(p->addr), &mem, sizeof(mem),
                       VNPU_ACCESS_WRITE, f)) {
        return VNPU_STEP_FAULT;
    }
    mem = cpu_to_le64(le64_to_cpu(mem) + L64(p->value));
    if (!vnpu_mmu_write(c, job->ctx, L64(p->addr), &mem, sizeof(mem), f)) {
        return VNPU_STEP_FAULT;
    }
    c->recheck = true;
    return VNPU_STEP_DONE;
}

/* COPY */

static bool copy_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy *p = &job->pkt.copy;

    if (p->reserved) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    job->total = L64(p->size);
    if (!job->total || job->total > VNPU_COPY_MAX_BYTES) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    return vnpu_mmu_range(c, job->ctx, L64(p->src), job->total, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->dst), job->total, f);
}

static bool copy_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy *p = &job->pkt.copy;
    uint64_t src = L64(p->src), dst = L64(p->dst), at;
    bool backward = src < dst && dst - src < job->total;

    job->part = MIN(job->total - job->pos, PART_BYTES);
    at = backward ? job->total - job->pos - job->part : job->pos;
    if (!vnpu_job_map(c, job, 0, src + at, job->part, VNPU_ACCESS_READ, f) ||
        !vnpu_job_map(c, job, 1, dst + at, job->part, VNPU_ACCESS_WRITE, f)) {
        return false;
    }
    job->u.copy = (VnpuCopy) {
        .src = vnpu_job_sg(job, 0),
        .dst = vnpu_job_sg(job, 1),
        .size = job->part,
        .backward = backward,
    };
    return true;
}

static bool copy_exec(VnpuExec *x, VnpuJob *job)
{
    return vnpu_exec_copy(x, &job->u.copy);
}

/* COPY_2D */

/* Do rows of one rectangle touch rows of the other, both with this stride? */
static bool rows_touch(uint64_t a, uint64_t b, uint64_t stride, uint64_t rows,
                       uint64_t row_bytes)
{
    uint64_t distance = a < b ? b - a : a - b;
    uint64_t down = distance / stride;
    uint64_t rest = distance % stride;

    return (down < rows && rest < row_bytes) ||
           (down + 1 < rows && stride - rest < row_bytes);
}

static bool copy_2d_overlap(const struct vnpu_pkt_copy_2d *p, uint64_t src_len,
                            uint64_t dst_len)
{
    uint64_t src = L64(p->src), dst = L64(p->dst);

    if (!overlap(src, src_len, dst, dst_len)) {
        return false;
    }
    return p->src_stride != p->dst_stride ||
           rows_touch(src, dst, L64(p->src_stride), L32(p->rows),
                      L32(p->row_bytes));
}

static bool copy_2d_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy_2d *p = &job->pkt.copy_2d;
    uint64_t row_bytes = L32(p->row_bytes);
    uint64_t src_len, dst_len;

    if (p->reserved) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    job->total = L32(p->rows);
    if (!job->total || !row_bytes ||
        job->total * row_bytes > VNPU_COPY_MAX_BYTES ||
        L64(p->src_stride) < row_bytes || L64(p->dst_stride) < row_bytes) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    if (umul64_overflow(L64(p->src_stride), job->total - 1, &src_len) ||
        uadd64_overflow(src_len, row_bytes, &src_len)) {
        return vnpu_fail(f, VNPU_FAULT_ADDRESS, VNPU_ACCESS_NONE, L64(p->src));
    }
    if (umul64_overflow(L64(p->dst_stride), job->total - 1, &dst_len) ||
        uadd64_overflow(dst_len, row_bytes, &dst_len)) {
        return vnpu_fail(f, VNPU_FAULT_ADDRESS, VNPU_ACCESS_NONE, L64(p->dst));
    }
    if (!vnpu_mmu_range(c, job->ctx, L64(p->src), src_len, f) ||
        !vnpu_mmu_range(c, job->ctx, L64(p->dst), dst_len, f)) {
        return false;
    }
    return !copy_2d_overlap(p, src_len, dst_len) || bad(f, VNPU_FAULT_PARAM);
}

/* Map rows end to end, without what lies between them */
static bool map_rows(VnpuCore *c, VnpuJob *job, unsigned operand, uint64_t va,
                     uint64_t rows, uint64_t row_bytes, uint64_t stride,
                     uint32_t access, VnpuFault *f)
{
    if (stride == row_bytes) {
        row_bytes *= rows;
        rows = 1;
    }
    for (; rows; rows--, va += stride) {
        if (!vnpu_job_map(c, job, operand, va, row_bytes, access, f)) {
            return false;
        }
    }
    return true;
}

static bool copy_2d_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy_2d *p = &job->pkt.copy_2d;
    uint64_t src_stride = L64(p->src_stride), dst_stride = L64(p->dst_stride);
    uint64_t row_bytes = L32(p->row_bytes);
    uint64_t most = MIN(MAX(PART_BYTES / row_bytes, 1), PART_ROWS);

    job->part = MIN(job->total - job->pos, most);
    if (!map_rows(c, job, 0, L64(p->src) + job->pos * src_stride, job->part,
                  row_bytes, src_stride, VNPU_ACCESS_READ, f) ||
        !map_rows(c, job, 1, L64(p->dst) + job->pos * dst_stride, job->part,
                  row_bytes, dst_stride, VNPU_ACCESS_WRITE, f)) {
        return false;
    }
    job->u.copy = (VnpuCopy) {
        .src = vnpu_job_sg(job, 0),
        .dst = vnpu_job_sg(job, 1),
        .size = job->part * row_bytes,
    };
    return true;
}

/* FILL */

static bool fill_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_fill *p = &job->pkt.fill;

    job->total = L64(p->size);
    if (!job->total || job->total > VNPU_COPY_MAX_BYTES) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    if (job->total % 4) {
        return bad(f, VNPU_FAULT_ALIGNMENT);
    }
    return aligned(L64(p->dst), 4, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->dst), job->total, f);
}

static bool fill_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_fill *p = &job->pkt.fill;

    job->part = MIN(job->total - job->pos, PART_BYTES);
    if (!vnpu_job_map(c, job, 0, L64(p->dst) + job->pos, job->part,
                      VNPU_ACCESS_WRITE, f)) {
        return false;
    }
    job->u.fill = (VnpuFill) {
        .dst = vnpu_job_sg(job, 0),
        .size = job->part,
        .pattern = L32(p->pattern),
    };
    return true;
}

static bool fill_exec(VnpuExec *x, VnpuJob *job)
{
    return vnpu_exec_fill(x, &job->u.fill);
}

/* GEMM */

typedef struct Matrix {
    uint64_t addr;
    uint64_t rows;
    uint64_t row_bytes;
    uint64_t stride;
} Matrix;

static uint64_t matrix_len(const Matrix *m)
{
    return m->rows ? (m->rows - 1) * m->stride + m->row_bytes : 0;
}

/* The operands a, b, c and bias, as stored; bias has no rows if not used */
static void gemm_operands(const VnpuJob *job, Matrix op[VNPU_OPERANDS])
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    uint64_t size = dtype_size(L32(p->dtype));
    uint64_t m = L32(p->m), n = L32(p->n), k = L32(p->k);
    bool trans_b = job->flags & VNPU_GEMM_FLAG_TRANS_B;

    op[0] = (Matrix) { L64(p->a), m, k * size, L32(p->lda) * size };
    op[1] = (Matrix) { L64(p->b), trans_b ? n : k, (trans_b ? k : n) * size,
                       L32(p->ldb) * size };
    op[2] = (Matrix) { L64(p->c), m, n * 4, L32(p->ldc) * 4ull };
    op[3] = (Matrix) { L64(p->bias), !!(job->flags & VNPU_GEMM_FLAG_BIAS),
                       n * 4, n * 4 };
}

static bool gemm_dim(uint32_t dim)
{
    return dim && dim <= VNPU_GEMM_MAX_DIM;
}

static bool gemm_params(const VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    bool trans_b = job->flags & VNPU_GEMM_FLAG_TRANS_B;
    uint32_t dtype = L32(p->dtype), act = L32(p->activation);
    uint32_t b_cols = L32(trans_b ? p->k : p->n);

    if (!dtype_size(dtype) || dtype == VNPU_DTYPE_I32 ||
        (act != VNPU_ACTIVATION_NONE && act != VNPU_ACTIVATION_RELU) ||
        !gemm_dim(L32(p->m)) || !gemm_dim(L32(p->n)) || !gemm_dim(L32(p->k)) ||
        !gemm_dim(L32(p->lda)) || L32(p->lda) < L32(p->k) ||
        !gemm_dim(L32(p->ldb)) || L32(p->ldb) < b_cols ||
        !gemm_dim(L32(p->ldc)) || L32(p->ldc) < L32(p->n)) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    return true;
}

static bool gemm_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    uint64_t size = dtype_size(L32(p->dtype));
    Matrix op[VNPU_OPERANDS];

    if (p->reserved || (p->bias && !(job->flags & VNPU_GEMM_FLAG_BIAS))) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    if (!gemm_params(job, f)) {
        return false;
    }
    gemm_operands(job, op);
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (!aligned(op[i].addr, i < 2 ? size : 4, f)) {
            return false;
        }
    }
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (op[i].rows && !vnpu_mmu_range(c, job->ctx, op[i].addr,
                                          matrix_len(&op[i]), f)) {
            return false;
        }
    }
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (i != 2 && op[i].rows &&
            overlap(op[i].addr, matrix_len(&op[i]),
                    op[2].addr, matrix_len(&op[2]))) {
            return bad(f, VNPU_FAULT_PARAM);
        }
    }
    job->total = vnpu_exec_gemm_blocks(L32(p->m), L32(p->n));
    return true;
}

static bool gemm_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    Matrix op[VNPU_OPERANDS];

    job->part = job->total - job->pos;
    gemm_operands(job, op);
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (!map_rows(c, job, i, op[i].addr, op[i].rows, op[i].row_bytes,
                      op[i].stride,
                      i == 2 ? VNPU_ACCESS_WRITE : VNPU_ACCESS_READ, f)) {
            return false;
        }
    }
    job->u.gemm = (VnpuGemm) {
        .dtype = L32(p->dtype),
        .activation = L32(p->activation),
        .m = L32(p->m),
        .n = L32(p->n),
        .k = L32(p->k),
        .trans_b = job->flags & VNPU_GEMM_FLAG_TRANS_B,
        .accumulate = job->flags & VNPU_GEMM_FLAG_ACCUMULATE,
        .has_bias = job->flags & VNPU_GEMM_FLAG_BIAS,
        .a = vnpu_job_sg(job, 0),
        .b = vnpu_job_sg(job, 1),
        .c = vnpu_job_sg(job, 2),
        .bias = vnpu_job_sg(job, 3),
    };
    return true;
}

static bool gemm_exec(VnpuExec *x, VnpuJob *job)
{
    uint64_t done = job->pos;
    bool ok = vnpu_exec_gemm_some(x, &job->u.gemm, &done, job->pause);

    job->part = done - job->pos;
    return ok;
}

/* ELTWISE */

/* dst may be an operand, but not lie askew to it */
static bool askew(uint64_t dst, uint64_t src, uint64_t len)
{
    return dst != src && overlap(dst, len, src, len);
}

static bool eltwise_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_eltwise *p = &job->pkt.eltwise;
    uint64_t size = dtype_size(L32(p->dtype));
    uint64_t a = L64(p->a), b = L64(p->b), dst = L64(p->dst);
    uint32_t op = L32(p->op);
    uint64_t len;

    if (p->reserved) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    job->total = L64(p->count);
    if (!size || op < VNPU_ELTWISE_OP_ADD || op > VNPU_ELTWISE_OP_MAX ||
        !job->total || job->total > VNPU_ELEMS_MAX) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    len = job->total * size;
    if (!aligned(a, size, f) || !aligned(b, size, f) ||
        !aligned(dst, size, f) || !vnpu_mmu_range(c, job->ctx, a, len, f) ||
        !vnpu_mmu_range(c, job->ctx, b, len, f) ||
        !vnpu_mmu_range(c, job->ctx, dst, len, f)) {
        return false;
    }
    if (askew(dst, a, len) || askew(dst, b, len)) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    return true;
}

static bool eltwise_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_eltwise *p = &job->pkt.eltwise;
    uint64_t size = dtype_size(L32(p->dtype));
    uint64_t at = job->pos * size, len;

    job->part = MIN(job->total - job->pos, PART_BYTES / size);
    len = job->part * size;
    if (!vnpu_job_map(c, job, 0, L64(p->a) + at, len, VNPU_ACCESS_READ, f) ||
        !vnpu_job_map(c, job, 1, L64(p->b) + at, len, VNPU_ACCESS_READ, f) ||
        !vnpu_job_map(c, job, 2, L64(p->dst) + at, len, VNPU_ACCESS_WRITE,
                      f)) {
        return false;
    }
    job->u.eltwise = (VnpuEltwise) {
        .op = L32(p->op),
        .dtype = L32(p->dtype),
        .count = job->part,
        .a = vnpu_job_sg(job, 0),
        .b = vnpu_job_sg(job, 1),
        .dst = vnpu_job_sg(job, 2),
    };
    return true;
}

static bool eltwise_exec(VnpuExec *x, VnpuJob *job)
{
    return vnpu_exec_eltwise(x, &job->u.eltwise);
}

/* REDUCE */

static bool reduce_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_reduce *p = &job->pkt.reduce;
    uint64_t size = dtype_size(L32(p->dtype));
    uint64_t cols = L32(p->cols);
    uint32_t op = L32(p->op);

    if (p->reserved) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    job->total = L32(p->rows);
    if (!size || (op != VNPU_REDUCE_OP_SUM && op != VNPU_REDUCE_OP_MAX) ||
        !job->total || !cols || job->total * cols > VNPU_ELEMS_MAX) {
        return bad(f, VNPU_FAULT_PARAM);
    }
    return aligned(L64(p->src), size, f) && aligned(L64(p->dst), 4, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->src), job->total * cols * size,
                          f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->dst), job->total * 4, f);
}

static bool reduce_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_reduce *p = &job->pkt.reduce;
    uint64_t row_bytes = (uint64_t)L32(p->cols) * dtype_size(L32(p->dtype));
    uint64_t most = MAX(PART_BYTES / MAX(row_bytes, 4), 1);

    job->part = MIN(job->total - job->pos, most);
    if (!vnpu_job_map(c, job, 0, L64(p->src) + job->pos * row_bytes,
                      job->part * row_bytes, VNPU_ACCESS_READ, f) ||
        !vnpu_job_map(c, job, 1, L64(p->dst) + job->pos * 4, job->part * 4,
                      VNPU_ACCESS_WRITE, f)) {
        return false;
    }
    job->u.reduce = (VnpuReduce) {
        .op = L32(p->op),
        .dtype = L32(p->dtype),
        .rows = job->part,
        .cols = L32(p->cols),
        .src = vnpu_job_sg(job, 0),
        .dst = vnpu_job_sg(job, 1),
    };
    return true;
}

static bool reduce_exec(VnpuExec *x, VnpuJob *job)
{
    return vnpu_exec_reduce(x, &job->u.reduce);
}

/* The table */

#define ON_COPY (1u << VNPU_ENGINE_TYPE_COPY)
#define ON_TENSOR (1u << VNPU_ENGINE_TYPE_TENSOR)
#define DWORDS(type) (sizeof(struct type) / sizeof(uint32_t))

static const VnpuPacketOp packet_ops[] = {
    [VNPU_OP_NOP] = {
        .name = "NOP", .engines = ON_COPY | ON_TENSOR, .inline_run = nop_run,
    },
    [VNPU_OP_WAIT] = {
        .name = "WAIT", .dwords = DWORDS(vnpu_pkt_wait),
        .engines = ON_COPY | ON_TENSOR,
        .check = wait_check, .inline_run = wait_run,
    },
    [VNPU_OP_SIGNAL] = {
        .name = "SIGNAL", .dwords = DWORDS(vnpu_pkt_signal),
        .engines = ON_COPY | ON_TENSOR,
        .check = signal_check, .inline_run = signal_run,
    },
    [VNPU_OP_COPY] = {
        .name = "COPY", .dwords = DWORDS(vnpu_pkt_copy), .engines = ON_COPY,
        .check = copy_check, .prepare = copy_prepare, .exec = copy_exec,
    },
    [VNPU_OP_COPY_2D] = {
        .name = "COPY_2D", .dwords = DWORDS(vnpu_pkt_copy_2d),
        .engines = ON_COPY,
        .check = copy_2d_check, .prepare = copy_2d_prepare, .exec = copy_exec,
    },
    [VNPU_OP_FILL] = {
        .name = "FILL", .dwords = DWORDS(vnpu_pkt_fill), .engines = ON_COPY,
        .check = fill_check, .prepare = fill_prepare, .exec = fill_exec,
    },
    [VNPU_OP_GEMM] = {
        .name = "GEMM", .dwords = DWORDS(vnpu_pkt_gemm), .engines = ON_TENSOR,
        .flags = VNPU_GEMM_FLAG_BIAS | VNPU_GEMM_FLAG_TRANS_B |
                 VNPU_GEMM_FLAG_ACCUMULATE,
        .check = gemm_check, .prepare = gemm_prepare, .exec = gemm_exec,
    },
    [VNPU_OP_ELTWISE] = {
        .name = "ELTWISE", .dwords = DWORDS(vnpu_pkt_eltwise),
        .engines = ON_TENSOR,
        .check = eltwise_check, .prepare = eltwise_prepare,
        .exec = eltwise_exec,
    },
    [VNPU_OP_REDUCE] = {
        .name = "REDUCE", .dwords = DWORDS(vnpu_pkt_reduce),
        .engines = ON_TENSOR,
        .check = reduce_check, .prepare = reduce_prepare, .exec = reduce_exec,
    },
};

uint32_t vnpu_packet_dwords(const VnpuJob *job)
{
    return VNPU_GET(le32_to_cpu(job->pkt.dw[0]), VNPU_PKT_HDR_DWORDS);
}

uint64_t vnpu_packet_arg(const VnpuJob *job)
{
    return ldq_le_p(job->pkt.dw);
}

const char *vnpu_packet_name(const VnpuJob *job)
{
    return job->op ? job->op->name : "?";
}

static bool length_good(const VnpuPacketOp *op, uint32_t dwords, uint32_t left)
{
    if (dwords * sizeof(uint32_t) > left) {
        return false;
    }
    if (op->dwords) {
        return dwords == op->dwords;
    }
    return dwords >= 2 && dwords <= VNPU_PACKET_MAX_DWORDS && dwords % 2 == 0;
}

bool vnpu_packet_fetch(VnpuCore *c, unsigned n, VnpuJob *job, VnpuFault *f)
{
    VnpuQueue *q = &c->queue[n];
    uint32_t engine = VNPU_GET(q->config, VNPU_QUEUE_CONFIG_ENGINE);
    uint32_t left = q->cmd_size - q->cmd_pos;
    uint32_t hdr, opcode;

    memset(&job->pkt, 0, sizeof(job->pkt));
    memcpy(&job->pkt, q->cmd + q->cmd_pos, MIN(left, 8));
    job->queue = n;
    job->ctx = q->context;
    job->ip = q->cmd_addr + q->cmd_pos;
    job->total = job->pos = 0;
    job->op = NULL;

    hdr = le32_to_cpu(job->pkt.dw[0]);
    opcode = VNPU_GET(hdr, VNPU_PKT_HDR_OPCODE);
    job->flags = VNPU_GET(hdr, VNPU_PKT_HDR_FLAGS);
    if (opcode >= ARRAY_SIZE(packet_ops) || !packet_ops[opcode].name) {
        return bad(f, VNPU_FAULT_OPCODE);
    }
    job->op = &packet_ops[opcode];
    if (!length_good(job->op, vnpu_packet_dwords(job), left)) {
        return bad(f, VNPU_FAULT_LENGTH);
    }
    memcpy(&job->pkt, q->cmd + q->cmd_pos, vnpu_packet_dwords(job) * 4);
    if (!(job->op->engines & (1u << c->engine[engine].type))) {
        return bad(f, VNPU_FAULT_ENGINE);
    }
    if (job->flags & ~job->op->flags) {
        return bad(f, VNPU_FAULT_RESERVED);
    }
    /* the context may have gone since the command buffer was read */
    if (job->ctx >= VNPU_MAX_CONTEXTS || !c->ctx[job->ctx].valid) {
        return bad(f, VNPU_FAULT_CONTEXT);
    }
    return !job->op->check || job->op->check(c, job, f);
}

VnpuStep vnpu_packet_begin(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    if (job->op->inline_run) {
        return job->op->inline_run(c, job, f);
    }
    return VNPU_STEP_ENGINE;
}

bool vnpu_packet_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    return job->op->prepare(c, job, f);
}

bool vnpu_packet_exec(VnpuExec *x, VnpuJob *job)
{
    return job->op->exec(x, job);
}
