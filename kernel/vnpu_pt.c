// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables.
 */

#include <linux/err.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>

#include <kunit/visibility.h>

#include "vnpu_device.h"
#include "vnpu_pt.h"
#include "vnpu_ptpool.h"

/**
 * DOC: Page tables
 *
 * The tables are in VRAM, where reading by the CPU is slow, and they change
 * only when bind jobs run, which may be long after the ioctl. So there is a
 * tree of nodes in system memory that shows the tables as they will be after
 * all jobs that were queued so far. It is changed by the ioctl; the change
 * leaves behind a list of entries to write, and that is all a job has to do.
 * The alternative, a tree that jobs change when they run, would need pages for
 * the worst case in every job, because the ioctl could not know which tables
 * will be there, and pages and nodes would be handled in the signalling path.
 *
 * A change (&struct vnpu_pt_txn) may consist of many maps and unmaps, and all
 * of it or nothing must happen. First the tables that it needs are put into
 * the tree, empty and not linked, which means that no entry points to them;
 * this can fail, and taking the new nodes out again undoes it. Then the change
 * is carried out, which cannot fail because during it no node leaves the tree:
 * a table that is emptied or replaced by a huge leaf may still be needed by a
 * later operation of the same change. Only at the end nodes that are empty are
 * removed. Their pages are free when the job, which invalidates the TLB, has
 * finished.
 *
 * What is known of memory when it is mapped may not be all: a job that clears it
 * may fail later. So each record that shows memory names its source, and when
 * the records are written nothing is mapped in place of memory that went bad.
 *
 * An entry is written with one 64-bit store. A table is complete before the
 * entry that points to it is written, so that a job that runs meanwhile sees
 * the old or the new translation of an address that keeps its mapping.
 */

/*
 * Entries of records that an unmap needs at most. It meets partly covered
 * tables on two paths, at its start and at its end: one record in the root,
 * two in each level below. The last level may come from splitting a huge leaf:
 * fill and link. Emptied tables are unlinked: three on each path.
 */
#define UNMAP_WRITES	(1 + 2 * VNPU_PT_ROOT_LEVEL + 2 * 2 + \
			 2 * VNPU_PT_ROOT_LEVEL)

/* Making a table reachable: set its entries to a known state, and link it. */
#define LINK_WRITES	2

/* A place that prepare_map() never goes on from. */
#define NOWHERE		U64_MAX

#define LEVEL1_SPAN	BIT_ULL(VNPU_PT_HUGE_SHIFT + VNPU_PT_BITS)

/* A table. */
struct vnpu_pt_node {
	/* Its page in VRAM. */
	struct vnpu_pt_page *page;

	/* The table above, NULL for the root. */
	struct vnpu_pt_node *parent;

	/* In vnpu_pt_txn.touched. */
	struct list_head touched;

	/* Valid entries. */
	u16 used;

	/* Index in the parent. */
	u16 index;

	u8 level;

	/* The parent's entry points to it. */
	bool linked;

	/* Not linked, and what the page holds is not zero. */
	bool stale;
};

/* Level 0. */
struct vnpu_pt_leaf_node {
	struct vnpu_pt_node base;
	DECLARE_BITMAP(valid, VNPU_PT_ENTRIES);
};

/* Level 1 and above. A child need not be linked. */
struct vnpu_pt_dir_node {
	struct vnpu_pt_node base;
	struct vnpu_pt_node *child[VNPU_PT_ENTRIES];
};

/* Level 1. An entry is a leaf, a linked child, or neither. */
struct vnpu_pt_huge_node {
	struct vnpu_pt_dir_node dir;
	u64 leaf[VNPU_PT_ENTRIES];
};

static size_t node_size(unsigned int level)
{
	if (!level)
		return sizeof(struct vnpu_pt_leaf_node);
	if (level == VNPU_PT_HUGE_LEVEL)
		return sizeof(struct vnpu_pt_huge_node);
	return sizeof(struct vnpu_pt_dir_node);
}

