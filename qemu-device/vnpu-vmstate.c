/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: migration and snapshots.
 *
 * Saved are guest addresses and the device's own copies, never host
 * addresses: an engine's packet is finished or, between its parts, taken back
 * before the state is written, and prepared anew afterwards. The TLB is
 * a cache and starts empty. The core checks what is loaded (vnpu-load.c).
 */

#include "qemu/osdep.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie_aer.h"
#include "migration/vmstate.h"
#include "vnpu.h"
#include "vnpu-internal.h"

static bool load_cmd_size_good(void *opaque, int version_id)
{
    VnpuQueue *q = opaque;

    return q->cmd_size <= VNPU_CMD_MAX_BYTES && q->cmd_size % 8 == 0;
}

static const VMStateDescription vmstate_queue = {
    .name = "vnpu/queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(base, VnpuQueue),
        VMSTATE_UINT32(config, VnpuQueue),
        VMSTATE_UINT32(context, VnpuQueue),
        VMSTATE_UINT32(vector, VnpuQueue),
        VMSTATE_UINT32(head, VnpuQueue),
        VMSTATE_UINT32(tail, VnpuQueue),
        VMSTATE_UINT32(progress, VnpuQueue),
        VMSTATE_UINT32(fault, VnpuQueue),
        VMSTATE_UINT64(fence, VnpuQueue),
        VMSTATE_UINT64(fault_addr, VnpuQueue),
        VMSTATE_UINT64(fault_ip, VnpuQueue),
        VMSTATE_UINT64(busy_ns, VnpuQueue),
        VMSTATE_BOOL(enabled, VnpuQueue),
        VMSTATE_BOOL(waiting, VnpuQueue),
        VMSTATE_BOOL(wanted, VnpuQueue),
        VMSTATE_UINT64(until, VnpuQueue),
        VMSTATE_UINT64(cmd_addr, VnpuQueue),
        VMSTATE_UINT32(cmd_size, VnpuQueue),
        VMSTATE_VALIDATE("command buffer size", load_cmd_size_good),
        VMSTATE_UINT32(cmd_pos, VnpuQueue),
        VMSTATE_VBUFFER_ALLOC_UINT32(cmd, VnpuQueue, 1, NULL, cmd_size),
        VMSTATE_UINT64(part_pos, VnpuQueue),
        VMSTATE_UINT64(part_carry, VnpuQueue),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_context = {
    .name = "vnpu/context",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(pt, VnpuContext),
        VMSTATE_BOOL(valid, VnpuContext),
        VMSTATE_BOOL(wanted, VnpuContext),
        VMSTATE_UINT64(until, VnpuContext),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_turn = {
    .name = "vnpu/turn",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(last, VnpuTurn),
        VMSTATE_UINT32(parts, VnpuTurn),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_engine = {
    .name = "vnpu/engine",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32_EQUAL(type, VnpuEngine, NULL),
        VMSTATE_UINT32(jobs, VnpuEngine),
        VMSTATE_UINT64(busy_ns, VnpuEngine),
        VMSTATE_STRUCT_ARRAY(turn, VnpuEngine, VNPU_PRIORITIES, 1, vmstate_turn,
                             VnpuTurn),
        VMSTATE_UINT64(until, VnpuEngine),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_events = {
    .name = "vnpu/events",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(base, VnpuEvents),
        VMSTATE_UINT32(config, VnpuEvents),
        VMSTATE_UINT32(head, VnpuEvents),
        VMSTATE_UINT32(tail, VnpuEvents),
        VMSTATE_UINT32(dropped, VnpuEvents),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_core = {
    .name = "vnpu/core",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64_EQUAL(vram_size, VnpuCore, NULL),
        VMSTATE_UINT64_EQUAL(aperture_size, VnpuCore, NULL),
        VMSTATE_UINT32_EQUAL(nqueues, VnpuCore, NULL),
        VMSTATE_UINT32_EQUAL(nengines, VnpuCore, NULL),
        VMSTATE_UINT32_EQUAL(caps, VnpuCore, NULL),
        VMSTATE_UINT32_EQUAL(gemm_unit, VnpuCore, NULL),
        VMSTATE_UINT32(scratch, VnpuCore),
        VMSTATE_UINT32(timestamp_hi, VnpuCore),
        VMSTATE_UINT64(saved_at, VnpuCore),
        VMSTATE_UINT64(until, VnpuCore),
        VMSTATE_UINT32_ARRAY(irq, VnpuCore,
                             DIV_ROUND_UP(VNPU_MAX_VECTORS, 32)),
        VMSTATE_STRUCT(events, VnpuCore, 1, vmstate_events, VnpuEvents),
        VMSTATE_STRUCT_ARRAY(ctx, VnpuCore, VNPU_MAX_CONTEXTS, 1,
                             vmstate_context, VnpuContext),
        VMSTATE_STRUCT_ARRAY(queue, VnpuCore, VNPU_MAX_QUEUES, 1,
                             vmstate_queue, VnpuQueue),
        VMSTATE_STRUCT_ARRAY(engine, VnpuCore, VNPU_MAX_ENGINES, 1,
                             vmstate_engine, VnpuEngine),
        VMSTATE_END_OF_LIST()
    },
};

static int vnpu_pre_save(void *opaque)
{
    VnpuState *s = opaque;

    s->flr_left = vnpu_flr_left(s);
    return vnpu_core_settle(s->core) ? 0 : -EBUSY;
}

/* Loading replaces all, also in a device that has run before */
static int vnpu_pre_load(void *opaque)
{
    VnpuState *s = opaque;

    vnpu_core_load_begin(s->core);
    return 0;
}

static int vnpu_post_load(void *opaque, int version_id)
{
    VnpuState *s = opaque;

    if (!vnpu_core_load_end(s->core)) {
        return -EINVAL;
    }
    vnpu_flr_begin(s, s->flr_left);
    vnpu_abort_loaded(s);
    vnpu_update_pause(s);
    return 0;
}

/*
 * Version 1 had nothing of the parts of packets, of pending interrupts and of
 * turns, and only this number tells: the structures in it have none in the
 * stream.
 */
const VMStateDescription vmstate_vnpu = {
    .name = "vnpu",
    .version_id = 2,
    .minimum_version_id = 2,
    .pre_save = vnpu_pre_save,
    .pre_load = vnpu_pre_load,
    .post_load = vnpu_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, VnpuState),
        VMSTATE_MSIX(parent_obj, VnpuState),
        VMSTATE_STRUCT(parent_obj.exp.aer_log, VnpuState, 0,
                       vmstate_pcie_aer_log, PCIEAERLog),
        VMSTATE_UINT64_ARRAY(bar_seen, VnpuState, VNPU_NUM_BARS),
        VMSTATE_UINT64(flr_left, VnpuState),
        VMSTATE_STRUCT_POINTER(core, VnpuState, vmstate_core, VnpuCore),
        VMSTATE_END_OF_LIST()
    },
};
