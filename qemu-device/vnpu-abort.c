/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: reads that nobody answers.
 *
 * A PCI host bridge completes them with ones, and drivers tell a device that
 * is gone by that. QEMU gives zeroes, so the root bus gets a region of ones
 * below all others. It stays when the device is unplugged: then it is needed.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_bus.h"
#include "vnpu.h"

#define ABORT_NAME "vnpu-master-abort"

static uint64_t vnpu_abort_read(void *opaque, hwaddr addr, unsigned size)
{
    return UINT64_MAX;
}

static void vnpu_abort_write(void *opaque, hwaddr addr, uint64_t val,
                             unsigned size)
{
}

static const MemoryRegionOps vnpu_abort_ops = {
    .read = vnpu_abort_read,
    .write = vnpu_abort_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8,
               .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

void vnpu_abort_init(PCIDevice *pci)
{
    Object *owner = OBJECT(pci_device_root_bus(pci));
    MemoryRegion *mr;

    if (object_property_find(owner, ABORT_NAME "[0]")) {
        return;
    }
    mr = g_new0(MemoryRegion, 1);
    memory_region_init_io(mr, owner, &vnpu_abort_ops, NULL, ABORT_NAME,
                          UINT64_MAX);
    memory_region_add_subregion_overlap(
        pci_device_root_bus(pci)->address_space_mem, 0, mr, INT_MIN);
}