static unsigned long *node_valid(struct vnpu_pt_node *node)
{
	return container_of(node, struct vnpu_pt_leaf_node, base)->valid;
}

static struct vnpu_pt_node **node_child(struct vnpu_pt_node *node,
					unsigned int index)
{
	return &container_of(node, struct vnpu_pt_dir_node, base)->child[index];
}

/* Zero if the node has no leaf there. */
static u64 node_leaf(struct vnpu_pt_node *node, unsigned int index)
{
	if (node->level != VNPU_PT_HUGE_LEVEL)
		return 0;
	return container_of(node, struct vnpu_pt_huge_node, dir.base)->leaf[index];
}

static void node_set_leaf(struct vnpu_pt *pt, struct vnpu_pt_node *node,
			  unsigned int index, u64 pte)
{
	u64 *leaf = &container_of(node, struct vnpu_pt_huge_node,
				  dir.base)->leaf[index];

	pt->huge += !!pte - !!*leaf;
	*leaf = pte;
}

static struct vnpu_pt_node *linked_child(struct vnpu_pt_node *node,
					 unsigned int index)
{
	struct vnpu_pt_node *child = *node_child(node, index);

	return child && child->linked ? child : NULL;
}

static void node_touch(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node)
{
	if (list_empty(&node->touched))
		list_add_tail(&node->touched, &txn->touched[node->level]);
}

u64 vnpu_pt_piece(u64 va, u64 addr, u64 size, bool *huge)
{
	*huge = size >= VNPU_PT_HUGE_SIZE &&
		!((va | addr) & (VNPU_PT_HUGE_SIZE - 1));

	return min(size, VNPU_PT_HUGE_SIZE - (va & (VNPU_PT_HUGE_SIZE - 1)));
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_piece);

u64 vnpu_pt_leaf(u64 addr, bool vram, bool readonly)
{
	return VNPU_PTE_VALID_MASK | VNPU_PTE_LEAF_MASK |
	       (readonly ? 0 : VNPU_PTE_WRITE_MASK) |
	       (vram ? VNPU_PTE_VRAM_MASK : 0) | (addr & VNPU_PTE_ADDR_MASK);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_leaf);

static struct vnpu_pt_node *node_create(struct vnpu_pt *pt,
					struct vnpu_pt_node *parent,
					unsigned int index, unsigned int level)
{
	struct vnpu_pt_node *node;

	node = kzalloc(node_size(level), GFP_KERNEL_ACCOUNT);
	if (!node)
		return ERR_PTR(-ENOMEM);

	node->page = pt->ops->alloc(pt);
	if (IS_ERR(node->page)) {
		struct vnpu_pt_node *err = ERR_CAST(node->page);

		kfree(node);
		return err;
	}

	node->parent = parent;
	node->index = index;
	node->level = level;
	INIT_LIST_HEAD(&node->touched);
	pt->tables[level]++;
	return node;
}

int vnpu_pt_init(struct vnpu_pt *pt, struct vnpu_device *vdev,
		 const struct vnpu_pt_ops *ops)
{
	struct vnpu_pt_node *root;

	*pt = (struct vnpu_pt){ .vdev = vdev, .ops = ops };
	root = node_create(pt, NULL, 0, VNPU_PT_ROOT_LEVEL);
	if (IS_ERR(root))
		return PTR_ERR(root);

	root->linked = true;
	pt->root = root;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_init);

/* Recursion: one call a level. */
static void node_destroy(struct vnpu_pt *pt, struct vnpu_pt_node *node)
{
	unsigned int i;

	for (i = 0; node->level && i < VNPU_PT_ENTRIES; i++) {
		struct vnpu_pt_node *child = *node_child(node, i);

		if (child)
			node_destroy(pt, child);
	}

	pt->tables[node->level]--;
	pt->ops->free(pt->vdev, node->page);
	kfree(node);
}

void vnpu_pt_fini(struct vnpu_pt *pt)
{
	if (pt->root)
		node_destroy(pt, pt->root);
	pt->root = NULL;
	pt->huge = 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_fini);

