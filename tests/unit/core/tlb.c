/* SPDX-License-Identifier: MIT */
/*
 * The TLB against a model of it: nothing that was dropped is found, and nothing
 * is forgotten while there are few entries, however many there have been.
 */

#include <stdio.h>
#include "world.h"

enum { CONTEXTS = 5, PAGES = 4000, ROUNDS = 400000, MANY = 1 << 18 };

static const unsigned shifts[VNPU_TLB_KINDS] = { 12, 21, 21, 30, 39 };
static uint64_t model[VNPU_TLB_KINDS][CONTEXTS][PAGES];
static unsigned seed = 1;

int64_t get_clock(void)
{
    return 0;
}

static unsigned any(unsigned n)
{
    return rand_r(&seed) % n;
}

/* Units of any kind, so far apart that small ones are in different large ones */
static uint64_t address(unsigned kind, unsigned i)
{
    return (uint64_t)(i % 500) << shifts[kind] | (uint64_t)any(4096);
}

static void drop(unsigned ctx, uint64_t va, uint64_t len)
{
    for (unsigned kind = 0; kind < VNPU_TLB_KINDS; kind++) {
        for (unsigned i = 0; i < 500; i++) {
            uint64_t first = (uint64_t)i << shifts[kind];
            uint64_t last = first + (1ull << shifts[kind]) - 1;

            if (len && first <= va + len - 1 && last >= va) {
                model[kind][ctx][i] = 0;
            }
        }
    }
}

static void some_drop(VnpuTlb *tlb)
{
    unsigned ctx = any(CONTEXTS), what = any(100);
    uint64_t va = (uint64_t)any(500) << shifts[any(VNPU_TLB_KINDS)];
    uint64_t len = (uint64_t)any(9) << shifts[any(4)];

    if (what == 0) {
        vnpu_tlb_flush_all(tlb);
        memset(model, 0, sizeof(model));
    } else if (what < 5) {
        vnpu_tlb_flush_ctx(tlb, ctx);
        drop(ctx, 0, 1ull << VNPU_VA_BITS);
    } else {
        vnpu_tlb_flush_range(tlb, ctx, va, len);
        drop(ctx, va, len);
    }
}

static void test_model(void)
{
    VnpuTlb *tlb = vnpu_tlb_new();

    snprintf(world_case, sizeof(world_case), "model");
    for (unsigned round = 1; round <= ROUNDS; round++) {
        unsigned kind = any(VNPU_TLB_KINDS), ctx = any(CONTEXTS), i = any(500);
        uint64_t va = address(kind, i);

        CHECK(vnpu_tlb_find(tlb, kind, ctx, va) == model[kind][ctx][i]);
        if (!any(500)) {
            some_drop(tlb);
        } else if (any(2)) {
            vnpu_tlb_keep(tlb, kind, ctx, va, round);
            model[kind][ctx][i] = round;
        }
    }
    vnpu_tlb_free(tlb);
    printf("model: 1\n");
}

/* Pages come and go for ever; those that stay are found */
static void test_nothing_is_forgotten(void)
{
    VnpuTlb *tlb = vnpu_tlb_new();

    snprintf(world_case, sizeof(world_case), "nothing is forgotten");
    for (uint64_t i = 0; i < PAGES; i++) {
        vnpu_tlb_keep(tlb, VNPU_TLB_SMALL, 1, i << 12, i + 1);
    }
    for (uint64_t i = 0; i < 4 * MANY; i++) {
        vnpu_tlb_keep(tlb, VNPU_TLB_SMALL, 2, i << 12, i + 1);
        vnpu_tlb_flush_range(tlb, 2, i << 12, 1 << 12);
        CHECK(!vnpu_tlb_find(tlb, VNPU_TLB_SMALL, 2, i << 12));
    }
    for (uint64_t i = 0; i < PAGES; i++) {
        CHECK(vnpu_tlb_find(tlb, VNPU_TLB_SMALL, 1, i << 12) == i + 1);
    }
    vnpu_tlb_free(tlb);
    printf("nothing is forgotten: 1\n");
}

/* More than there is room for: some are gone, none is wrong */
static void test_too_many(void)
{
    VnpuTlb *tlb = vnpu_tlb_new();

    snprintf(world_case, sizeof(world_case), "too many");
    for (uint64_t i = 0; i < 3 * MANY; i++) {
        vnpu_tlb_keep(tlb, VNPU_TLB_SMALL, i % 3, i << 12, i + 1);
        CHECK(vnpu_tlb_find(tlb, VNPU_TLB_SMALL, i % 3, i << 12) == i + 1);
    }
    for (uint64_t i = 0; i < 3 * MANY; i++) {
        uint64_t found = vnpu_tlb_find(tlb, VNPU_TLB_SMALL, i % 3, i << 12);

        CHECK(!found || found == i + 1);
    }
    vnpu_tlb_flush_range(tlb, 1, 0, 3ull * MANY << 12);
    for (uint64_t i = 1; i < 3 * MANY; i += 3) {
        CHECK(!vnpu_tlb_find(tlb, VNPU_TLB_SMALL, 1, i << 12));
    }
    vnpu_tlb_free(tlb);
    printf("too many: 1\n");
}

int main(void)
{
    test_model();
    test_nothing_is_forgotten();
    test_too_many();
    return 0;
}
