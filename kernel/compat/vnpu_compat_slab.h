/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocation on older kernels.
 */

#ifndef VNPU_COMPAT_SLAB_H
#define VNPU_COMPAT_SLAB_H

#include <linux/slab.h>

#ifndef kzalloc_obj
#define vnpu_compat_gfp(first, gfp, ...) gfp
#define kzalloc_obj(obj, ...) \
	kzalloc(sizeof(obj), vnpu_compat_gfp(first, ##__VA_ARGS__, GFP_KERNEL))
#endif

#endif
