// SPDX-License-Identifier: GPL-2.0-only
/* Swapped out pages can be told apart. */
#include <drm/ttm/ttm_tt.h>

bool vnpu_probe(const struct ttm_tt *tt);
bool vnpu_probe(const struct ttm_tt *tt)
{
	return ttm_tt_is_swapped(tt);
}
