/* SPDX-License-Identifier: MIT */
/*
 * States that cannot be: refused when loaded, and not run if their loading
 * never came to its end.
 */

#include <stdio.h>
#include "world.h"

int64_t get_clock(void)
{
    return 0;
}

static void engine_out_of_range(VnpuCore *c)
{
    c->queue[2].enabled = true;
    c->queue[2].config = 4 | 0xF << VNPU_QUEUE_CONFIG_ENGINE_SHIFT;
}

static void command_beyond_its_end(VnpuCore *c)
{
    c->queue[1].cmd = g_malloc0(64);
    c->queue[1].cmd_size = 64;
    c->queue[1].cmd_pos = 4096;
}

static void part_of_nothing(VnpuCore *c)
{
    c->queue[1].part_pos = 1;
}

static void queue_that_is_not_there(VnpuCore *c)
{
    c->queue[QUEUES].enabled = true;
}

static void last_queue_out_of_range(VnpuCore *c)
{
    c->engine[0].turn[VNPU_PRIORITY_HIGH].last = 1000;
}

static void events_that_wrap(VnpuCore *c)
{
    c->events.base = UINT64_MAX - VNPU_EVENT_BYTES + 1;
    c->events.config = VNPU_EVENT_LOG2_MIN | VNPU_EVENT_CONFIG_ENABLE_MASK;
}

static void table_not_aligned(VnpuCore *c)
{
    c->ctx[3].pt = 8;
}

static void no_physical_context(VnpuCore *c)
{
    c->ctx[VNPU_PHYS_CONTEXT].valid = false;
}

static void change_without_end(VnpuCore *c)
{
    c->until = UINT64_MAX;
}

static void change_of_the_physical_context(VnpuCore *c)
{
    c->ctx[VNPU_PHYS_CONTEXT].until = 1;
}

static void change_of_a_queue_that_is_not_there(VnpuCore *c)
{
    c->queue[QUEUES].until = 1;
}

static const struct {
    const char *name;
    void (*spoil)(VnpuCore *c);
} states[] = {
    { "engine out of range", engine_out_of_range },
    { "command beyond its end", command_beyond_its_end },
    { "part of nothing", part_of_nothing },
    { "queue that is not there", queue_that_is_not_there },
    { "last queue out of range", last_queue_out_of_range },
    { "events that wrap", events_that_wrap },
    { "table not aligned", table_not_aligned },
    { "no physical context", no_physical_context },
    { "change without end", change_without_end },
    { "change of the physical context", change_of_the_physical_context },
    { "change of a queue that is not there",
      change_of_a_queue_that_is_not_there },
};

static World w;

static void check_reset(void)
{
    VnpuCore *c = w.core;

    CHECK(c->ctx[VNPU_PHYS_CONTEXT].valid && !c->ctx[3].pt);
    CHECK(!c->events.config && !c->engine[0].turn[VNPU_PRIORITY_HIGH].last);
    CHECK(!c->until && !c->ctx[VNPU_PHYS_CONTEXT].until);
    for (unsigned n = 0; n < VNPU_MAX_QUEUES; n++) {
        CHECK(!c->queue[n].enabled && !c->queue[n].config && !c->queue[n].cmd &&
              !c->queue[n].until);
    }
}

int main(void)
{
    world_start(&w, true);
    for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
        snprintf(world_case, sizeof(world_case), "%s", states[i].name);
        vnpu_core_pause(w.core, true);
        vnpu_core_load_begin(w.core);
        states[i].spoil(w.core);
        CHECK(!vnpu_core_load_end(w.core));
        check_reset();
        /* refused before all of it was there */
        vnpu_core_load_begin(w.core);
        states[i].spoil(w.core);
        vnpu_core_pause(w.core, false);
        vnpu_run(w.core);
        check_reset();
        /* the same, and saved without going on */
        vnpu_core_pause(w.core, true);
        vnpu_core_load_begin(w.core);
        states[i].spoil(w.core);
        CHECK(vnpu_core_settle(w.core));
        check_reset();
        printf("%s: 3\n", states[i].name);
    }
    /* a good one stays */
    vnpu_core_pause(w.core, true);
    vnpu_core_load_begin(w.core);
    w.core->scratch = 5;
    CHECK(vnpu_core_load_end(w.core));
    vnpu_core_pause(w.core, false);
    CHECK(vnpu_reg_read(w.core, VNPU_REG_SCRATCH) == 5);
    world_end(&w);
    return 0;
}
