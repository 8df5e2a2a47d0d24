/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Hardware interface of the virtual NPU.
 *
 * Generated from spec/vnpu.yaml by spec/generate.py: do not edit.
 */

#ifndef VNPU_HW_H
#define VNPU_HW_H

#ifdef __linux__
#include <linux/types.h>
#else
#include <stdint.h>
typedef uint32_t __le32;
typedef uint64_t __le64;
#endif

#define VNPU_VERSION_MAJOR			1
#define VNPU_VERSION_MINOR			0

#define VNPU_PCI_VENDOR				0x1234
#define VNPU_PCI_DEVICE				0x4e50
#define VNPU_PCI_CLASS				0x1200
#define VNPU_PCI_REVISION			1
#define VNPU_BAR_REGS				0
#define VNPU_BAR_REGS_SIZE			0x80000
#define VNPU_BAR_VRAM				2
#define VNPU_BAR_MSIX				4
#define VNPU_BAR_MSIX_SIZE			0x1000

/* Constants */

/* value of ID: 'VNPU' in memory order */
#define VNPU_MAGIC				0x55504e56

/* queues a device may have */
#define VNPU_MAX_QUEUES				0x40

/* contexts a device may have */
#define VNPU_MAX_CONTEXTS			0x100

/* engines a device may have */
#define VNPU_MAX_ENGINES			0x8

/*
 * context that does not translate: bit 63 of an address selects VRAM (offset)
 * or host DMA address
 */
#define VNPU_PHYS_CONTEXT			0x0

/* in the physical context, set for a VRAM offset */
#define VNPU_PHYS_VRAM_BIT			0x3f

/* MSI-X vector of the event ring */
#define VNPU_EVENT_VECTOR			0x0

/* first doorbell page in BAR0; one page a queue */
#define VNPU_DOORBELL_BASE			0x10000

/* distance of doorbell pages; the doorbell is the first dword */
#define VNPU_DOORBELL_STRIDE			0x1000

/* size of a ring entry */
#define VNPU_RING_ENTRY_BYTES			0x20

/* smallest ring: log2 of its entries */
#define VNPU_RING_LOG2_MIN			0x4

/* largest ring: log2 of its entries */
#define VNPU_RING_LOG2_MAX			0xc

/* size of an event record */
#define VNPU_EVENT_BYTES			0x40

/* smallest event ring: log2 of its records */
#define VNPU_EVENT_LOG2_MIN			0x4

/* largest event ring: log2 of its records */
#define VNPU_EVENT_LOG2_MAX			0xc

/*
 * largest command buffer; its size is a multiple of 8, its address 8-byte
 * aligned
 */
#define VNPU_CMD_MAX_BYTES			0x10000

/* largest packet in a command buffer */
#define VNPU_PACKET_MAX_DWORDS			0x40

/* largest m, n, k of a GEMM */
#define VNPU_GEMM_MAX_DIM			0x4000

/* most bytes one COPY, COPY_2D or FILL moves */
#define VNPU_COPY_MAX_BYTES			0x40000000

/* most elements one ELTWISE or REDUCE reads per operand */
#define VNPU_ELEMS_MAX				0x10000000

/* width of a virtual address */
#define VNPU_VA_BITS				0x30

/* log2 of the page size */
#define VNPU_PAGE_SHIFT				0xc

/* levels of a page table; level 3 is the root, level 0 holds 4 KiB leaves */
#define VNPU_PT_LEVELS				0x4

/* entries of one table */
#define VNPU_PT_ENTRIES				0x200

/* address bits a level resolves */
#define VNPU_PT_BITS				0x9

/* the level at which a LEAF entry maps 2 MiB */
#define VNPU_PT_HUGE_LEVEL			0x1

/* Registers in BAR0 */

/* ro: MAGIC */
#define VNPU_REG_ID				0x000

/* ro: version of this interface */
#define VNPU_REG_VERSION			0x004
#define VNPU_VERSION_MAJOR_SHIFT		16
#define VNPU_VERSION_MAJOR_MASK			0xffff0000u
#define VNPU_VERSION_MINOR_SHIFT		0
#define VNPU_VERSION_MINOR_MASK			0xffffu

/* ro: capabilities */
#define VNPU_REG_CAPS				0x008
#define VNPU_CAPS_SYNC_SHIFT			0
#define VNPU_CAPS_SYNC_MASK			0x1u
#define VNPU_CAPS_BLAS_SHIFT			1
#define VNPU_CAPS_BLAS_MASK			0x2u

