/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the PCIe device around the core.
 */

#ifndef VNPU_H
#define VNPU_H

#include "hw/pci/pci_device.h"
#include "system/hostmem.h"
#include "qom/object.h"
#include "vnpu-core.h"

#define TYPE_VNPU "vnpu"

/* BARs 0, 2 and 4 */
#define VNPU_NUM_BARS 3
OBJECT_DECLARE_SIMPLE_TYPE(VnpuState, VNPU)

struct VnpuState {
    PCIDevice parent_obj;

    VnpuCore *core;             /* outlives unrealize */
    MemoryRegion regs;
    MemoryRegion *vram;         /* own_vram, or the host memory backend's */
    MemoryRegion own_vram;
    AddressSpace vram_as;       /* of nothing but VRAM */
    MemoryRegion aperture;
    MemoryRegion *ones[VNPU_NUM_BARS]; /* of the root bus */
    uint64_t bar_seen[VNPU_NUM_BARS]; /* where the BARs were mapped last */
    QEMUBH *bh;
    QEMUTimer poll;
    QEMUTimer change;
    QEMUTimer wake;
    MemoryListener iommu_listener;
    QLIST_HEAD(, VnpuIommu) iommus;
    VMChangeStateEntry *vm_state;
    bool vm_running;
    bool realized;              /* there are a core, a BH and a timer */
    uint64_t flr_until;         /* device clock; zero unless in an FLR */
    uint64_t flr_left;          /* in a saved state, ns */

    uint64_t vram_prop;
    uint64_t aperture_prop;
    HostMemoryBackend *memdev;
    GHashTable *holds;          /* of VnpuHold, by the tester's number */
    bool posted_errors;
    uint32_t reset_us;
    uint32_t enable_us;
    uint32_t flr_us;
    VnpuConfig config;
};

extern const VMStateDescription vmstate_vnpu;

/* vnpu-vram.c: allocate VRAM or take the backend's; fills in the config */
bool vnpu_vram_init(VnpuState *s, Error **errp);
void vnpu_vram_exit(VnpuState *s);

/* vnpu-hold.c: properties by which a tester holds work */
void vnpu_hold_class_init(ObjectClass *klass);
void vnpu_hold_init(VnpuState *s);
void vnpu_hold_finalize(VnpuState *s);

/* vnpu-abort.c: reads of BARs that do not answer are ones */
void vnpu_abort_init(VnpuState *s);
/* BARs may have moved */
void vnpu_abort_update(VnpuState *s);
/* bar_seen was loaded */
void vnpu_abort_loaded(VnpuState *s);

/* Registers were accessed in a way that they do not have: tell the bus */
void vnpu_abort_unsupported(VnpuState *s, hwaddr addr, unsigned size,
                            bool write);

/* An FLR takes this time from now, ns */
void vnpu_flr_begin(VnpuState *s, uint64_t ns);
/* How much of it is left, ns */
uint64_t vnpu_flr_left(VnpuState *s);

/* vnpu-iommu.c: follow what an emulated IOMMU takes away */
void vnpu_iommu_init(VnpuState *s);
void vnpu_iommu_exit(VnpuState *s);

/* Follow the power state and the run state */
void vnpu_update_pause(VnpuState *s);

#endif
