/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page tables.
 */

#ifndef __VNPU_PT_H__
#define __VNPU_PT_H__

#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/types.h>

#include "vnpu_hw.h"

struct vnpu_device;
struct vnpu_pt_page;

#define VNPU_PT_PAGE_SIZE	BIT_ULL(VNPU_PAGE_SHIFT)
#define VNPU_PT_HUGE_SHIFT	(VNPU_PAGE_SHIFT + VNPU_PT_BITS)
#define VNPU_PT_HUGE_SIZE	BIT_ULL(VNPU_PT_HUGE_SHIFT)
#define VNPU_PT_ROOT_LEVEL	(VNPU_PT_LEVELS - 1)

/*
 * Most entries of one change of a client: 16 GiB in small pages. It keeps locks
 * for as long as they take to record, and the ring of all VMs for as long as
 * they take to write.
 */
#define VNPU_PT_MAX_ENTRIES	BIT_ULL(22)

/* Ranges that are invalidated one by one; more become the whole context. */
#define VNPU_PT_MAX_RANGES	8

/**
 * struct vnpu_pt_range - A range of virtual addresses
 */
struct vnpu_pt_range {
	/** @start: First address. */
	u64 start;

	/** @end: First address above. */
	u64 end;
};

/**
 * struct vnpu_pt_write - Entries of one table to write
 */
struct vnpu_pt_write {
	/** @table: The table, through the aperture. */
	u64 __iomem *table;

	/** @value: The first entry. */
	u64 value;

	/** @source: Source of the memory that it shows, see &struct vnpu_pt_extent. */
	u32 source;

	/** @first: Index of the first entry. */
	u16 first;

	/** @count: Number of entries, 1 to VNPU_PT_ENTRIES. */
	u16 count : 14;

	/** @step: The value goes up by a page from entry to entry. */
	u16 step : 1;

	/** @barrier: Makes a table reachable: all earlier writes come first. */
	u16 barrier : 1;
};

struct vnpu_pt_node;

/**
 * struct vnpu_pt - The page tables of an address space
 *
 * The tree of nodes is the CPU's view of the tables as they will be when all
 * bind jobs so far have run. The lock of the owner protects it.
 */
struct vnpu_pt {
	/** @vdev: The device; NULL in unit tests. */
	struct vnpu_device *vdev;

	/** @ops: Where pages come from; constant. */
	const struct vnpu_pt_ops *ops;

	/** @root: The root table; always there. */
	struct vnpu_pt_node *root;

	/** @tables: Number of tables per level, for statistics. */
	u32 tables[VNPU_PT_LEVELS];

	/** @huge: Number of huge leaves, for statistics. */
	u64 huge;
};

/**
 * struct vnpu_pt_ops - Source of page-table pages
 */
struct vnpu_pt_ops {
	/** @alloc: A zeroed page for these tables, or an ERR_PTR; may sleep. */
	struct vnpu_pt_page *(*alloc)(struct vnpu_pt *pt);

	/** @free: Gives a page back that the device cannot reach. */
	void (*free)(struct vnpu_device *vdev, struct vnpu_pt_page *page);
};

/*
 * Numbers of sources, see &struct vnpu_pt_extent: none, and one that is known to
 * be bad.
 */
#define VNPU_PT_SOURCE_NONE	0
#define VNPU_PT_SOURCE_BAD	U32_MAX

/**
 * struct vnpu_pt_cut - Sources of the mappings that a change overwrites
 *
 * A huge leaf that is overwritten in part is split first, which writes entries
 * for its memory.
 */
struct vnpu_pt_cut {
	/** @va: Where the change begins. */
	u64 va;

	/** @first: Source of the mapping that is cut at @va. */
	u32 first;

	/** @last: Source of the mapping that is cut at the end. */
	u32 last;

	/** @drop: What is in between need not be shown until it is overwritten. */
	bool drop;

	/** @end: Where the change ends. */
	u64 end;
};

/**
 * struct vnpu_pt_txn - A change of page tables
 *
 * Prepared with allocations that may fail and leave no trace, then carried out
 * in the tree without any, which records what the bind job has to write.
 */
struct vnpu_pt_txn {
	/** @pt: The page tables; not valid any more when the job has finished. */
	struct vnpu_pt *pt;

	/** @vdev: That of @pt. */
	struct vnpu_device *vdev;

	/** @ops: Those of @pt. */
	const struct vnpu_pt_ops *ops;

	/** @touched: Nodes per level that may have to go at the end. */
	struct list_head touched[VNPU_PT_LEVELS];

	/** @writes: What the job writes, in order. */
	struct vnpu_pt_write *writes;

	/** @num_writes: Used elements of @writes. */
	size_t num_writes;

	/** @max_writes: Elements that the prepared changes can need. */
	size_t max_writes;

