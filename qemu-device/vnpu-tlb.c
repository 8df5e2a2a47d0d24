/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: what the device remembers of page tables.
 *
 * Leaves, and with pwc=on the pointers to lower tables, are kept until the
 * driver says to drop them, and not forgotten for want of space unless there
 * are very many: a driver that forgets an invalidation reads old data every
 * time. The ones used last are found without a search.
 */

#include "qemu/osdep.h"
#include "vnpu-tlb.h"

/* Beyond so many entries all are dropped: dropping them takes some ms */
#define TLB_MAX (128 * 1024)

#define TLB_FRONT 8192

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
    uint64_t pte;               /* never zero, but in an unused front entry */
} TlbEntry;

struct VnpuTlb {
    GHashTable *all;            /* of TlbEntry, by key */
    TlbEntry front[TLB_FRONT];  /* copies */
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

static uint64_t tlb_mix(uint64_t key)
{
    return (key ^ key >> 40) * 0x9e3779b97f4a7c15ull;
}

static guint tlb_hash(gconstpointer p)
{
    return tlb_mix(*(const uint64_t *)p) >> 32;
}

static TlbEntry *tlb_front(VnpuTlb *tlb, uint64_t key)
{
    return &tlb->front[(key ^ key >> 40) % TLB_FRONT];
}

VnpuTlb *vnpu_tlb_new(void)
{
    VnpuTlb *tlb = g_new0(VnpuTlb, 1);

    tlb->all = g_hash_table_new_full(tlb_hash, g_int64_equal, NULL, g_free);
    return tlb;
}

void vnpu_tlb_free(VnpuTlb *tlb)
{
    g_hash_table_destroy(tlb->all);
    g_free(tlb);
}

void vnpu_tlb_flush_all(VnpuTlb *tlb)
{
    g_hash_table_remove_all(tlb->all);
    memset(tlb->front, 0, sizeof(tlb->front));
}

static void tlb_drop(VnpuTlb *tlb, uint64_t key)
{
    TlbEntry *e = tlb_front(tlb, key);

    if (e->key == key) {
        e->pte = 0;
    }
    g_hash_table_remove(tlb->all, &key);
}

typedef struct TlbRange {
    unsigned ctx;
    uint64_t va;
    uint64_t last;
} TlbRange;

static bool tlb_in_range(const TlbRange *r, uint64_t key)
{
    unsigned shift = tlb_shift[tlb_key_kind(key)];
    uint64_t unit = tlb_key_unit(key);

    return tlb_key_ctx(key) == r->ctx && unit >= r->va >> shift &&
           unit <= r->last >> shift;
}

static gboolean tlb_entry_in_range(gpointer key, gpointer value, gpointer r)
{
    return tlb_in_range(r, *(const uint64_t *)key);
}

/* Look at every entry */
static void tlb_scan(VnpuTlb *tlb, const TlbRange *r)
{
    g_hash_table_foreach_remove(tlb->all, tlb_entry_in_range, (gpointer)r);
    for (unsigned i = 0; i < TLB_FRONT; i++) {
        if (tlb->front[i].pte && tlb_in_range(r, tlb->front[i].key)) {
            tlb->front[i].pte = 0;
        }
    }
}

void vnpu_tlb_flush_range(VnpuTlb *tlb, unsigned ctx, uint64_t va,
                          uint64_t len)
{
    TlbRange r = { .ctx = ctx, .va = va, .last = va + len - 1 };

    if (!len) {
        return;
    }
    if (len >> VNPU_PAGE_SHIFT >
        g_hash_table_size(tlb->all) / 2 + TLB_FRONT / 64) {
        tlb_scan(tlb, &r);
        return;
    }
    for (VnpuTlbKind kind = 0; kind < VNPU_TLB_KINDS; kind++) {
        unsigned shift = tlb_shift[kind];

        for (uint64_t unit = va >> shift; unit <= r.last >> shift; unit++) {
            tlb_drop(tlb, tlb_key(kind, ctx, unit));
        }
    }
}

void vnpu_tlb_flush_ctx(VnpuTlb *tlb, unsigned ctx)
{
    vnpu_tlb_flush_range(tlb, ctx, 0, 1ull << VNPU_VA_BITS);
}

uint64_t vnpu_tlb_find(VnpuTlb *tlb, VnpuTlbKind kind, unsigned ctx,
                       uint64_t va)
{
    uint64_t key = tlb_key(kind, ctx, va >> tlb_shift[kind]);
    TlbEntry *front = tlb_front(tlb, key);
    const TlbEntry *e;

    if (front->pte && front->key == key) {
        return front->pte;
    }
    e = g_hash_table_lookup(tlb->all, &key);
    if (!e) {
        return 0;
    }
    *front = *e;
    return e->pte;
}

void vnpu_tlb_keep(VnpuTlb *tlb, VnpuTlbKind kind, unsigned ctx, uint64_t va,
                   uint64_t pte)
{
    TlbEntry *e;

    if (g_hash_table_size(tlb->all) >= TLB_MAX) {
        vnpu_tlb_flush_all(tlb);
    }
    e = g_new(TlbEntry, 1);
    *e = (TlbEntry) {
        .key = tlb_key(kind, ctx, va >> tlb_shift[kind]), .pte = pte,
    };
    *tlb_front(tlb, e->key) = *e;
    g_hash_table_replace(tlb->all, &e->key, e);
}
