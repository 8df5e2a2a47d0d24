/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: packets of the tensor engines: GEMM, ELTWISE and REDUCE.
 */

#include "qemu/osdep.h"
#include "vnpu-packet.h"

/* GEMM */

typedef struct GemmOperand {
    uint64_t addr;
    uint64_t rows;
    uint64_t row_bytes;
    uint64_t stride;
} GemmOperand;

static uint64_t gemm_operand_len(const GemmOperand *m)
{
    return m->rows ? (m->rows - 1) * m->stride + m->row_bytes : 0;
}

/* The operands a, b, c and bias, as stored; bias has no rows if not used */
static void gemm_operands(const VnpuJob *job, GemmOperand op[VNPU_OPERANDS])
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    uint64_t size = vnpu_dtype_bytes(L32(p->dtype));
    uint64_t m = L32(p->m), n = L32(p->n), k = L32(p->k);
    bool trans_b = job->flags & VNPU_GEMM_FLAG_TRANS_B;

    op[0] = (GemmOperand) { L64(p->a), m, k * size, L32(p->lda) * size };
    op[1] = (GemmOperand) {
        L64(p->b), trans_b ? n : k, (trans_b ? k : n) * size,
        L32(p->ldb) * size,
    };
    op[2] = (GemmOperand) { L64(p->c), m, n * 4, L32(p->ldc) * 4ull };
    op[3] = (GemmOperand) {
        L64(p->bias), !!(job->flags & VNPU_GEMM_FLAG_BIAS), n * 4, n * 4,
    };
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

    if (!vnpu_dtype_bytes(dtype) || dtype == VNPU_DTYPE_I32 ||
        (act != VNPU_ACTIVATION_NONE && act != VNPU_ACTIVATION_RELU) ||
        !gemm_dim(L32(p->m)) || !gemm_dim(L32(p->n)) || !gemm_dim(L32(p->k)) ||
        !gemm_dim(L32(p->lda)) || L32(p->lda) < L32(p->k) ||
        !gemm_dim(L32(p->ldb)) || L32(p->ldb) < b_cols ||
        !gemm_dim(L32(p->ldc)) || L32(p->ldc) < L32(p->n)) {
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    return true;
}

static bool gemm_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    uint64_t size = vnpu_dtype_bytes(L32(p->dtype));
    GemmOperand op[VNPU_OPERANDS];

    if (p->reserved || (p->bias && !(job->flags & VNPU_GEMM_FLAG_BIAS))) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    if (!gemm_params(job, f)) {
        return false;
    }
    gemm_operands(job, op);
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (!packet_aligned(op[i].addr, i < 2 ? size : 4, f)) {
            return false;
        }
    }
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (op[i].rows && !vnpu_mmu_range(c, job->ctx, op[i].addr,
                                          gemm_operand_len(&op[i]), f)) {
            return false;
        }
    }
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (i != 2 && op[i].rows &&
            packet_overlap(op[i].addr, gemm_operand_len(&op[i]),
                           op[2].addr, gemm_operand_len(&op[2]))) {
            return vnpu_refuse(f, VNPU_FAULT_PARAM);
        }
    }
    job->total = vnpu_exec_gemm_steps(L32(p->m), L32(p->n), L32(p->k));
    return true;
}

/* Most operand pieces of a part; a step alone has fewer */
#define GEMM_PART_PIECES 16384

/* A stretch of m, n or k */
typedef struct GemmRange {
    uint64_t from;
    uint64_t len;
} GemmRange;

/*
 * Part of a product. Its steps follow each other: they are whole block
 * columns, or whole depths of one, or blocks of one depth.
 */
typedef struct GemmPart {
    GemmRange m, n, k;
} GemmPart;

/* The operands that a part needs: rectangles of the whole ones */
static void gemm_part_operands(const VnpuJob *job, const GemmPart *part,
                               GemmOperand op[VNPU_OPERANDS])
{
    uint64_t size = vnpu_dtype_bytes(L32(job->pkt.gemm.dtype));
    bool trans_b = job->flags & VNPU_GEMM_FLAG_TRANS_B;
    const GemmRange *rows[] = {
        &part->m, trans_b ? &part->n : &part->k, &part->m, NULL,
    };
    const GemmRange *cols[] = {
        &part->k, trans_b ? &part->k : &part->n, &part->n, &part->n,
    };

    gemm_operands(job, op);
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        uint64_t elem = i < 2 ? size : 4;

        if (rows[i]) {
            op[i].addr += rows[i]->from * op[i].stride;
            op[i].rows = rows[i]->len;
        }
        op[i].addr += cols[i]->from * elem;
        op[i].row_bytes = cols[i]->len * elem;
    }
    if (part->k.from + part->k.len < L32(job->pkt.gemm.k)) {
        /* the bias is added at the end */
        op[3].rows = 0;
    }
}

static uint64_t gemm_steps(const GemmPart *part)
{
    return vnpu_exec_gemm_steps(part->m.len, part->n.len, part->k.len);
}