	/** @pages: Pages that are free when the job has finished. */
	struct list_head pages;

	/** @ranges: Ranges where a valid entry changed. */
	struct vnpu_pt_range ranges[VNPU_PT_MAX_RANGES];

	/** @num_ranges: Used elements of @ranges; larger than the array when
	 * the whole context is to be invalidated.
	 */
	unsigned int num_ranges;

	/** @entries: Entries that the prepared maps write. */
	u64 entries;

	/** @max_entries: Most of these. */
	u64 max_entries;

	/** @prepared: Where the last prepared map ended. */
	u64 prepared;

	/** @huge: A prepared change may write a huge leaf. */
	bool huge;

	/**
	 * @is_quiet: Optional: nothing that is still to be written has to do with
	 * [start, end), so that empty tables may be put in there at once.
	 */
	bool (*is_quiet)(struct vnpu_pt_txn *txn, u64 start, u64 end);

	/** @span: All addresses that @writes have to do with, and more. */
	struct vnpu_pt_range span;

	/** @cut: What the next change cuts. */
	struct vnpu_pt_cut cut;
};

/**
 * struct vnpu_pt_extent - Contiguous memory to be mapped
 */
struct vnpu_pt_extent {
	/** @addr: VRAM offset or DMA address, page aligned. */
	u64 addr;

	/** @size: Bytes, page aligned. */
	u64 size;

	/** @vram: @addr is a VRAM offset. */
	bool vram;

	/** @readonly: The device may not write. */
	bool readonly;

	/**
	 * @source: A number for something that may turn out bad until the change
	 * is written: then the memory must not be shown. VNPU_PT_SOURCE_NONE if
	 * it is known to be good.
	 */
	u32 source;
};

int vnpu_pt_init(struct vnpu_pt *pt, struct vnpu_device *vdev,
		 const struct vnpu_pt_ops *ops);
/* The device cannot reach the tables any more. */
void vnpu_pt_fini(struct vnpu_pt *pt);
u64 vnpu_pt_root_offset(const struct vnpu_pt *pt);

void vnpu_pt_txn_init(struct vnpu_pt_txn *txn, struct vnpu_pt *pt);

/*
 * Prepare changes, in the order in which they will be carried out. -E2BIG: more
 * than txn->max_entries; -EINTR: the client is being killed.
 */
int vnpu_pt_prepare_map(struct vnpu_pt_txn *txn, u64 va,
			const struct vnpu_pt_extent *ext);
int vnpu_pt_prepare_unmap(struct vnpu_pt_txn *txn, u64 va, u64 size);
/* All is prepared: allocates the records. */
int vnpu_pt_prepare_done(struct vnpu_pt_txn *txn);
/* Instead of carrying out: takes everything back. */
void vnpu_pt_abort(struct vnpu_pt_txn *txn);

/* Carry out: these cannot fail. Each change must have been prepared. */
void vnpu_pt_map(struct vnpu_pt_txn *txn, u64 va,
		 const struct vnpu_pt_extent *ext);
void vnpu_pt_unmap(struct vnpu_pt_txn *txn, u64 va, u64 size);
void vnpu_pt_commit(struct vnpu_pt_txn *txn);

/*
 * For the bind job: writes entries, does not sleep; drm_dev_enter() held. In
 * place of memory whose source is @bad[source - 1] nothing is mapped.
 */
void vnpu_pt_run(const struct vnpu_pt_txn *txn, const bool *bad);
/* When the job has finished, or never came to be. */
void vnpu_pt_txn_fini(struct vnpu_pt_txn *txn);

/**
 * vnpu_pt_reach() - What a change would have to do with
 * @pt: Page tables.
 * @va: First address of the range.
 * @size: Bytes of it.
 * @unmap: It is to be unmapped, not mapped.
 *
 * Return: The range, and with it the huge pages that are cut and the tables that go
 * because nothing else is in them.
 */
struct vnpu_pt_range vnpu_pt_reach(const struct vnpu_pt *pt, u64 va, u64 size, bool unmap);

/* Index of @va in a table of @level. */
static inline unsigned int vnpu_pt_index(u64 va, unsigned int level)
{
	return (va >> (VNPU_PAGE_SHIFT + level * VNPU_PT_BITS)) &
	       (VNPU_PT_ENTRIES - 1);
}

/* Bytes that one entry of a table of @level covers. */
static inline u64 vnpu_pt_span(unsigned int level)
{
	return BIT_ULL(VNPU_PAGE_SHIFT + level * VNPU_PT_BITS);
}

/* Bytes from @va that can be one leaf, or a run of leaves of one table. */
u64 vnpu_pt_piece(u64 va, u64 addr, u64 size, bool *huge);
/* The leaf that maps @addr. */
u64 vnpu_pt_leaf(u64 addr, bool vram, bool readonly);

#endif
