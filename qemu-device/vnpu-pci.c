/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the PCIe device.
 *
 * BARs, configuration space, power, resets, interrupts and memory; the work
 * itself is done in the core, which reaches the outside through vnpu_ops.
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "system/replay.h"
#include "system/runstate.h"
#include "vnpu.h"
#include "trace.h"

#define PCIE_CAP_OFFSET 0x80
#define PM_CAP_OFFSET 0x60
#define AER_CAP_OFFSET 0x100

#define POLL_NS SCALE_MS

/* Far longer than a driver should wait, to see what it does then */
#define CHANGE_MAX_US (10ull * 1000 * 1000)
/* PCI Express allows no more */
#define FLR_MAX_US (100ull * 1000)

/*
 * Memory only. A device that could be made to write to registers would be
 * able to reset or unplug itself while it is half way in something.
 */
static const MemTxAttrs dma_attrs = { .memory = 1 };

/* What the core asks for */

static void *vnpu_dma_map(void *opaque, uint64_t addr, uint64_t *len,
                          bool write)
{
    VnpuState *s = opaque;
    dma_addr_t plen = *len;
    void *host;

    host = dma_memory_map(pci_get_address_space(PCI_DEVICE(s)), addr, &plen,
                          write ? DMA_DIRECTION_FROM_DEVICE
                                : DMA_DIRECTION_TO_DEVICE, dma_attrs);
    *len = plen;
    return host;
}

static void vnpu_dma_unmap(void *opaque, void *host, uint64_t len, bool write)
{
    VnpuState *s = opaque;

    dma_memory_unmap(pci_get_address_space(PCI_DEVICE(s)), host, len,
                     write ? DMA_DIRECTION_FROM_DEVICE
                           : DMA_DIRECTION_TO_DEVICE, len);
}

