// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM_BIND.
 */

#include <linux/completion.h>
#include <linux/dma-fence.h>

#include <drm/drm_file.h>

#include <drm/vnpu_accel.h>

#include "vnpu_bind.h"
#include "vnpu_bind_plan.h"
#include "vnpu_bind_queue.h"
#include "vnpu_drv.h"
#include "vnpu_validate.h"
#include "vnpu_vm.h"

/**
 * DOC: VM_BIND
 *
 * All operations of an ioctl are carried out or none, and every error is
 * reported by the ioctl. So it has three phases:
 *
 * 1. Look at the arguments: copy them, check them, look up BOs and syncobjs.
 * 2. Get everything that may be missing, under the reservations of the VM and
 *    of the external BOs that gain or lose a mapping: put the BOs where the
 *    device can use them, allocate mappings, vm_bos, page tables and the job,
 *    and add its dependencies. All of it can be given back.
 * 3. Carry out, without a way to fail: change the mappings and the tree of
 *    page tables, which records what the job has to write, queue the job and
 *    hand its fence to the reservations and syncobjs.
 *
 * The bind jobs of a queue run in order on one scheduler entity. A job writes
 * page-table entries by CPU when the scheduler runs it, and has the hardware
 * drop the translations that it made invalid. Where nothing valid was changed
 * there is nothing to drop: the hardware caches only valid translations.
 *
 * Without DRM_VNPU_VM_BIND_ASYNC the ioctl returns when its job has finished. A
 * signal must not interrupt that wait, because what was carried out cannot be
 * taken back, and repeating the ioctl would not be the same: another thread may
 * have changed the same range in between. So everything that may take long, the
 * earlier binds of the queue and moves of the BOs, is waited for before the third
 * phase, where a signal does no harm, and with no lock held: the second phase is
 * given up and started again after the wait.
 *
 * What is left at the end is a job that waits for nothing of its own. If there is
 * nothing to drop it is over when the CPU has written the entries. Otherwise it
 * takes its turn on the ring that all VMs share, where one before it may be
 * waiting for a packet of its VM to end. The wait for that ends when the client
 * is killed: it will not repeat the ioctl.
 */

static int bind_run(struct vnpu_bind *bind, struct dma_fence **fence)
{
	struct vnpu_validate validate;
	int ret;

	ret = vnpu_validate_begin(&validate, bind->vm->vdev);
	if (ret)
		return ret;
	do {
		ret = vnpu_bind_try(bind, fence);
	} while (vnpu_validate_again(&validate, &ret));
	vnpu_validate_end(&validate);
	return ret;
}

/* Waits for what bind_run() was in want of. */
static int bind_wait(struct vnpu_bind *bind)
{
	long ret = dma_fence_wait(bind->wait, true);

	dma_fence_put(bind->wait);
	bind->wait = NULL;
	return ret < 0 ? ret : 0;
}

struct bind_waiter {
	struct dma_fence_cb cb;
	struct completion done;
};

static void bind_wake(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	complete(&container_of(cb, struct bind_waiter, cb)->done);
}

/* Only a fatal signal ends the wait. */
static int bind_wait_killable(struct dma_fence *fence)
{
	struct bind_waiter waiter;
	int ret;

	init_completion(&waiter.done);
	if (dma_fence_add_callback(fence, &waiter.cb, bind_wake))
		return 0;

	ret = wait_for_completion_killable(&waiter.done);
	if (!dma_fence_remove_callback(fence, &waiter.cb))
		return 0;
	return ret;
}

static int bind_sync(struct vnpu_bind *bind)
{
	struct dma_fence *fence;
	int ret;

	for (;;) {
		ret = bind_run(bind, &fence);
		if (ret != -EAGAIN || !bind->wait)
			break;
		ret = bind_wait(bind);
		if (ret)
			break;
	}
	if (ret)
		return ret;

	ret = bind_wait_killable(fence);
	if (!ret)
		ret = min(dma_fence_get_status(fence), 0);
	dma_fence_put(fence);
	return ret;
}

static int bind_async(struct vnpu_bind *bind)
{
	struct dma_fence *fence;
	int ret;

	ret = bind_run(bind, &fence);
	if (!ret)
		dma_fence_put(fence);
	return ret;
}

static int bind_lookup(struct vnpu_bind *bind, const struct drm_vnpu_vm_bind *args)
{
	struct vnpu_file *vfile = to_vnpu_file(bind->file);

	bind->vm = vnpu_vm_lookup(vfile, args->vm_id);
	if (!bind->vm)
		return -ENOENT;

	bind->line = &bind->vm->binds;
	if (!args->bind_queue_id)
		return 0;

	bind->queue = vnpu_bind_queue_lookup(vfile, args->bind_queue_id);
	if (!bind->queue)
		return -ENOENT;

	bind->line = &bind->queue->line;
	return bind->queue->vm == bind->vm ? 0 : -EINVAL;
}

int vnpu_ioctl_vm_bind(struct drm_device *drm, void *data,
		       struct drm_file *file)
{
	const struct drm_vnpu_vm_bind *args = data;
	struct vnpu_bind bind = {
		.file = file,
		.async = args->flags & DRM_VNPU_VM_BIND_ASYNC,
		.spare = LIST_HEAD_INIT(bind.spare),
		.removed = LIST_HEAD_INIT(bind.removed),
	};
	int ret;

	if (args->flags & ~DRM_VNPU_VM_BIND_ASYNC || args->pad)
		return -EINVAL;
	if (!bind.async && (!args->ops.count || args->syncs.count))
		return -EINVAL;

	ret = bind_lookup(&bind, args);
	if (!ret)
		ret = vnpu_bind_init(&bind, args);
	if (!ret)
		ret = bind.async ? bind_async(&bind) : bind_sync(&bind);
	vnpu_bind_fini(&bind);
	vnpu_bind_queue_put(bind.queue);
	vnpu_vm_put(bind.vm);

	/* Nothing was done: as good as not yet started. */
	return ret == -EINTR ? -ERESTARTSYS : ret;
}
