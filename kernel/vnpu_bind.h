/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bind operations and their jobs.
 */

#ifndef __VNPU_BIND_H__
#define __VNPU_BIND_H__

#include <linux/types.h>

struct drm_device;
struct drm_exec;
struct drm_file;
struct drm_gpuva_op;
struct drm_vnpu_vm_bind_op;
struct vnpu_vm;

/* Most operations of one VM_BIND. */
#define VNPU_BIND_MAX_OPS	4096

/*
 * For a submit: writes the translations of the BOs in vm->rebind anew.
 * Reservations held, BOs validated, room for a fence in all of @exec.
 */
int vnpu_bind_rebind(struct vnpu_vm *vm, struct drm_exec *exec);

/* Operations of &struct drm_gpuvm_ops. */
int vnpu_bind_step_map(struct drm_gpuva_op *op, void *priv);
int vnpu_bind_step_remap(struct drm_gpuva_op *op, void *priv);
int vnpu_bind_step_unmap(struct drm_gpuva_op *op, void *priv);

/* Checks of one operation that need nothing else; apart for unit tests. */
int vnpu_bind_check_op(const struct drm_vnpu_vm_bind_op *op);

int vnpu_ioctl_vm_bind(struct drm_device *drm, void *data,
		       struct drm_file *file);

#endif
