/* SPDX-License-Identifier: MIT */
/*
 * Surroundings for the core: host memory and a bus that a test looks through
 * and can make come back into the device at any access.
 */

#ifndef WORLD_H
#define WORLD_H

#include "shim.h"
#include "vnpu-internal.h"

#define PAGE 4096u
#define RAM_SIZE (1u << 20)             /* DMA addresses from zero */
#define VRAM_SIZE (4u << 20)
#define QUEUES 4
#define COPY 0                          /* engines */
#define TENSOR 1

/* What the bus makes of a page of host memory */
enum { PAGE_MAPPED, PAGE_BOUNCED, PAGE_NONE };

typedef struct World {
    VnpuCore *core;
    uint8_t *ram;
    uint8_t *vram;
    uint8_t mode[RAM_SIZE / PAGE];
    bool bus_on;
    GHashTable *maps;                   /* host pointer -> struct Map */
    int kicked;                         /* atomic */
    bool poll;
    bool wake;                  /* vnpu_wake() is asked for */
    unsigned irqs;
    unsigned irq_clears;
    /* the hook: called at access number @at after arming */
    bool armed;
    unsigned count;
    unsigned at;
    bool refuse;                        /* the access then fails */
    bool fired;
    unsigned execs;                     /* world_execs() then */
    void (*hook)(struct World *w);
    bool no_access;                     /* reset or gone: nothing may be read */
} World;

/* Begin a case, with the device of the last one unless that is unplugged */
void world_start(World *w, bool sync);
/* The device has been unplugged, and this is its end */
void world_unplugged(World *w);
void world_end(World *w);
/* No host memory in [first, last] is lent to the device */
void world_check_unlent(World *w, uint64_t first, uint64_t last);
void world_arm(World *w, unsigned at, bool refuse, void (*hook)(World *w));
bool world_take_kick(World *w);

static inline void put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

static inline void wr(World *w, uint64_t reg, uint32_t val)
{
    vnpu_reg_write(w->core, reg, val);
}

static inline void wr64(World *w, uint64_t reg, uint64_t val)
{
    wr(w, reg, val);
    wr(w, reg + 4, val >> 32);
}

#define CHECK(x) \
    do { \
        if (!(x)) { \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, \
                    world_case, #x); \
            abort(); \
        } \
    } while (0)

/* Parts that engines have run, or run */
unsigned world_execs(void);

/* Which case runs, for CHECK() */
extern char world_case[200];

#endif
