/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address spaces.
 */

#ifndef __VNPU_VM_H__
#define __VNPU_VM_H__

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <drm/drm_gpuvm.h>
#include <drm/gpu_scheduler.h>

#include "vnpu_bind_line.h"
#include "vnpu_hw.h"
#include "vnpu_pt.h"

struct dma_fence;
struct vnpu_stats;
struct drm_device;
struct drm_exec;
struct drm_file;
struct drm_minor;
struct vnpu_device;
struct vnpu_file;

/* The first MiB stays unmapped, to catch null pointers with an index. */
#define VNPU_VM_VA_START	((u64)SZ_1M)
/* The last MiB too, so that the end of a range never needs a bit 48. */
#define VNPU_VM_VA_END		(BIT_ULL(VNPU_VA_BITS) - SZ_1M)

/**
 * struct vnpu_vm - An address space
 */
struct vnpu_vm {
	/** @base: Mappings, external and evicted BOs. All of it is protected by
	 * the VM's reservation (DRM_GPUVM_RESV_PROTECTED).
	 */
	struct drm_gpuvm base;

	/** @vdev: The device; constant. */
	struct vnpu_device *vdev;

	/** @ctx: Hardware context; constant. */
	u32 ctx;

	/** @users: The ID, queues and ioctls that use the VM. When the last is
	 * gone the VM is torn down; mappings hold references of @base, so these
	 * cannot tell.
	 */
	struct kref users;

	/** @teardown: Tears the VM down when its work has finished. */
	struct work_struct teardown;

	/** @pt: Page tables; protected by the VM's reservation. */
	struct vnpu_pt pt;

	/** @binds: The VM's own bind queue. */
	struct vnpu_bind_line binds;

	/** @pending: Binds of all bind queues. */
	struct vnpu_bind_pending *pending;

	/** @rebind: BOs that vnpu_vm_validate() validated, to be rebound;
	 * protected by the VM's reservation.
	 */
	struct list_head rebind;

	/** @stats: Those of the file that made it, which count it. */
	struct vnpu_stats *stats;

	/** @unsettled: BOs that are mapped and whose content was not yet known to
	 * be good, or was lost; protected by the VM's reservation.
	 */
	struct list_head unsettled;

	/** @needed: Finished fence of the last bind job that submits wait for by
	 * themselves, or NULL; protected by the VM's reservation.
	 */
	struct dma_fence *needed;
};

/**
 * struct vnpu_vm_bo - A BO that has mappings in a VM
 */
struct vnpu_vm_bo {
	/** @base: The mappings; see &struct drm_gpuvm_bo. */
	struct drm_gpuvm_bo base;

	/** @rebind: In vnpu_vm.rebind; protected by the VM's reservation. */
	struct list_head rebind;

	/** @unsettled: In vnpu_vm.unsettled; protected by the VM's reservation. */
	struct list_head unsettled;
};

/**
 * struct vnpu_va - A mapping
 */
struct vnpu_va {
	/** @base: Range, BO and offset; see &struct drm_gpuva. */
	struct drm_gpuva base;

	/** @readonly: The device may not write; constant while mapped. */
	bool readonly;

	/** @link: In a list of spare or of removed mappings, while not mapped;
	 * belongs to the bind operation.
	 */
	struct list_head link;
};

#define to_vnpu_vm(gpuvm) container_of(gpuvm, struct vnpu_vm, base)
#define to_vnpu_vm_bo(vm_bo) container_of(vm_bo, struct vnpu_vm_bo, base)
#define to_vnpu_va(va) container_of(va, struct vnpu_va, base)

/* Module init and exit: the exit waits for VMs that are being torn down. */
int vnpu_vm_module_init(void);
void vnpu_vm_module_exit(void);

/* Managed by drmm. */
int vnpu_vm_dev_init(struct vnpu_device *vdev);

/* After a device reset: programs the context of each VM again. */
void vnpu_vm_dev_restore(struct vnpu_device *vdev);

void vnpu_vm_debugfs_init(struct vnpu_device *vdev, struct drm_minor *minor);

/* A new reference for the VM with this ID of the file, or NULL. */
struct vnpu_vm *vnpu_vm_lookup(struct vnpu_file *vfile, u32 id);
struct vnpu_vm *vnpu_vm_get(struct vnpu_vm *vm);
/* From any context. Drop a queue's reference when its jobs have finished. */
void vnpu_vm_put(struct vnpu_vm *vm);

/* From postclose, after the file's queues: drops the IDs. */
void vnpu_vm_file_close(struct vnpu_file *vfile);

static inline struct drm_gem_object *vnpu_vm_resv_obj(struct vnpu_vm *vm)
{
	return drm_gpuvm_resv_obj(&vm->base);
}

static inline struct dma_resv *vnpu_vm_resv(struct vnpu_vm *vm)
{
	return drm_gpuvm_resv(&vm->base);
}

/**
 * vnpu_vm_set_needed() - Have the submits that follow wait for a bind job
 * @vm: Address space; its reservation is held.
 * @fence: Finished fence of the bind job. A reference is taken.
 *
 * For synchronous binds and for rebinds. The one before is over, or the job waits
 * for it.
 */
void vnpu_vm_set_needed(struct vnpu_vm *vm, struct dma_fence *fence);

/*
 * For a submit, in this order. prepare is called inside
 * drm_exec_until_all_locked(), before drm_exec_retry_on_contention(): locks the
 * VM and its external BOs, with room for @num_fences. The others are called
 * with these locks held; after validate() nothing of the VM is evicted and the
 * room for @num_fences is there again. add_job_deps comes before the job is
 * armed, add_job_fence after.
 */
int vnpu_vm_prepare_submit(struct vnpu_vm *vm, struct drm_exec *exec,
			   unsigned int num_fences);
int vnpu_vm_validate(struct vnpu_vm *vm, struct drm_exec *exec,
		     unsigned int num_fences);
int vnpu_vm_add_job_deps(struct vnpu_vm *vm, struct drm_exec *exec,
			 struct drm_sched_job *job);
void vnpu_vm_add_job_fence(struct vnpu_vm *vm, struct drm_exec *exec,
			   struct dma_fence *fence);

/* Reservations held: the BO was mapped. Submits see to its content. */
void vnpu_vm_watch_content(struct vnpu_vm *vm, struct drm_gpuvm_bo *vm_bo);

int vnpu_ioctl_vm_create(struct drm_device *drm, void *data,
			 struct drm_file *file);
int vnpu_ioctl_vm_destroy(struct drm_device *drm, void *data,
			  struct drm_file *file);

#endif