/* ro: number of queues */
#define VNPU_REG_QUEUES				0x00c

/* ro: number of contexts, the physical one included */
#define VNPU_REG_CONTEXTS			0x010

/* ro: number of engines */
#define VNPU_REG_ENGINES			0x014

/* ro: number of MSI-X vectors */
#define VNPU_REG_VECTORS			0x018

/* ro: bytes of VRAM */
#define VNPU_REG_VRAM_SIZE_LO			0x020

/* ro: high half of VRAM_SIZE */
#define VNPU_REG_VRAM_SIZE_HI			0x024

/* ro: bytes of VRAM that BAR2 shows */
#define VNPU_REG_APERTURE_SIZE_LO		0x028

/* ro: high half of APERTURE_SIZE */
#define VNPU_REG_APERTURE_SIZE_HI		0x02c

/* ro: device status */
#define VNPU_REG_STATUS				0x030
#define VNPU_STATUS_READY_SHIFT			0
#define VNPU_STATUS_READY_MASK			0x1u
#define VNPU_STATUS_BUSY_SHIFT			1
#define VNPU_STATUS_BUSY_MASK			0x2u

/* w1: device control */
#define VNPU_REG_CONTROL			0x034
#define VNPU_CONTROL_RESET_SHIFT		0
#define VNPU_CONTROL_RESET_MASK			0x1u

/* rw: no effect; survives nothing but a write */
#define VNPU_REG_SCRATCH			0x038

/* ro: device clock in ns; reading LO latches HI */
#define VNPU_REG_TIMESTAMP_LO			0x040

/* ro: high half of the latched TIMESTAMP */
#define VNPU_REG_TIMESTAMP_HI			0x044

/* rw: DMA address of the event ring, 64-byte aligned; written while disabled */
#define VNPU_REG_EVENT_BASE_LO			0x050

/* rw: high half of EVENT_BASE */
#define VNPU_REG_EVENT_BASE_HI			0x054

/* rw: event ring */
#define VNPU_REG_EVENT_CONFIG			0x058
#define VNPU_EVENT_CONFIG_LOG2_SHIFT		0
#define VNPU_EVENT_CONFIG_LOG2_MASK		0x1fu
#define VNPU_EVENT_CONFIG_ENABLE_SHIFT		31
#define VNPU_EVENT_CONFIG_ENABLE_MASK		0x80000000u

/* rw: free-running index of the next record the driver reads */
#define VNPU_REG_EVENT_HEAD			0x05c

/* ro: free-running index of the next record the device writes */
#define VNPU_REG_EVENT_TAIL			0x060

/* ro: records lost because the ring was full or could not be written */
#define VNPU_REG_EVENT_DROPPED			0x064

/* one block an engine */
#define VNPU_ENGINE_BASE			0x200
#define VNPU_ENGINE_STRIDE			0x20
#define VNPU_ENGINE(i)				(VNPU_ENGINE_BASE + (i) * VNPU_ENGINE_STRIDE)

/* ro: engine_type */
#define VNPU_ENGINE_REG_TYPE			0x00
#define VNPU_ENGINE_TYPE_TYPE_SHIFT		0
#define VNPU_ENGINE_TYPE_TYPE_MASK		0xffu

/* ro: what it does now */
#define VNPU_ENGINE_REG_STATUS			0x04
#define VNPU_ENGINE_STATUS_BUSY_SHIFT		0
#define VNPU_ENGINE_STATUS_BUSY_MASK		0x1u
#define VNPU_ENGINE_STATUS_QUEUE_SHIFT		8
#define VNPU_ENGINE_STATUS_QUEUE_MASK		0xff00u
#define VNPU_ENGINE_STATUS_RESETTING_SHIFT	16
#define VNPU_ENGINE_STATUS_RESETTING_MASK	0x10000u

/* w1: engine control */
#define VNPU_ENGINE_REG_CONTROL			0x08
#define VNPU_ENGINE_CONTROL_RESET_SHIFT		0
#define VNPU_ENGINE_CONTROL_RESET_MASK		0x1u

/* ro: packets finished, wraps */
#define VNPU_ENGINE_REG_JOBS			0x0c

/* ro: ns spent in packets, the running one so far included */
#define VNPU_ENGINE_REG_BUSY_LO			0x10

