/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual NPU: inside of the core.
 *
 * Threads. Everything here runs under the BQL, except vnpu_job_exec(), which
 * an engine thread runs on memory that was mapped for it. Engine threads never
 * take the BQL, so that a holder of the BQL may wait for them.
 *
 * Re-entrance. DMA only ever reaches memory, but its translation may do more:
 * an emulated IOMMU reports a fault by a write to an address that the guest
 * chose, and that may be where the device's configuration space is, or the slot
 * it is plugged into. So before an access made from here returns, the device
 * may be reset, put to sleep, cut off from the bus or unplugged. All entries of
 * the core are brackets of vnpu_enter() and vnpu_leave(): such a call from
 * inside only leaves a note, and the outermost vnpu_leave() acts on it when
 * nothing is half way any more. Until then an access fails that is made after
 * the note of a reset or unplug (vnpu_gone()). Only the unmapping of memory
 * cannot wait (vnpu_core_bus_unmap()).
 */

#ifndef VNPU_INTERNAL_H
#define VNPU_INTERNAL_H

#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/thread.h"
#include "vnpu-core.h"
#include "vnpu-exec.h"
#include "vnpu-probe.h"
#include "vnpu-tlb.h"

#define VNPU_GET(val, field) (((val) & field##_MASK) >> field##_SHIFT)

typedef struct VnpuFault {
    uint32_t code;              /* enum vnpu_fault */
    uint32_t access;            /* enum vnpu_access */
    uint64_t addr;
} VnpuFault;

static inline bool vnpu_fail(VnpuFault *f, uint32_t code, uint32_t access,
                             uint64_t addr)
{
    f->code = code;
    f->access = access;
    f->addr = addr;
    return false;
}

/* The fault is not about an address */
static inline bool vnpu_refuse(VnpuFault *f, uint32_t code)
{
    return vnpu_fail(f, code, VNPU_ACCESS_NONE, 0);
}

/* A stretch of memory that an address leads to. */
typedef struct VnpuSpan {
    uint64_t addr;              /* VRAM offset or DMA address */
    uint64_t len;
    bool vram;
} VnpuSpan;

/* A stretch of memory that a job holds. */
typedef struct VnpuMap {
    void *host;
    uint64_t va;                /* as the packet names it */
    uint64_t addr;
    uint64_t len;
    enum {
        VNPU_MAP_VRAM,
        VNPU_MAP_HOST,
        VNPU_MAP_BOUNCE,
        VNPU_MAP_GONE,          /* was HOST and has been given back */
    } kind;
    bool write;
} VnpuMap;

#define VNPU_OPERANDS 4

typedef union VnpuPacket {
    uint32_t dw[VNPU_PACKET_MAX_DWORDS];
    struct vnpu_pkt_wait wait;
    struct vnpu_pkt_signal signal;
    struct vnpu_pkt_copy copy;
    struct vnpu_pkt_copy_2d copy_2d;
    struct vnpu_pkt_fill fill;
    struct vnpu_pkt_gemm gemm;
    struct vnpu_pkt_eltwise eltwise;
    struct vnpu_pkt_reduce reduce;
} VnpuPacket;

typedef struct VnpuPacketOp VnpuPacketOp;

/*
 * A part of a packet on its engine. A big packet runs in parts, so that the
 * preparation of one does not hold the BQL for long and others get their turn;
 * @total, @pos and @part are in units of the opcode (bytes, elements, steps).
 */
typedef struct VnpuJob {
    const VnpuPacketOp *op;
    VnpuPacket pkt;             /* copied in, little endian */
    uint32_t flags;
    unsigned queue;
    unsigned ctx;
    uint64_t serial;
    uint64_t packet;            /* the same number for all of its parts */
    uint64_t ip;
    uint64_t total;
    uint64_t pos;
    uint64_t part;
    uint64_t carry;             /* REDUCE: of the row that is not finished */
    GArray *iov[VNPU_OPERANDS]; /* of VnpuIov */
    GArray *maps;               /* of VnpuMap */
    uint64_t bounced;           /* bytes in bounce buffers */
    union {
        VnpuCopy copy;
        VnpuFill fill;
        VnpuGemm gemm;
        VnpuEltwise eltwise;
        VnpuReduce reduce;
    } u;
    const int *pause;           /* atomic: come to an end where it can go on */
    uint64_t ns;                /* time the part took */
    bool completed;             /* the part ran to its end */
} VnpuJob;

