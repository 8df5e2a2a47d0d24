// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables, without a device: the test has memory that the tables are
 * written to, walks them as the hardware does, and keeps its own account of
 * what should be mapped.
 */

#include <linux/err.h>
#include <linux/list.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include <kunit/test.h>

#include "../vnpu_pt.h"
#include "../vnpu_ptpool.h"

/* Addresses: around a 1 GiB boundary, so that all levels but one split. */
#define TEST_BASE	(SZ_1G - 4 * VNPU_PT_HUGE_SIZE)
#define TEST_PAGES	(8 * VNPU_PT_ENTRIES)
#define TEST_SIZE	(TEST_PAGES * VNPU_PT_PAGE_SIZE)

/* "VRAM" for tables: enough for the tests, small enough to search. */
#define TEST_POOL	64
/* Where it begins, so that offset zero is not taken for valid. */
#define TEST_POOL_BASE	SZ_16M

static struct pt_test {
	struct kunit *test;
	struct rnd_state rnd;
	struct vnpu_pt pt;

	/* The pool, and when it fails: at the next if zero, never if negative. */
	struct vnpu_pt_page pages[TEST_POOL];
	bool used[TEST_POOL];
	int num_used;
	int fail;

	/* Faults that walks met, counted because an expectation takes long. */
	int faults;

	/* What is mapped: leaves of 4 KiB, zero for nothing. */
	u64 expect[TEST_PAGES];
	u64 before[TEST_PAGES];
} *pt_test;

static struct vnpu_pt_page *test_alloc(struct vnpu_pt *pt)
{
	struct pt_test *t = pt_test;
	int i;

	if (!t->fail)
		return ERR_PTR(-ENOSPC);
	t->fail--;

	for (i = 0; i < TEST_POOL && t->used[i]; i++)
		;
	if (i == TEST_POOL)
		return ERR_PTR(-ENOMEM);

	t->used[i] = true;
	t->num_used++;
	memset((__force void *)t->pages[i].cpu, 0, VNPU_PT_PAGE_SIZE);
	return &t->pages[i];
}

static void test_free(struct vnpu_device *vdev, struct vnpu_pt_page *page)
{
	struct pt_test *t = pt_test;
	int i = page - t->pages;

	KUNIT_EXPECT_TRUE(t->test, t->used[i]);
	t->used[i] = false;
	t->num_used--;
}

static const struct vnpu_pt_ops test_ops = {
	.alloc = test_alloc,
	.free = test_free,
};

static u64 test_read(struct pt_test *t, u64 table, unsigned int index)
{
	u64 i = (table - TEST_POOL_BASE) >> VNPU_PAGE_SHIFT;

	if (i >= TEST_POOL || !t->used[i]) {
		t->faults++;
		return 0;
	}
	return le64_to_cpu(((__force __le64 *)t->pages[i].cpu)[index]);
}

/* The leaf for @va as one of 4 KiB, or zero. */
static u64 test_walk(struct pt_test *t, u64 va)
{
	u64 table = vnpu_pt_root_offset(&t->pt);
	int level;

	for (level = VNPU_PT_ROOT_LEVEL; level >= 0; level--) {
		u64 pte = test_read(t, table, vnpu_pt_index(va, level));
		u64 offset = va & (vnpu_pt_span(level) - 1) &
			     ~(VNPU_PT_PAGE_SIZE - 1);

		if (!(pte & VNPU_PTE_VALID_MASK))
			return 0;
		if (pte & VNPU_PTE_LEAF_MASK) {
			if (level > VNPU_PT_HUGE_LEVEL ||
			    pte & VNPU_PTE_ADDR_MASK & (vnpu_pt_span(level) - 1))
				t->faults++;
			return pte + offset;
		}
		if ((pte & ~VNPU_PTE_ADDR_MASK) !=
		    (VNPU_PTE_VALID_MASK | VNPU_PTE_VRAM_MASK))
			t->faults++;
		table = pte & VNPU_PTE_ADDR_MASK;
	}

	/* A table pointer at level 0. */
	t->faults++;
	return 0;
}

static void test_check(struct pt_test *t)
{
	u32 tables = 0;
	u64 i;

	for (i = 0; i < TEST_PAGES; i++) {
		u64 va = TEST_BASE + i * VNPU_PT_PAGE_SIZE;
		u64 pte = test_walk(t, va);

		if (pte != t->expect[i])
			KUNIT_FAIL_AND_ABORT(t->test, "va %#llx: %#llx, not %#llx",
					     va, pte, t->expect[i]);
	}
	KUNIT_ASSERT_EQ(t->test, t->faults, 0);

	for (i = 0; i < VNPU_PT_LEVELS; i++)
		tables += t->pt.tables[i];
	KUNIT_EXPECT_EQ(t->test, tables, t->num_used);
}

