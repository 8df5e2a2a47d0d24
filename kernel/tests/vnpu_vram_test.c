// SPDX-License-Identifier: GPL-2.0-only
/*
 * VRAM manager, without TTM.
 */

#include <linux/gpu_buddy.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/prandom.h>
#include <linux/sizes.h>

#include <kunit/test.h>

#include <drm/ttm/ttm_placement.h>

#include "../vnpu_vram.h"

#define TEST_SIZE	((u64)SZ_64M)
#define TEST_VISIBLE	((u64)SZ_16M)

/* Enough to fill VRAM some times; emulated debug kernels are slow. */
#define VRAM_ROUNDS	200

struct vram_test {
	struct vnpu_vram_mgr mgr;
};

static int vram_test_init(struct kunit *test)
{
	struct vram_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	mutex_init(&t->mgr.lock);
	t->mgr.size = TEST_SIZE;
	t->mgr.visible_size = TEST_VISIBLE;
	t->mgr.base.func = &vnpu_vram_mgr_func;
	INIT_LIST_HEAD(&t->mgr.vacating);
	KUNIT_ASSERT_EQ(test, 0, gpu_buddy_init(&t->mgr.mm, TEST_SIZE, SZ_4K));
	test->priv = t;
	return 0;
}

static void vram_test_exit(struct kunit *test)
{
	struct vram_test *t = test->priv;

	if (!t)
		return;
	KUNIT_EXPECT_EQ(test, 0, t->mgr.visible_used);
	KUNIT_EXPECT_EQ(test, TEST_SIZE, t->mgr.mm.avail);
	gpu_buddy_fini(&t->mgr.mm);
}

static int vram_take(struct vram_test *t, struct vnpu_vram_resource *vres,
		     u64 size, const struct ttm_place *place)
{
	struct vnpu_vram_request req;
	int ret;

	INIT_LIST_HEAD(&vres->blocks);
	vres->visible = 0;
	vres->base.size = size;

	ret = vnpu_vram_request_init(&req, TEST_SIZE, size, 0, place);
	if (ret)
		return ret;

	mutex_lock(&t->mgr.lock);
	ret = vnpu_vram_take(&t->mgr, vres, &req, SZ_4K);
	mutex_unlock(&t->mgr.lock);
	return ret;
}

static void vram_give(struct vram_test *t, struct vnpu_vram_resource *vres)
{
	mutex_lock(&t->mgr.lock);
	vnpu_vram_give(&t->mgr, vres);
	mutex_unlock(&t->mgr.lock);
}

static u64 vram_sum(struct vram_test *t, struct vnpu_vram_resource *vres)
{
	struct gpu_buddy_block *block;
	u64 sum = 0;

	list_for_each_entry(block, &vres->blocks, link)
		sum += gpu_buddy_block_size(&t->mgr.mm, block);
	return sum;
}

static const struct ttm_place any = {};
static const struct ttm_place top = { .flags = TTM_PL_FLAG_TOPDOWN };
static const struct ttm_place visible = { .lpfn = TEST_VISIBLE >> PAGE_SHIFT };

static void visible_part(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, SZ_4K, vnpu_vram_visible_part(0, SZ_4K, SZ_1M));
	KUNIT_EXPECT_EQ(test, SZ_4K,
			vnpu_vram_visible_part(SZ_1M - SZ_4K, SZ_8K, SZ_1M));
	KUNIT_EXPECT_EQ(test, 0, vnpu_vram_visible_part(SZ_1M, SZ_4K, SZ_1M));
	KUNIT_EXPECT_EQ(test, 0, vnpu_vram_visible_part(0, SZ_4K, 0));
	KUNIT_EXPECT_EQ(test, 0,
			vnpu_vram_visible_part(U64_MAX - SZ_4K, SZ_4K, SZ_1M));
}

static void place_arithmetic(struct kunit *test)
{
	struct ttm_place place = { .fpfn = 2, .lpfn = 4 };

	KUNIT_EXPECT_TRUE(test, vnpu_vram_block_within(SZ_8K, SZ_8K, &place));
	KUNIT_EXPECT_FALSE(test, vnpu_vram_block_within(SZ_4K, SZ_8K, &place));
	KUNIT_EXPECT_FALSE(test, vnpu_vram_block_within(SZ_8K, SZ_16K, &place));
	KUNIT_EXPECT_TRUE(test, vnpu_vram_block_overlaps(SZ_4K, SZ_8K, &place));
	KUNIT_EXPECT_TRUE(test, vnpu_vram_block_overlaps(0, SZ_1M, &place));
	KUNIT_EXPECT_FALSE(test, vnpu_vram_block_overlaps(0, SZ_8K, &place));
	KUNIT_EXPECT_FALSE(test, vnpu_vram_block_overlaps(SZ_16K, SZ_4K, &place));
	KUNIT_EXPECT_TRUE(test, vnpu_vram_block_within(SZ_1G, SZ_1G, &any));
	KUNIT_EXPECT_TRUE(test, vnpu_vram_block_overlaps(SZ_1G, SZ_1G, &any));
}