static bool vnpu_master(PCIDevice *pci)
{
    return pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/*
 * A write on the bus is posted: nobody tells the device whether it arrived.
 * What it does know is whether it may make one.
 */
static bool vnpu_posted(VnpuState *s)
{
    return !s->posted_errors && vnpu_master(PCI_DEVICE(s));
}

static VnpuWrite vnpu_dma_writable(void *opaque, uint64_t addr, uint64_t len)
{
    VnpuState *s = opaque;
    AddressSpace *as = pci_get_address_space(PCI_DEVICE(s));
    hwaddr at, plen = len;

    RCU_READ_LOCK_GUARD();
    /* registers may be written, but not by this device */
    if (address_space_access_valid(as, addr, len, true, dma_attrs) &&
        memory_region_is_ram(address_space_translate(as, addr, &at, &plen, true,
                                                     dma_attrs))) {
        return VNPU_WRITE_MEMORY;
    }
    return vnpu_posted(s) ? VNPU_WRITE_LOST : VNPU_WRITE_REFUSED;
}

static bool vnpu_dma_read(void *opaque, uint64_t addr, void *buf, uint64_t len)
{
    PCIDevice *pci = PCI_DEVICE(opaque);

    if (pci_dma_rw(pci, addr, buf, len, DMA_DIRECTION_TO_DEVICE,
                   dma_attrs) == MEMTX_OK) {
        return true;
    }
    if (vnpu_master(pci)) {
        /* completed as an unsupported request */
        pci_word_test_and_set_mask(pci->config + PCI_STATUS,
                                   PCI_STATUS_REC_MASTER_ABORT);
    }
    return false;
}

static bool vnpu_dma_write(void *opaque, uint64_t addr, const void *buf,
                           uint64_t len)
{
    VnpuState *s = opaque;

    if (pci_dma_rw(PCI_DEVICE(s), addr, (void *)buf, len,
                   DMA_DIRECTION_FROM_DEVICE, dma_attrs) == MEMTX_OK) {
        return true;
    }
    trace_vnpu_write_lost(vnpu_core_id(s->core), addr, len);
    qemu_log_mask(LOG_GUEST_ERROR, "%s: write of %" PRIu64 " bytes to 0x%"
                  PRIx64 ", where the bus has no memory for it\n",
                  vnpu_core_id(s->core), len, addr);
    return vnpu_posted(s);
}

/*
 * The pages are dirty, and a guest that runs code from them has to have it
 * translated anew. Giving back a map does both; there is no call that does
 * nothing else.
 */
static void vnpu_vram_written(void *opaque, uint64_t offset, uint64_t len)
{
    VnpuState *s = opaque;
    hwaddr plen;
    void *host;

    /* no guest sees it when it is unplugged */
    for (; len && s->realized; offset += plen, len -= plen) {
        plen = len;
        host = address_space_map(&s->vram_as, offset, &plen, true,
                                 MEMTXATTRS_UNSPECIFIED);
        if (!host) {
            break;
        }
        address_space_unmap(&s->vram_as, host, plen, true, plen);
    }
}

static uint64_t vnpu_clock(void *opaque)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/* Called by engine threads too */
static void vnpu_kick(void *opaque)
{
    VnpuState *s = opaque;

    qemu_bh_schedule(s->bh);
}

/* Vectors that are masked; not when there is no table of them any more */
static void vnpu_irq_clear(void *opaque)
{
    VnpuState *s = opaque;

    for (unsigned i = 0; s->realized && i < s->config.queues + 1; i++) {
        msix_clr_pending(PCI_DEVICE(s), i);
    }
}

static void vnpu_run_at(void *opaque, uint64_t when)
{
    VnpuState *s = opaque;

    timer_mod(&s->change, when);
}

static void vnpu_poll_later(void *opaque)
{
    VnpuState *s = opaque;

    if (!timer_pending(&s->poll)) {
        timer_mod(&s->poll, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + POLL_NS);
    }
}

/* The host's clock: how long others need, not how long the device does */
static void vnpu_wake_later(void *opaque, int64_t ns)
{
    VnpuState *s = opaque;

    timer_mod(&s->wake, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + ns);
}

static const VnpuOps vnpu_ops = {
    .dma_map = vnpu_dma_map,
    .dma_unmap = vnpu_dma_unmap,
    .dma_writable = vnpu_dma_writable,
    .dma_read = vnpu_dma_read,
    .dma_write = vnpu_dma_write,
    .vram_written = vnpu_vram_written,
    .clock = vnpu_clock,
    .kick = vnpu_kick,
    .irq_clear = vnpu_irq_clear,
    .run_at = vnpu_run_at,
    .poll_later = vnpu_poll_later,
    .wake_later = vnpu_wake_later,
};

/* Work */

/*
 * A message is a write to an address of the guest's choice, and so may come
 * back as a reset or unplug of this very device: look at the state anew for
 * each one. Without bus mastering it has to wait.
 */
static void vnpu_raise(VnpuState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    unsigned vector;

    while (s->realized && vnpu_master(pci) &&
           vnpu_irq_next(s->core, &vector)) {
        if (vector < vnpu_core_vectors(s->core) && msix_enabled(pci)) {
            trace_vnpu_irq(vnpu_core_id(s->core), vector);
            msix_notify(pci, vector);
        }
    }
}

/*
 * The device may be unplugged from inside of its own accesses to memory. It
 * then stays until the callers, which use it as well, have returned.
 */
static void vnpu_get(VnpuState *s)
{
    object_ref(OBJECT(s));
}

static void vnpu_unref_bh(void *opaque)
{
    object_unref(OBJECT(opaque));
}

static void vnpu_put(VnpuState *s)
{
    if (s->realized) {
        object_unref(OBJECT(s));
    } else {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), vnpu_unref_bh, s);
    }
}

static void vnpu_bh(void *opaque)
{
    VnpuState *s = opaque;

    if (vnpu_core_paused(s->core)) {
        return;
    }
    vnpu_get(s);
    vnpu_run(s->core);
    vnpu_raise(s);
    vnpu_put(s);
}

static void vnpu_change_timer(void *opaque)
{
    vnpu_kick(opaque);
}

static void vnpu_poll_timer(void *opaque)
{
    VnpuState *s = opaque;

    vnpu_poll(s->core);
}