typedef enum VnpuPhase {
    VNPU_PHASE_IDLE,
    VNPU_PHASE_QUEUED,          /* for the thread to take */
    VNPU_PHASE_RUNNING,         /* owned by the thread */
    VNPU_PHASE_HELD,            /* prepared, and not to be started yet */
    VNPU_PHASE_DONE,            /* for vnpu_run() to collect */
} VnpuPhase;

/* Whose turn it is among the queues of one priority */
typedef struct VnpuTurn {
    uint32_t last;              /* queue served last */
    uint32_t parts;             /* parts of its packet since others were */
} VnpuTurn;

#define VNPU_PRIORITIES (VNPU_PRIORITY_KERNEL + 1)

typedef struct VnpuEngine {
    VnpuCore *core;
    unsigned index;
    uint32_t type;              /* enum vnpu_engine_type */
    uint32_t jobs;
    uint64_t busy_ns;
    VnpuTurn turn[VNPU_PRIORITIES];
    uint64_t until;             /* see vnpu_change_begin(): in a reset */

    VnpuJob job;                /* valid unless idle */
    bool busy;                  /* under the BQL: phase is not idle */
    int abort;                  /* atomic; the running packet is to stop */
    int pause;                  /* atomic; see VnpuJob */
    VnpuExec *exec;
    QemuThread thread;
    QemuCond work;
    VnpuPhase phase;            /* under the core's lock */
    int64_t started;            /* same: when the running part began */
} VnpuEngine;

typedef struct VnpuContext {
    uint64_t pt;
    bool valid;
    bool wanted;                /* what VALID will be */
    uint64_t until;             /* see vnpu_change_begin() */
} VnpuContext;

typedef struct VnpuQueue {
    uint64_t base;
    uint32_t config;
    uint32_t context;
    uint32_t vector;
    uint32_t head;
    uint32_t tail;
    uint32_t progress;
    uint32_t fault;             /* enum vnpu_fault; not zero: FAULTED */
    uint64_t fence;
    uint64_t fault_addr;
    uint64_t fault_ip;
    uint64_t busy_ns;
    bool enabled;
    bool waiting;               /* the packet at cmd_pos is a blocked WAIT */
    bool wanted;                /* whether it will be enabled */
    uint64_t until;             /* see vnpu_change_begin() */

    /* the command buffer being run; cmd_size is zero if there is none */
    uint64_t cmd_addr;
    uint32_t cmd_size;
    uint32_t cmd_pos;
    uint8_t *cmd;
    uint64_t part_pos;          /* of the packet at cmd_pos: done so far */
    uint64_t part_carry;        /* and what goes over to its next part */

    /* not migrated: found out again */
    bool running;               /* an engine has the packet at cmd_pos */
    uint64_t packet;            /* number of that packet once it has begun */
    bool invalidating;          /* INVALIDATE waits for jobs older than this */
    uint64_t inval_serial;
    uint32_t inval_ctx;         /* or VNPU_EVERY_CONTEXT */

    /* vnpu-probe.c, of the work at hand */
    VnpuHold *hold;             /* the rule that holds it, or NULL */
    VnpuSite hold_site;
    uint32_t passed;            /* sites where that was decided */
} VnpuQueue;

#define VNPU_EVERY_CONTEXT UINT32_MAX

#define VNPU_MAX_VECTORS (VNPU_MAX_QUEUES + 1)

#define VNPU_DEFER_RESET (1u << 0)
#define VNPU_DEFER_BUS_OFF (1u << 1)
#define VNPU_DEFER_PAUSE (1u << 2)
#define VNPU_DEFER_RUN (1u << 3)
#define VNPU_DEFER_UNREADY (1u << 4)

typedef struct VnpuEvents {
    uint64_t base;
    uint32_t config;
    uint32_t head;
    uint32_t tail;
    uint32_t dropped;
} VnpuEvents;

struct VnpuCore {
    const VnpuOps *ops;
    void *opaque;
    char *id;

    uint8_t *vram;
    uint64_t vram_size;
    uint64_t aperture_size;
    uint32_t nqueues;
    uint32_t nengines;
    uint32_t nvectors;
    bool sync;
    bool pwc;                   /* pointers to tables are remembered */
    uint64_t reset_ns;
    uint64_t enable_ns;