static void request(struct kunit *test)
{
	struct ttm_place contiguous = { .flags = TTM_PL_FLAG_CONTIGUOUS };
	struct ttm_place empty = { .fpfn = 4, .lpfn = 4 };
	struct vnpu_vram_request req;

	KUNIT_EXPECT_EQ(test, 0, vnpu_vram_request_init(&req, TEST_SIZE, 1, 0, &any));
	KUNIT_EXPECT_EQ(test, SZ_4K, req.size);
	KUNIT_EXPECT_EQ(test, SZ_4K, req.align);
	KUNIT_EXPECT_EQ(test, TEST_SIZE, req.end);
	KUNIT_EXPECT_EQ(test, 0, req.flags);

	KUNIT_EXPECT_EQ(test, 0,
			vnpu_vram_request_init(&req, TEST_SIZE, SZ_4M, 0, &visible));
	KUNIT_EXPECT_EQ(test, SZ_2M, req.align);
	KUNIT_EXPECT_EQ(test, TEST_VISIBLE, req.end);
	KUNIT_EXPECT_EQ(test, GPU_BUDDY_RANGE_ALLOCATION, req.flags);

	KUNIT_EXPECT_EQ(test, 0,
			vnpu_vram_request_init(&req, TEST_SIZE, SZ_4M, 0, &contiguous));
	KUNIT_EXPECT_EQ(test, SZ_4K, req.align);
	KUNIT_EXPECT_EQ(test, GPU_BUDDY_CONTIGUOUS_ALLOCATION, req.flags);

	KUNIT_EXPECT_EQ(test, 0,
			vnpu_vram_request_init(&req, TEST_SIZE, TEST_SIZE, 0, &top));
	KUNIT_EXPECT_EQ(test, GPU_BUDDY_TOPDOWN_ALLOCATION, req.flags);

	KUNIT_EXPECT_EQ(test, -ENOSPC,
			vnpu_vram_request_init(&req, TEST_SIZE, TEST_SIZE + 1, 0, &any));
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			vnpu_vram_request_init(&req, TEST_SIZE, TEST_VISIBLE + 1, 0, &visible));
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			vnpu_vram_request_init(&req, TEST_SIZE, U64_MAX, 0, &any));
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			vnpu_vram_request_init(&req, TEST_SIZE, 0, 0, &any));
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			vnpu_vram_request_init(&req, TEST_SIZE, SZ_4K, 0, &empty));
}

/* Visible memory runs out although there is VRAM, and comes back. */
static void visible_runs_out(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct vnpu_vram_resource a, b, c;

	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &a, TEST_VISIBLE - SZ_4K, &visible));
	KUNIT_EXPECT_EQ(test, TEST_VISIBLE - SZ_4K, t->mgr.visible_used);
	KUNIT_EXPECT_TRUE(test, vnpu_vram_res_visible(&a.base));

	KUNIT_EXPECT_EQ(test, -ENOSPC, vram_take(t, &b, SZ_8K, &visible));
	KUNIT_EXPECT_EQ(test, TEST_VISIBLE - SZ_4K, t->mgr.visible_used);
	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &b, SZ_4K, &visible));
	KUNIT_EXPECT_EQ(test, TEST_VISIBLE, t->mgr.visible_used);

	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &c, SZ_1M, &any));
	KUNIT_EXPECT_FALSE(test, vnpu_vram_res_visible(&c.base));
	KUNIT_EXPECT_EQ(test, TEST_VISIBLE, t->mgr.visible_used);

	vram_give(t, &a);
	KUNIT_EXPECT_EQ(test, SZ_4K, t->mgr.visible_used);
	vram_give(t, &b);
	vram_give(t, &c);
}

/* From the top, the aperture is touched last. */
static void top_down(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct vnpu_vram_resource a, b;

	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &a, TEST_SIZE - TEST_VISIBLE, &top));
	KUNIT_EXPECT_EQ(test, 0, t->mgr.visible_used);
	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &b, SZ_1M, &top));
	KUNIT_EXPECT_EQ(test, SZ_1M, t->mgr.visible_used);
	vram_give(t, &a);
	vram_give(t, &b);
}

