/* SPDX-License-Identifier: MIT */
#include "surroundings.h"

/* What is to be covered is the device, not this */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

/* Of one input: what is over is refused, so that each ends soon */
#define ACCESS_BUDGET 6000u
/* Longest part that is computed, and all of them, ns: the others count as done */
#define COMPUTE_NS (200 * 1000)
#define COMPUTE_BUDGET_NS (10 * 1000 * 1000)

World world;

typedef struct Map {
    uint64_t addr;
    uint64_t len;
    bool write;
} Map;

static void soil(uint8_t *dirty, uint64_t at, uint64_t len)
{
    for (uint64_t page = at / PAGE; page <= (at + len - 1) / PAGE; page++) {
        dirty[page] = 1;
    }
}

static bool in_ram(const World *w, uint64_t addr, uint64_t len)
{
    if (!len || addr >= RAM_SIZE || len > RAM_SIZE - addr) {
        return false;
    }
    for (uint64_t page = addr / PAGE; page <= (addr + len - 1) / PAGE; page++) {
        if (w->mode[page] == PAGE_NONE) {
            return false;
        }
    }
    return true;
}

/* Each access comes by here, and here something comes back from it. */
static bool access_ok(World *w)
{
    w->accesses++;
    if (w->hook_at && w->accesses >= w->hook_at) {
        w->hook_at = 0;
        w->hook(w);
        return !w->hook_refuses && w->bus_on;
    }
    return w->bus_on && w->accesses < ACCESS_BUDGET;
}