u64 vnpu_pt_root_offset(const struct vnpu_pt *pt)
{
	return pt->root->page->offset;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_root_offset);

void vnpu_pt_txn_init(struct vnpu_pt_txn *txn, struct vnpu_pt *pt)
{
	unsigned int level;

	*txn = (struct vnpu_pt_txn){
		.pt = pt,
		.vdev = pt->vdev,
		.ops = pt->ops,
		.max_entries = U64_MAX,
		.prepared = NOWHERE,
		.span.start = U64_MAX,
	};
	INIT_LIST_HEAD(&txn->pages);
	for (level = 0; level < VNPU_PT_LEVELS; level++)
		INIT_LIST_HEAD(&txn->touched[level]);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_txn_init);

static int prepare_child(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
			 unsigned int index)
{
	struct vnpu_pt_node *child;

	child = node_create(txn->pt, node, index, node->level - 1);
	if (IS_ERR(child))
		return PTR_ERR(child);

	*node_child(node, index) = child;
	node_touch(txn, child);
	return 0;
}

/* Makes sure that the tables for @va are in the tree, down to @level. */
static int prepare_tables(struct vnpu_pt_txn *txn, u64 va, unsigned int level)
{
	struct vnpu_pt_node *node = txn->pt->root;
	int ret;

	while (node->level > level) {
		unsigned int i = vnpu_pt_index(va, node->level);

		if (!*node_child(node, i)) {
			ret = prepare_child(txn, node, i);
			if (ret)
				return ret;
		}
		node = *node_child(node, i);
	}
	return 0;
}

/* Records for one piece; @next: it goes on where the last piece ended. */
static size_t piece_writes(u64 va, bool huge, bool next)
{
	size_t writes = 1;

	if (!huge && (!next || IS_ALIGNED(va, VNPU_PT_HUGE_SIZE)))
		writes += LINK_WRITES;
	if (!next || IS_ALIGNED(va, LEVEL1_SPAN))
		writes += 2 * LINK_WRITES;
	return writes;
}

int vnpu_pt_prepare_map(struct vnpu_pt_txn *txn, u64 va,
			const struct vnpu_pt_extent *ext)
{
	u64 pos = 0;

	while (pos < ext->size) {
		bool huge;
		u64 size = vnpu_pt_piece(va + pos, ext->addr + pos,
					 ext->size - pos, &huge);
		int ret;

		ret = prepare_tables(txn, va + pos,
				     huge ? VNPU_PT_HUGE_LEVEL : 0);
		if (ret)
			return ret;

		txn->entries += huge ? 1 : size >> VNPU_PAGE_SHIFT;
		if (txn->entries > txn->max_entries)
			return -E2BIG;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();

		txn->max_writes += piece_writes(va + pos, huge,
						txn->prepared == va + pos);
		txn->huge |= huge;
		pos += size;
		txn->prepared = va + pos;
	}
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_prepare_map);

/*
 * Makes sure that a huge leaf across the boundary @va can be split. It may be
 * there now or come from an earlier operation of this change.
 */
static int prepare_split(struct vnpu_pt_txn *txn, u64 va)
{
	struct vnpu_pt_node *node = txn->pt->root;
	unsigned int i;

	if (IS_ALIGNED(va, VNPU_PT_HUGE_SIZE))
		return 0;

	while (node && node->level > VNPU_PT_HUGE_LEVEL)
		node = *node_child(node, vnpu_pt_index(va, node->level));
	if (!node)
		return 0;

	i = vnpu_pt_index(va, VNPU_PT_HUGE_LEVEL);
	if (*node_child(node, i) || (!node_leaf(node, i) && !txn->huge))
		return 0;
	return prepare_child(txn, node, i);
}

int vnpu_pt_prepare_unmap(struct vnpu_pt_txn *txn, u64 va, u64 size)
{
	int ret;

	ret = prepare_split(txn, va);
	if (!ret)
		ret = prepare_split(txn, va + size);
	if (ret)
		return ret;

	txn->max_writes += UNMAP_WRITES;
	txn->prepared = NOWHERE;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_prepare_unmap);

