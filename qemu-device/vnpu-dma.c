/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: mapping the operands of a packet for its engine.
 *
 * An operand becomes a list of host memory pieces, neighbours merged. VRAM is
 * there already, guest memory is mapped, and what can be accessed but not
 * mapped goes through a bounce buffer of limited size.
 */

#include "qemu/osdep.h"
#include "vnpu-internal.h"

/* Most bytes of a packet's part that may go through bounce buffers */
#define BOUNCE_MAX (1 * 1024 * 1024)
#define BOUNCE_CHUNK 4096

/* Lists longer than this are given back to the host between packets */
#define KEEP_ELEMS 8192

bool vnpu_bus_read(VnpuCore *c, uint64_t addr, void *buf, uint64_t len)
{
    return !vnpu_gone(c) && c->ops->dma_read(c->opaque, addr, buf, len) &&
           !vnpu_gone(c);
}

bool vnpu_bus_write(VnpuCore *c, uint64_t addr, const void *buf, uint64_t len)
{
    return !vnpu_gone(c) && c->ops->dma_write(c->opaque, addr, buf, len) &&
           !vnpu_gone(c);
}

void vnpu_job_init(VnpuJob *job)
{
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        job->iov[i] = g_array_new(false, false, sizeof(VnpuIov));
    }
    job->maps = g_array_new(false, false, sizeof(VnpuMap));
}

void vnpu_job_free(VnpuJob *job)
{
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        g_array_free(job->iov[i], true);
    }
    g_array_free(job->maps, true);
}

VnpuSg vnpu_job_sg(const VnpuJob *job, unsigned operand)
{
    return (VnpuSg) {
        .iov = (const VnpuIov *)job->iov[operand]->data,
        .niov = job->iov[operand]->len,
    };
}

static void dma_add_iov(GArray *list, void *base, uint64_t len)
{
    VnpuIov iov = { .base = base, .len = len };

    if (list->len) {
        VnpuIov *last = &g_array_index(list, VnpuIov, list->len - 1);

        if ((uint8_t *)last->base + last->len == base) {
            last->len += len;
            return;
        }
    }
    g_array_append_val(list, iov);
}

static void dma_add_map(VnpuJob *job, const VnpuMap *map)
{
    if (map->kind == VNPU_MAP_VRAM && job->maps->len) {
        VnpuMap *last = &g_array_index(job->maps, VnpuMap, job->maps->len - 1);

        if (last->kind == map->kind && last->write == map->write &&
            last->addr + last->len == map->addr) {
            last->len += map->len;
            return;
        }
    }
    g_array_append_val(job->maps, *map);
}

/* Asked before the packet runs, so that it does not fault at its end */
static VnpuWrite dma_writable(VnpuCore *c, uint64_t addr, uint64_t len)
{
    VnpuWrite what = VNPU_WRITE_REFUSED;

    if (!vnpu_gone(c)) {
        what = c->ops->dma_writable(c->opaque, addr, len);
    }
    return vnpu_gone(c) ? VNPU_WRITE_REFUSED : what;
}

/*
 * Memory that cannot be mapped. What is to be written is read too, because
 * the packet may leave parts of it as they are.
 */
static bool dma_bounce(VnpuCore *c, VnpuJob *job, VnpuMap *map)
{
    VnpuWrite what = VNPU_WRITE_MEMORY;

    map->len = MIN(map->len, BOUNCE_CHUNK);
    if (job->bounced + map->len > BOUNCE_MAX) {
        return false;
    }
    map->kind = VNPU_MAP_BOUNCE;
    map->host = g_malloc(map->len);
    if (map->write) {
        what = dma_writable(c, map->addr, map->len);
    }
    if (what == VNPU_WRITE_LOST) {
        /* nothing to read there, nor to limit */
        memset(map->host, 0, map->len);
        return true;
    }
    if (what == VNPU_WRITE_REFUSED ||
        !vnpu_bus_read(c, map->addr, map->host, map->len)) {
        g_free(map->host);
        return false;
    }
    job->bounced += map->len;
    return true;
}

static bool dma_map_span(VnpuCore *c, VnpuJob *job, const VnpuSpan *span,
                         uint64_t va, bool write, VnpuMap *map)
{
    *map = (VnpuMap) {
        .va = va, .addr = span->addr, .len = span->len, .write = write,
    };
    if (span->vram) {
        map->kind = VNPU_MAP_VRAM;
        map->host = c->vram + span->addr;
        return true;
    }
    map->kind = VNPU_MAP_HOST;
    map->host = vnpu_gone(c) ? NULL : c->ops->dma_map(c->opaque, map->addr,
                                                      &map->len, write);
    if (map->host) {
        return true;
    }
    map->len = span->len;
    return dma_bounce(c, job, map);
}

