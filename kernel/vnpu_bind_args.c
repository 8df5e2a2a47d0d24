// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM_BIND: from user memory to operations that are checked.
 */

#include <linux/overflow.h>
#include <linux/slab.h>

#include <drm/drm_file.h>
#include <drm/drm_gem.h>

#include <drm/vnpu_accel.h>

#include <kunit/visibility.h>

#include "vnpu_bind.h"
#include "vnpu_bind_plan.h"
#include "vnpu_bo.h"
#include "vnpu_vm.h"

static bool bind_range_ok(u64 start, u64 size)
{
	u64 end;

	return size && IS_ALIGNED(start | size, VNPU_PT_PAGE_SIZE) &&
	       !check_add_overflow(start, size, &end);
}

int vnpu_bind_check_op(const struct drm_vnpu_vm_bind_op *op)
{
	if (op->pad || !bind_range_ok(op->va, op->size))
		return -EINVAL;
	if (op->va < VNPU_VM_VA_START || op->va + op->size > VNPU_VM_VA_END)
		return -EINVAL;

	switch (op->op) {
	case DRM_VNPU_VM_BIND_OP_MAP:
		if (op->flags & ~DRM_VNPU_VM_BIND_MAP_READONLY)
			return -EINVAL;
		return bind_range_ok(op->bo_offset, op->size) ? 0 : -EINVAL;
	case DRM_VNPU_VM_BIND_OP_UNMAP:
		return op->flags || op->handle || op->bo_offset ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}
EXPORT_SYMBOL_IF_KUNIT(vnpu_bind_check_op);

static int bind_init_op(struct vnpu_bind *bind, struct vnpu_bind_op *op,
			const struct drm_vnpu_vm_bind_op *arg)
{
	int ret;

	ret = vnpu_bind_check_op(arg);
	if (ret)
		return ret;

	op->map = arg->op == DRM_VNPU_VM_BIND_OP_MAP;
	op->readonly = arg->flags & DRM_VNPU_VM_BIND_MAP_READONLY;
	bind->map |= op->map;
	op->va = arg->va;
	op->size = arg->size;
	op->bo_offset = arg->bo_offset;
	if (!op->map)
		return 0;

	op->bo = vnpu_bo_lookup(bind->file, arg->handle);
	if (!op->bo)
		return -ENOENT;
	if (op->bo_offset + op->size > vnpu_bo_size(op->bo) ||
	    !vnpu_bo_bindable(op->bo, vnpu_vm_resv(bind->vm)))
		return -EINVAL;
	return 0;
}

static int bind_init_ops(struct vnpu_bind *bind,
			 const struct drm_vnpu_array *array)
{
	struct drm_vnpu_vm_bind_op *args;
	int ret = 0;
	u32 i;

	args = vnpu_array_copy(array, VNPU_BIND_MAX_OPS, sizeof(*args),
			       sizeof(*args));
	if (IS_ERR_OR_NULL(args))
		return PTR_ERR_OR_ZERO(args);

	bind->ops = kvcalloc(array->count, sizeof(*bind->ops),
			     GFP_KERNEL_ACCOUNT);
	if (!bind->ops)
		ret = -ENOMEM;

	for (i = 0; !ret && i < array->count; i++) {
		ret = bind_init_op(bind, &bind->ops[i], &args[i]);
		bind->num_ops++;
	}

	kvfree(args);
	return ret;
}

/* An operation cuts two mappings at most, and makes one if it is a map. */
static int bind_alloc_vas(struct vnpu_bind *bind)
{
	struct vnpu_va *va;
	u32 i, n;

	for (i = 0; i < bind->num_ops; i++) {
		for (n = bind->ops[i].map ? 3 : 2; n; n--) {
			va = kzalloc_obj(*va, GFP_KERNEL_ACCOUNT);
			if (!va)
				return -ENOMEM;
			list_add(&va->link, &bind->spare);
		}
	}
	return 0;
}

int vnpu_bind_init(struct vnpu_bind *bind, const struct drm_vnpu_vm_bind *args)
{
	int ret;

	ret = bind_init_ops(bind, &args->ops);
	if (!ret)
		ret = vnpu_syncs_init(&bind->syncs, bind->file, &args->syncs);
	if (!ret)
		ret = bind_alloc_vas(bind);
	return ret;
}

void vnpu_bind_fini(struct vnpu_bind *bind)
{
	struct vnpu_va *va, *next;
	u32 i;

	list_for_each_entry_safe(va, next, &bind->removed, link) {
		drm_gem_object_put(va->base.gem.obj);
		kfree(va);
	}
	list_for_each_entry_safe(va, next, &bind->spare, link)
		kfree(va);
	for (i = 0; i < bind->num_ops; i++)
		vnpu_bo_put(bind->ops[i].bo);
	kvfree(bind->ops);
	vnpu_syncs_fini(&bind->syncs);
}
