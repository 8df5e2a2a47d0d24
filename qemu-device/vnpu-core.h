/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: the core of the device, which knows neither QOM nor PCI, as
 * the shell around it sees it.
 *
 * All of it is called under the BQL.
 */

#ifndef VNPU_CORE_H
#define VNPU_CORE_H

#include "vnpu_hw.h"

#define VNPU_PAGE_SIZE (1ull << VNPU_PAGE_SHIFT)

typedef struct VnpuCore VnpuCore;

typedef enum VnpuWrite {
    VNPU_WRITE_REFUSED,         /* it fails */
    VNPU_WRITE_MEMORY,
    VNPU_WRITE_LOST,            /* it succeeds, but there is no memory */
} VnpuWrite;

/*
 * What the core asks of its surroundings; all are called under the BQL. All
 * functions below may be called from inside of the dma_ ones.
 */
typedef struct VnpuOps {
    /*
     * Map host memory for an engine: NULL if @addr is not plain memory; @len
     * may come back shorter. vnpu_dma_read/write then still may work.
     */
    void *(*dma_map)(void *opaque, uint64_t addr, uint64_t *len, bool write);
    void (*dma_unmap)(void *opaque, void *host, uint64_t len, bool write);
    /* what would become of a write? */
    VnpuWrite (*dma_writable)(void *opaque, uint64_t addr, uint64_t len);
    bool (*dma_read)(void *opaque, uint64_t addr, void *buf, uint64_t len);
    bool (*dma_write)(void *opaque, uint64_t addr, const void *buf,
                      uint64_t len);
    /* VRAM was written other than by the guest: the pages and any code there */
    void (*vram_written)(void *opaque, uint64_t offset, uint64_t len);
    /* device clock, ns */
    uint64_t (*clock)(void *opaque);
    /*
     * Run vnpu_run() soon, then raise what vnpu_irq_next() says; the one that
     * may be called by any thread
     */
    void (*kick)(void *opaque);
    /* no interrupt that was raised before and still waits is delivered */
    void (*irq_clear)(void *opaque);
    /* run vnpu_run() at this time of the device clock */
    void (*run_at)(void *opaque, uint64_t when);
    /* call vnpu_poll() in a millisecond of device time */
    void (*poll_later)(void *opaque);
    /* call vnpu_wake() in @ns of the host's time, without the BQL until then */
    void (*wake_later)(void *opaque, int64_t ns);
} VnpuOps;

/* What the device is made of; @vram is host memory and stays the caller's. */
typedef struct VnpuConfig {
    const char *id;             /* names the device in traces */
    uint8_t *vram;
    uint64_t vram_size;
    uint64_t aperture_size;
    uint32_t queues;
    uint32_t copy_engines;
    uint32_t tensor_engines;
    bool sync;                  /* no threads: packets run in vnpu_run() */
    bool pwc;                   /* page-walk cache */
    uint64_t reset_ns;          /* how long resets take that are asked for */
    uint64_t enable_ns;         /* and enabling and disabling */
} VnpuConfig;

/* Reset and paused; NULL if there is not enough memory */
VnpuCore *vnpu_core_new(const VnpuConfig *config, const VnpuOps *ops,
                        void *opaque, Error **errp);
/*
 * Stop all work for good: the last use of VRAM, of threads and of ops is over
 * when the outermost call of the core returns. The registers are dead then.
 */
void vnpu_core_exit(VnpuCore *c);
/* After vnpu_core_exit(), with no call of the core on the stack */
void vnpu_core_free(VnpuCore *c);

/* All state but VRAM; nothing runs afterwards, no interrupt is left */
void vnpu_core_reset(VnpuCore *c);
/*
 * While paused no work starts; what runs comes to the end of its part first,
 * so that the state is complete and nothing is mapped.
 */
void vnpu_core_pause(VnpuCore *c, bool pause);
bool vnpu_core_paused(const VnpuCore *c);
/*
 * Bring the state to rest, to be saved; work goes on afterwards. False if it
 * can't be, inside of a call of ops.
 */
bool vnpu_core_settle(VnpuCore *c);
/*
 * Around the loading of a saved state. What is loaded is checked as what a
 * guest writes, because it may come from anywhere. If it is refused, or if
 * the end is never reached, the device is reset before it runs.
 */
void vnpu_core_load_begin(VnpuCore *c);
bool vnpu_core_load_end(VnpuCore *c);
const char *vnpu_core_id(const VnpuCore *c);
unsigned vnpu_core_vectors(const VnpuCore *c);

/* Everything that can go on now, for a bounded time */
void vnpu_run(VnpuCore *c);
void vnpu_poll(VnpuCore *c);
void vnpu_wake(VnpuCore *c);
/* The bus takes no more accesses: stop the packets that use host memory */
void vnpu_core_bus_off(VnpuCore *c);
/*
 * The mappings of bus addresses [first, last] are about to go: nothing is
 * written to the memory behind them once this has returned. Waits for the parts
 * of packets that use it, which go on later with what is mapped then.
 */
void vnpu_core_bus_unmap(VnpuCore *c, uint64_t first, uint64_t last);
/* Take a vector that is to be raised; false if there is none */
bool vnpu_irq_next(VnpuCore *c, unsigned *vector);

/* BAR0, 32-bit accesses. A write from inside of ops has no effect. */
uint32_t vnpu_reg_read(VnpuCore *c, uint64_t addr);
void vnpu_reg_write(VnpuCore *c, uint64_t addr, uint32_t val);

#endif
