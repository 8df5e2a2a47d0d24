/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the packets of command buffers.
 *
 * A packet is taken out of the device's own copy of the command buffer and
 * checked in full before anything is done. Checks go from the header to the
 * operands; the first that fails decides the fault.
 */

#include "qemu/osdep.h"
#include "vnpu-packet.h"

static const VnpuPacketOp *const packet_ops[] = {
    [VNPU_OP_NOP] = &vnpu_op_nop,
    [VNPU_OP_WAIT] = &vnpu_op_wait,
    [VNPU_OP_SIGNAL] = &vnpu_op_signal,
    [VNPU_OP_COPY] = &vnpu_op_copy,
    [VNPU_OP_COPY_2D] = &vnpu_op_copy_2d,
    [VNPU_OP_FILL] = &vnpu_op_fill,
    [VNPU_OP_GEMM] = &vnpu_op_gemm,
    [VNPU_OP_ELTWISE] = &vnpu_op_eltwise,
    [VNPU_OP_REDUCE] = &vnpu_op_reduce,
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

static bool packet_length_good(const VnpuPacketOp *op, uint32_t dwords,
                               uint32_t left)
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
    if (opcode >= ARRAY_SIZE(packet_ops) || !packet_ops[opcode]) {
        return vnpu_refuse(f, VNPU_FAULT_OPCODE);
    }
    job->op = packet_ops[opcode];
    if (!packet_length_good(job->op, vnpu_packet_dwords(job), left)) {
        return vnpu_refuse(f, VNPU_FAULT_LENGTH);
    }
    memcpy(&job->pkt, q->cmd + q->cmd_pos, vnpu_packet_dwords(job) * 4);
    if (!(job->op->engines & (1u << c->engine[engine].type))) {
        return vnpu_refuse(f, VNPU_FAULT_ENGINE);
    }
    if (job->flags & ~job->op->flags) {
        return vnpu_refuse(f, VNPU_FAULT_RESERVED);
    }
    /* the context may have gone since the command buffer was read */
    if (job->ctx >= VNPU_MAX_CONTEXTS || !c->ctx[job->ctx].valid) {
        return vnpu_refuse(f, VNPU_FAULT_CONTEXT);
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

uint64_t vnpu_packet_cost(const VnpuJob *job)
{
    return job->op->cost(job);
}