    uint32_t scratch;
    uint32_t timestamp_hi;
    uint64_t until;             /* see vnpu_change_begin(): not ready */
    uint64_t next_change;       /* the earliest of all, or UINT64_MAX */
    uint64_t saved_at;          /* device clock when the state was saved */
    VnpuEvents events;
    VnpuContext ctx[VNPU_MAX_CONTEXTS];
    VnpuQueue queue[VNPU_MAX_QUEUES];
    VnpuEngine engine[VNPU_MAX_ENGINES];

    VnpuTlb *tlb;
    uint64_t serial;            /* of the next job */
    uint64_t packets;           /* number of the last one that was begun */
    bool paused;                /* VM stopped or device asleep */
    bool pause_wanted;
    bool dead;                  /* unplugged */
    bool loading;               /* the state may be half of another one */
    unsigned depth;             /* entries of the core on the stack */
    unsigned deferred;          /* VNPU_DEFER_*, for the outermost of them */
    unsigned unmaps;            /* calls of vnpu_core_bus_unmap() */
    uint32_t caps;              /* as the register */
    uint32_t gemm_unit;         /* see vnpu_exec_gemm_unit() */
    uint32_t irq[DIV_ROUND_UP(VNPU_MAX_VECTORS, 32)]; /* to be raised */
    bool recheck;               /* look at the blocked WAITs */
    unsigned next;              /* queue, then engine, that goes on next */
    bool resting;               /* until vnpu_wake(): see vnpu_run() */
    VnpuHold *holds;            /* oldest first */

    QemuMutex lock;             /* phase of the engines, quit */
    QemuCond idle;              /* an engine has finished a part */
    bool quit;
    bool threads;               /* engine threads exist */
};

/* vnpu-core.c: the bracket of each entry of the core */
void vnpu_enter(VnpuCore *c);
void vnpu_leave(VnpuCore *c);
/* As vnpu_core_reset(), but it takes its time */
void vnpu_core_reset_slowly(VnpuCore *c);

/* Reset or unplugged while something was half way, which is to end soon */
static inline bool vnpu_gone(const VnpuCore *c)
{
    return c->dead || (c->deferred & VNPU_DEFER_RESET);
}

/* Run vnpu_run() soon; under the BQL */
static inline void vnpu_kick(VnpuCore *c)
{
    if (!c->dead) {
        c->ops->kick(c->opaque);
    }
}

/* A little endian word that others may change meanwhile, read once */
static inline uint64_t vnpu_load_le64(const void *p)
{
#if UINTPTR_MAX == UINT64_MAX
    return le64_to_cpu(qatomic_read((const uint64_t *)p));
#else
    const uint32_t *half = p;
    uint64_t low = le32_to_cpu(qatomic_read(&half[0]));

    return low | (uint64_t)le32_to_cpu(qatomic_read(&half[1])) << 32;
#endif
}

/* Store eight bytes of @from; at once on hosts that can */
static inline void vnpu_store64(void *to, const void *from)
{
#if UINTPTR_MAX == UINT64_MAX
    qatomic_set((uint64_t *)to, ldq_he_p(from));
#else
    uint32_t *half = to;

    /* whoever polls for a value that goes up sees it no earlier than it is */
    qatomic_set(&half[0], ldl_he_p(from));
    qatomic_set(&half[1], ldl_he_p((const uint8_t *)from + 4));
#endif
}

/* Interrupt, once the core is not half way in anything */
void vnpu_irq(VnpuCore *c, unsigned vector);

static inline uint32_t vnpu_queue_entries(const VnpuQueue *q)
{
    return 1u << VNPU_GET(q->config, VNPU_QUEUE_CONFIG_LOG2);
}

static inline uint32_t vnpu_queue_engine(const VnpuQueue *q)
{
    return VNPU_GET(q->config, VNPU_QUEUE_CONFIG_ENGINE);
}

static inline uint32_t vnpu_queue_priority(const VnpuQueue *q)
{
    return VNPU_GET(q->config, VNPU_QUEUE_CONFIG_PRIORITY);
}

static inline bool vnpu_queue_live(const VnpuQueue *q)
{
    return q->enabled && !q->fault;
}

/* Is a packet between two of its parts, which will go on? */
static inline bool vnpu_queue_parted(const VnpuQueue *q)
{
    return q->part_pos && !q->fault && !q->running;
}

/* vnpu-change.c: what takes time */
/*
 * Let something of the device be under way for @ns. @until is zero at other
 * times, else one more than the time of the device clock at which it is over.
 */
