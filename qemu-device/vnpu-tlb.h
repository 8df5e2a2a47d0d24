/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: what the device remembers of page tables.
 */

#ifndef VNPU_TLB_H
#define VNPU_TLB_H

#include "vnpu_hw.h"

typedef struct VnpuTlb VnpuTlb;

typedef enum VnpuTlbKind {
    VNPU_TLB_SMALL,             /* leaf of 4 KiB */
    VNPU_TLB_HUGE,              /* leaf of 2 MiB */
    VNPU_TLB_TABLE0,            /* pointer to a table of level 0 */
    VNPU_TLB_TABLE1,
    VNPU_TLB_TABLE2,
    VNPU_TLB_KINDS,
} VnpuTlbKind;

VnpuTlb *vnpu_tlb_new(void);
void vnpu_tlb_free(VnpuTlb *tlb);
/* The entry that covers @va, or zero */
uint64_t vnpu_tlb_find(VnpuTlb *tlb, VnpuTlbKind kind, unsigned ctx,
                       uint64_t va);
/* Remember an entry, which is valid and so not zero */
void vnpu_tlb_keep(VnpuTlb *tlb, VnpuTlbKind kind, unsigned ctx, uint64_t va,
                   uint64_t pte);
void vnpu_tlb_flush_all(VnpuTlb *tlb);
void vnpu_tlb_flush_ctx(VnpuTlb *tlb, unsigned ctx);
/* Drop all that covers an address of [va, va + len) */
void vnpu_tlb_flush_range(VnpuTlb *tlb, unsigned ctx, uint64_t va,
                          uint64_t len);

#endif
