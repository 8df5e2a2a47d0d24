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
} World;

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

#define CHECK(x) \
    do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x); \
            abort(); \
        } \
    } while (0)

#endif