/* ro: high half of BUSY */
#define VNPU_ENGINE_REG_BUSY_HI			0x14

/* one block a context; block 0 is the physical context and ignores writes */
#define VNPU_CTX_BASE				0x4000
#define VNPU_CTX_STRIDE				0x10
#define VNPU_CTX(i)				(VNPU_CTX_BASE + (i) * VNPU_CTX_STRIDE)

/* rw: VRAM offset of the root table, 4 KiB aligned */
#define VNPU_CTX_REG_PT_LO			0x00

/* rw: high half of PT */
#define VNPU_CTX_REG_PT_HI			0x04

/* rw: context control */
#define VNPU_CTX_REG_CONTROL			0x08
#define VNPU_CTX_CONTROL_VALID_SHIFT		0
#define VNPU_CTX_CONTROL_VALID_MASK		0x1u
#define VNPU_CTX_CONTROL_CHANGING_SHIFT		1
#define VNPU_CTX_CONTROL_CHANGING_MASK		0x2u

/*
 * one block a queue; BASE, CONFIG but for PRIORITY, CONTEXT and VECTOR are
 * ignored while enabled, and until the last packet has ended after that
 */
#define VNPU_QUEUE_BASE				0x8000
#define VNPU_QUEUE_STRIDE			0x80
#define VNPU_QUEUE(i)				(VNPU_QUEUE_BASE + (i) * VNPU_QUEUE_STRIDE)

/* rw: address of the ring, 4 KiB aligned: DMA address or VRAM offset */
#define VNPU_QUEUE_REG_BASE_LO			0x00

/* rw: high half of BASE */
#define VNPU_QUEUE_REG_BASE_HI			0x04

/* rw: shape of the queue */
#define VNPU_QUEUE_REG_CONFIG			0x08
#define VNPU_QUEUE_CONFIG_LOG2_SHIFT		0
#define VNPU_QUEUE_CONFIG_LOG2_MASK		0x1fu
#define VNPU_QUEUE_CONFIG_VRAM_SHIFT		8
#define VNPU_QUEUE_CONFIG_VRAM_MASK		0x100u
#define VNPU_QUEUE_CONFIG_ENGINE_SHIFT		16
#define VNPU_QUEUE_CONFIG_ENGINE_MASK		0xf0000u
#define VNPU_QUEUE_CONFIG_PRIORITY_SHIFT	24
#define VNPU_QUEUE_CONFIG_PRIORITY_MASK		0x3000000u

/* rw: context of its command buffers */
#define VNPU_QUEUE_REG_CONTEXT			0x0c

/* rw: MSI-X vector of its fences */
#define VNPU_QUEUE_REG_VECTOR			0x10

/* rw: queue control */
#define VNPU_QUEUE_REG_CONTROL			0x14
#define VNPU_QUEUE_CONTROL_ENABLE_SHIFT		0
#define VNPU_QUEUE_CONTROL_ENABLE_MASK		0x1u
#define VNPU_QUEUE_CONTROL_RESET_SHIFT		1
#define VNPU_QUEUE_CONTROL_RESET_MASK		0x2u

/* ro: state of the queue */
#define VNPU_QUEUE_REG_STATUS			0x18
#define VNPU_QUEUE_STATUS_STATE_SHIFT		0
#define VNPU_QUEUE_STATUS_STATE_MASK		0xfu
#define VNPU_QUEUE_STATUS_FAULT_SHIFT		8
#define VNPU_QUEUE_STATUS_FAULT_MASK		0xff00u

/* ro: free-running index of the entry being executed */
#define VNPU_QUEUE_REG_HEAD			0x1c

/* ro: last doorbell value: free-running index one past the last entry */
#define VNPU_QUEUE_REG_TAIL			0x20

/*
 * ro: ring entries, packets and parts of large packets finished, wraps; a
 * blocked WAIT does not advance it
 */
#define VNPU_QUEUE_REG_PROGRESS			0x24

/* ro: value of the last fence written */
#define VNPU_QUEUE_REG_FENCE_LO			0x28

/* ro: high half of FENCE */
#define VNPU_QUEUE_REG_FENCE_HI			0x2c

/* ro: faulting address */
#define VNPU_QUEUE_REG_FAULT_ADDR_LO		0x30

/* ro: high half of FAULT_ADDR */
#define VNPU_QUEUE_REG_FAULT_ADDR_HI		0x34