/* A TLB that held everything must have been told of every change. */
static void test_check_ranges(struct pt_test *t, struct vnpu_pt_txn *txn)
{
	unsigned int n;
	u64 i;

	if (txn->num_ranges > VNPU_PT_MAX_RANGES)
		return;

	for (i = 0; i < TEST_PAGES; i++) {
		u64 va = TEST_BASE + i * VNPU_PT_PAGE_SIZE;

		if (!t->before[i] || t->before[i] == t->expect[i])
			continue;

		for (n = 0; n < txn->num_ranges; n++) {
			if (va >= txn->ranges[n].start &&
			    va < txn->ranges[n].end)
				break;
		}
		if (n == txn->num_ranges)
			KUNIT_FAIL_AND_ABORT(t->test, "va %#llx: stale", va);
	}
}

struct test_op {
	bool map;
	u64 page;
	u64 count;
	struct vnpu_pt_extent ext;
};

static int test_prepare(struct vnpu_pt_txn *txn, const struct test_op *op)
{
	u64 va = TEST_BASE + op->page * VNPU_PT_PAGE_SIZE;

	if (op->map)
		return vnpu_pt_prepare_map(txn, va, &op->ext);
	return vnpu_pt_prepare_unmap(txn, va, op->count * VNPU_PT_PAGE_SIZE);
}

static void test_carry_out(struct pt_test *t, struct vnpu_pt_txn *txn,
			   const struct test_op *op)
{
	u64 va = TEST_BASE + op->page * VNPU_PT_PAGE_SIZE;
	u64 i;

	if (op->map)
		vnpu_pt_map(txn, va, &op->ext);
	else
		vnpu_pt_unmap(txn, va, op->count * VNPU_PT_PAGE_SIZE);

	for (i = 0; i < op->count; i++)
		t->expect[op->page + i] = !op->map ? 0 :
			vnpu_pt_leaf(op->ext.addr + i * VNPU_PT_PAGE_SIZE,
				     op->ext.vram, op->ext.readonly);
}

/* One change of several operations; it fails when the pool does. */
static int test_change(struct pt_test *t, const struct test_op *ops,
		       unsigned int num_ops)
{
	struct vnpu_pt_txn txn;
	unsigned int i;
	int ret = 0;

	vnpu_pt_txn_init(&txn, &t->pt);
	for (i = 0; !ret && i < num_ops; i++)
		ret = test_prepare(&txn, &ops[i]);
	if (!ret)
		ret = vnpu_pt_prepare_done(&txn);
	if (ret) {
		vnpu_pt_abort(&txn);
		KUNIT_EXPECT_EQ(t->test, txn.num_writes, 0);
		return ret;
	}

	memcpy(t->before, t->expect, sizeof(t->before));
	for (i = 0; i < num_ops; i++)
		test_carry_out(t, &txn, &ops[i]);
	vnpu_pt_commit(&txn);
	KUNIT_EXPECT_LE(t->test, txn.num_writes, txn.max_writes);

	vnpu_pt_run(&txn, NULL);
	test_check_ranges(t, &txn);
	vnpu_pt_txn_fini(&txn);
	test_check(t);
	return 0;
}

static int test_map(struct pt_test *t, u64 page, u64 count, u64 addr)
{
	struct test_op op = {
		.map = true,
		.page = page,
		.count = count,
		.ext.addr = addr,
		.ext.size = count * VNPU_PT_PAGE_SIZE,
		.ext.vram = true,
	};

	return test_change(t, &op, 1);
}

static int test_unmap(struct pt_test *t, u64 page, u64 count)
{
	struct test_op op = { .page = page, .count = count };

	return test_change(t, &op, 1);
}

