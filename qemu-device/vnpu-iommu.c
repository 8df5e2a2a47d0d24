/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: memory that goes out of the bus's address space.
 *
 * Engines work on host memory that was looked up when their part was
 * prepared. Once an emulated IOMMU has answered that a mapping is gone, the
 * guest may use the memory for something else, so the core is told before.
 * IOMMUs also report all of their range when they flush what belongs to others,
 * or do not know what has changed: the core looks its memory up again then.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "vnpu.h"

typedef struct VnpuIommu {
    VnpuState *s;
    IOMMUNotifier n;
    MemoryRegion *mr;
    hwaddr offset;              /* of the region in the bus's space */
    unsigned sections;          /* that the region shows there */
    bool told;                  /* the notifier is registered */
    QLIST_ENTRY(VnpuIommu) next;
} VnpuIommu;

static void iommu_unmap(VnpuState *s, uint64_t first, uint64_t last)
{
    if (last < first) {
        first = 0;
        last = UINT64_MAX;
    }
    vnpu_core_bus_unmap(s->core, first, last);
}

static void iommu_notify(IOMMUNotifier *n, IOMMUTLBEntry *entry)
{
    VnpuIommu *iommu = container_of(n, VnpuIommu, n);
    uint64_t first = entry->iova + iommu->offset;

    iommu_unmap(iommu->s, first, first + entry->addr_mask);
}

static hwaddr iommu_offset(const MemoryRegionSection *section)
{
    return section->offset_within_address_space -
           section->offset_within_region;
}

static VnpuIommu *iommu_find(VnpuState *s, const MemoryRegionSection *section)
{
    VnpuIommu *iommu;

    QLIST_FOREACH(iommu, &s->iommus, next) {
        if (iommu->mr == section->mr &&
            iommu->offset == iommu_offset(section)) {
            return iommu;
        }
    }
    return NULL;
}

/*
 * One notifier for the whole of a region, also if something lies in its middle:
 * some IOMMUs do not cut what they report to the range of a notifier.
 */
static VnpuIommu *iommu_new(VnpuState *s, const MemoryRegionSection *section)
{
    VnpuIommu *iommu = g_new0(VnpuIommu, 1);
    int index = memory_region_iommu_attrs_to_index(
        IOMMU_MEMORY_REGION(section->mr), MEMTXATTRS_UNSPECIFIED);
    Error *err = NULL;

    iommu->s = s;
    iommu->mr = section->mr;
    iommu->offset = iommu_offset(section);
    iommu_notifier_init(&iommu->n, iommu_notify, IOMMU_NOTIFIER_UNMAP, 0,
                        UINT64_MAX, index);
    iommu->told = !memory_region_register_iommu_notifier(section->mr,
                                                         &iommu->n, &err);
    if (!iommu->told) {
        warn_reportf_err(err, "vnpu is not told of what the IOMMU unmaps: ");
    }
    QLIST_INSERT_HEAD(&s->iommus, iommu, next);
    return iommu;
}

static void iommu_region_add(MemoryListener *listener,
                             MemoryRegionSection *section)
{
    VnpuState *s = container_of(listener, VnpuState, iommu_listener);
    VnpuIommu *iommu;

    if (memory_region_is_iommu(section->mr)) {
        iommu = iommu_find(s, section);
        if (!iommu) {
            iommu = iommu_new(s, section);
        }
        iommu->sections++;
    }
}

static void iommu_region_del(MemoryListener *listener,
                             MemoryRegionSection *section)
{
    VnpuState *s = container_of(listener, VnpuState, iommu_listener);
    uint64_t first = section->offset_within_address_space;
    VnpuIommu *iommu = NULL;

    iommu_unmap(s, first, first + int128_getlo(section->size) - 1);
    if (memory_region_is_iommu(section->mr)) {
        iommu = iommu_find(s, section);
    }
    if (iommu && !--iommu->sections) {
        if (iommu->told) {
            memory_region_unregister_iommu_notifier(iommu->mr, &iommu->n);
        }
        QLIST_REMOVE(iommu, next);
        g_free(iommu);
    }
}

void vnpu_iommu_init(VnpuState *s)
{
    QLIST_INIT(&s->iommus);
    s->iommu_listener = (MemoryListener) {
        .name = "vnpu-iommu",
        .region_add = iommu_region_add,
        .region_del = iommu_region_del,
    };
    memory_listener_register(&s->iommu_listener,
                             pci_get_address_space(PCI_DEVICE(s)));
}

void vnpu_iommu_exit(VnpuState *s)
{
    /* takes the regions away one by one */
    memory_listener_unregister(&s->iommu_listener);
}
