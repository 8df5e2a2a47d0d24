/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Buffer objects that are mapped by processes.
 */

#ifndef __VNPU_MMAP_H__
#define __VNPU_MMAP_H__

#include <linux/mm.h>

extern const struct vm_operations_struct vnpu_bo_vm_ops;

#endif
