/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: accesses that the device does not answer.
 *
 * While it sleeps, is in a reset, has memory space off or is unplugged, a PCI
 * host bridge completes them with ones, and drivers tell a device that is gone
 * by that. QEMU gives zeroes. So there is a region of ones where each BAR was
 * seen last, below all others. It belongs to the root bus and stays when the
 * device is unplugged: then it is needed most.
 */

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "vnpu.h"
#include "trace.h"

/* First dword of a memory request of one dword, 32-bit address */
#define TLP_MEM_READ 0x00000001
#define TLP_MEM_WRITE 0x40000001

static uint64_t abort_read(void *opaque, hwaddr addr, unsigned size)
{
    return UINT64_MAX;
}

static void abort_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
}

static const MemoryRegionOps abort_ops = {
    .read = abort_read,
    .write = abort_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8,
               .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* What the place in the bus has had before is taken over */
static MemoryRegion *abort_region(PCIDevice *pci, int bar)
{
    Object *owner = OBJECT(pci_device_root_bus(pci));
    g_autofree char *name = g_strdup_printf("vnpu-ones-%s-%02x-%d",
                                            BUS(pci_get_bus(pci))->name,
                                            pci->devfn, bar);
    g_autofree char *child = g_strdup_printf("%s[0]", name);
    Object *found = object_resolve_path_component(owner, child);
    MemoryRegion *mr;

    if (found) {
        return MEMORY_REGION(found);
    }
    mr = g_new0(MemoryRegion, 1);
    memory_region_init_io(mr, owner, &abort_ops, NULL, name,
                          pci->io_regions[bar].size);
    memory_region_set_enabled(mr, false);
    memory_region_add_subregion_overlap(
        pci_device_root_bus(pci)->address_space_mem, 0, mr, INT_MIN);
    return mr;
}

void vnpu_abort_init(VnpuState *s)
{
    for (int i = 0; i < VNPU_NUM_BARS; i++) {
        s->ones[i] = abort_region(PCI_DEVICE(s), 2 * i);
        s->bar_seen[i] = PCI_BAR_UNMAPPED;
    }
}

static void abort_place(VnpuState *s, int i)
{
    memory_region_transaction_begin();
    memory_region_set_size(s->ones[i], PCI_DEVICE(s)->io_regions[2 * i].size);
    memory_region_set_address(s->ones[i], s->bar_seen[i]);
    memory_region_set_enabled(s->ones[i], true);
    memory_region_transaction_commit();
}

void vnpu_abort_update(VnpuState *s)
{
    for (int i = 0; i < VNPU_NUM_BARS; i++) {
        uint64_t at = PCI_DEVICE(s)->io_regions[2 * i].addr;

        if (at != PCI_BAR_UNMAPPED && at != s->bar_seen[i]) {
            s->bar_seen[i] = at;
            abort_place(s, i);
        }
    }
}

void vnpu_abort_loaded(VnpuState *s)
{
    for (int i = 0; i < VNPU_NUM_BARS; i++) {
        if (s->bar_seen[i] != PCI_BAR_UNMAPPED) {
            abort_place(s, i);
        }
    }
    vnpu_abort_update(s);
}

/*
 * A read is completed with that status, which its requester sees: the function
 * itself then has no more than an advisory to give. Of a write nobody else
 * knows.
 */
void vnpu_abort_unsupported(VnpuState *s, hwaddr addr, unsigned size,
                            bool write)
{
    PCIDevice *pci = PCI_DEVICE(s);
    PCIEAERErr err = {
        .status = PCI_ERR_UNC_UNSUP,
        .source_id = pci_requester_id(pci),
        .flags = PCIE_AER_ERR_HEADER_VALID |
                 (write ? 0 : PCIE_AER_ERR_MAYBE_ADVISORY),
        /* the log's dwords are wanted in the order of their bytes */
        .header = {
            bswap32(write ? TLP_MEM_WRITE : TLP_MEM_READ),
            bswap32(MAKE_64BIT_MASK(addr % 4, MIN(size, 4 - addr % 4))),
            bswap32(pci->io_regions[VNPU_BAR_REGS].addr + ROUND_DOWN(addr, 4)),
        },
    };

    trace_vnpu_unsupported(vnpu_core_id(s->core), addr, size, write);
    qemu_log_mask(LOG_GUEST_ERROR, "%s: access of %u bytes at 0x%" HWADDR_PRIx
                  ", which registers do not have\n", vnpu_core_id(s->core),
                  size, addr);
    pcie_aer_inject_error(pci, &err);
}
