/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the points where the core decides what it does next, and rules
 * that hold work there.
 *
 * A test that wants to know what waits for what has one of them held, and looks
 * at the other. Held work stays where it is, while the guest and all other work
 * of the device go on, until it is let go, or until a reset or a fault of its
 * queue ends it. Pausing the device (VM stopped, asleep) keeps it held.
 *
 * All of it is called under the BQL.
 */

#ifndef VNPU_PROBE_H
#define VNPU_PROBE_H

#include "vnpu_hw.h"

typedef struct VnpuCore VnpuCore;

typedef enum VnpuSite {
    VNPU_SITE_ENTRY,            /* an entry of a ring, before it is done */
    VNPU_SITE_PACKET,           /* a packet; no engine has it yet */
    VNPU_SITE_PART,             /* a packet's part, which occupies its engine */
    VNPU_SITES,
} VnpuSite;

/* Work at a site */
typedef struct VnpuPoint {
    VnpuSite site;
    uint32_t queue;
    uint32_t engine;
    uint32_t context;
    uint32_t opcode;            /* of the ring or of the packet */
    uint64_t addr;              /* of the packet; or named by the entry */
} VnpuPoint;

/* What a rule is about; limits are inclusive */
typedef struct VnpuMatch {
    VnpuSite site;
    uint32_t queue_min, queue_max;
    uint32_t engine_min, engine_max;
    uint32_t context_min, context_max;
    uint32_t opcode_min, opcode_max;
    uint64_t addr_min, addr_max;
    uint64_t skip;              /* so many matches pass first */
    uint64_t count;             /* then so many are held */
} VnpuMatch;

/* The opcodes of the three sites; all of everything */
void vnpu_match_init(VnpuMatch *m, VnpuSite site);

typedef struct VnpuHold VnpuHold;

/*
 * A new rule. Work that has come to the site already and was let pass stays
 * free. If several rules match, the oldest counts.
 */
VnpuHold *vnpu_hold_new(VnpuCore *c, const VnpuMatch *match);
/* Let all go, and hold no more */
void vnpu_hold_free(VnpuCore *c, VnpuHold *h);
/* Let go what has been held longest, @n queues of it at most */
void vnpu_hold_release(VnpuCore *c, VnpuHold *h, uint64_t n);
/* Let go what is held of one queue; false if nothing is */
bool vnpu_hold_release_queue(VnpuCore *c, VnpuHold *h, unsigned queue);
/* Queues whose work is held, in the order in which it came; returns how many */
unsigned vnpu_hold_queues(const VnpuHold *h, uint32_t queues[VNPU_MAX_QUEUES]);
/* How much has matched so far, held or not */
uint64_t vnpu_hold_seen(const VnpuHold *h);

#endif