static void vnpu_pt_test_index(struct kunit *test)
{
	u64 va = (3ull << 39) | (5ull << 30) | (7ull << 21) | (9ull << 12) | 1;

	KUNIT_EXPECT_EQ(test, vnpu_pt_index(va, 3), 3);
	KUNIT_EXPECT_EQ(test, vnpu_pt_index(va, 2), 5);
	KUNIT_EXPECT_EQ(test, vnpu_pt_index(va, 1), 7);
	KUNIT_EXPECT_EQ(test, vnpu_pt_index(va, 0), 9);
	KUNIT_EXPECT_EQ(test, vnpu_pt_index(BIT_ULL(48) - 1, 3), 511);
	KUNIT_EXPECT_EQ(test, vnpu_pt_span(0), SZ_4K);
	KUNIT_EXPECT_EQ(test, vnpu_pt_span(1), SZ_2M);
	KUNIT_EXPECT_EQ(test, vnpu_pt_span(2), SZ_1G);
	KUNIT_EXPECT_EQ(test, vnpu_pt_span(3), 1ull << 39);
}

static void vnpu_pt_test_leaf(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, vnpu_pt_leaf(0x5000, true, false), 0x500f);
	KUNIT_EXPECT_EQ(test, vnpu_pt_leaf(0x5000, false, false), 0x5007);
	KUNIT_EXPECT_EQ(test, vnpu_pt_leaf(0x5000, true, true), 0x500d);
	KUNIT_EXPECT_EQ(test, vnpu_pt_leaf(0, false, true), 0x5);
}

static void vnpu_pt_test_piece(struct kunit *test)
{
	bool huge;

	KUNIT_EXPECT_EQ(test, vnpu_pt_piece(SZ_2M, SZ_4M, SZ_4M, &huge), SZ_2M);
	KUNIT_EXPECT_TRUE(test, huge);
	/* Address, then virtual address not aligned, then too short. */
	KUNIT_EXPECT_EQ(test, vnpu_pt_piece(SZ_2M, SZ_4M + SZ_4K, SZ_4M, &huge),
			SZ_2M);
	KUNIT_EXPECT_FALSE(test, huge);
	KUNIT_EXPECT_EQ(test, vnpu_pt_piece(SZ_2M + SZ_4K, SZ_4M, SZ_4M, &huge),
			SZ_2M - SZ_4K);
	KUNIT_EXPECT_FALSE(test, huge);
	KUNIT_EXPECT_EQ(test, vnpu_pt_piece(SZ_2M, SZ_4M, SZ_1M, &huge), SZ_1M);
	KUNIT_EXPECT_FALSE(test, huge);
}

static void vnpu_pt_test_tables(struct kunit *test)
{
	struct pt_test *t = test->priv;

	/* One page: a table a level. */
	KUNIT_ASSERT_EQ(test, test_map(t, 0, 1, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, t->num_used, VNPU_PT_LEVELS);
	/* Around a 1 GiB boundary: two more below the root's child. */
	KUNIT_ASSERT_EQ(test, test_map(t, TEST_PAGES / 2 - 1, 2, SZ_8K), 0);
	KUNIT_EXPECT_EQ(test, t->pt.tables[3], 1);
	KUNIT_EXPECT_EQ(test, t->pt.tables[2], 1);
	KUNIT_EXPECT_EQ(test, t->pt.tables[1], 2);
	KUNIT_EXPECT_EQ(test, t->pt.tables[0], 3);

	KUNIT_ASSERT_EQ(test, test_unmap(t, 0, TEST_PAGES), 0);
	KUNIT_EXPECT_EQ(test, t->num_used, 1);
	/* Nothing is there any more. */
	KUNIT_ASSERT_EQ(test, test_unmap(t, 0, TEST_PAGES), 0);
	KUNIT_EXPECT_EQ(test, t->num_used, 1);
}

static void vnpu_pt_test_split(struct kunit *test)
{
	struct pt_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, test_map(t, 0, 2 * VNPU_PT_ENTRIES, SZ_32M), 0);
	KUNIT_EXPECT_EQ(test, t->pt.huge, 2);
	KUNIT_EXPECT_EQ(test, t->pt.tables[0], 0);

	KUNIT_ASSERT_EQ(test, test_unmap(t, 17, 1), 0);
	KUNIT_EXPECT_EQ(test, t->pt.huge, 1);
	KUNIT_EXPECT_EQ(test, t->pt.tables[0], 1);

	KUNIT_ASSERT_EQ(test, test_map(t, VNPU_PT_ENTRIES, 1, SZ_64M), 0);
	KUNIT_EXPECT_EQ(test, t->pt.huge, 0);
	KUNIT_EXPECT_EQ(test, t->pt.tables[0], 2);

	/* A leaf again: the table goes. */
	KUNIT_ASSERT_EQ(test, test_map(t, 0, VNPU_PT_ENTRIES, SZ_32M), 0);
	KUNIT_EXPECT_EQ(test, t->pt.huge, 1);
	KUNIT_EXPECT_EQ(test, t->pt.tables[0], 1);
}

