// SPDX-License-Identifier: GPL-2.0-only
/* Drivers that use GPUVM have to say so. */
#include <drm/drm_drv.h>

u32 vnpu_probe(void);
u32 vnpu_probe(void)
{
	return DRIVER_GEM_GPUVA;
}