/* ro: address of the packet, or ring index of the entry, that faulted */
#define VNPU_QUEUE_REG_FAULT_IP_LO		0x38

/* ro: high half of FAULT_IP */
#define VNPU_QUEUE_REG_FAULT_IP_HI		0x3c

/*
 * ro: ns its packets spent on engines, the running one so far included; no
 * latch: read HI, LO and HI again
 */
#define VNPU_QUEUE_REG_BUSY_LO			0x40

/* ro: high half of BUSY */
#define VNPU_QUEUE_REG_BUSY_HI			0x44

/* page table entry; an entry without VALID is not mapped and ignored */
#define VNPU_PTE_VALID_SHIFT			0
#define VNPU_PTE_VALID_MASK			0x1ull
#define VNPU_PTE_WRITE_SHIFT			1
#define VNPU_PTE_WRITE_MASK			0x2ull
#define VNPU_PTE_LEAF_SHIFT			2
#define VNPU_PTE_LEAF_MASK			0x4ull
#define VNPU_PTE_VRAM_SHIFT			3
#define VNPU_PTE_VRAM_MASK			0x8ull
#define VNPU_PTE_ADDR_SHIFT			12
#define VNPU_PTE_ADDR_MASK			0xffffffffff000ull

/* first dword of each ring entry and packet */
#define VNPU_PKT_HDR_OPCODE_SHIFT		0
#define VNPU_PKT_HDR_OPCODE_MASK		0xffu
#define VNPU_PKT_HDR_FLAGS_SHIFT		8
#define VNPU_PKT_HDR_FLAGS_MASK			0xff00u
#define VNPU_PKT_HDR_DWORDS_SHIFT		16
#define VNPU_PKT_HDR_DWORDS_MASK		0xffff0000u

/* what an engine can do */
enum vnpu_engine_type {
	/* no such engine */
	VNPU_ENGINE_TYPE_NONE = 0,
	/* COPY, COPY_2D, FILL */
	VNPU_ENGINE_TYPE_COPY = 1,
	/* GEMM, ELTWISE, REDUCE */
	VNPU_ENGINE_TYPE_TENSOR = 2,
};

/* state of a queue */
enum vnpu_queue_state {
	/* not enabled */
	VNPU_QUEUE_STATE_DISABLED = 0,
	/* ring empty */
	VNPU_QUEUE_STATE_IDLE = 1,
	/* has work */
	VNPU_QUEUE_STATE_RUNNING = 2,
	/* blocked in a WAIT packet */
	VNPU_QUEUE_STATE_WAITING = 3,
	/*
	 * halted by a fault until RESET; see Queues about a part that still
	 * runs
	 */
	VNPU_QUEUE_STATE_FAULTED = 4,
	/*
	 * being enabled, disabled or reset; writes to the block other than
	 * RESET are ignored
	 */
	VNPU_QUEUE_STATE_CHANGING = 5,
};

/*
 * the engine takes the highest first, equals in turn, after a packet or four
 * parts of a large one; what comes while a packet of lower priority runs waits
 * for the rest of a part at most, which ends early for that
 */
enum vnpu_priority {
	/* background */
	VNPU_PRIORITY_LOW = 0,
	/* default */
	VNPU_PRIORITY_NORMAL = 1,
	/* latency sensitive */
	VNPU_PRIORITY_HIGH = 2,
	/* paging */
	VNPU_PRIORITY_KERNEL = 3,
};

/* why a queue halted */
enum vnpu_fault {
	/* no fault */
	VNPU_FAULT_NONE = 0,
	/* address not mapped */
	VNPU_FAULT_TRANSLATION = 1,
	/* write to a read-only page */
	VNPU_FAULT_PERMISSION = 2,
	/* reserved bit set in a table entry, or LEAF where none may be */
	VNPU_FAULT_PT_FORMAT = 3,
	/* VRAM offset beyond the end of VRAM */
	VNPU_FAULT_VRAM_RANGE = 4,
	/*
	 * a host read that nobody answers, or a host access without bus
	 * mastering
	 */
	VNPU_FAULT_DMA = 5,
	/* context out of range or not valid */
	VNPU_FAULT_CONTEXT = 6,
	/* ring configuration or doorbell value impossible */
	VNPU_FAULT_RING = 7,
	/* unknown opcode, or one not allowed at this level */
	VNPU_FAULT_OPCODE = 8,
	/*
	 * packet length wrong for its opcode or beyond its buffer; command
	 * buffer size wrong
	 */
	VNPU_FAULT_LENGTH = 9,
	/* reserved bit or field set */
	VNPU_FAULT_RESERVED = 10,
	/* address or size not aligned as its packet needs */
	VNPU_FAULT_ALIGNMENT = 11,
	/* range wraps or leaves the virtual address space */
	VNPU_FAULT_ADDRESS = 12,
	/* opcode not for this engine */
	VNPU_FAULT_ENGINE = 13,
	/* type, operation, dimension or stride not supported */
	VNPU_FAULT_PARAM = 14,
	/* aborted by an engine reset */
	VNPU_FAULT_RESET = 15,
};

