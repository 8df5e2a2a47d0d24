/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: mappings that an emulated IOMMU takes away.
 *
 * Engines work on host memory that was looked up when their packet was
 * prepared. Once the IOMMU has answered that a mapping is gone, the guest may
 * use the memory for something else, so the core is told before.
 */

#include "qemu/osdep.h"
#include "vnpu.h"

typedef struct VnpuIommu {
    VnpuState *s;
    IOMMUNotifier n;
    MemoryRegion *mr;
    hwaddr offset;              /* address of the region in the bus's space */
    QLIST_ENTRY(VnpuIommu) next;
} VnpuIommu;

static void vnpu_iommu_unmap(IOMMUNotifier *n, IOMMUTLBEntry *entry)
{
    VnpuIommu *iommu = container_of(n, VnpuIommu, n);
    uint64_t first = entry->iova + iommu->offset;

    vnpu_core_bus_unmap(iommu->s->core, first, first + entry->addr_mask);
}

static void vnpu_iommu_add(MemoryListener *listener,
                           MemoryRegionSection *section)
{
    VnpuState *s = container_of(listener, VnpuState, iommu_listener);
    VnpuIommu *iommu;
    Int128 end;
    int index;

    if (!memory_region_is_iommu(section->mr)) {
        return;
    }
    iommu = g_new0(VnpuIommu, 1);
    iommu->s = s;
    iommu->mr = section->mr;
    iommu->offset = section->offset_within_address_space -
                    section->offset_within_region;
    end = int128_add(int128_make64(section->offset_within_region),
                     section->size);
    end = int128_sub(end, int128_one());
    index = memory_region_iommu_attrs_to_index(
        IOMMU_MEMORY_REGION(section->mr), MEMTXATTRS_UNSPECIFIED);
    iommu_notifier_init(&iommu->n, vnpu_iommu_unmap, IOMMU_NOTIFIER_UNMAP,
                        section->offset_within_region, int128_getlo(end),
                        index);
    /* an IOMMU that cannot tell takes nothing away while memory is in use */
    if (memory_region_register_iommu_notifier(section->mr, &iommu->n, NULL)) {
        g_free(iommu);
        return;
    }
    QLIST_INSERT_HEAD(&s->iommus, iommu, next);
}

static void vnpu_iommu_del(MemoryListener *listener,
                           MemoryRegionSection *section)
{
    VnpuState *s = container_of(listener, VnpuState, iommu_listener);
    VnpuIommu *iommu, *next;

    QLIST_FOREACH_SAFE(iommu, &s->iommus, next, next) {
        if (iommu->mr == section->mr &&
            iommu->n.start == section->offset_within_region) {
            memory_region_unregister_iommu_notifier(iommu->mr, &iommu->n);
            QLIST_REMOVE(iommu, next);
            g_free(iommu);
        }
    }
}

void vnpu_iommu_init(VnpuState *s)
{
    QLIST_INIT(&s->iommus);
    s->iommu_listener = (MemoryListener) {
        .name = "vnpu-iommu",
        .region_add = vnpu_iommu_add,
        .region_del = vnpu_iommu_del,
    };
    memory_listener_register(&s->iommu_listener,
                             pci_get_address_space(PCI_DEVICE(s)));
}

void vnpu_iommu_exit(VnpuState *s)
{
    /* takes the regions away one by one */
    memory_listener_unregister(&s->iommu_listener);
}
