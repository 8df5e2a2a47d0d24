/* SPDX-License-Identifier: MIT */
/*
 * What an input of the fuzzer is made of. seeds.py writes these as well.
 */

#ifndef RECORDS_H
#define RECORDS_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are those of the list in seeds.py */
enum {
    OP_WRITE,       /* register at x := y */
    OP_READ,        /* register at x */
    OP_RAM,         /* x bytes of data to guest memory at y */
    OP_VRAM,        /* the same to VRAM */
    OP_CLOCK,       /* y ns pass */
    OP_RUN,         /* a rounds of the main loop */
    OP_POLL,        /* the timer of blocked WAITs */
    OP_PAUSE,       /* a: on or off */
    OP_BUS,         /* a: bus mastering on or off */
    OP_MODE,        /* pages from x, b + 1 of them: mapped, bounced or none, as a says */
    OP_HOOK,        /* at access x from now, a comes back into the device */
    OP_RESET,       /* a: parts of packets are long from now on, or short */
    OP_SETTLE,      /* as for saving */
    OP_LOAD,        /* data: b fields with values, then a command buffer */
    OP_EXIT,        /* unplug; the input ends */
    OP_SETUP,       /* queue b of context c, enabled */
    OP_MAP,         /* context b: c + 1 pages from x with flags a, at y */
    OP_ENTRY,       /* data: an entry for the ring of queue b, and its doorbell */
    OP_COMMANDS,    /* data: packets for queue b */
    OP_UNMAP,       /* bus addresses from y, x + 1 of them, are about to go */
    NUM_OPS,
};

/* Of the fields that are loaded: the first that tell the place in a command buffer */
#define LOAD_PLACE 16
#define LOAD_PLACES 4

typedef struct Record {
    uint8_t op;
    uint8_t a;
    uint8_t b;
    uint8_t c;
    uint32_t x;
    uint64_t y;
} Record;

_Static_assert(sizeof(Record) == 16, "written as it is");

/* For people who read what a crash was made of */
void record_print(const Record *r, unsigned len);

#endif
