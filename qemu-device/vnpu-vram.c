/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: where the VRAM comes from, and what of it the guest sees.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/vmstate.h"
#include "vnpu.h"

#define VRAM_DEFAULT (256 * MiB)
#define VRAM_UNIT (2 * MiB)
/* a terabyte, which no host has to spare; far more has no place in QEMU */
#define VRAM_MAX (1ull << 40)

static bool vram_check_sizes(VnpuState *s, uint64_t vram, Error **errp)
{
    uint64_t aperture = s->aperture_prop ? s->aperture_prop : vram;

    if (!vram || vram % VRAM_UNIT || vram > VRAM_MAX) {
        error_setg(errp, "VRAM must be a multiple of 2 MiB and at most %llu "
                   "bytes", VRAM_MAX);
        return false;
    }
    if (!is_power_of_2(aperture) || aperture < VNPU_PAGE_SIZE ||
        aperture > vram) {
        error_setg(errp, "aperture must be a power of two, at least %llu "
                   "bytes and no more than VRAM", VNPU_PAGE_SIZE);
        error_append_hint(errp, "It is as large as VRAM unless set.\n");
        return false;
    }
    s->config.vram_size = vram;
    s->config.aperture_size = aperture;
    return true;
}

static bool vram_check_memdev(VnpuState *s, Error **errp)
{
    MemoryRegion *mr = host_memory_backend_get_memory(s->memdev);

    if (host_memory_backend_is_mapped(s->memdev)) {
        error_setg(errp, "memory backend '%s' is in use already",
                   object_get_canonical_path_component(OBJECT(s->memdev)));
        return false;
    }
    if (memory_region_is_rom(mr)) {
        error_setg(errp, "memory backend '%s' cannot be written",
                   object_get_canonical_path_component(OBJECT(s->memdev)));
        return false;
    }
    if (s->vram_prop && s->vram_prop != memory_region_size(mr)) {
        error_setg(errp, "vram is not the size of memory backend '%s'",
                   object_get_canonical_path_component(OBJECT(s->memdev)));
        return false;
    }
    return true;
}

bool vnpu_vram_init(VnpuState *s, Error **errp)
{
    uint64_t size = s->vram_prop ? s->vram_prop : VRAM_DEFAULT;

    if (s->memdev) {
        if (!vram_check_memdev(s, errp)) {
            return false;
        }
        s->vram = host_memory_backend_get_memory(s->memdev);
        if (!vram_check_sizes(s, memory_region_size(s->vram), errp)) {
            return false;
        }
        host_memory_backend_set_mapped(s->memdev, true);
        vmstate_register_ram(s->vram, DEVICE(s));
    } else {
        if (!vram_check_sizes(s, size, errp) ||
            !memory_region_init_ram(&s->own_vram, OBJECT(s), "vnpu-vram",
                                    size, errp)) {
            return false;
        }
        s->vram = &s->own_vram;
    }
    s->config.vram = memory_region_get_ram_ptr(s->vram);
    address_space_init(&s->vram_as, s->vram, "vnpu-vram");
    memory_region_init_alias(&s->aperture, OBJECT(s), "vnpu-aperture",
                             s->vram, 0, s->config.aperture_size);
    return true;
}

void vnpu_vram_exit(VnpuState *s)
{
    address_space_destroy(&s->vram_as);
    /* the memory may stay for a while, but the next device takes its name */
    vmstate_unregister_ram(s->vram, DEVICE(s));
    if (s->memdev) {
        host_memory_backend_set_mapped(s->memdev, false);
    }
}