void vnpu_change_begin(VnpuCore *c, uint64_t *until, uint64_t ns);
/* Do what has become due */
void vnpu_change_run(VnpuCore *c);
/* The same from a read, which may come from inside of the core's own access */
void vnpu_change_look(VnpuCore *c);
/* After loading: go by the clock here; false if one of them cannot be */
bool vnpu_change_loaded(VnpuCore *c);

/* vnpu-queue.c: control of the queues */
/* The time that enabling or disabling takes is over */
void vnpu_queue_changed(VnpuCore *c, unsigned n);
void vnpu_queue_doorbell(VnpuCore *c, unsigned n, uint32_t tail);
void vnpu_queue_enable(VnpuCore *c, unsigned n, bool on);
void vnpu_queue_reset(VnpuCore *c, unsigned n);
uint32_t vnpu_queue_state(const VnpuCore *c, unsigned n);
/* NONE, or why this configuration may not be enabled */
uint32_t vnpu_queue_check(const VnpuCore *c, const VnpuQueue *q);
/* Halt a queue and tell the driver; @ip and @arg as in an event record */
void vnpu_queue_fault(VnpuCore *c, unsigned n, const VnpuFault *f,
                      uint64_t ip, uint64_t arg);
void vnpu_cmd_drop(VnpuQueue *q);

/* vnpu-ring.c: ring entries */
/* Go on with the entry at the head; false: nothing to do now */
bool vnpu_ring_step(VnpuCore *c, unsigned n);
/* The entry at the head is finished */
void vnpu_ring_entry_done(VnpuQueue *q);

/* vnpu-sched.c: packets and engines; also vnpu_run() and vnpu_poll() */
/* Take back an engine's finished part */
void vnpu_engine_collect(VnpuCore *c, VnpuEngine *e);

/* vnpu-probe.c: see vnpu-probe.h */
bool vnpu_probe_decide(VnpuCore *c, const VnpuPoint *p);
/* The work of a queue is over: nothing of it is held */
void vnpu_probe_forget(VnpuCore *c, unsigned queue);

/* Is this work held? To be asked each time that it could go on */
static inline bool vnpu_probe(VnpuCore *c, const VnpuPoint *p)
{
    return unlikely(c->holds || c->queue[p->queue].hold) &&
           vnpu_probe_decide(c, p);
}

/* The work at a site is done: what comes next is decided anew */
static inline void vnpu_probe_next(VnpuQueue *q, VnpuSite site)
{
    q->passed &= ~(1u << site);
}

static inline bool vnpu_queue_held(const VnpuQueue *q, VnpuSite site)
{
    return q->hold && q->hold_site == site;
}

/* vnpu-event.c */
void vnpu_event_config(VnpuCore *c, uint32_t val);
void vnpu_event_fault(VnpuCore *c, unsigned n, const VnpuFault *f,
                      uint64_t ip, uint64_t arg);

/* vnpu-mmu.c: addresses */
/* May [va, va + len) be an address range of this context at all? */
bool vnpu_mmu_range(VnpuCore *c, unsigned ctx, uint64_t va, uint64_t len,
                    VnpuFault *f);
/* The longest contiguous beginning of [va, va + len); a range as above */
bool vnpu_mmu_translate(VnpuCore *c, unsigned ctx, uint64_t va, uint64_t len,
                        uint32_t access, VnpuSpan *span, VnpuFault *f);
/* Copy between @buf and an address range, at once */
bool vnpu_mmu_read(VnpuCore *c, unsigned ctx, uint64_t va, void *buf,
                   uint64_t len, uint32_t access, VnpuFault *f);
bool vnpu_mmu_write(VnpuCore *c, unsigned ctx, uint64_t va, const void *buf,
                    uint64_t len, VnpuFault *f);
/* The same for memory that no context translates */
bool vnpu_mem_read(VnpuCore *c, const VnpuSpan *s, void *buf);
bool vnpu_mem_write(VnpuCore *c, const VnpuSpan *s, const void *buf);

/* vnpu-dma.c: host memory; see above about re-entrance */
bool vnpu_bus_read(VnpuCore *c, uint64_t addr, void *buf, uint64_t len);
bool vnpu_bus_write(VnpuCore *c, uint64_t addr, const void *buf, uint64_t len);

