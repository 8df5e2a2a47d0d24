/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include "vnpu-exec-int.h"
#include "world.h"

typedef struct Map {
    uint64_t addr;
    uint64_t len;
    bool write;
} Map;

char world_case[200];

/* Each access comes by here, and here something comes back from it. */
static bool access_ok(World *w)
{
    CHECK(!w->no_access);
    if (w->armed && ++w->count == w->at) {
        w->fired = true;
        w->execs = world_execs();
        w->hook(w);
        return !w->refuse && w->bus_on;
    }
    return w->bus_on;
}

static bool in_ram(const World *w, uint64_t addr, uint64_t len)
{
    if (addr >= RAM_SIZE || len > RAM_SIZE - addr) {
        return false;
    }
    for (uint64_t page = addr / PAGE; page <= (addr + len - 1) / PAGE; page++) {
        if (w->mode[page] == PAGE_NONE) {
            return false;
        }
    }
    return true;
}

/* A copy, so that the sanitizer sees whoever uses it after its end */
static void *op_dma_map(void *opaque, uint64_t addr, uint64_t *len, bool write)
{
    World *w = opaque;
    Map *map;
    void *host;

    if (!access_ok(w) || !in_ram(w, addr, 1) ||
        w->mode[addr / PAGE] != PAGE_MAPPED) {
        return NULL;
    }
    *len = MIN(*len, PAGE - addr % PAGE);
    map = g_new(Map, 1);
    *map = (Map) { .addr = addr, .len = *len, .write = write };
    host = malloc(*len);
    memcpy(host, w->ram + addr, *len);
    g_hash_table_insert(w->maps, host, map);
    return host;
}

static void op_dma_unmap(void *opaque, void *host, uint64_t len, bool write)
{
    World *w = opaque;
    Map *map = g_hash_table_lookup(w->maps, host);

    CHECK(map);
    CHECK(map->len == len && map->write == write);
    if (write) {
        memcpy(w->ram + map->addr, host, len);
    }
    g_hash_table_remove(w->maps, host);
    free(host);
    if (w->armed && ++w->count == w->at) {
        w->fired = true;
        w->execs = world_execs();
        w->hook(w);
    }
}

static VnpuWrite op_dma_writable(void *opaque, uint64_t addr, uint64_t len)
{
    World *w = opaque;

    return access_ok(w) && in_ram(w, addr, len);
}

static bool op_dma_read(void *opaque, uint64_t addr, void *buf, uint64_t len)
{
    World *w = opaque;

    if (!access_ok(w) || !in_ram(w, addr, len)) {
        return false;
    }
    memcpy(buf, w->ram + addr, len);
    return true;
}

static bool op_dma_write(void *opaque, uint64_t addr, const void *buf,
                         uint64_t len)
{
    World *w = opaque;

    if (!access_ok(w) || !in_ram(w, addr, len)) {
        return false;
    }
    memcpy(w->ram + addr, buf, len);
    return true;
}

static void op_vram_written(void *opaque, uint64_t offset, uint64_t len)
{
    CHECK(offset <= VRAM_SIZE && len <= VRAM_SIZE - offset);
}

static uint64_t op_clock(void *opaque)
{
    return 0;
}

static void op_kick(void *opaque)
{
    World *w = opaque;

    __atomic_store_n(&w->kicked, 1, __ATOMIC_RELEASE);
}

static void op_irq_clear(void *opaque)
{
    World *w = opaque;

    w->irq_clears++;
}

/* The tests run the core when they like */
static void op_run_at(void *opaque, uint64_t when)
{
}

static void op_poll_later(void *opaque)
{
    World *w = opaque;

    w->poll = true;
}

/* The tests run the core when they like */
static void op_wake_later(void *opaque, int64_t ns)
{
    World *w = opaque;

    w->wake = true;
}

static const VnpuOps world_ops = {
    .dma_map = op_dma_map,
    .dma_unmap = op_dma_unmap,
    .dma_writable = op_dma_writable,
    .dma_read = op_dma_read,
    .dma_write = op_dma_write,
    .vram_written = op_vram_written,
    .clock = op_clock,
    .kick = op_kick,
    .irq_clear = op_irq_clear,
    .run_at = op_run_at,
    .poll_later = op_poll_later,
    .wake_later = op_wake_later,
};

