// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bind queues of clients.
 */

#include <linux/slab.h>

#include <drm/drm_drv.h>

#include "vnpu_bind_queue.h"
#include "vnpu_device.h"
#include "vnpu_drv.h"
#include "vnpu_queue.h"
#include "vnpu_vm.h"

static void vnpu_bind_queue_free(struct vnpu_bind_queue *queue)
{
	struct vnpu_device *vdev = queue->vdev;

	vnpu_bind_line_fini(&queue->line);
	atomic_dec(&queue->stats->num_queues);
	vnpu_stats_put(queue->stats);
	kfree(queue);

	/* May be the last one: see vnpu_cleanup_wq. */
	drm_dev_put(&vdev->drm);
}

static void vnpu_bind_queue_free_work(struct work_struct *work)
{
	vnpu_bind_queue_free(container_of(work, struct vnpu_bind_queue, free_work));
}

static void vnpu_bind_queue_last_done(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct vnpu_bind_queue *queue = container_of(cb, struct vnpu_bind_queue, last_done);

	queue_work(vnpu_cleanup_wq, &queue->free_work);
}

/* Nobody makes jobs any more. */
static void vnpu_bind_queue_release(struct kref *ref)
{
	struct vnpu_bind_queue *queue = container_of(ref, struct vnpu_bind_queue, ref);
	struct dma_fence *last = queue->line.last;

	vnpu_vm_put(queue->vm);
	if (!last || dma_fence_add_callback(last, &queue->last_done, vnpu_bind_queue_last_done))
		vnpu_bind_queue_free(queue);
}

void vnpu_bind_queue_put(struct vnpu_bind_queue *queue)
{
	if (queue)
		kref_put(&queue->ref, vnpu_bind_queue_release);
}

struct vnpu_bind_queue *vnpu_bind_queue_lookup(struct vnpu_file *vfile, u32 id)
{
	struct vnpu_bind_queue *queue;

	xa_lock(&vfile->bind_queues);
	queue = xa_load(&vfile->bind_queues, id);
	if (queue)
		kref_get(&queue->ref);
	xa_unlock(&vfile->bind_queues);

	return queue;
}

static struct vnpu_bind_queue *vnpu_bind_queue_create(struct vnpu_file *vfile, struct vnpu_vm *vm)
{
	struct vnpu_bind_queue *queue = kzalloc_obj(*queue, GFP_KERNEL_ACCOUNT);
	int ret;

	if (!queue)
		return ERR_PTR(-ENOMEM);

	ret = vnpu_bind_line_init(&queue->line, vfile->vdev);
	if (ret) {
		kfree(queue);
		return ERR_PTR(ret);
	}

	kref_init(&queue->ref);
	INIT_WORK(&queue->free_work, vnpu_bind_queue_free_work);
	queue->vm = vm;
	queue->vdev = vfile->vdev;
	queue->stats = vnpu_stats_get(vfile->stats);
	drm_dev_get(&queue->vdev->drm);
	return queue;
}

int vnpu_bind_queue_add(struct vnpu_file *vfile, struct vnpu_vm *vm, u32 *id)
{
	struct vnpu_bind_queue *queue = vnpu_bind_queue_create(vfile, vm);
	int ret;

	if (IS_ERR(queue)) {
		atomic_dec(&vfile->stats->num_queues);
		vnpu_vm_put(vm);
		return PTR_ERR(queue);
	}

	/* Last: from here on other threads can find it. */
	ret = xa_alloc(&vfile->bind_queues, id, queue, VNPU_BIND_QUEUE_IDS, GFP_KERNEL_ACCOUNT);
	if (ret)
		vnpu_bind_queue_put(queue);

	return ret;
}

int vnpu_bind_queue_destroy(struct vnpu_file *vfile, u32 id)
{
	struct vnpu_bind_queue *queue = xa_erase(&vfile->bind_queues, id);

	if (!queue)
		return -ENOENT;

	vnpu_bind_queue_put(queue);
	return 0;
}

void vnpu_bind_queue_file_close(struct vnpu_file *vfile)
{
	struct vnpu_bind_queue *queue;
	unsigned long id;

	xa_for_each(&vfile->bind_queues, id, queue)
		vnpu_bind_queue_put(queue);

	xa_destroy(&vfile->bind_queues);
}