/* A copy, so that the sanitizer sees whoever leaves it or uses it after its end */
static void *op_dma_map(void *opaque, uint64_t addr, uint64_t *len, bool write)
{
    World *w = opaque;
    Map *map;
    void *host;

    if (!access_ok(w) || !in_ram(w, addr, 1) || w->mode[addr / PAGE] != PAGE_MAPPED) {
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

    CHECK(map && map->len == len && map->write == write);
    if (write) {
        memcpy(w->ram + map->addr, host, len);
        soil(w->dirty_ram, map->addr, len);
    }
    g_hash_table_remove(w->maps, host);
    free(host);
    access_ok(w);
}

static VnpuWrite op_dma_writable(void *opaque, uint64_t addr, uint64_t len)
{
    World *w = opaque;
    bool ok = access_ok(w);

    if (ok && in_ram(w, addr, len)) {
        return VNPU_WRITE_MEMORY;
    }
    /* half of the places that are not there tell so */
    return ok && addr & PAGE ? VNPU_WRITE_LOST : VNPU_WRITE_REFUSED;
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

static bool op_dma_write(void *opaque, uint64_t addr, const void *buf, uint64_t len)
{
    World *w = opaque;

    if (!access_ok(w)) {
        return false;
    }
    return in_ram(w, addr, len) ? world_write_ram(w, addr, buf, len) : addr & PAGE;
}

static void op_vram_written(void *opaque, uint64_t offset, uint64_t len)
{
    World *w = opaque;

    CHECK(len && offset < VRAM_SIZE && len <= VRAM_SIZE - offset);
    soil(w->dirty_vram, offset, len);
}

static uint64_t op_clock(void *opaque)
{
    World *w = opaque;

    return w->clock;
}

static void op_kick(void *opaque)
{
    World *w = opaque;

    w->kicked = true;
}

static void op_irq_clear(void *opaque)
{
}

static void op_run_at(void *opaque, uint64_t when)
{
    World *w = opaque;

    w->run_at = when;
}

static void op_poll_later(void *opaque)
{
    World *w = opaque;

    w->poll = true;
}

static void op_wake_later(void *opaque, int64_t ns)
{
    World *w = opaque;

    CHECK(ns >= 0);
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

/* The host's clock: each look takes a microsecond, so that runs are all alike */
int64_t get_clock(void)
{
    static int64_t now;

    return now += 1000;
}

/*
 * The linker has the core call these. Packets may be far larger than there is
 * time for, and what they compute is tested elsewhere.
 */

bool __real_vnpu_packet_exec(VnpuExec *x, VnpuJob *job);
bool __wrap_vnpu_packet_exec(VnpuExec *x, VnpuJob *job);

bool __wrap_vnpu_packet_exec(VnpuExec *x, VnpuJob *job)
{
    uint64_t cost = MIN(vnpu_packet_cost(job), parts_stop(job) ? COMPUTE_NS : UINT64_MAX);
    bool compute = cost <= COMPUTE_NS && world.computed < COMPUTE_BUDGET_NS;
    Part part;

    world.computed += cost;
    parts_before(&world, job, &part, compute);
    if (compute && !__real_vnpu_packet_exec(x, job)) {
        return false;
    }
    parts_after(&world, job, &part);
    return true;
}

bool world_address(const World *w, const void *host, uint64_t *addr)
{
    const Map *map = g_hash_table_lookup(w->maps, host);

    if (map) {
        *addr = map->addr;
    }
    return map;
}

static void clear(uint8_t *memory, uint8_t *dirty, size_t pages)
{
    for (size_t page = 0; page < pages; page++) {
        if (dirty[page]) {
            memset(memory + page * PAGE, 0, PAGE);
            dirty[page] = 0;
        }
    }
}

static void world_plug(World *w)
{
    VnpuConfig config = {
        .id = "npu",
        .vram = w->vram,
        .vram_size = VRAM_SIZE,
        .aperture_size = VRAM_SIZE,
        .queues = VNPU_MAX_QUEUES,
        .copy_engines = 1,
        .tensor_engines = 1,
        .sync = true,
        .pwc = true,
        .reset_ns = 100 * 1000,
        .enable_ns = 20 * 1000,
    };
    Error *err = NULL;

    w->core = vnpu_core_new(&config, &world_ops, w, &err);
    CHECK(w->core);
}

void world_begin(World *w)
{
    if (!w->ram) {
        w->ram = calloc(RAM_SIZE, 1);
        w->vram = calloc(VRAM_SIZE, 1);
        w->maps = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    }
    clear(w->ram, w->dirty_ram, RAM_SIZE / PAGE);
    clear(w->vram, w->dirty_vram, VRAM_SIZE / PAGE);
    memset(w->mode, PAGE_MAPPED, sizeof(w->mode));
    w->accesses = 0;
    w->computed = 0;
    w->clock = 0;
    w->hook_at = 0;
    memset(w->chain, 0, sizeof(w->chain));
    w->loaded = false;
    w->bus_on = true;
    w->kicked = w->wake = w->poll = w->gone = false;
    if (w->core) {
        vnpu_core_reset(w->core);
        vnpu_wake(w->core);
        w->core->sync = true;
    } else {
        world_plug(w);
    }
    vnpu_core_pause(w->core, false);
}

bool world_write_ram(World *w, uint64_t addr, const void *data, uint64_t len)
{
    if (!len || addr >= RAM_SIZE || len > RAM_SIZE - addr) {
        return false;
    }
    memcpy(w->ram + addr, data, len);
    soil(w->dirty_ram, addr, len);
    return true;
}

bool world_write_vram(World *w, uint64_t at, const void *data, uint64_t len)
{
    if (!len || at >= VRAM_SIZE || len > VRAM_SIZE - at) {
        return false;
    }
    memcpy(w->vram + at, data, len);
    soil(w->dirty_vram, at, len);
    return true;
}

void world_run(World *w, unsigned rounds)
{
    unsigned vector;

    while (rounds-- && !w->gone) {
        if (w->wake) {
            w->wake = false;
            vnpu_wake(w->core);
        }
        if (!w->kicked || vnpu_core_paused(w->core)) {
            break;
        }
        w->kicked = false;
        vnpu_run(w->core);
        while (vnpu_irq_next(w->core, &vector)) {
            CHECK(vector < ARRAY_SIZE(w->core->irq) * 32);
        }
    }
}

void world_exit(World *w)
{
    vnpu_core_exit(w->core);
    w->gone = true;
}

static void check_queue(const VnpuCore *c, const VnpuQueue *q)
{
    CHECK(!q->cmd_size || (q->cmd && q->cmd_pos < q->cmd_size));
    CHECK(!q->running);
    CHECK(!vnpu_queue_live(q) || q->tail - q->head <= vnpu_queue_entries(q));
    CHECK(q->context < VNPU_MAX_CONTEXTS || !vnpu_queue_live(q));
    CHECK(!q->enabled || !q->until);
}

void world_check(World *w)
{
    VnpuCore *c = w->core;

    w->hook_at = 0;
    if (!w->gone) {
        vnpu_core_pause(c, true);
        for (unsigned n = 0; n < c->nqueues; n++) {
            check_queue(c, &c->queue[n]);
        }
        CHECK(vnpu_core_settle(c));
    }
    /* nothing of the host's is held by a device at rest */
    for (unsigned i = 0; i < c->nengines; i++) {
        CHECK(!c->engine[i].busy && !c->engine[i].job.maps->len && !c->engine[i].job.bounced);
    }
    CHECK(!g_hash_table_size(w->maps) && !c->depth && !c->deferred);
    if (w->gone) {
        vnpu_core_free(c);
        w->core = NULL;
    }
}

#pragma clang attribute pop
