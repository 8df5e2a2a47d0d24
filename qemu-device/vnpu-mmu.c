/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: address translation.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "vnpu-internal.h"
#include "trace.h"

#define HUGE_SHIFT (VNPU_PAGE_SHIFT + VNPU_PT_HUGE_LEVEL * VNPU_PT_BITS)
#define HUGE_SIZE (1ull << HUGE_SHIFT)

#define PTE_KNOWN (VNPU_PTE_VALID_MASK | VNPU_PTE_WRITE_MASK | \
                   VNPU_PTE_LEAF_MASK | VNPU_PTE_VRAM_MASK | VNPU_PTE_ADDR_MASK)

bool vnpu_mmu_range(VnpuCore *c, unsigned ctx, uint64_t va, uint64_t len,
                    VnpuFault *f)
{
    uint64_t last = va + len - 1;

    if (ctx >= VNPU_MAX_CONTEXTS || !c->ctx[ctx].valid) {
        return vnpu_fail(f, VNPU_FAULT_CONTEXT, VNPU_ACCESS_NONE, 0);
    }
    if (last < va ||
        (ctx == VNPU_PHYS_CONTEXT && (va ^ last) >> VNPU_PHYS_VRAM_BIT) ||
        (ctx != VNPU_PHYS_CONTEXT && last >> VNPU_VA_BITS)) {
        return vnpu_fail(f, VNPU_FAULT_ADDRESS, VNPU_ACCESS_NONE, va);
    }
    return true;
}

static bool mmu_translate_phys(VnpuCore *c, uint64_t va, uint64_t len,
                               uint32_t access, VnpuSpan *span, VnpuFault *f)
{
    uint64_t bit = 1ull << VNPU_PHYS_VRAM_BIT;

    span->vram = va & bit;
    span->addr = va & ~bit;
    span->len = len;
    if (span->vram &&
        (span->addr >= c->vram_size || len > c->vram_size - span->addr)) {
        return vnpu_fail(f, VNPU_FAULT_VRAM_RANGE, access, va);
    }
    return true;
}

/* Is this valid entry of a table of @level well formed? */
static bool mmu_pte_good(uint64_t pte, int level)
{
    bool leaf = pte & VNPU_PTE_LEAF_MASK;

    if (pte & ~PTE_KNOWN) {
        return false;
    }
    if (!leaf) {
        return level > 0 && (pte & VNPU_PTE_VRAM_MASK) &&
               !(pte & VNPU_PTE_WRITE_MASK);
    }
    if (level == VNPU_PT_HUGE_LEVEL) {
        return !(pte & VNPU_PTE_ADDR_MASK & (HUGE_SIZE - 1));
    }
    return level == 0;
}

/* Where the walk for @va begins: at the root, or at a table that is known */
static int mmu_walk_start(VnpuCore *c, unsigned ctx, uint64_t va,
                          uint64_t *table)
{
    *table = c->ctx[ctx].pt;
    for (int level = 0; c->pwc && level < VNPU_PT_LEVELS - 1; level++) {
        uint64_t pte = vnpu_tlb_find(c->tlb, VNPU_TLB_TABLE0 + level, ctx, va);

        if (pte) {
            *table = pte & VNPU_PTE_ADDR_MASK;
            return level;
        }
    }
    return VNPU_PT_LEVELS - 1;
}

/*
 * Find the leaf of @va and put it in the TLB. Guest and engines may change
 * the tables meanwhile: each entry is read once.
 */
static bool mmu_walk(VnpuCore *c, unsigned ctx, uint64_t va, uint32_t access,
                     uint64_t *leaf, unsigned *shift, VnpuFault *f)
{
    uint64_t table, pte, addr, size;
    unsigned index;
    int level;

    for (level = mmu_walk_start(c, ctx, va, &table); ; level--) {
        if (table > c->vram_size - VNPU_PAGE_SIZE) {
            return vnpu_fail(f, VNPU_FAULT_VRAM_RANGE, VNPU_ACCESS_WALK, va);
        }
        *shift = VNPU_PAGE_SHIFT + level * VNPU_PT_BITS;
        index = (va >> *shift) % VNPU_PT_ENTRIES;
        pte = vnpu_load_le64(c->vram + table + index * sizeof(pte));
        if (!(pte & VNPU_PTE_VALID_MASK)) {
            return vnpu_fail(f, VNPU_FAULT_TRANSLATION, access, va);
        }
        if (!mmu_pte_good(pte, level)) {
            return vnpu_fail(f, VNPU_FAULT_PT_FORMAT, VNPU_ACCESS_WALK, va);
        }
        addr = pte & VNPU_PTE_ADDR_MASK;
        if (pte & VNPU_PTE_LEAF_MASK) {
            break;
        }
        table = addr;
        if (c->pwc) {
            vnpu_tlb_keep(c->tlb, VNPU_TLB_TABLE0 + level - 1, ctx, va, pte);
        }
    }

    size = 1ull << *shift;
    if ((pte & VNPU_PTE_VRAM_MASK) &&
        (addr >= c->vram_size || size > c->vram_size - addr)) {
        return vnpu_fail(f, VNPU_FAULT_VRAM_RANGE, access, va);
    }
    vnpu_tlb_keep(c->tlb, level ? VNPU_TLB_HUGE : VNPU_TLB_SMALL, ctx, va,
                  pte);
    *leaf = pte;
    trace_vnpu_tlb_fill(c->id, ctx, va, pte);
    return true;
}

