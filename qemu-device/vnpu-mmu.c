/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: address translation.
 *
 * The TLB keeps valid translations until it is told to drop them, as hardware
 * does: a driver that forgets an invalidation works on stale memory.
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

#define TLB_SMALL 8192
#define TLB_HUGE 1024

typedef struct TlbEntry {
    uint64_t page;              /* address in pages of the entry's size */
    uint64_t pte;               /* its leaf; zero: no entry */
    uint32_t ctx;
} TlbEntry;

struct VnpuTlb {
    TlbEntry small[TLB_SMALL];
    TlbEntry huge[TLB_HUGE];
};

VnpuTlb *vnpu_tlb_new(void)
{
    return g_new0(VnpuTlb, 1);
}

static TlbEntry *tlb_small(VnpuTlb *tlb, unsigned ctx, uint64_t page)
{
    return &tlb->small[(page ^ (ctx * 0x9e5u)) % TLB_SMALL];
}

static TlbEntry *tlb_huge(VnpuTlb *tlb, unsigned ctx, uint64_t page)
{
    return &tlb->huge[(page ^ (ctx * 0x9e5u)) % TLB_HUGE];
}

static bool tlb_hit(const TlbEntry *e, unsigned ctx, uint64_t page)
{
    return e->pte && e->page == page && e->ctx == ctx;
}

void vnpu_tlb_flush_all(VnpuCore *c)
{
    memset(c->tlb, 0, sizeof(*c->tlb));
}

/* Drop the entries of @ctx that overlap [va, last] */
static void tlb_scan(TlbEntry *e, size_t n, unsigned shift, unsigned ctx,
                     uint64_t va, uint64_t last)
{
    for (; n; n--, e++) {
        uint64_t first = e->page << shift;

        if (e->pte && e->ctx == ctx && first <= last &&
            first + ((1ull << shift) - 1) >= va) {
            e->pte = 0;
        }
    }
}

void vnpu_tlb_flush_range(VnpuCore *c, unsigned ctx, uint64_t va, uint64_t len)
{
    uint64_t last = va + len - 1;
    uint64_t page;
    TlbEntry *e;

    if (!len) {
        return;
    }
    tlb_scan(c->tlb->huge, TLB_HUGE, HUGE_SHIFT, ctx, va, last);
    if (len >> VNPU_PAGE_SHIFT > TLB_SMALL) {
        tlb_scan(c->tlb->small, TLB_SMALL, VNPU_PAGE_SHIFT, ctx, va, last);
        return;
    }
    for (page = va >> VNPU_PAGE_SHIFT; page <= last >> VNPU_PAGE_SHIFT;
         page++) {
        e = tlb_small(c->tlb, ctx, page);
        if (tlb_hit(e, ctx, page)) {
            e->pte = 0;
        }
    }
}

void vnpu_tlb_flush_ctx(VnpuCore *c, unsigned ctx)
{
    vnpu_tlb_flush_range(c, ctx, 0, 1ull << VNPU_VA_BITS);
}

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

/*
 * Find the leaf of @va and put it in the TLB. Guest and engines may change
 * the tables meanwhile: each entry is read once.
 */
static bool mmu_walk(VnpuCore *c, unsigned ctx, uint64_t va, uint32_t access,
                     uint64_t *leaf, unsigned *shift, VnpuFault *f)
{
    uint64_t table = c->ctx[ctx].pt;
    uint64_t pte, addr, size;
    unsigned index;
    TlbEntry *e;
    int level;

    for (level = VNPU_PT_LEVELS - 1; ; level--) {
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
    }

    size = 1ull << *shift;
    if ((pte & VNPU_PTE_VRAM_MASK) &&
        (addr >= c->vram_size || size > c->vram_size - addr)) {
        return vnpu_fail(f, VNPU_FAULT_VRAM_RANGE, access, va);
    }
    e = level ? tlb_huge(c->tlb, ctx, va >> *shift)
              : tlb_small(c->tlb, ctx, va >> *shift);
    *e = (TlbEntry) { .page = va >> *shift, .pte = pte, .ctx = ctx };
    *leaf = pte;
    trace_vnpu_tlb_fill(c->id, ctx, va, pte);
    return true;
}

/* The leaf of @va, from the TLB or the tables */
static bool mmu_lookup(VnpuCore *c, unsigned ctx, uint64_t va, uint32_t access,
                       uint64_t *leaf, unsigned *shift, VnpuFault *f)
{
    TlbEntry *e;

    *shift = VNPU_PAGE_SHIFT;
    e = tlb_small(c->tlb, ctx, va >> *shift);
    if (!tlb_hit(e, ctx, va >> *shift)) {
        *shift = HUGE_SHIFT;
        e = tlb_huge(c->tlb, ctx, va >> *shift);
        if (!tlb_hit(e, ctx, va >> *shift)) {
            return mmu_walk(c, ctx, va, access, leaf, shift, f);
        }
    }
    *leaf = e->pte;
    return true;
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