int vnpu_pt_prepare_done(struct vnpu_pt_txn *txn)
{
	if (!txn->max_writes)
		return 0;

	txn->writes = kvmalloc_array(txn->max_writes, sizeof(*txn->writes),
				     GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL |
				     __GFP_NOWARN);
	return txn->writes ? 0 : -ENOMEM;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_prepare_done);

/* What entries of a table, @count from @first on, show. */
static struct vnpu_pt_range node_range(const struct vnpu_pt_node *node,
				       unsigned int first, unsigned int count)
{
	u64 span = vnpu_pt_span(node->level), start = first * span;
	struct vnpu_pt_range range;

	for (; node->parent; node = node->parent)
		start += node->index * vnpu_pt_span(node->level + 1);

	range.start = start;
	range.end = start + count * span;
	return range;
}

/*
 * All that a table maps, whose first address is @va, is in @range. Recursion: two tables
 * a level are looked at to the end.
 */
static bool node_is_within(struct vnpu_pt_node *node, u64 va,
			   const struct vnpu_pt_range *range)
{
	u64 span = vnpu_pt_span(node->level);
	unsigned int i;

	for (i = 0; i < VNPU_PT_ENTRIES; i++, va += span) {
		struct vnpu_pt_node *child;

		if (va >= range->start && va + span <= range->end)
			continue;
		if (!node->level) {
			if (test_bit(i, node_valid(node)))
				return false;
			continue;
		}
		child = linked_child(node, i);
		if (node_leaf(node, i) || (child && !node_is_within(child, va, range)))
			return false;
	}
	return true;
}

/* Adds the huge page that is cut at @va, or the table there that goes, to @reach. */
static void reach_at(const struct vnpu_pt *pt, u64 va, const struct vnpu_pt_range *range,
		     bool unmap, struct vnpu_pt_range *reach)
{
	struct vnpu_pt_node *node = pt->root;

	while (node && node->level) {
		unsigned int i = vnpu_pt_index(va, node->level);
		u64 span = vnpu_pt_span(node->level), start = ALIGN_DOWN(va, span);
		struct vnpu_pt_node *child = linked_child(node, i);

		if (node_leaf(node, i) || (unmap && child && node_is_within(child, start, range))) {
			reach->start = min(reach->start, start);
			reach->end = max(reach->end, start + span);
			return;
		}
		node = child;
	}
}

struct vnpu_pt_range vnpu_pt_reach(const struct vnpu_pt *pt, u64 va, u64 size, bool unmap)
{
	const struct vnpu_pt_range range = { .start = va, .end = va + size };
	struct vnpu_pt_range reach = range;

	reach_at(pt, range.start, &range, unmap, &reach);
	reach_at(pt, range.end - 1, &range, unmap, &reach);
	return reach;
}

static struct vnpu_pt_write *record(struct vnpu_pt_txn *txn,
				    struct vnpu_pt_node *node,
				    unsigned int first, unsigned int count,
				    u64 value, u32 source)
{
	const struct vnpu_pt_range range = node_range(node, first, count);
	static struct vnpu_pt_write lost;
	struct vnpu_pt_write *write = &lost;

	txn->span.start = min(txn->span.start, range.start);
	txn->span.end = max(txn->span.end, range.end);

	/* Room was made for all: a table without an entry beats an overflow. */
	if (!WARN_ON_ONCE(txn->num_writes >= txn->max_writes))
		write = &txn->writes[txn->num_writes++];

	*write = (struct vnpu_pt_write){
		.table = node->page->cpu,
		.value = value,
		.source = source,
		.first = first,
		.count = count,
	};
	return write;
}

static void record_clear(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
			 unsigned int first, unsigned int count)
{
	record(txn, node, first, count, 0, 0);
}

