/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Go back to a saved state without starting anew.
 *
 * A process that has run a guest from a snapshot holds what made the start
 * expensive: a machine that is set up, and translated code. Both serve the next
 * run of the same snapshot. This puts the machine back into that state:
 *
 *   - memory that is mapped privately from files becomes what the files say,
 *     by dropping the pages that were written;
 *   - devices and processors are reset and loaded from the migration stream;
 *   - code that was translated from dropped pages is forgotten, the rest stays.
 *
 * There is no QMP command for it, since that would be another change of QEMU;
 * writing the path of the stream to the property "state" does it, and leaves
 * the machine stopped:
 *
 *   qom-set path=/machine/peripheral/rewind property=state value=FILE
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "qemu/module.h"
#include "qemu/seqlock.h"
#include "qemu/thread.h"
#include "qemu/yank.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "exec/exec-all.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "hw/qdev-core.h"
#include "io/channel-file.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "migration/yank_functions.h"
#include "system/cpu-timers-internal.h"
#include "system/runstate.h"
#include "system/tcg.h"

/* A warning not to use it in migration; but shared blocks are to be refused. */
#undef qemu_ram_foreach_block

#define TYPE_VM_REWIND "vm-rewind"

/* Linux: Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT BIT_ULL(63)
#define PAGEMAP_SWAPPED BIT_ULL(62)
#define PAGEMAP_OF_FILE BIT_ULL(61)
#define PAGEMAP_CHUNK 8192

#ifndef PAGEMAP_SCAN
/* Since Linux 6.7; headers of a distribution may be older than its kernel. */
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)

struct page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct pm_scan_arg {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

#define SCAN_CHUNK 512

typedef struct Rewind {
    int pagemap;
    union {
        uint64_t entries[PAGEMAP_CHUNK];
        struct page_region regions[SCAN_CHUNK];
    };
    Error **errp;
} Rewind;

/* Whether a page of a private mapping of a file has a copy of its own */
static bool rewind_was_written(uint64_t entry)
{
    return (entry & PAGEMAP_SWAPPED) ||
           ((entry & PAGEMAP_PRESENT) && !(entry & PAGEMAP_OF_FILE));
}

static void rewind_forget_code(RAMBlock *rb, uint64_t start, uint64_t size)
{
    ram_addr_t addr = qemu_ram_get_offset(rb) + start;

    if (tcg_enabled() && size) {
        tb_invalidate_phys_range(addr, addr + size - 1);
    }
}

static bool rewind_drop(RAMBlock *rb, uint64_t start, uint64_t size,
                        Error **errp)
{
    rewind_forget_code(rb, start, size);
    if (madvise(qemu_ram_get_host_addr(rb) + start, size, MADV_DONTNEED)) {
        error_setg_errno(errp, errno, "cannot drop pages of %s",
                         qemu_ram_get_idstr(rb));
        return false;
    }
    return true;
}

/* Drop the written ones of @n pages from @first on, run by run. */
static bool rewind_drop_written(Rewind *r, RAMBlock *rb, uint64_t first,
                                size_t n)
{
    uint64_t page = qemu_real_host_page_size();
    size_t i, from;

    for (i = 0; i < n; i++) {
        from = i;
        while (i < n && rewind_was_written(r->entries[i])) {
            i++;
        }
        if (i > from &&
            !rewind_drop(rb, (first + from) * page, (i - from) * page,
                         r->errp)) {
            return false;
        }
    }
    return true;
}

/* Read the entry of every page: for kernels that cannot search. */
static bool rewind_by_reading(Rewind *r, RAMBlock *rb)
{
    uint64_t page = qemu_real_host_page_size();
    uint64_t base = (uintptr_t)qemu_ram_get_host_addr(rb) / page;
    uint64_t pages = qemu_ram_get_used_length(rb) / page;
    uint64_t at;

    for (at = 0; at < pages; at += PAGEMAP_CHUNK) {
        size_t n = MIN(PAGEMAP_CHUNK, pages - at);
        ssize_t bytes = n * sizeof(r->entries[0]);

        if (pread(r->pagemap, r->entries, bytes,
                  (base + at) * sizeof(r->entries[0])) != bytes) {
            error_setg_errno(r->errp, errno, "cannot read the page map");
            return false;
        }
        if (!rewind_drop_written(r, rb, at, n)) {
            return false;
        }
    }
    return true;
}

static bool rewind_drop_regions(Rewind *r, RAMBlock *rb, size_t n)
{
    uint64_t base = (uintptr_t)qemu_ram_get_host_addr(rb);
    size_t i;

    for (i = 0; i < n; i++) {
        struct page_region *region = &r->regions[i];

        if (!rewind_drop(rb, region->start - base, region->end - region->start,
                         r->errp)) {
            return false;
        }
    }
    return true;
}

/*
 * Have the kernel search for written pages, in a fraction of the time that
 * reading all entries takes. 1: done; 0: the kernel cannot; -1: an error.
 */
static int rewind_by_searching(Rewind *r, RAMBlock *rb)
{
    uint64_t base = (uintptr_t)qemu_ram_get_host_addr(rb);
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .start = base,
        .end = base + qemu_ram_get_used_length(rb),
        .vec = (uintptr_t)r->regions,
        .vec_len = SCAN_CHUNK,
        .category_inverted = PAGE_IS_FILE,
        .category_mask = PAGE_IS_FILE,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_FILE,
    };
    int found;