/* what the faulting access was */
enum vnpu_access {
	/* no access involved */
	VNPU_ACCESS_NONE = 0,
	/* operand read */
	VNPU_ACCESS_READ = 1,
	/* operand written */
	VNPU_ACCESS_WRITE = 2,
	/* command fetched */
	VNPU_ACCESS_FETCH = 3,
	/* page table read */
	VNPU_ACCESS_WALK = 4,
};

/* kind of an event record */
enum vnpu_event_type {
	/* never written */
	VNPU_EVENT_TYPE_NONE = 0,
	/* a queue halted */
	VNPU_EVENT_TYPE_FAULT = 1,
};

/* element types */
enum vnpu_dtype {
	/* 8-bit signed integer */
	VNPU_DTYPE_I8 = 1,
	/* 32-bit signed integer, wraps */
	VNPU_DTYPE_I32 = 2,
	/* IEEE binary16 */
	VNPU_DTYPE_F16 = 3,
	/* bfloat16 */
	VNPU_DTYPE_BF16 = 4,
	/* IEEE binary32 */
	VNPU_DTYPE_F32 = 5,
};

/* applied to each result after the bias */
enum vnpu_activation {
	/* identity */
	VNPU_ACTIVATION_NONE = 0,
	/* max(x, 0); NaN stays NaN */
	VNPU_ACTIVATION_RELU = 1,
};

/* dst[i] = a[i] op b[i] */
enum vnpu_eltwise_op {
	/* sum */
	VNPU_ELTWISE_OP_ADD = 1,
	/* product */
	VNPU_ELTWISE_OP_MUL = 2,
	/* maximum; NaN if either is NaN */
	VNPU_ELTWISE_OP_MAX = 3,
};

/* dst[r] = op over the columns of row r */
enum vnpu_reduce_op {
	/* sum; f32 results for f16 and bf16, i32 for i8 */
	VNPU_REDUCE_OP_SUM = 1,
	/* maximum; NaN if any is NaN; result type as for SUM */
	VNPU_REDUCE_OP_MAX = 2,
};

/* WAIT goes on when (memory & mask) compares so with value, unsigned */
enum vnpu_compare {
	/* equal */
	VNPU_COMPARE_EQ = 1,
	/* not equal */
	VNPU_COMPARE_NE = 2,
	/* greater or equal */
	VNPU_COMPARE_GE = 3,
};

/* what SIGNAL does to its 64-bit word, atomically towards other queues */
enum vnpu_signal_op {
	/* store value */
	VNPU_SIGNAL_OP_SET = 1,
	/* add value, wraps */
	VNPU_SIGNAL_OP_ADD = 2,
};

/* Opcodes of ring entries and packets */
enum vnpu_opcode {
	VNPU_OP_RING_NOP = 0x01,
	VNPU_OP_RING_INDIRECT = 0x02,
	VNPU_OP_RING_FENCE = 0x03,
	VNPU_OP_RING_INVALIDATE = 0x04,
	VNPU_OP_NOP = 0x10,
	VNPU_OP_WAIT = 0x11,
	VNPU_OP_SIGNAL = 0x12,
	VNPU_OP_COPY = 0x20,
	VNPU_OP_COPY_2D = 0x21,
	VNPU_OP_FILL = 0x22,
	VNPU_OP_GEMM = 0x30,
	VNPU_OP_ELTWISE = 0x31,
	VNPU_OP_REDUCE = 0x32,
};

/* nothing */
struct vnpu_pkt_ring_nop {
	__le32 hdr;
	__le32 reserved[7];
};

