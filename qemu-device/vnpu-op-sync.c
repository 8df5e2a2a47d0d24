/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: packets that need no engine time: NOP, WAIT and SIGNAL.
 */

#include "qemu/osdep.h"
#include "vnpu-packet.h"

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
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    return packet_aligned(L64(p->addr), 8, f) &&
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
        return vnpu_refuse(f, VNPU_FAULT_PARAM);
    }
    return packet_aligned(L64(p->addr), 8, f) &&
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

const VnpuPacketOp vnpu_op_nop = {
    .name = "NOP",
    .engines = VNPU_ON_COPY | VNPU_ON_TENSOR,
    .inline_run = nop_run,
};

const VnpuPacketOp vnpu_op_wait = {
    .name = "WAIT",
    .dwords = VNPU_DWORDS(vnpu_pkt_wait),
    .engines = VNPU_ON_COPY | VNPU_ON_TENSOR,
    .check = wait_check,
    .inline_run = wait_run,
};

const VnpuPacketOp vnpu_op_signal = {
    .name = "SIGNAL",
    .dwords = VNPU_DWORDS(vnpu_pkt_signal),
    .engines = VNPU_ON_COPY | VNPU_ON_TENSOR,
    .check = signal_check,
    .inline_run = signal_run,
};
