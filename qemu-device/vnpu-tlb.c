/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: what the device remembers of page tables.
 *
 * Leaves, and with pwc=on the pointers to lower tables, are kept until the
 * driver says to drop them, and not forgotten for want of space unless there
 * are very many: a driver that forgets an invalidation reads old data every
 * time.
 *
 * All of it is done with the BQL held, and none of it may take long, however
 * many entries there are. So a context is dropped as a whole by a new number
 * for it, and entries with an old one are room for others. A range is looked up
 * page by page or, if it is long, searched for in the whole table.
 */

#include "qemu/osdep.h"
#include "vnpu-tlb.h"

/* Beyond so many entries all are dropped */
#define TLB_MAX (128 * 1024)
#define TLB_SLOTS (2 * TLB_MAX)

/* A range of more pages is searched for */
#define TLB_LOOKUPS (16 * 1024)

/* Pages that follow each other are neighbours in the table */
#define TLB_BLOCK_SHIFT 6

/* Units of the kinds of entries, log2 */
static const unsigned tlb_shift[] = {
    [VNPU_TLB_SMALL] = VNPU_PAGE_SHIFT,
    [VNPU_TLB_HUGE] = VNPU_PAGE_SHIFT + VNPU_PT_HUGE_LEVEL * VNPU_PT_BITS,
    [VNPU_TLB_TABLE0] = VNPU_PAGE_SHIFT + VNPU_PT_BITS,
    [VNPU_TLB_TABLE1] = VNPU_PAGE_SHIFT + 2 * VNPU_PT_BITS,
    [VNPU_TLB_TABLE2] = VNPU_PAGE_SHIFT + 3 * VNPU_PT_BITS,
};

typedef struct TlbEntry {
    uint64_t key;
    uint64_t pte;               /* zero: dropped */
    uint64_t number;            /* of the context then; zero: never used */
} TlbEntry;

struct VnpuTlb {
    TlbEntry *slot;             /* TLB_SLOTS, closed hashing */
    unsigned used;              /* that are not as at first */
    uint64_t number[VNPU_MAX_CONTEXTS];
    uint64_t last_number;
    uint64_t seed;              /* so that nobody can choose what collides */
};

static uint64_t tlb_key(VnpuTlbKind kind, unsigned ctx, uint64_t unit)
{
    return (uint64_t)ctx << 48 | (uint64_t)kind << 40 | unit;
}

static VnpuTlbKind tlb_key_kind(uint64_t key)
{
    return key >> 40 & 0xff;
}

static unsigned tlb_key_ctx(uint64_t key)
{
    return key >> 48;
}

static uint64_t tlb_key_unit(uint64_t key)
{
    return key & ((1ull << 40) - 1);
}

static unsigned tlb_index(const VnpuTlb *tlb, uint64_t key)
{
    uint64_t block = (key >> TLB_BLOCK_SHIFT ^ tlb->seed) *
                     0x9e3779b97f4a7c15ull;

    block = (block ^ block >> 32) * 0xd6e8feb86659fd93ull;
    return (block >> 32 << TLB_BLOCK_SHIFT |
            (key & ((1u << TLB_BLOCK_SHIFT) - 1))) % TLB_SLOTS;
}

static bool tlb_live(const VnpuTlb *tlb, const TlbEntry *e)
{
    return e->pte && e->number == tlb->number[tlb_key_ctx(e->key)];
}

/* The slot that has this key, or the one where the search for it ends */
static TlbEntry *tlb_slot(const VnpuTlb *tlb, uint64_t key)
{
    unsigned i = tlb_index(tlb, key);

    while (tlb->slot[i].number && tlb->slot[i].key != key) {
        i = (i + 1) % TLB_SLOTS;
    }
    return &tlb->slot[i];
}

static void tlb_new_number(VnpuTlb *tlb, unsigned ctx)
{
    tlb->number[ctx] = ++tlb->last_number;
}

