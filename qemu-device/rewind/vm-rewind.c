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
#include "qemu/module.h"
#include "qemu/seqlock.h"
#include "qemu/thread.h"
#include "qemu/yank.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "exec/exec-all.h"
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

typedef struct Rewind {
    int pagemap;
    uint64_t entries[PAGEMAP_CHUNK];
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

static bool rewind_file_block(Rewind *r, RAMBlock *rb)
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

static void rewind_set_state(Object *obj, const char *path, Error **errp)
{
    vm_stop(RUN_STATE_RESTORE_VM);
    /* First, because a reset may write to memory. */
    qemu_system_reset(SHUTDOWN_CAUSE_SNAPSHOT_LOAD);
    rewind_ticks();
    if (rewind_memory(errp)) {
        rewind_devices(path, errp);
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