/* A valid translation in [start, end) changed. */
static void range_touch(struct vnpu_pt_txn *txn, u64 start, u64 end)
{
	struct vnpu_pt_range *last;

	if (txn->num_ranges > VNPU_PT_MAX_RANGES)
		return;

	if (txn->num_ranges) {
		last = &txn->ranges[txn->num_ranges - 1];
		if (start <= last->end && end >= last->start) {
			last->start = min(last->start, start);
			last->end = max(last->end, end);
			return;
		}
	}

	if (txn->num_ranges < VNPU_PT_MAX_RANGES)
		txn->ranges[txn->num_ranges] = (struct vnpu_pt_range){
			.start = start,
			.end = end,
		};
	txn->num_ranges++;
}

static u64 node_pointer(const struct vnpu_pt_node *node)
{
	return VNPU_PTE_VALID_MASK | VNPU_PTE_VRAM_MASK |
	       (node->page->offset & VNPU_PTE_ADDR_MASK);
}

static void record_link(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node)
{
	record(txn, node->parent, node->index, 1, node_pointer(node),
	       VNPU_PT_SOURCE_NONE)->barrier = 1;
	node->linked = true;
	node->stale = false;
}

/*
 * Puts an empty table in at once, which nobody can tell from none, unless the job
 * has to do it. So what is mapped beside need not wait for the job.
 */
static bool node_link_now(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node)
{
	struct vnpu_pt_range range = node_range(node->parent, node->index, 1);
	int idx;

	if (node->stale || !txn->is_quiet ||
	    (range.start < txn->span.end && txn->span.start < range.end) ||
	    !txn->is_quiet(txn, range.start, range.end))
		return false;

	vnpu_aperture_lock(txn->vdev);
	if (drm_dev_enter(&txn->vdev->drm, &idx)) {
		/* Zeros before the pointer to them. */
		wmb();
		writeq_relaxed(node_pointer(node), node->parent->page->cpu + node->index);
		drm_dev_exit(idx);
		node->linked = true;
	}
	up_read(&txn->vdev->aperture_lock);

	return node->linked;
}

static void node_link(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node)
{
	if (!node_link_now(txn, node)) {
		if (node->stale)
			record_clear(txn, node, 0, VNPU_PT_ENTRIES);
		record_link(txn, node);
	}
	node->parent->used++;
}

/* The source of the huge leaf at @va, which is about to be split. */
static u32 split_source(const struct vnpu_pt_txn *txn, u64 va)
{
	const struct vnpu_pt_cut *cut = &txn->cut;

	if (va < cut->va)
		return cut->first;
	if (va + VNPU_PT_HUGE_SIZE > cut->end)
		return cut->last;
	return cut->drop ? VNPU_PT_SOURCE_BAD : VNPU_PT_SOURCE_NONE;
}

/* Replaces the huge leaf at @va by the table @node with the same content. */
static void node_split(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
		       u64 va)
{
	u64 pte = node_leaf(node->parent, node->index);

	va = ALIGN_DOWN(va, VNPU_PT_HUGE_SIZE);
	record(txn, node, 0, VNPU_PT_ENTRIES, pte, split_source(txn, va))->step = 1;
	bitmap_fill(node_valid(node), VNPU_PT_ENTRIES);
	node->used = VNPU_PT_ENTRIES;
	node_set_leaf(txn->pt, node->parent, node->index, 0);
	record_link(txn, node);
	range_touch(txn, va, va + VNPU_PT_HUGE_SIZE);
}

/* The linked table of @level for @va. */
static struct vnpu_pt_node *descend(struct vnpu_pt_txn *txn, u64 va,
				    unsigned int level)
{
	struct vnpu_pt_node *node = txn->pt->root;

	while (node->level > level) {
		unsigned int i = vnpu_pt_index(va, node->level);
		struct vnpu_pt_node *child = *node_child(node, i);

		if (node_leaf(node, i))
			node_split(txn, child, va);
		else if (!child->linked)
			node_link(txn, child);
		node = child;
	}
	return node;
}