/* Splitting needs a table: without one nothing must change. */
static void vnpu_pt_test_split_fails(struct kunit *test)
{
	struct pt_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, test_map(t, 0, VNPU_PT_ENTRIES, SZ_32M), 0);
	t->fail = 0;
	KUNIT_EXPECT_EQ(test, test_unmap(t, 17, 1), -ENOSPC);
	test_check(t);
	KUNIT_EXPECT_EQ(test, t->pt.huge, 1);
	/* In whole it needs none. */
	KUNIT_EXPECT_EQ(test, test_unmap(t, 0, VNPU_PT_ENTRIES), 0);
}

/* Operations of one change that undo each other's work. */
static void vnpu_pt_test_batch(struct kunit *test)
{
	struct pt_test *t = test->priv;
	struct vnpu_pt_extent huge = {
		.addr = SZ_32M, .size = VNPU_PT_HUGE_SIZE, .vram = true,
	};
	struct vnpu_pt_extent small = { .addr = SZ_4K, .size = SZ_4K };
	const struct test_op ops[] = {
		{ .map = true, .page = 0, .count = VNPU_PT_ENTRIES, .ext = huge },
		{ .page = 5, .count = 3 },
		{ .map = true, .page = 6, .count = 1, .ext = small },
		{ .page = 0, .count = TEST_PAGES },
		{ .map = true, .page = 9, .count = 1, .ext = small },
		{ .map = true, .page = 0, .count = VNPU_PT_ENTRIES, .ext = huge },
		{ .page = 7, .count = VNPU_PT_ENTRIES },
	};

	KUNIT_ASSERT_EQ(test, test_map(t, 1, 2, SZ_8K), 0);
	KUNIT_ASSERT_EQ(test, test_change(t, ops, ARRAY_SIZE(ops)), 0);
	KUNIT_EXPECT_EQ(test, t->pt.tables[0], 1);
}

/* Memory that turns out bad is not shown, nor what a later change leaves of it. */
static void vnpu_pt_test_source(struct kunit *test)
{
	struct pt_test *t = test->priv;
	const struct vnpu_pt_extent ext = {
		.addr = SZ_32M,
		.size = VNPU_PT_HUGE_SIZE,
		.vram = true,
		.source = 1,
	};
	u64 hole = TEST_BASE + 5 * VNPU_PT_PAGE_SIZE;
	const bool bad[] = { true };
	struct vnpu_pt_txn txn;

	vnpu_pt_txn_init(&txn, &t->pt);
	KUNIT_ASSERT_EQ(test, vnpu_pt_prepare_map(&txn, TEST_BASE, &ext), 0);
	KUNIT_ASSERT_EQ(test, vnpu_pt_prepare_done(&txn), 0);
	vnpu_pt_map(&txn, TEST_BASE, &ext);
	vnpu_pt_commit(&txn);
	vnpu_pt_run(&txn, bad);
	vnpu_pt_txn_fini(&txn);
	test_check(t);

	vnpu_pt_txn_init(&txn, &t->pt);
	KUNIT_ASSERT_EQ(test, vnpu_pt_prepare_unmap(&txn, hole, VNPU_PT_PAGE_SIZE), 0);
	KUNIT_ASSERT_EQ(test, vnpu_pt_prepare_done(&txn), 0);
	txn.cut = (struct vnpu_pt_cut) {
		.va = hole,
		.end = hole + VNPU_PT_PAGE_SIZE,
		.first = VNPU_PT_SOURCE_BAD,
		.last = VNPU_PT_SOURCE_BAD,
	};
	vnpu_pt_unmap(&txn, hole, VNPU_PT_PAGE_SIZE);
	vnpu_pt_commit(&txn);
	vnpu_pt_run(&txn, NULL);
	vnpu_pt_txn_fini(&txn);
	test_check(t);
}

/* Too much for one change: nothing is left of it. */
static void vnpu_pt_test_too_many(struct kunit *test)
{
	struct pt_test *t = test->priv;
	struct vnpu_pt_extent ext = { .addr = SZ_4K, .size = 4 * VNPU_PT_PAGE_SIZE };
	struct vnpu_pt_txn txn;

	vnpu_pt_txn_init(&txn, &t->pt);
	txn.max_entries = 7;
	KUNIT_EXPECT_EQ(test, vnpu_pt_prepare_map(&txn, TEST_BASE, &ext), 0);
	KUNIT_EXPECT_EQ(test, vnpu_pt_prepare_map(&txn, TEST_BASE, &ext), -E2BIG);
	vnpu_pt_abort(&txn);
	test_check(t);
}