bool vnpu_job_map(VnpuCore *c, VnpuJob *job, unsigned operand, uint64_t va,
                  uint64_t len, uint32_t access, VnpuFault *f)
{
    bool write = access == VNPU_ACCESS_WRITE;
    VnpuSpan span;
    VnpuMap map;

    while (len) {
        if (!vnpu_mmu_translate(c, job->ctx, va, len, access, &span, f)) {
            return false;
        }
        len -= span.len;
        while (span.len) {
            if (!dma_map_span(c, job, &span, va, write, &map)) {
                return vnpu_fail(f, VNPU_FAULT_DMA, access, va);
            }
            /* read-only VRAM needs no giving back */
            if (map.kind != VNPU_MAP_VRAM || write) {
                dma_add_map(job, &map);
            }
            dma_add_iov(job->iov[operand], map.host, map.len);
            va += map.len;
            span.addr += map.len;
            span.len -= map.len;
        }
    }
    return true;
}

bool vnpu_job_map_rows(VnpuCore *c, VnpuJob *job, unsigned operand,
                       uint64_t va, uint64_t rows, uint64_t row_bytes,
                       uint64_t stride, uint32_t access, VnpuFault *f)
{
    if (stride == row_bytes) {
        row_bytes *= rows;
        rows = 1;
    }
    for (; rows; rows--, va += stride) {
        if (!vnpu_job_map(c, job, operand, va, row_bytes, access, f)) {
            return false;
        }
    }
    return true;
}

/* It is marked first: giving it back may come back into the core */
static void dma_give_back(VnpuCore *c, VnpuMap *map)
{
    map->kind = VNPU_MAP_GONE;
    c->ops->dma_unmap(c->opaque, map->host, map->len, map->write);
}

static bool dma_unmap_one(VnpuCore *c, VnpuMap *map, bool commit,
                          VnpuFault *f)
{
    bool ok = true;

    switch (map->kind) {
    case VNPU_MAP_GONE:
        break;
    case VNPU_MAP_VRAM:
        /* an aborted packet may have written too */
        c->ops->vram_written(c->opaque, map->addr, map->len);
        break;
    case VNPU_MAP_HOST:
        dma_give_back(c, map);
        break;
    case VNPU_MAP_BOUNCE:
        if (commit && map->write) {
            ok = vnpu_bus_write(c, map->addr, map->host, map->len);
        }
        g_free(map->host);
        break;
    }
    if (!ok) {
        vnpu_fail(f, VNPU_FAULT_DMA, VNPU_ACCESS_WRITE, map->va);
    }
    return ok;
}

static void dma_empty(GArray **list, size_t elem)
{
    if ((*list)->len > KEEP_ELEMS) {
        g_array_free(*list, true);
        *list = g_array_new(false, false, elem);
    } else {
        g_array_set_size(*list, 0);
    }
}

bool vnpu_job_unmap(VnpuCore *c, VnpuJob *job, bool commit, VnpuFault *f)
{
    bool ok = true;

    for (unsigned i = 0; i < job->maps->len; i++) {
        ok &= dma_unmap_one(c, &g_array_index(job->maps, VnpuMap, i),
                            commit && ok, f);
    }
    for (int i = 0; i < VNPU_OPERANDS; i++) {
        dma_empty(&job->iov[i], sizeof(VnpuIov));
    }
    dma_empty(&job->maps, sizeof(VnpuMap));
    job->bounced = 0;
    return ok;
}

const VnpuMap *vnpu_job_host_map(const VnpuJob *job)
{
    for (unsigned i = 0; i < job->maps->len; i++) {
        const VnpuMap *map = &g_array_index(job->maps, VnpuMap, i);

        if (map->kind != VNPU_MAP_VRAM) {
            return map;
        }
    }
    return NULL;
}

/* Bounced memory is translated again when it is written back */
static bool dma_in_range(const VnpuMap *map, uint64_t first, uint64_t last)
{
    return map->kind == VNPU_MAP_HOST && map->addr <= last &&
           map->addr + (map->len - 1) >= first;
}

bool vnpu_job_uses(const VnpuJob *job, uint64_t first, uint64_t last)
{
    for (unsigned i = 0; i < job->maps->len; i++) {
        if (dma_in_range(&g_array_index(job->maps, VnpuMap, i), first, last)) {
            return true;
        }
    }
    return false;
}

void vnpu_job_give_back(VnpuCore *c, VnpuJob *job, uint64_t first,
                        uint64_t last)
{
    for (unsigned i = 0; i < job->maps->len; i++) {
        VnpuMap *map = &g_array_index(job->maps, VnpuMap, i);

        if (dma_in_range(map, first, last)) {
            dma_give_back(c, map);
        }
    }
}
