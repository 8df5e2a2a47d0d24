// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arguments of BO_CREATE.
 */

#include <linux/sizes.h>

#include <kunit/test.h>

#include <drm/vnpu_accel.h>

#include "../vnpu_bo.h"

#define TEST_VRAM	((u64)SZ_64M)
#define TEST_VISIBLE	((u64)SZ_16M)
#define TEST_SYSTEM	((u64)SZ_32M)

#define VRAM		VNPU_PLACEMENT_VRAM
#define SYSTEM		VNPU_PLACEMENT_SYSTEM
#define CPU_VISIBLE	DRM_VNPU_BO_CPU_VISIBLE

struct bo_create_case {
	const char *name;
	struct drm_vnpu_bo_create args;
	int ret;
	u64 size;
};

static const struct bo_create_case bo_create_cases[] = {
	{ "one byte", { .size = 1, .placements = VRAM }, 0, PAGE_SIZE },
	{ "page", { .size = PAGE_SIZE, .placements = SYSTEM }, 0, PAGE_SIZE },
	{ "page and a byte", { .size = PAGE_SIZE + 1, .placements = SYSTEM },
	  0, 2 * PAGE_SIZE },
	{ "both", { .size = SZ_1M, .placements = VRAM | SYSTEM }, 0, SZ_1M },
	{ "visible", { .size = SZ_1M, .placements = VRAM, .flags = CPU_VISIBLE },
	  0, SZ_1M },
	{ "all of VRAM", { .size = TEST_VRAM, .placements = VRAM }, 0, TEST_VRAM },
	{ "size zero", { .placements = VRAM }, -EINVAL },
	{ "no placement", { .size = 1 }, -EINVAL },
	{ "unknown placement", { .size = 1, .placements = VRAM | 4 }, -EINVAL },
	{ "last placement", { .size = 1, .placements = BIT(31) }, -EINVAL },
	{ "unknown flag", { .size = 1, .placements = VRAM, .flags = 2 }, -EINVAL },
	{ "visible system", { .size = 1, .placements = SYSTEM, .flags = CPU_VISIBLE },
	  -EINVAL },
	{ "beyond VRAM", { .size = TEST_VRAM + 1, .placements = VRAM }, -E2BIG },
	{ "beyond visible", { .size = TEST_VISIBLE + 1, .placements = VRAM,
			      .flags = CPU_VISIBLE }, -E2BIG },
	{ "beyond visible but not system", { .size = TEST_SYSTEM,
					     .placements = VRAM | SYSTEM,
					     .flags = CPU_VISIBLE }, 0, TEST_SYSTEM },
	{ "beyond system", { .size = TEST_SYSTEM + 1, .placements = SYSTEM }, -E2BIG },
	{ "beyond system but not VRAM", { .size = TEST_VRAM,
					  .placements = VRAM | SYSTEM }, 0, TEST_VRAM },
	{ "wraps", { .size = U64_MAX, .placements = VRAM }, -E2BIG },
	{ "wraps when rounded", { .size = U64_MAX - PAGE_SIZE + 2,
				  .placements = SYSTEM }, -E2BIG },
};

KUNIT_ARRAY_PARAM_DESC(bo_create, bo_create_cases, name);

static void bo_create(struct kunit *test)
{
	const struct bo_create_case *c = test->param_value;
	u64 size = 0;

	KUNIT_EXPECT_EQ(test, c->ret,
			vnpu_bo_check_create(&c->args, TEST_VRAM, TEST_VISIBLE,
					     TEST_SYSTEM, &size));
	KUNIT_EXPECT_EQ(test, c->size, c->ret ? 0 : size);
}

/* A limit that is no multiple of the page size must not be rounded over. */
static void bo_create_odd_limit(struct kunit *test)
{
	struct drm_vnpu_bo_create args = {
		.size = PAGE_SIZE + 1,
		.placements = SYSTEM,
	};
	u64 size;

	KUNIT_EXPECT_EQ(test, -E2BIG,
			vnpu_bo_check_create(&args, 0, 0, PAGE_SIZE + 1, &size));
}

static struct kunit_case bo_cases[] = {
	KUNIT_CASE_PARAM(bo_create, bo_create_gen_params),
	KUNIT_CASE(bo_create_odd_limit),
	{}
};

static struct kunit_suite bo_suite = {
	.name = "vnpu_bo",
	.test_cases = bo_cases,
};

kunit_test_suite(bo_suite);