static void test_random_op(struct pt_test *t, struct test_op *op)
{
	u32 kind = prandom_u32_state(&t->rnd) % 8;

	*op = (struct test_op){ .map = kind < 5 };
	op->page = prandom_u32_state(&t->rnd) % TEST_PAGES;
	op->count = 1 + prandom_u32_state(&t->rnd) % (kind & 1 ? 8 : TEST_PAGES);
	if (kind & 2)
		op->page = ALIGN_DOWN(op->page, VNPU_PT_ENTRIES);
	op->count = min(op->count, TEST_PAGES - op->page);

	op->ext.addr = (u64)prandom_u32_state(&t->rnd) << VNPU_PAGE_SHIFT;
	if (kind & 2)
		op->ext.addr = ALIGN_DOWN(op->ext.addr, VNPU_PT_HUGE_SIZE);
	op->ext.size = op->count * VNPU_PT_PAGE_SIZE;
	op->ext.vram = prandom_u32_state(&t->rnd) & 1;
	op->ext.readonly = prandom_u32_state(&t->rnd) & 1;
}

static void vnpu_pt_test_random(struct kunit *test)
{
	struct pt_test *t = test->priv;
	struct test_op ops[6];
	int round, failed = 0;

	for (round = 0; round < 100; round++) {
		unsigned int i, n = 1 + prandom_u32_state(&t->rnd) %
				    ARRAY_SIZE(ops);
		int ret;

		for (i = 0; i < n; i++)
			test_random_op(t, &ops[i]);

		/* Now and then there is not enough memory. */
		t->fail = prandom_u32_state(&t->rnd) % 4 ? -1 :
			  prandom_u32_state(&t->rnd) % 6;
		ret = test_change(t, ops, n);
		KUNIT_ASSERT_TRUE(test, !ret || ret == -ENOSPC);
		if (ret) {
			test_check(t);
			failed++;
		}
	}
	KUNIT_EXPECT_GT(test, failed, 0);

	t->fail = -1;
	KUNIT_ASSERT_EQ(test, test_unmap(t, 0, TEST_PAGES), 0);
	KUNIT_EXPECT_EQ(test, t->num_used, 1);
}

static int vnpu_pt_test_init(struct kunit *test)
{
	struct pt_test *t;
	int i;

	t = kvzalloc_obj(*t);
	if (!t)
		return -ENOMEM;

	t->test = test;
	t->fail = -1;
	prandom_seed_state(&t->rnd, 7);
	test->priv = t;
	pt_test = t;

	for (i = 0; i < TEST_POOL; i++) {
		void *page = (void *)__get_free_page(GFP_KERNEL);

		if (!page)
			return -ENOMEM;
		t->pages[i].cpu = (__force u64 __iomem *)page;
		t->pages[i].offset = TEST_POOL_BASE + i * VNPU_PT_PAGE_SIZE;
	}
	return vnpu_pt_init(&t->pt, NULL, &test_ops);
}

static void vnpu_pt_test_exit(struct kunit *test)
{
	struct pt_test *t = test->priv;
	int i;

	if (!t)
		return;

	vnpu_pt_fini(&t->pt);
	KUNIT_EXPECT_EQ(test, t->num_used, 0);
	for (i = 0; i < TEST_POOL; i++)
		free_page((__force unsigned long)t->pages[i].cpu);
	pt_test = NULL;
	kvfree(t);
}

static struct kunit_case vnpu_pt_cases[] = {
	KUNIT_CASE(vnpu_pt_test_index),
	KUNIT_CASE(vnpu_pt_test_leaf),
	KUNIT_CASE(vnpu_pt_test_piece),
	KUNIT_CASE(vnpu_pt_test_tables),
	KUNIT_CASE(vnpu_pt_test_split),
	KUNIT_CASE(vnpu_pt_test_split_fails),
	KUNIT_CASE(vnpu_pt_test_batch),
	KUNIT_CASE(vnpu_pt_test_source),
	KUNIT_CASE(vnpu_pt_test_too_many),
	KUNIT_CASE(vnpu_pt_test_random),
	{}
};

static struct kunit_suite vnpu_pt_suite = {
	.name = "vnpu_pt",
	.init = vnpu_pt_test_init,
	.exit = vnpu_pt_test_exit,
	.test_cases = vnpu_pt_cases,
};

kunit_test_suite(vnpu_pt_suite);