static bool gemm_part_fits(const VnpuJob *job, const GemmPart *part,
                           uint64_t steps)
{
    GemmOperand op[VNPU_OPERANDS];
    uint64_t pieces = 0;

    if (gemm_steps(part) > steps) {
        return false;
    }
    gemm_part_operands(job, part, op);
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        uint64_t rows = op[i].rows, bytes = op[i].row_bytes;

        if (rows && bytes == op[i].stride) {
            bytes *= rows;
            rows = 1;
        }
        pieces += rows * (bytes / VNPU_PAGE_SIZE + 2);
    }
    return pieces <= GEMM_PART_PIECES;
}

/* As much of @r as makes a part that fits, in units; false if not even one */
static bool gemm_shrink(const VnpuJob *job, GemmPart *part, uint64_t steps,
                        GemmRange *r, uint64_t unit)
{
    uint64_t units = DIV_ROUND_UP(r->len, unit);

    while (!gemm_part_fits(job, part, steps)) {
        if (units <= 1) {
            return false;
        }
        units = DIV_ROUND_UP(units, 2);
        r->len = units * unit;
    }
    return true;
}

/* The part that begins with step job->pos, of so many steps or fewer */
static GemmPart gemm_part(const VnpuJob *job, uint64_t steps)
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    uint64_t m = L32(p->m), n = L32(p->n), k = L32(p->k);
    uint64_t rows = DIV_ROUND_UP(m, VNPU_GEMM_STEP_M);
    uint64_t depths = DIV_ROUND_UP(k, VNPU_GEMM_STEP_K);
    uint64_t i0 = job->pos % rows * VNPU_GEMM_STEP_M;
    uint64_t k0 = job->pos / rows % depths * VNPU_GEMM_STEP_K;
    uint64_t j0 = job->pos / rows / depths * VNPU_GEMM_STEP_N;
    GemmPart part = { { i0, m - i0 }, { j0, n - j0 }, { k0, k - k0 } };

    if (!i0 && !k0 &&
        gemm_shrink(job, &part, steps, &part.n, VNPU_GEMM_STEP_N)) {
        return part;
    }
    part.n.len = MIN(n - j0, VNPU_GEMM_STEP_N);
    if (!i0 && gemm_shrink(job, &part, steps, &part.k, VNPU_GEMM_STEP_K)) {
        return part;
    }
    part.k.len = MIN(k - k0, VNPU_GEMM_STEP_K);
    gemm_shrink(job, &part, steps, &part.m, VNPU_GEMM_STEP_M);
    return part;
}

static bool gemm_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_gemm *p = &job->pkt.gemm;
    GemmPart part = gemm_part(job, c->sync ? 1 : VNPU_PART_STEPS);
    bool last = part.k.from + part.k.len == L32(p->k);
    GemmOperand op[VNPU_OPERANDS];

    job->part = gemm_steps(&part);
    gemm_part_operands(job, &part, op);
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        if (!vnpu_job_map_rows(c, job, i, op[i].addr, op[i].rows,
                               op[i].row_bytes, op[i].stride,
                               i == 2 ? VNPU_ACCESS_WRITE : VNPU_ACCESS_READ,
                               f)) {
            return false;
        }
    }
    job->u.gemm = (VnpuGemm) {
        .dtype = L32(p->dtype),
        .activation = last ? L32(p->activation) : VNPU_ACTIVATION_NONE,
        .m = part.m.len,
        .n = part.n.len,
        .k = part.k.len,
        .trans_b = job->flags & VNPU_GEMM_FLAG_TRANS_B,
        .accumulate = job->flags & VNPU_GEMM_FLAG_ACCUMULATE || part.k.from,
        .has_bias = op[3].rows,
        .packet = job->packet,
        .col = part.n.from,
        .depth = part.k.from,
        .a = vnpu_job_sg(job, 0),
        .b = vnpu_job_sg(job, 1),
        .c = vnpu_job_sg(job, 2),
        .bias = vnpu_job_sg(job, 3),
    };
    return true;
}

static bool gemm_exec(VnpuExec *x, VnpuJob *job)
{
    uint64_t done = 0;
    bool ok = vnpu_exec_gemm_some(x, &job->u.gemm, &done, job->pause);

    job->part = done;
    return ok;
}

static uint64_t gemm_cost(const VnpuJob *job)
{
    const VnpuGemm *g = &job->u.gemm;

    return (uint64_t)g->m * g->n * g->k / 20 +
           ((uint64_t)g->m * g->k + (uint64_t)g->k * g->n) / 2;
}

const VnpuPacketOp vnpu_op_gemm = {
    .name = "GEMM",
    .dwords = VNPU_DWORDS(vnpu_pkt_gemm),
    .engines = VNPU_ON_TENSOR,
    .flags = VNPU_GEMM_FLAG_BIAS | VNPU_GEMM_FLAG_TRANS_B |
             VNPU_GEMM_FLAG_ACCUMULATE,
    .check = gemm_check,
    .prepare = gemm_prepare,
    .exec = gemm_exec,
    .cost = gemm_cost,
};