static void vnpu_wake_timer(void *opaque)
{
    VnpuState *s = opaque;

    vnpu_wake(s->core);
}

void vnpu_update_pause(VnpuState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    bool awake;

    if (s->realized) {
        vnpu_abort_update(s);
        awake = !(pci_get_word(pci->config + pci->pm_cap + PCI_PM_CTRL) &
                  PCI_PM_CTRL_STATE_MASK);
        trace_vnpu_pause(vnpu_core_id(s->core), s->vm_running, awake);
        vnpu_core_pause(s->core, !s->vm_running || !awake);
    }
}

static void vnpu_vm_change(void *opaque, bool running, RunState state)
{
    VnpuState *s = opaque;

    vnpu_get(s);
    s->vm_running = running;
    vnpu_update_pause(s);
    vnpu_put(s);
}

/* BAR0 */

static bool vnpu_mmio_good(hwaddr addr, unsigned size)
{
    return size >= 4 && addr % 4 == 0;
}

static uint64_t vnpu_mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    VnpuState *s = opaque;
    uint64_t val = UINT64_MAX;

    if (!s->realized) {
        /* found before the device was unplugged, and done after it */
        return val;
    }
    vnpu_get(s);
    if (!vnpu_mmio_good(addr, size)) {
        vnpu_abort_unsupported(s, addr, size, false);
    } else {
        val = vnpu_reg_read(s->core, addr);
        if (size == 8) {
            val |= (uint64_t)vnpu_reg_read(s->core, addr + 4) << 32;
        }
    }
    vnpu_put(s);
    return val;
}

static void vnpu_mmio_write(void *opaque, hwaddr addr, uint64_t val,
                            unsigned size)
{
    VnpuState *s = opaque;

    if (s->realized) {
        vnpu_get(s);
        if (!vnpu_mmio_good(addr, size)) {
            vnpu_abort_unsupported(s, addr, size, true);
        } else {
            vnpu_reg_write(s->core, addr, val);
            if (size == 8) {
                vnpu_reg_write(s->core, addr + 4, val >> 32);
            }
        }
        vnpu_put(s);
    }
}