/* The leaf of @va, from the TLB or the tables */
static bool mmu_lookup(VnpuCore *c, unsigned ctx, uint64_t va, uint32_t access,
                       uint64_t *leaf, unsigned *shift, VnpuFault *f)
{
    *shift = VNPU_PAGE_SHIFT;
    *leaf = vnpu_tlb_find(c->tlb, VNPU_TLB_SMALL, ctx, va);
    if (*leaf) {
        return true;
    }
    *shift = HUGE_SHIFT;
    *leaf = vnpu_tlb_find(c->tlb, VNPU_TLB_HUGE, ctx, va);
    return *leaf || mmu_walk(c, ctx, va, access, leaf, shift, f);
}

bool vnpu_mmu_translate(VnpuCore *c, unsigned ctx, uint64_t va, uint64_t len,
                        uint32_t access, VnpuSpan *span, VnpuFault *f)
{
    uint64_t leaf, offset, addr, size;
    unsigned shift;
    bool vram;

    if (ctx == VNPU_PHYS_CONTEXT) {
        return mmu_translate_phys(c, va, len, access, span, f);
    }

    span->len = 0;
    while (span->len < len) {
        if (!mmu_lookup(c, ctx, va, access, &leaf, &shift, f)) {
            return false;
        }
        if (access == VNPU_ACCESS_WRITE && !(leaf & VNPU_PTE_WRITE_MASK)) {
            return vnpu_fail(f, VNPU_FAULT_PERMISSION, access, va);
        }
        offset = va & ((1ull << shift) - 1);
        addr = (leaf & VNPU_PTE_ADDR_MASK) + offset;
        vram = leaf & VNPU_PTE_VRAM_MASK;
        if (!span->len) {
            span->addr = addr;
            span->vram = vram;
        } else if (span->vram != vram || span->addr + span->len != addr) {
            break;
        }
        size = MIN((1ull << shift) - offset, len - span->len);
        span->len += size;
        va += size;
    }
    return true;
}

bool vnpu_mem_read(VnpuCore *c, const VnpuSpan *s, void *buf)
{
    if (!s->vram) {
        return vnpu_bus_read(c, s->addr, buf, s->len);
    }
    memcpy(buf, c->vram + s->addr, s->len);
    return true;
}

bool vnpu_mem_write(VnpuCore *c, const VnpuSpan *s, const void *buf)
{
    if (!s->vram) {
        return vnpu_bus_write(c, s->addr, buf, s->len);
    }
    if (s->len == sizeof(uint64_t) && !(s->addr % sizeof(uint64_t))) {
        /* a CPU that polls this word must see it change at once */
        vnpu_store64(c->vram + s->addr, buf);
    } else {
        memcpy(c->vram + s->addr, buf, s->len);
    }
    c->ops->vram_written(c->opaque, s->addr, s->len);
    return true;
}

bool vnpu_mmu_read(VnpuCore *c, unsigned ctx, uint64_t va, void *buf,
                   uint64_t len, uint32_t access, VnpuFault *f)
{
    uint8_t *p = buf;
    VnpuSpan span;

    for (; len; va += span.len, p += span.len, len -= span.len) {
        if (!vnpu_mmu_translate(c, ctx, va, len, access, &span, f)) {
            return false;
        }
        if (!vnpu_mem_read(c, &span, p)) {
            return vnpu_fail(f, VNPU_FAULT_DMA, access, va);
        }
    }
    return true;
}

bool vnpu_mmu_write(VnpuCore *c, unsigned ctx, uint64_t va, const void *buf,
                    uint64_t len, VnpuFault *f)
{
    const uint8_t *p = buf;
    VnpuSpan span;

    for (; len; va += span.len, p += span.len, len -= span.len) {
        if (!vnpu_mmu_translate(c, ctx, va, len, VNPU_ACCESS_WRITE, &span,
                                f)) {
            return false;
        }
        if (!vnpu_mem_write(c, &span, p)) {
            return vnpu_fail(f, VNPU_FAULT_DMA, VNPU_ACCESS_WRITE, va);
        }
    }
    return true;
}
