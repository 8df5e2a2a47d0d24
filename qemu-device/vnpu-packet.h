/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: what the packets of command buffers have in common.
 */

#ifndef VNPU_PACKET_H
#define VNPU_PACKET_H

#include "qemu/bswap.h"
#include "vnpu-internal.h"

/* Most bytes of an operand, and most rows, that one part of a packet maps */
#define VNPU_PART_BYTES (16ull * 1024 * 1024)
#define VNPU_PART_ROWS 4096ull

/*
 * The same without threads, where every part keeps the main loop, and steps of
 * a product
 */
#define VNPU_SYNC_PART_BYTES (512ull * 1024)
#define VNPU_PART_STEPS 64

#define VNPU_ON_COPY (1u << VNPU_ENGINE_TYPE_COPY)
#define VNPU_ON_TENSOR (1u << VNPU_ENGINE_TYPE_TENSOR)
#define VNPU_DWORDS(type) (sizeof(struct type) / sizeof(uint32_t))

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
    /* about how long exec will take, ns */
    uint64_t (*cost)(const VnpuJob *job);
};

extern const VnpuPacketOp vnpu_op_nop;
extern const VnpuPacketOp vnpu_op_wait;
extern const VnpuPacketOp vnpu_op_signal;
extern const VnpuPacketOp vnpu_op_copy;
extern const VnpuPacketOp vnpu_op_copy_2d;
extern const VnpuPacketOp vnpu_op_fill;
extern const VnpuPacketOp vnpu_op_gemm;
extern const VnpuPacketOp vnpu_op_eltwise;
extern const VnpuPacketOp vnpu_op_reduce;

static inline uint64_t packet_part_bytes(const VnpuCore *c)
{
    return c->sync ? VNPU_SYNC_PART_BYTES : VNPU_PART_BYTES;
}

static inline bool packet_aligned(uint64_t addr, uint64_t to, VnpuFault *f)
{
    if (addr % to) {
        return vnpu_fail(f, VNPU_FAULT_ALIGNMENT, VNPU_ACCESS_NONE, addr);
    }
    return true;
}

static inline bool packet_overlap(uint64_t a, uint64_t alen, uint64_t b,
                                  uint64_t blen)
{
    return a < b ? b - a < alen : a - b < blen;
}

#endif