/*
 * The linker has the core call these. Engines have big scratch memory, and
 * making it anew is what most of the time would go into.
 */

static GPtrArray *spare_execs;

VnpuExec *__real_vnpu_exec_new(const int *abort);
VnpuExec *__wrap_vnpu_exec_new(const int *abort);
void __real_vnpu_exec_free(VnpuExec *x);
void __wrap_vnpu_exec_free(VnpuExec *x);

VnpuExec *__wrap_vnpu_exec_new(const int *abort)
{
    VnpuExec *x;

    if (!spare_execs || !spare_execs->len) {
        return __real_vnpu_exec_new(abort);
    }
    x = g_ptr_array_steal_index(spare_execs, spare_execs->len - 1);
    x->abort = abort;
    return x;
}

void __wrap_vnpu_exec_free(VnpuExec *x)
{
    if (!spare_execs) {
        spare_execs = g_ptr_array_new();
    }
    g_ptr_array_add(spare_execs, x);
}

static void world_new_core(World *w, bool sync)
{
    VnpuConfig config = {
        .id = "npu",
        .vram = w->vram,
        .vram_size = VRAM_SIZE,
        .aperture_size = VRAM_SIZE,
        .queues = QUEUES,
        .copy_engines = 1,
        .tensor_engines = 1,
        .sync = sync,
    };
    Error *err = NULL;

    w->core = vnpu_core_new(&config, &world_ops, w, &err);
    CHECK(w->core);
}

void world_start(World *w, bool sync)
{
    *w = (World) {
        .core = w->core, .ram = w->ram, .vram = w->vram, .maps = w->maps,
        .bus_on = true,
    };
    if (!w->ram) {
        w->ram = malloc(RAM_SIZE);
        w->vram = malloc(VRAM_SIZE);
        w->maps = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    }
    memset(w->ram, 0, RAM_SIZE);
    if (!w->core) {
        world_new_core(w, sync);
    }
    vnpu_core_pause(w->core, false);
}

void world_unplugged(World *w)
{
    vnpu_core_free(w->core);
    w->core = NULL;
    CHECK(g_hash_table_size(w->maps) == 0);
}

void world_end(World *w)
{
    if (w->core) {
        vnpu_core_exit(w->core);
        world_unplugged(w);
    }
    while (spare_execs && spare_execs->len) {
        __real_vnpu_exec_free(__wrap_vnpu_exec_new(NULL));
    }
    g_ptr_array_free(spare_execs, true);
    g_hash_table_destroy(w->maps);
    free(w->vram);
    free(w->ram);
}

void world_check_unlent(World *w, uint64_t first, uint64_t last)
{
    GHashTableIter it;
    gpointer value;

    g_hash_table_iter_init(&it, w->maps);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const Map *map = value;

        CHECK(map->addr > last || map->addr + map->len <= first);
    }
}

void world_arm(World *w, unsigned at, bool refuse, void (*hook)(World *w))
{
    w->armed = true;
    w->count = 0;
    w->at = at;
    w->refuse = refuse;
    w->hook = hook;
}

bool world_take_kick(World *w)
{
    return __atomic_exchange_n(&w->kicked, 0, __ATOMIC_ACQUIRE);
}

static unsigned execs;

unsigned world_execs(void)
{
    return __atomic_load_n(&execs, __ATOMIC_RELAXED);
}

bool __real_vnpu_packet_exec(VnpuExec *x, VnpuJob *job);
bool __wrap_vnpu_packet_exec(VnpuExec *x, VnpuJob *job);

bool __wrap_vnpu_packet_exec(VnpuExec *x, VnpuJob *job)
{
    __atomic_fetch_add(&execs, 1, __ATOMIC_RELAXED);
    return __real_vnpu_packet_exec(x, job);
}

/* Packets here are short, but are to run in the engines' threads */
uint64_t __wrap_vnpu_packet_cost(const VnpuJob *job);

uint64_t __wrap_vnpu_packet_cost(const VnpuJob *job)
{
    return UINT64_MAX;
}
