/* SPDX-License-Identifier: MIT */
/*
 * What is around the core while it is fuzzed: memory as large as in the tests
 * over qtest, so that their traffic fits, and a bus that refuses, bounces, or
 * comes back into the device.
 */

#ifndef SURROUNDINGS_H
#define SURROUNDINGS_H

#include <stdio.h>

#include "shim.h"
#include "vnpu-internal.h"

#define PAGE 4096u
#define RAM_SIZE (64u << 20)            /* DMA addresses from zero */
#define VRAM_SIZE (64u << 20)

enum { PAGE_MAPPED, PAGE_BOUNCED, PAGE_NONE };

/* How far the packet of a queue has come */
typedef struct Chain {
    uint64_t packet;
    uint64_t pos;
} Chain;

/* Rows of an operand */
typedef struct Rows {
    uint64_t base;
    uint64_t stride;
    uint64_t bytes;
} Rows;

/* A part of a packet, before it has run */
typedef struct Part {
    bool known;                             /* a copy, whose addresses are not translated */
    Rows src;
    Rows dst;
    bool backward;
    uint64_t at;                            /* in bytes of the operands */
    uint64_t len;
    bool checked;                           /* what it does, too */
    uint8_t *last;                          /* byte that it writes, if it is not stopped */
    uint8_t was;
    uint8_t spoilt;
} Part;

typedef struct World {
    VnpuCore *core;
    uint8_t *ram;
    uint8_t *vram;
    uint8_t dirty_ram[RAM_SIZE / PAGE];     /* pages to be cleared */
    uint8_t dirty_vram[VRAM_SIZE / PAGE];
    uint8_t mode[RAM_SIZE / PAGE];
    GHashTable *maps;                       /* host pointer -> Map */
    bool bus_on;
    unsigned accesses;                      /* so far, in this input */
    uint64_t computed;                      /* of packets, in this input, ns */
    uint64_t clock;
    bool kicked;
    bool wake;
    bool poll;
    uint64_t run_at;
    bool gone;                              /* unplugged */
    /* at this access the bus comes back into the device */
    unsigned hook_at;
    void (*hook)(struct World *w);
    bool hook_refuses;
    Chain chain[VNPU_MAX_QUEUES];
    bool loaded;                            /* a state: packets begin anywhere */
} World;

/* The one that there is: the core's calls that the linker redirects say nothing of it */
extern World world;

/* A device as after power-on, with nothing in its memory */
void world_begin(World *w);
/* See that nothing is left of the input */
void world_check(World *w);
/* Let the device go on: at most so many rounds of its main loop */
void world_run(World *w, unsigned rounds);
/* What the guest or the test itself writes; false if there is no such place */
bool world_write_ram(World *w, uint64_t addr, const void *data, uint64_t len);
bool world_write_vram(World *w, uint64_t at, const void *data, uint64_t len);
void world_exit(World *w);
/* Which bus address memory has that the device has mapped; false if it is none */
bool world_address(const World *w, const void *host, uint64_t *addr);

/* parts.c: see that a part is what it should be, and what it has done, if it is @computed */
void parts_before(const World *w, const VnpuJob *job, Part *part, bool computed);
void parts_after(World *w, const VnpuJob *job, const Part *part);
/* Is it of a kind that stops before its end, if the part is a long one? */
bool parts_stop(const VnpuJob *job);

#define CHECK(x) \
    do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x); \
            abort(); \
        } \
    } while (0)

#endif
