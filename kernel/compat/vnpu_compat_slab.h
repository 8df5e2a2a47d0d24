/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocation on older kernels.
 */

#ifndef VNPU_COMPAT_SLAB_H
#define VNPU_COMPAT_SLAB_H

#include <linux/slab.h>

#ifndef kzalloc_obj
#define vnpu_compat_kzalloc(size, gfp, ...) kzalloc(size, gfp)
#define kzalloc_obj(obj, ...) \
	vnpu_compat_kzalloc(sizeof(obj), ##__VA_ARGS__, GFP_KERNEL)
#endif

#endif
