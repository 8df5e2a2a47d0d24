// SPDX-License-Identifier: GPL-2.0-only
/* A TTM device has flags, one of them to pass on ENOSPC. */
#include <drm/ttm/ttm_device.h>

unsigned int vnpu_probe(void);
unsigned int vnpu_probe(void)
{
	return TTM_ALLOCATION_PROPAGATE_ENOSPC;
}