VnpuTlb *vnpu_tlb_new(void)
{
    VnpuTlb *tlb = g_new0(VnpuTlb, 1);

    tlb->slot = g_new0(TlbEntry, TLB_SLOTS);
    tlb->seed = (uint64_t)g_random_int() << 32 | g_random_int();
    vnpu_tlb_flush_all(tlb);
    return tlb;
}

void vnpu_tlb_free(VnpuTlb *tlb)
{
    g_free(tlb->slot);
    g_free(tlb);
}

void vnpu_tlb_flush_all(VnpuTlb *tlb)
{
    for (unsigned ctx = 0; ctx < VNPU_MAX_CONTEXTS; ctx++) {
        tlb_new_number(tlb, ctx);
    }
}

void vnpu_tlb_flush_ctx(VnpuTlb *tlb, unsigned ctx)
{
    tlb_new_number(tlb, ctx);
}

/* Drop what covers an address of [va, last] */
static void tlb_search(VnpuTlb *tlb, unsigned ctx, uint64_t va, uint64_t last)
{
    for (unsigned i = 0; i < TLB_SLOTS; i++) {
        TlbEntry *e = &tlb->slot[i];
        unsigned shift = tlb_shift[tlb_key_kind(e->key)];
        uint64_t unit = tlb_key_unit(e->key);

        if (tlb_key_ctx(e->key) == ctx && unit >= va >> shift &&
            unit <= last >> shift) {
            e->pte = 0;
        }
    }
}

void vnpu_tlb_flush_range(VnpuTlb *tlb, unsigned ctx, uint64_t va,
                          uint64_t len)
{
    uint64_t last = va + len - 1;

    if (!len) {
        return;
    }
    if (len >> VNPU_PAGE_SHIFT > TLB_LOOKUPS) {
        tlb_search(tlb, ctx, va, last);
        return;
    }
    for (VnpuTlbKind kind = 0; kind < VNPU_TLB_KINDS; kind++) {
        unsigned shift = tlb_shift[kind];

        for (uint64_t unit = va >> shift; unit <= last >> shift; unit++) {
            tlb_slot(tlb, tlb_key(kind, ctx, unit))->pte = 0;
        }
    }
}

uint64_t vnpu_tlb_find(VnpuTlb *tlb, VnpuTlbKind kind, unsigned ctx,
                       uint64_t va)
{
    const TlbEntry *e = tlb_slot(tlb, tlb_key(kind, ctx,
                                              va >> tlb_shift[kind]));

    return tlb_live(tlb, e) ? e->pte : 0;
}

/* Put what is left into a new table, unless that is too much */
static void tlb_clean(VnpuTlb *tlb)
{
    TlbEntry *old = tlb->slot;

    tlb->slot = g_new0(TlbEntry, TLB_SLOTS);
    tlb->used = 0;
    for (unsigned i = 0; i < TLB_SLOTS; i++) {
        if (tlb_live(tlb, &old[i])) {
            *tlb_slot(tlb, old[i].key) = old[i];
            tlb->used++;
        }
    }
    g_free(old);
    if (tlb->used > TLB_MAX / 4 * 3) {
        /* it would be full again soon */
        memset(tlb->slot, 0, sizeof(*tlb->slot) * TLB_SLOTS);
        tlb->used = 0;
    }
}

void vnpu_tlb_keep(VnpuTlb *tlb, VnpuTlbKind kind, unsigned ctx, uint64_t va,
                   uint64_t pte)
{
    uint64_t key = tlb_key(kind, ctx, va >> tlb_shift[kind]);
    TlbEntry *e = tlb_slot(tlb, key);

    if (!e->number && tlb->used >= TLB_MAX) {
        tlb_clean(tlb);
        e = tlb_slot(tlb, key);
    }
    tlb->used += !e->number;
    *e = (TlbEntry) { .key = key, .pte = pte, .number = tlb->number[ctx] };
}