/* vnpu-dma.c: the memory that a job holds */
void vnpu_job_init(VnpuJob *job);
void vnpu_job_free(VnpuJob *job);
bool vnpu_job_map(VnpuCore *c, VnpuJob *job, unsigned operand, uint64_t va,
                  uint64_t len, uint32_t access, VnpuFault *f);
/* Rows end to end, without what lies between them */
bool vnpu_job_map_rows(VnpuCore *c, VnpuJob *job, unsigned operand,
                       uint64_t va, uint64_t rows, uint64_t row_bytes,
                       uint64_t stride, uint32_t access, VnpuFault *f);
VnpuSg vnpu_job_sg(const VnpuJob *job, unsigned operand);
/* Give it all back; if @commit, what was written becomes visible */
bool vnpu_job_unmap(VnpuCore *c, VnpuJob *job, bool commit, VnpuFault *f);
/* The first map that is not VRAM, or NULL */
const VnpuMap *vnpu_job_host_map(const VnpuJob *job);
/* Does an engine that runs the job write or read host memory in there? */
bool vnpu_job_uses(const VnpuJob *job, uint64_t first, uint64_t last);
/*
 * Give that memory back at once, with nothing else that an access could cause;
 * also from inside of vnpu_job_map() and vnpu_job_unmap() of the same job
 */
void vnpu_job_give_back(VnpuCore *c, VnpuJob *job, uint64_t first,
                        uint64_t last);

/* vnpu-packet.c: the packets of command buffers */
typedef enum VnpuStep {
    VNPU_STEP_FAULT,
    VNPU_STEP_DONE,             /* finished */
    VNPU_STEP_BLOCKED,          /* a WAIT that does not go on yet */
    VNPU_STEP_ENGINE,           /* vnpu_packet_prepare(), then an engine */
} VnpuStep;

/* Take in and check the packet at the queue's cmd_pos */
bool vnpu_packet_fetch(VnpuCore *c, unsigned n, VnpuJob *job, VnpuFault *f);
/* Do what needs no engine time */
VnpuStep vnpu_packet_begin(VnpuCore *c, VnpuJob *job, VnpuFault *f);
/* Map the operands of the next part */
bool vnpu_packet_prepare(VnpuCore *c, VnpuJob *job, VnpuFault *f);
/* Engine thread: compute the part; false if aborted */
bool vnpu_packet_exec(VnpuExec *x, VnpuJob *job);
/* About how long that takes, ns */
uint64_t vnpu_packet_cost(const VnpuJob *job);
uint32_t vnpu_packet_dwords(const VnpuJob *job);
uint64_t vnpu_packet_arg(const VnpuJob *job);
const char *vnpu_packet_name(const VnpuJob *job);

/* vnpu-engine.c: engines */
typedef enum VnpuQuiesce {
    VNPU_QUIESCE_FINISH,        /* let the running parts end, keep state */
    VNPU_QUIESCE_ABORT,         /* stop and forget them */
} VnpuQuiesce;

bool vnpu_engines_start(VnpuCore *c, Error **errp);
/* End the threads; what they have not finished is aborted */
void vnpu_engines_stop(VnpuCore *c);
/* Keep the engine with its prepared job until it is handed over */
void vnpu_engine_hold(VnpuEngine *e);
bool vnpu_engine_held(VnpuEngine *e);
/* Hand over a prepared job, or run it at once if it is short */
void vnpu_engine_submit(VnpuEngine *e);
/*
 * The queue whose packet the engine runs; else one whose packet is between two
 * parts, the most important first; or -1
 */
int vnpu_engine_queue(const VnpuCore *c, const VnpuEngine *e);
/* Is a part ready to be collected? */
bool vnpu_engine_done(VnpuEngine *e);
void vnpu_engine_wait(VnpuEngine *e);
/* Time of the part on the engine so far; zero if there is none */
uint64_t vnpu_engine_busy_ns(VnpuEngine *e);

/* Stop the running part; true if it had come to its end */
bool vnpu_engine_stop(VnpuEngine *e);
/* Forget the packet: the engine is free */
void vnpu_engine_release(VnpuEngine *e);
void vnpu_engine_reset(VnpuCore *c, unsigned n);
/* Wait for the parts that use host memory in [first, last]; it is given back */
void vnpu_engines_drain(VnpuCore *c, uint64_t first, uint64_t last);
/* Stop the packets that use host memory, and fault their queues */
void vnpu_engines_bus_off(VnpuCore *c);
void vnpu_quiesce(VnpuCore *c, VnpuQuiesce how);

#endif