/* What straddles the end of the aperture is neither here nor there. */
static void straddling(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct ttm_place invisible = { .fpfn = TEST_VISIBLE >> PAGE_SHIFT };
	const struct ttm_resource_manager_func *func = &vnpu_vram_mgr_func;
	struct vnpu_vram_resource a;

	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &a, TEST_SIZE, &any));
	KUNIT_EXPECT_EQ(test, TEST_VISIBLE, a.visible);
	KUNIT_EXPECT_FALSE(test, vnpu_vram_res_visible(&a.base));
	KUNIT_EXPECT_TRUE(test, func->intersects(&t->mgr.base, &a.base, &visible, 0));
	KUNIT_EXPECT_TRUE(test, func->intersects(&t->mgr.base, &a.base, &invisible, 0));
	KUNIT_EXPECT_FALSE(test, func->compatible(&t->mgr.base, &a.base, &visible, 0));
	KUNIT_EXPECT_TRUE(test, func->compatible(&t->mgr.base, &a.base, &any, 0));
	vram_give(t, &a);

	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &a, SZ_1M, &visible));
	KUNIT_EXPECT_FALSE(test, func->intersects(&t->mgr.base, &a.base, &invisible, 0));
	KUNIT_EXPECT_TRUE(test, func->compatible(&t->mgr.base, &a.base, &visible, 0));
	vram_give(t, &a);
}

/* A large request does with small blocks when there are no large ones. */
static void fragmented(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct vnpu_vram_resource *one, large;
	const unsigned int n = TEST_SIZE / SZ_1M;
	unsigned int i;

	one = kunit_kcalloc(test, n, sizeof(*one), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, one);

	for (i = 0; i < n; i++)
		KUNIT_ASSERT_EQ(test, 0, vram_take(t, &one[i], SZ_1M, &any));
	KUNIT_EXPECT_EQ(test, -ENOSPC, vram_take(t, &large, SZ_4K, &any));

	for (i = 0; i < n; i += 2)
		vram_give(t, &one[i]);
	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &large, SZ_4M, &any));
	KUNIT_EXPECT_EQ(test, SZ_4M, vram_sum(t, &large));
	vram_give(t, &large);

	for (i = 1; i < n; i += 2)
		vram_give(t, &one[i]);
}

/* Byte @pos of a resource is where its blocks in turn say. */
static void offsets(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct gpu_buddy_block *block;
	struct vnpu_vram_resource a;
	u64 pos = 0;

	KUNIT_ASSERT_EQ(test, 0, vram_take(t, &a, SZ_1M + SZ_64K + SZ_4K, &any));
	KUNIT_EXPECT_EQ(test, SZ_1M + SZ_64K + SZ_4K, vram_sum(t, &a));

	list_for_each_entry(block, &a.blocks, link) {
		u64 offset = gpu_buddy_block_offset(block);
		u64 size = gpu_buddy_block_size(&t->mgr.mm, block);

		KUNIT_EXPECT_EQ(test, offset,
				vnpu_vram_res_offset(&t->mgr, &a.base, pos));
		KUNIT_EXPECT_EQ(test, offset + size - 1,
				vnpu_vram_res_offset(&t->mgr, &a.base, pos + size - 1));
		pos += size;
	}
	vram_give(t, &a);
}

/* Takes and gives at random: the count of visible bytes stays what it is. */
static void accounting_holds(struct kunit *test)
{
	static const struct ttm_place *places[] = { &any, &top, &visible };
	struct vram_test *t = test->priv;
	struct vnpu_vram_resource *res;
	struct rnd_state rnd;
	unsigned int i, j;
	bool used[16] = {};

	res = kunit_kcalloc(test, ARRAY_SIZE(used), sizeof(*res), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, res);
	prandom_seed_state(&rnd, 42);

	for (i = 0; i < VRAM_ROUNDS; i++) {
		u64 sum = 0;

		j = prandom_u32_state(&rnd) % ARRAY_SIZE(used);
		if (used[j]) {
			vram_give(t, &res[j]);
			used[j] = false;
		} else {
			u64 size = (1 + prandom_u32_state(&rnd) % 3000) * SZ_4K;

			used[j] = !vram_take(t, &res[j], size,
					     places[prandom_u32_state(&rnd) % 3]);
			if (used[j])
				KUNIT_ASSERT_EQ(test, size, vram_sum(t, &res[j]));
		}

		for (j = 0; j < ARRAY_SIZE(used); j++)
			if (used[j])
				sum += res[j].visible;
		KUNIT_ASSERT_EQ(test, sum, t->mgr.visible_used);
		KUNIT_ASSERT_LE(test, sum, TEST_VISIBLE);
	}

	for (j = 0; j < ARRAY_SIZE(used); j++)
		if (used[j])
			vram_give(t, &res[j]);
}

static struct kunit_case vram_cases[] = {
	KUNIT_CASE(visible_part),
	KUNIT_CASE(place_arithmetic),
	KUNIT_CASE(request),
	KUNIT_CASE(visible_runs_out),
	KUNIT_CASE(top_down),
	KUNIT_CASE(straddling),
	KUNIT_CASE(fragmented),
	KUNIT_CASE(offsets),
	KUNIT_CASE(accounting_holds),
	{}
};

static struct kunit_suite vram_suite = {
	.name = "vnpu_vram",
	.init = vram_test_init,
	.exit = vram_test_exit,
	.test_cases = vram_cases,
};

kunit_test_suite(vram_suite);
