/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: packets of the copy engines: COPY, COPY_2D and FILL.
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "vnpu-packet.h"

/* COPY */

static bool copy_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy *p = &job->pkt.copy;

    if (p->reserved) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    job->total = L64(p->size);
    if (!job->total || job->total > VNPU_COPY_MAX_BYTES) {
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    return vnpu_mmu_range(c, job->ctx, L64(p->src), job->total, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->dst), job->total, f);
}

static bool copy_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy *p = &job->pkt.copy;
    uint64_t src = L64(p->src), dst = L64(p->dst), at;
    bool backward = src < dst && dst - src < job->total;

    job->part = MIN(job->total - job->pos, packet_part_bytes(c));
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
    bool ok = vnpu_exec_copy(x, &job->u.copy, job->pause);

    job->part = job->u.copy.size;
    return ok;
}

/* 8 GB/s, and something for each piece */
static uint64_t copy_cost(const VnpuJob *job)
{
    return job->u.copy.size / 8 + 16 * job->u.copy.dst.niov;
}

const VnpuPacketOp vnpu_op_copy = {
    .name = "COPY",
    .dwords = VNPU_DWORDS(vnpu_pkt_copy),
    .engines = VNPU_ON_COPY,
    .check = copy_check,
    .prepare = copy_prepare,
    .exec = copy_exec,
    .cost = copy_cost,
};

/* COPY_2D */

/* Do rows of one rectangle touch rows of the other, both with this stride? */
static bool copy_rows_touch(uint64_t a, uint64_t b, uint64_t stride,
                            uint64_t rows, uint64_t row_bytes)
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

    if (!packet_overlap(src, src_len, dst, dst_len)) {
        return false;
    }
    return p->src_stride != p->dst_stride ||
           copy_rows_touch(src, dst, L64(p->src_stride), L32(p->rows),
                           L32(p->row_bytes));
}

static bool copy_2d_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy_2d *p = &job->pkt.copy_2d;
    uint64_t row_bytes = L32(p->row_bytes), rows = L32(p->rows);
    uint64_t src_len, dst_len;

    if (p->reserved) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    job->total = rows * row_bytes;
    if (!job->total || job->total > VNPU_COPY_MAX_BYTES ||
        L64(p->src_stride) < row_bytes || L64(p->dst_stride) < row_bytes) {
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    if (umul64_overflow(L64(p->src_stride), rows - 1, &src_len) ||
        uadd64_overflow(src_len, row_bytes, &src_len)) {
        return vnpu_fail(f, VNPU_FAULT_ADDRESS, VNPU_ACCESS_NONE, L64(p->src));
    }
    if (umul64_overflow(L64(p->dst_stride), rows - 1, &dst_len) ||
        uadd64_overflow(dst_len, row_bytes, &dst_len)) {
        return vnpu_fail(f, VNPU_FAULT_ADDRESS, VNPU_ACCESS_NONE, L64(p->dst));
    }
    if (!vnpu_mmu_range(c, job->ctx, L64(p->src), src_len, f) ||
        !vnpu_mmu_range(c, job->ctx, L64(p->dst), dst_len, f)) {
        return false;
    }
    return !copy_2d_overlap(p, src_len, dst_len) ||
           vnpu_refuse(f, VNPU_FAULT_PARAM);
}

/* The bytes of the part: the rest of a row, whole ones, the beginning of one */
static bool copy_2d_map(VnpuCore *c, VnpuJob *job, unsigned operand,
                        uint64_t base, uint64_t stride, uint32_t access,
                        VnpuFault *f)
{
    uint64_t row_bytes = L32(job->pkt.copy_2d.row_bytes);
    uint64_t at = base + job->pos / row_bytes * stride;
    uint64_t skip = job->pos % row_bytes, left = job->part;

    if (skip) {
        uint64_t rest = MIN(row_bytes - skip, left);

        if (!vnpu_job_map(c, job, operand, at + skip, rest, access, f)) {
            return false;
        }
        at += stride;
        left -= rest;
    }
    return vnpu_job_map_rows(c, job, operand, at, left / row_bytes, row_bytes,
                             stride, access, f) &&
           vnpu_job_map(c, job, operand, at + left / row_bytes * stride,
                        left % row_bytes, access, f);
}

static bool copy_2d_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_copy_2d *p = &job->pkt.copy_2d;
    uint64_t most = MIN(packet_part_bytes(c),
                        L32(p->row_bytes) * VNPU_PART_ROWS);

    job->part = MIN(job->total - job->pos, most);
    if (!copy_2d_map(c, job, 0, L64(p->src), L64(p->src_stride),
                     VNPU_ACCESS_READ, f) ||
        !copy_2d_map(c, job, 1, L64(p->dst), L64(p->dst_stride),
                     VNPU_ACCESS_WRITE, f)) {
        return false;
    }
    job->u.copy = (VnpuCopy) {
        .src = vnpu_job_sg(job, 0),
        .dst = vnpu_job_sg(job, 1),
        .size = job->part,
    };
    return true;
}

const VnpuPacketOp vnpu_op_copy_2d = {
    .name = "COPY_2D",
    .dwords = VNPU_DWORDS(vnpu_pkt_copy_2d),
    .engines = VNPU_ON_COPY,
    .check = copy_2d_check,
    .prepare = copy_2d_prepare,
    .exec = copy_exec,
    .cost = copy_cost,
};

/* FILL */

static bool fill_check(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_fill *p = &job->pkt.fill;

    job->total = L64(p->size);
    if (!job->total || job->total > VNPU_COPY_MAX_BYTES) {
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    if (job->total % 4) {
        return vnpu_refuse(f, VNPU_FAULT_ALIGNMENT);
    }
    return packet_aligned(L64(p->dst), 4, f) &&
           vnpu_mmu_range(c, job->ctx, L64(p->dst), job->total, f);
}

static bool fill_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f)
{
    const struct vnpu_pkt_fill *p = &job->pkt.fill;

    job->part = MIN(job->total - job->pos, packet_part_bytes(c));
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
    bool ok = vnpu_exec_fill(x, &job->u.fill, job->pause);

    job->part = job->u.fill.size;
    return ok;
}

static uint64_t fill_cost(const VnpuJob *job)
{
    return job->u.fill.size / 8;
}

const VnpuPacketOp vnpu_op_fill = {
    .name = "FILL",
    .dwords = VNPU_DWORDS(vnpu_pkt_fill),
    .engines = VNPU_ON_COPY,
    .check = fill_check,
    .prepare = fill_prepare,
    .exec = fill_exec,
    .cost = fill_cost,
};