/* run a command buffer at an address of the queue's context */
struct vnpu_pkt_ring_indirect {
	__le32 hdr;
	__le32 size;
	__le64 addr;
	__le32 reserved[4];
};

/*
 * write a fence record, then raise the queue's vector; all before it in the
 * queue has finished and is visible
 */
struct vnpu_pkt_ring_fence {
	__le32 hdr;
	__le32 reserved0;
	__le64 addr;
	__le64 value;
	__le64 reserved1;
};

#define VNPU_RING_FENCE_FLAG_IRQ		0x1
#define VNPU_RING_FENCE_FLAG_VRAM		0x2

/* drop cached translations; when it has finished no packet uses an older one */
struct vnpu_pkt_ring_invalidate {
	__le32 hdr;
	__le32 context;
	__le64 addr;
	__le64 size;
	__le64 reserved;
};

#define VNPU_RING_INVALIDATE_FLAG_ALL		0x1
#define VNPU_RING_INVALIDATE_FLAG_CONTEXT	0x2

/* nothing; 2 to PACKET_MAX_DWORDS dwords, even; contents ignored */
struct vnpu_pkt_nop {
	__le32 hdr;
	__le32 reserved;
};

/*
 * block the queue until memory compares; looked at after every SIGNAL and once
 * a millisecond
 */
struct vnpu_pkt_wait {
	__le32 hdr;
	__le32 compare;
	__le64 addr;
	__le64 value;
	__le64 mask;
};

/* change a 64-bit word */
struct vnpu_pkt_signal {
	__le32 hdr;
	__le32 op;
	__le64 addr;
	__le64 value;
};

/* copy bytes; ranges of virtual addresses that overlap behave as memmove */
struct vnpu_pkt_copy {
	__le32 hdr;
	__le32 reserved;
	__le64 src;
	__le64 dst;
	__le64 size;
};

/* copy rows; source and destination may not overlap */
struct vnpu_pkt_copy_2d {
	__le32 hdr;
	__le32 rows;
	__le64 src;
	__le64 dst;
	__le64 src_stride;
	__le64 dst_stride;
	__le32 row_bytes;
	__le32 reserved;
};

/* store a 32-bit pattern */
struct vnpu_pkt_fill {
	__le32 hdr;
	__le32 pattern;
	__le64 dst;
	__le64 size;
};

/*
 * c[m,n] = activation(a[m,k] x b[k,n] + bias[n]), row major; i8 gives i32
 * exactly, f16, bf16 and f32 give f32; bias has the type of c
 */
struct vnpu_pkt_gemm {
	__le32 hdr;
	__le32 dtype;
	__le64 a;
	__le64 b;
	__le64 c;
	__le64 bias;
	__le32 m;
	__le32 n;
	__le32 k;
	__le32 lda;
	__le32 ldb;
	__le32 ldc;
	__le32 activation;
	__le32 reserved;
};

#define VNPU_GEMM_FLAG_BIAS			0x1
#define VNPU_GEMM_FLAG_TRANS_B			0x2
#define VNPU_GEMM_FLAG_ACCUMULATE		0x4

/*
 * dst[i] = a[i] op b[i]; i8 saturates, i32 wraps, f16 and bf16 compute in f32
 * and round to nearest even; dst may equal a or b
 */
struct vnpu_pkt_eltwise {
	__le32 hdr;
	__le32 op;
	__le64 a;
	__le64 b;
	__le64 dst;
	__le64 count;
	__le32 dtype;
	__le32 reserved;
};

/*
 * dst[r] = op over src[r, 0..cols), rows contiguous; i8 and i32 give i32
 * (wraps), the float types give f32
 */
struct vnpu_pkt_reduce {
	__le32 hdr;
	__le32 op;
	__le64 src;
	__le64 dst;
	__le32 rows;
	__le32 cols;
	__le32 dtype;
	__le32 reserved;
};

/* what RING_FENCE writes: value last */
struct vnpu_rec_fence {
	__le64 value;
	__le64 busy_ns;
};

/*
 * one entry of the event ring; EVENT_TAIL advances and EVENT_VECTOR is raised
 * after it is written
 */
struct vnpu_rec_event {
	__le32 type;
	__le32 seq;
	__le64 timestamp;
	__le32 queue;
	__le32 context;
	__le32 code;
	__le32 access;
	__le64 addr;
	__le64 ip;
	__le32 entry;
	__le32 reserved;
	__le64 arg;
};

#endif