/* ELTWISE */

/* dst may be an operand, but not lie askew to it */
static bool eltwise_askew(uint64_t dst, uint64_t src, uint64_t len)
{
    return dst != src && packet_overlap(dst, len, src, len);
}

static bool eltwise_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_eltwise *p = &job->pkt.eltwise;
    uint64_t size = vnpu_dtype_bytes(L32(p->dtype));
    uint64_t a = L64(p->a), b = L64(p->b), dst = L64(p->dst);
    uint32_t op = L32(p->op);
    uint64_t len;

    if (p->reserved) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    job->total = L64(p->count);
    if (!size || op < VNPU_ELTWISE_OP_ADD || op > VNPU_ELTWISE_OP_MAX ||
        !job->total || job->total > VNPU_ELEMS_MAX) {
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    len = job->total * size;
    if (!packet_aligned(a, size, f) || !packet_aligned(b, size, f) ||
        !packet_aligned(dst, size, f) ||
        !vnpu_mmu_range(c, job->ctx, a, len, f) ||
        !vnpu_mmu_range(c, job->ctx, b, len, f) ||
        !vnpu_mmu_range(c, job->ctx, dst, len, f)) {
        return false;
    }
    if (eltwise_askew(dst, a, len) || eltwise_askew(dst, b, len)) {
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    return true;
}

static bool eltwise_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_eltwise *p = &job->pkt.eltwise;
    uint64_t size = vnpu_dtype_bytes(L32(p->dtype));
    uint64_t at = job->pos * size, len;

    job->part = MIN(job->total - job->pos, packet_part_bytes(c) / size);
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

static uint64_t eltwise_cost(const VnpuJob *job)
{
    return 2 * job->part;
}

static bool eltwise_exec(VnpuExec *x, VnpuJob *job)
{
    bool ok = vnpu_exec_eltwise(x, &job->u.eltwise, job->pause);

    job->part = job->u.eltwise.count;
    return ok;
}

const VnpuPacketOp vnpu_op_eltwise = {
    .name = "ELTWISE",
    .dwords = VNPU_DWORDS(vnpu_pkt_eltwise),
    .engines = VNPU_ON_TENSOR,
    .check = eltwise_check,
    .prepare = eltwise_prepare,
    .exec = eltwise_exec,
    .cost = eltwise_cost,
};

/* REDUCE */

static bool reduce_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_reduce *p = &job->pkt.reduce;
    uint64_t size = vnpu_dtype_bytes(L32(p->dtype));
    uint64_t cols = L32(p->cols);
    uint32_t op = L32(p->op);

    if (p->reserved) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    job->total = L32(p->rows) * cols;
    if (!size || (op != VNPU_REDUCE_OP_SUM && op != VNPU_REDUCE_OP_MAX) ||
        !job->total || job->total > VNPU_ELEMS_MAX) {
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    return packet_aligned(L64(p->src), size, f) &&
           packet_aligned(L64(p->dst), 4, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->src), job->total * size, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->dst), L32(p->rows) * 4ull, f);
}

/* Any number of elements makes a part: a row may be long */
static bool reduce_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_reduce *p = &job->pkt.reduce;
    uint64_t size = vnpu_dtype_bytes(L32(p->dtype));
    uint64_t cols = L32(p->cols);
    uint64_t row = job->pos / cols, skip = job->pos % cols;
    uint64_t rows;

    job->part = MIN(job->total - job->pos,
                    c->sync ? VNPU_REDUCE_STEP : VNPU_PART_BYTES / 4);
    rows = DIV_ROUND_UP(skip + job->part, cols);
    if (!vnpu_job_map(c, job, 0, L64(p->src) + job->pos * size,
                      job->part * size, VNPU_ACCESS_READ, f) ||
        !vnpu_job_map(c, job, 1, L64(p->dst) + row * 4, rows * 4,
                      VNPU_ACCESS_WRITE, f)) {
        return false;
    }
    job->u.reduce = (VnpuReduce) {
        .op = L32(p->op),
        .dtype = L32(p->dtype),
        .cols = cols,
        .skip = skip,
        .count = job->part,
        .carry = job->carry,
        .src = vnpu_job_sg(job, 0),
        .dst = vnpu_job_sg(job, 1),
    };
    return true;
}

static bool reduce_exec(VnpuExec *x, VnpuJob *job)
{
    bool ok = vnpu_exec_reduce(x, &job->u.reduce, job->pause);

    job->part = job->u.reduce.count;
    job->carry = job->u.reduce.carry;
    return ok;
}

static uint64_t reduce_cost(const VnpuJob *job)
{
    return job->part;
}

const VnpuPacketOp vnpu_op_reduce = {
    .name = "REDUCE",
    .dwords = VNPU_DWORDS(vnpu_pkt_reduce),
    .engines = VNPU_ON_TENSOR,
    .check = reduce_check,
    .prepare = reduce_prepare,
    .exec = reduce_exec,
    .cost = reduce_cost,
};