/* The table and all below it are out of reach. Recursion: one call a level. */
static void node_unlink(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node)
{
	unsigned int i;

	for (i = 0; node->level && i < VNPU_PT_ENTRIES; i++) {
		struct vnpu_pt_node *child = linked_child(node, i);

		if (child)
			node_unlink(txn, child);
		else if (node_leaf(node, i))
			node_set_leaf(txn->pt, node, i, 0);
	}
	if (!node->level)
		bitmap_zero(node_valid(node), VNPU_PT_ENTRIES);

	node->used = 0;
	node->linked = false;
	node->stale = true;
	node_touch(txn, node);
}

static void map_huge(struct vnpu_pt_txn *txn, u64 va, u64 pte, u32 source)
{
	struct vnpu_pt_node *node = descend(txn, va, VNPU_PT_HUGE_LEVEL);
	unsigned int i = vnpu_pt_index(va, VNPU_PT_HUGE_LEVEL);
	struct vnpu_pt_node *child = linked_child(node, i);

	if (child || node_leaf(node, i))
		range_touch(txn, va, va + VNPU_PT_HUGE_SIZE);
	else
		node->used++;
	if (child)
		node_unlink(txn, child);

	node_set_leaf(txn->pt, node, i, pte);
	record(txn, node, i, 1, pte, source);
}

static void map_small(struct vnpu_pt_txn *txn, u64 va, u64 size, u64 pte, u32 source)
{
	struct vnpu_pt_node *node = descend(txn, va, 0);
	unsigned int first = vnpu_pt_index(va, 0);
	unsigned int count = size >> VNPU_PAGE_SHIFT;
	unsigned long *valid = node_valid(node);

	if (find_next_bit(valid, first + count, first) < first + count)
		range_touch(txn, va, va + size);

	bitmap_set(valid, first, count);
	node->used = bitmap_weight(valid, VNPU_PT_ENTRIES);
	record(txn, node, first, count, pte, source)->step = 1;
}

void vnpu_pt_map(struct vnpu_pt_txn *txn, u64 va,
		 const struct vnpu_pt_extent *ext)
{
	u64 pos = 0;

	while (pos < ext->size) {
		bool huge;
		u64 size = vnpu_pt_piece(va + pos, ext->addr + pos,
					 ext->size - pos, &huge);
		u64 pte = vnpu_pt_leaf(ext->addr + pos, ext->vram,
				       ext->readonly);

		if (huge)
			map_huge(txn, va + pos, pte, ext->source);
		else
			map_small(txn, va + pos, size, pte, ext->source);
		pos += size;
		cond_resched();
	}
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_map);

static bool clear_leaves(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
			 unsigned int first, unsigned int last)
{
	unsigned long *valid = node_valid(node);

	if (find_next_bit(valid, last + 1, first) > last)
		return false;

	bitmap_clear(valid, first, last - first + 1);
	node->used = bitmap_weight(valid, VNPU_PT_ENTRIES);
	record_clear(txn, node, first, last - first + 1);
	return true;
}

/* Entries of a table above level 0 that are covered in whole. */
static bool clear_entries(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
			  unsigned int first, unsigned int last)
{
	bool hit = false;
	unsigned int i;

	for (i = first; i <= last; i++) {
		struct vnpu_pt_node *child = linked_child(node, i);

		if (child)
			node_unlink(txn, child);
		else if (node_leaf(node, i))
			node_set_leaf(txn->pt, node, i, 0);
		else
			continue;
		node->used--;
		hit = true;
	}
	if (hit)
		record_clear(txn, node, first, last - first + 1);
	return hit;
}

static bool clear_range(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
			u64 va, u64 last);

/* An entry that is covered in part: [va, last] is within it. */
static bool clear_part(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
		       u64 va, u64 last)
{
	unsigned int i = vnpu_pt_index(va, node->level);
	struct vnpu_pt_node *child = *node_child(node, i);

	if (node_leaf(node, i))
		node_split(txn, child, va);
	else if (!child || !child->linked)
		return false;
	return clear_range(txn, child, va, last);
}