    while (arg.start < arg.end) {
        found = ioctl(r->pagemap, PAGEMAP_SCAN, &arg);
        if (found < 0) {
            if (errno == ENOTTY || errno == EINVAL) {
                return 0;
            }
            error_setg_errno(r->errp, errno, "cannot search the page map");
            return -1;
        }
        if (!rewind_drop_regions(r, rb, found)) {
            return -1;
        }
        arg.start = arg.walk_end;
    }
    return 1;
}

static bool rewind_file_block(Rewind *r, RAMBlock *rb)
{
    int done = rewind_by_searching(r, rb);

    return done > 0 || (done == 0 && rewind_by_reading(r, rb));
}

static int rewind_block(RAMBlock *rb, void *opaque)
{
    Rewind *r = opaque;

    if (qemu_ram_get_fd(rb) < 0) {
        /* The stream has its contents, and loads them unseen by translation. */
        rewind_forget_code(rb, 0, qemu_ram_get_used_length(rb));
        return 0;
    }
    if (qemu_ram_is_shared(rb)) {
        error_setg(r->errp, "%s is shared: its file is not a saved state",
                   qemu_ram_get_idstr(rb));
        return -1;
    }
    return rewind_file_block(r, rb) ? 0 : -1;
}

static bool rewind_memory(Error **errp)
{
    g_autofree Rewind *r = g_new0(Rewind, 1);
    int ret;

    r->errp = errp;
    r->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (r->pagemap < 0) {
        error_setg_errno(errp, errno, "cannot open /proc/self/pagemap");
        return false;
    }
    ret = qemu_ram_foreach_block(rewind_block, r);
    close(r->pagemap);
    return ret == 0;
}

/*
 * The processors' tick counter goes on from the saved value. Left alone, it
 * would not go back: what the runs before have taken would be a leap ahead of
 * all timers for the guest.
 */
static void rewind_ticks(void)
{
    qemu_spin_lock(&timers_state.vm_clock_lock);
    timers_state.cpu_ticks_prev = 0;
    timers_state.cpu_ticks_offset = 0;
    qemu_spin_unlock(&timers_state.vm_clock_lock);
}

static bool rewind_devices(const char *path, Error **errp)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    QIOChannelFile *ioc;
    int ret;

    ioc = qio_channel_file_new_path(path, O_RDONLY, 0, errp);
    if (!ioc) {
        return false;
    }
    if (!yank_register_instance(MIGRATION_YANK_INSTANCE, errp)) {
        object_unref(OBJECT(ioc));
        return false;
    }
    mis->from_src_file = qemu_file_new_input(QIO_CHANNEL(ioc));
    object_unref(OBJECT(ioc));

    cpu_load_keeps_code = true;
    ret = qemu_loadvm_state(mis->from_src_file);
    cpu_load_keeps_code = false;
    migration_incoming_state_destroy();
    if (ret < 0) {
        error_setg_errno(errp, -ret, "cannot load %s", path);
    }
    return ret >= 0;
}

/*
 * Half of one state and half of another must not run: "cont" is refused until
 * a reset, or another rewind. The run states in between are those of a
 * migration that failed to come in.
 */
static void rewind_failed(void)
{
    if (!runstate_check(RUN_STATE_INTERNAL_ERROR)) {
        runstate_set(RUN_STATE_PRELAUNCH);
        runstate_set(RUN_STATE_INMIGRATE);
        runstate_set(RUN_STATE_INTERNAL_ERROR);
    }
}

static void rewind_set_state(Object *obj, const char *path, Error **errp)
{
    vm_stop(RUN_STATE_RESTORE_VM);
    /*
     * First, because a reset may write to memory. Each device changes the
     * memory map, which is worked out once, after the last one.
     */
    memory_region_transaction_begin();
    qemu_system_reset(SHUTDOWN_CAUSE_SNAPSHOT_LOAD);
    memory_region_transaction_commit();
    rewind_ticks();
    if (!rewind_memory(errp) || !rewind_devices(path, errp)) {
        rewind_failed();
    } else if (runstate_check(RUN_STATE_INTERNAL_ERROR)) {
        /* what an earlier one had left */
        runstate_set(RUN_STATE_PAUSED);
    }
}

static void vm_rewind_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->desc = "Go back to a saved state in place";
    dc->user_creatable = true;
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    object_class_property_add_str(klass, "state", NULL, rewind_set_state);
    object_class_property_set_description(klass, "state",
        "Write the path of a migration stream to go back to it");
}

static const TypeInfo vm_rewind_info = {
    .name = TYPE_VM_REWIND,
    .parent = TYPE_DEVICE,
    .class_init = vm_rewind_class_init,
};

static void vm_rewind_register(void)
{
    type_register_static(&vm_rewind_info);
}

type_init(vm_rewind_register)