static const MemoryRegionOps vnpu_mmio_ops = {
    .read = vnpu_mmio_read,
    .write = vnpu_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

/* Configuration space */

void vnpu_flr_begin(VnpuState *s, uint64_t ns)
{
    s->flr_until = 0;
    if (ns) {
        ns = MIN(ns, FLR_MAX_US * SCALE_US);
        trace_vnpu_flr(vnpu_core_id(s->core), ns);
        s->flr_until = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + ns;
    }
}

uint64_t vnpu_flr_left(VnpuState *s)
{
    uint64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    return s->flr_until > now ? s->flr_until - now : 0;
}

static uint32_t vnpu_config_read(PCIDevice *pci, uint32_t addr, int len)
{
    if (vnpu_flr_left(VNPU(pci))) {
        /* not answered, which the host bridge completes with ones */
        return MAKE_64BIT_MASK(0, 8 * len);
    }
    return pci_default_read_config(pci, addr, len);
}

/* Anything but configuration space is dealt with in vnpu_reset_hold() */
static void vnpu_config_write_flr(VnpuState *s, uint32_t addr, uint32_t val,
                                  int len)
{
    PCIDevice *pci = PCI_DEVICE(s);
    bool flr = pci_get_word(pci->config + pci->exp.exp_cap + PCI_EXP_DEVCTL) &
               PCI_EXP_DEVCTL_BCR_FLR;

    pcie_cap_flr_write_config(pci, addr, val, len);
    if (flr) {
        vnpu_flr_begin(s, s->flr_us * SCALE_US);
    }
}

static void vnpu_config_write(PCIDevice *pci, uint32_t addr, uint32_t val,
                              int len)
{
    VnpuState *s = VNPU(pci);
    bool master = vnpu_master(pci);

    if (vnpu_flr_left(s)) {
        return;
    }
    vnpu_get(s);
    pci_default_write_config(pci, addr, val, len);
    if (s->realized) {
        pcie_aer_write_config(pci, addr, val, len);
        vnpu_config_write_flr(s, addr, val, len);
    }
    if (s->realized && master && !vnpu_master(pci)) {
        vnpu_core_bus_off(s->core);
    }
    if (s->realized && !master && vnpu_master(pci)) {
        /* messages that had to wait */
        qemu_bh_schedule(s->bh);
    }
    vnpu_update_pause(s);
    vnpu_put(s);
}

static void vnpu_reset_hold(Object *obj, ResetType type)
{
    VnpuState *s = VNPU(obj);

    vnpu_core_reset(s->core);
    timer_del(&s->poll);
    s->flr_until = 0;
    pcie_cap_deverr_reset(PCI_DEVICE(s));
}

/* The power state has been reset too, before or after the above */
static void vnpu_reset_exit(Object *obj, ResetType type)
{
    vnpu_update_pause(VNPU(obj));
}

static bool vnpu_check_props(VnpuState *s, Error **errp)
{
    const VnpuConfig *config = &s->config;
    uint64_t engines = (uint64_t)config->copy_engines + config->tensor_engines;

    if (config->queues < 2 || config->queues > VNPU_MAX_QUEUES) {
        error_setg(errp, "queues must be 2 to %d", VNPU_MAX_QUEUES);
        return false;
    }
    if (!config->copy_engines || !config->tensor_engines ||
        engines > VNPU_MAX_ENGINES) {
        error_setg(errp, "copy-engines and tensor-engines must be at least 1 "
                   "and together at most %d", VNPU_MAX_ENGINES);
        return false;
    }
    if (s->reset_us > CHANGE_MAX_US || s->enable_us > CHANGE_MAX_US) {
        error_setg(errp, "reset-us and enable-us must be at most %llu",
                   CHANGE_MAX_US);
        return false;
    }
    if (s->flr_us > FLR_MAX_US) {
        error_setg(errp, "flr-us must be at most %llu", FLR_MAX_US);
        return false;
    }
    return true;
}

static bool vnpu_init_pm(PCIDevice *pci, Error **errp)
{
    int pos = pci_pm_init(pci, PM_CAP_OFFSET, errp);

    if (pos < 0) {
        return false;
    }
    pci_set_word(pci->config + pos + PCI_PM_PMC, PCI_PM_CAP_VER_1_2);
    pci_set_word(pci->config + pos + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pci->wmask + pos + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    return true;
}

/*
 * Nobody but the device writes the log of errors. So it is no part of what has
 * to be equal in the device that a state was saved of.
 */
static void vnpu_init_error_log(PCIDevice *pci)
{
    uint8_t *cmask = pci->cmask + AER_CAP_OFFSET;

    pci_long_test_and_clear_mask(cmask + PCI_ERR_CAP,
                                 PCI_ERR_CAP_FEP_MASK | PCI_ERR_CAP_TLP);
    memset(cmask + PCI_ERR_HEADER_LOG, 0, PCI_ERR_HEADER_LOG_SIZE);
    memset(cmask + PCI_ERR_TLP_PREFIX_LOG, 0, PCI_ERR_TLP_PREFIX_LOG_SIZE);
}

static bool vnpu_init_express(PCIDevice *pci, Error **errp)
{
    if (pcie_endpoint_cap_init(pci, PCIE_CAP_OFFSET) < 0) {
        error_setg(errp, "no PCI Express capability");
        return false;
    }
    pcie_cap_fill_link_ep_usp(pci, QEMU_PCI_EXP_LNK_X16,
                              QEMU_PCI_EXP_LNK_16GT);
    pcie_cap_flr_init(pci);
    pcie_cap_deverr_init(pci);
    if (pcie_aer_init(pci, PCI_ERR_VER, AER_CAP_OFFSET, PCI_ERR_SIZEOF,
                      errp) < 0) {
        pcie_cap_exit(pci);
        return false;
    }
    vnpu_init_error_log(pci);
    return true;
}

static bool vnpu_init_msix(VnpuState *s, Error **errp)
{
    PCIDevice *pci = PCI_DEVICE(s);
    unsigned vectors = s->config.queues + 1;

    if (msix_init_exclusive_bar(pci, vectors, VNPU_BAR_MSIX, errp) < 0) {
        return false;
    }
    for (unsigned i = 0; i < vectors; i++) {
        msix_vector_use(pci, i);
    }
    return true;
}

static void vnpu_init_bars(VnpuState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);

    memory_region_init_io(&s->regs, OBJECT(s), &vnpu_mmio_ops, s, "vnpu-regs",
                          VNPU_BAR_REGS_SIZE);
    pci_register_bar(pci, VNPU_BAR_REGS, PCI_BASE_ADDRESS_SPACE_MEMORY,
                     &s->regs);
    pci_register_bar(pci, VNPU_BAR_VRAM,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_PREFETCH |
                     PCI_BASE_ADDRESS_MEM_TYPE_64, &s->aperture);
}

static void vnpu_realize(PCIDevice *pci, Error **errp)
{
    VnpuState *s = VNPU(pci);

    if (!vnpu_check_props(s, errp)) {
        return;
    }
    s->config.reset_ns = s->reset_us * SCALE_US;
    s->config.enable_ns = s->enable_us * SCALE_US;
    s->config.id = object_get_canonical_path_component(OBJECT(s));
    /* results come from threads of the host, when they are ready */
    replay_add_blocker("vnpu");
    if (!vnpu_vram_init(s, errp)) {
        return;
    }
    if (!vnpu_init_pm(pci, errp)) {
        goto err_vram;
    }
    if (!vnpu_init_express(pci, errp)) {
        goto err_vram;
    }
    if (!vnpu_init_msix(s, errp)) {
        goto err_express;
    }
    /* guarded: MMIO that its DMA might reach is refused */
    s->bh = qemu_bh_new_guarded(vnpu_bh, s,
                                &DEVICE(s)->mem_reentrancy_guard);
    timer_init_ns(&s->poll, QEMU_CLOCK_VIRTUAL, vnpu_poll_timer, s);
    timer_init_ns(&s->change, QEMU_CLOCK_VIRTUAL, vnpu_change_timer, s);
    timer_init_ns(&s->wake, QEMU_CLOCK_REALTIME, vnpu_wake_timer, s);
    s->core = vnpu_core_new(&s->config, &vnpu_ops, s, errp);
    if (!s->core) {
        goto err_bh;
    }
    vnpu_init_bars(s);
    vnpu_abort_init(s);
    vnpu_iommu_init(s);
    s->realized = true;
    s->vm_running = runstate_is_running();
    s->vm_state = qdev_add_vm_change_state_handler(DEVICE(s), vnpu_vm_change,
                                                   s);
    vnpu_update_pause(s);
    return;

err_bh:
    timer_deinit(&s->wake);
    timer_deinit(&s->change);
    timer_deinit(&s->poll);
    qemu_bh_delete(s->bh);
    msix_uninit_exclusive_bar(pci);
err_express:
    pcie_aer_exit(pci);
    pcie_cap_exit(pci);
err_vram:
    vnpu_vram_exit(s);
}

static void vnpu_exit(PCIDevice *pci)
{
    VnpuState *s = VNPU(pci);

    s->realized = false;
    qemu_del_vm_change_state_handler(s->vm_state);
    vnpu_core_exit(s->core);
    vnpu_iommu_exit(s);
    timer_del(&s->wake);
    timer_deinit(&s->wake);
    timer_del(&s->change);
    timer_deinit(&s->change);
    timer_del(&s->poll);
    timer_deinit(&s->poll);
    qemu_bh_delete(s->bh);
    msix_unuse_all_vectors(pci);
    msix_uninit_exclusive_bar(pci);
    pcie_aer_exit(pci);
    pcie_cap_exit(pci);
    vnpu_vram_exit(s);
}

/* Another default: vnpu-dma.c bounces itself, with a limit for each packet */
static void vnpu_init(Object *obj)
{
    PCI_DEVICE(obj)->max_bounce_buffer_size = 0;
    vnpu_hold_init(VNPU(obj));
}

static void vnpu_finalize(Object *obj)
{
    VnpuState *s = VNPU(obj);

    vnpu_hold_finalize(s);
    g_clear_pointer(&s->core, vnpu_core_free);
}

static const Property vnpu_properties[] = {
    DEFINE_PROP_SIZE("vram", VnpuState, vram_prop, 0),
    DEFINE_PROP_SIZE("aperture", VnpuState, aperture_prop, 0),
    DEFINE_PROP_LINK("memdev", VnpuState, memdev, TYPE_MEMORY_BACKEND,
                     HostMemoryBackend *),
    DEFINE_PROP_UINT32("queues", VnpuState, config.queues, VNPU_MAX_QUEUES),
    DEFINE_PROP_UINT32("copy-engines", VnpuState, config.copy_engines, 1),
    DEFINE_PROP_UINT32("tensor-engines", VnpuState, config.tensor_engines, 1),
    DEFINE_PROP_BOOL("sync", VnpuState, config.sync, false),
    DEFINE_PROP_BOOL("pwc", VnpuState, config.pwc, true),
    DEFINE_PROP_BOOL("posted-errors", VnpuState, posted_errors, false),
    DEFINE_PROP_UINT32("reset-us", VnpuState, reset_us, 100),
    DEFINE_PROP_UINT32("enable-us", VnpuState, enable_us, 20),
    DEFINE_PROP_UINT32("flr-us", VnpuState, flr_us, 10000),
};

static const struct {
    const char *name;
    const char *text;
} vnpu_descriptions[] = {
    { "vram", "Size of VRAM, a multiple of 2 MiB (default 256M)" },
    { "aperture", "Size of BAR 2, a power of two (default: size of VRAM)" },
    { "memdev", "Host memory backend that is the VRAM" },
    { "queues", "Number of queues, 2 to 64" },
    { "copy-engines", "Number of copy engines; 8 engines in all at most" },
    { "tensor-engines", "Number of tensor engines" },
    { "sync", "No threads: packets run in the main loop" },
    { "pwc", "Remember pointers to page tables until invalidated" },
    { "posted-errors", "Tell the device of writes that reach no memory" },
    { "reset-us", "Device time of a reset of device, queue or engine" },
    { "enable-us", "Device time of enabling a queue or context" },
    { "flr-us", "Device time of a function-level reset" },
};

static void vnpu_describe(ObjectClass *klass)
{
    for (int i = 0; i < ARRAY_SIZE(vnpu_descriptions); i++) {
        object_class_property_set_description(klass, vnpu_descriptions[i].name,
                                              vnpu_descriptions[i].text);
    }
}

/* QEMU 10.1 made class data constant */
#if QEMU_VERSION_MAJOR > 10 || \
    (QEMU_VERSION_MAJOR == 10 && QEMU_VERSION_MINOR >= 1)
typedef const void VnpuClassData;
#else
typedef void VnpuClassData;
#endif

static void vnpu_class_init(ObjectClass *klass, VnpuClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    pc->realize = vnpu_realize;
    pc->exit = vnpu_exit;
    pc->config_read = vnpu_config_read;
    pc->config_write = vnpu_config_write;
    pc->vendor_id = VNPU_PCI_VENDOR;
    pc->device_id = VNPU_PCI_DEVICE;
    pc->class_id = VNPU_PCI_CLASS;
    pc->revision = VNPU_PCI_REVISION;
    rc->phases.hold = vnpu_reset_hold;
    rc->phases.exit = vnpu_reset_exit;
    dc->vmsd = &vmstate_vnpu;
    dc->desc = "Virtual NPU";
    device_class_set_props(dc, vnpu_properties);
    vnpu_describe(klass);
    vnpu_hold_class_init(klass);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo vnpu_type_info = {
    .name = TYPE_VNPU,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(VnpuState),
    .instance_init = vnpu_init,
    .instance_finalize = vnpu_finalize,
    .class_init = vnpu_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void vnpu_register_types(void)
{
    type_register_static(&vnpu_type_info);
}

type_init(vnpu_register_types)