/*
 * Clears [va, last], which is within what @node covers; whether anything valid
 * was there. Recursion: one call a level.
 */
static bool clear_range(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node,
			u64 va, u64 last)
{
	u64 span = vnpu_pt_span(node->level);
	u64 start = ALIGN(va, span), end = ALIGN_DOWN(last + 1, span);
	bool hit = false;

	if (!node->level) {
		hit = clear_leaves(txn, node, vnpu_pt_index(va, 0),
				   vnpu_pt_index(last, 0));
	} else if (start > end) {
		/* All of it is within one entry. */
		hit = clear_part(txn, node, va, last);
	} else {
		if (va < start)
			hit |= clear_part(txn, node, va, start - 1);
		if (start < end)
			hit |= clear_entries(txn, node,
					     vnpu_pt_index(start, node->level),
					     vnpu_pt_index(end - 1, node->level));
		if (end <= last)
			hit |= clear_part(txn, node, end, last);
	}

	if (!node->used && node->parent)
		node_touch(txn, node);
	return hit;
}

void vnpu_pt_unmap(struct vnpu_pt_txn *txn, u64 va, u64 size)
{
	if (clear_range(txn, txn->pt->root, va, va + size - 1))
		range_touch(txn, va, va + size);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_unmap);

/* Takes an empty table out of the tree. */
static void node_prune(struct vnpu_pt_txn *txn, struct vnpu_pt_node *node)
{
	struct vnpu_pt_node *parent = node->parent;

	if (node->linked) {
		record_clear(txn, parent, node->index, 1);
		parent->used--;
		if (!parent->used && parent->parent)
			node_touch(txn, parent);
	}

	*node_child(parent, node->index) = NULL;
	list_add_tail(&node->page->link, &txn->pages);
	txn->pt->tables[node->level]--;
	kfree(node);
}

void vnpu_pt_commit(struct vnpu_pt_txn *txn)
{
	struct vnpu_pt_node *node, *next;
	unsigned int level;

	/* From the bottom: a table may be empty because of those below it. */
	for (level = 0; level < VNPU_PT_ROOT_LEVEL; level++) {
		list_for_each_entry_safe(node, next, &txn->touched[level],
					 touched) {
			list_del_init(&node->touched);
			if (!node->used)
				node_prune(txn, node);
		}
	}
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_commit);

void vnpu_pt_abort(struct vnpu_pt_txn *txn)
{
	/* Only new tables were touched, and these are empty and not linked. */
	vnpu_pt_commit(txn);
	vnpu_pt_txn_fini(txn);
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_abort);

static bool write_is_bad(const struct vnpu_pt_write *write, const bool *bad)
{
	return write->source && (write->source == VNPU_PT_SOURCE_BAD || bad[write->source - 1]);
}

void vnpu_pt_run(const struct vnpu_pt_txn *txn, const bool *bad)
{
	const struct vnpu_pt_write *write = txn->writes;
	size_t i;

	for (i = 0; i < txn->num_writes; i++, write++) {
		u64 value = write->value, step = write->step ? VNPU_PT_PAGE_SIZE : 0;
		unsigned int n;

		if (write_is_bad(write, bad)) {
			value = 0;
			step = 0;
		}
		if (write->barrier) {
			/* Write-combining may reorder what was written. */
			wmb();
		}

		/* Each may be written at any time after the barrier. */
		for (n = 0; n < write->count; n++, value += step)
			writeq_relaxed(value, write->table + write->first + n);
		cond_resched();
	}

	/* All is in VRAM before the ring entries that follow. */
	wmb();
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_run);

void vnpu_pt_txn_fini(struct vnpu_pt_txn *txn)
{
	struct vnpu_pt_page *page, *next;

	list_for_each_entry_safe(page, next, &txn->pages, link) {
		list_del(&page->link);
		txn->ops->free(txn->vdev, page);
	}
	kvfree(txn->writes);
	txn->writes = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_pt_txn_fini);
