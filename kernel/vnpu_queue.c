// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues of clients.
 */

#include <linux/capability.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "vnpu_bind_queue.h"
#include "vnpu_drv.h"
#include "vnpu_queue.h"
#include "vnpu_reset.h"
#include "vnpu_ring.h"
#include "vnpu_vm.h"

/* Longest that the end of a file waits for the jobs that it has killed. */
#define VNPU_CLOSE_WAIT	(2 * HZ)

static void vnpu_queue_free(struct vnpu_queue *queue)
{
	struct vnpu_device *vdev = queue->vdev;

	spin_lock(&queue->stats->lock);
	list_del(&queue->link);
	spin_unlock(&queue->stats->lock);

	drm_sched_entity_destroy(&queue->entity);
	vnpu_ring_destroy(queue->ring);
	atomic_dec(&queue->stats->num_queues);
	vnpu_stats_put(queue->stats);
	vnpu_vm_put(queue->vm);
	kfree(queue);

	/* May be the last one: see vnpu_cleanup_wq. */
	drm_dev_put(&vdev->drm);
}

static void vnpu_queue_free_work(struct work_struct *work)
{
	vnpu_queue_free(container_of(work, struct vnpu_queue, free_work));
}

static void vnpu_queue_release(struct kref *ref)
{
	vnpu_queue_free(container_of(ref, struct vnpu_queue, ref));
}

static void vnpu_queue_release_deferred(struct kref *ref)
{
	struct vnpu_queue *queue = container_of(ref, struct vnpu_queue, ref);

	queue_work(vnpu_cleanup_wq, &queue->free_work);
}

struct vnpu_queue *vnpu_queue_get(struct vnpu_queue *queue)
{
	kref_get(&queue->ref);
	return queue;
}

/* From ioctls and the end of a file. */
void vnpu_queue_put(struct vnpu_queue *queue)
{
	kref_put(&queue->ref, vnpu_queue_release);
}

/* From the work of a scheduler, which the teardown would wait for. */
void vnpu_queue_put_deferred(struct vnpu_queue *queue)
{
	kref_put(&queue->ref, vnpu_queue_release_deferred);
}

/* A new reference, or NULL. */
struct vnpu_queue *vnpu_queue_lookup(struct vnpu_file *vfile, u32 id)
{
	struct vnpu_queue *queue;

	xa_lock(&vfile->queues);
	queue = xa_load(&vfile->queues, id);
	if (queue)
		vnpu_queue_get(queue);
	xa_unlock(&vfile->queues);

	return queue;
}

/* All jobs that have finished are freed, or there is one that has not finished. */
static bool vnpu_queue_is_swept(struct vnpu_ring *ring)
{
	bool swept;

	spin_lock_irq(&ring->lock);
	swept = !ring->armed || ring->completed != ring->submitted;
	spin_unlock_irq(&ring->lock);

	return swept;
}

/*
 * The ID is gone. If all jobs have finished, wait the moment until they are
 * freed, so that the hardware queue is free when the caller returns; else the
 * last job does the rest. A submit that is still on its way in another thread
 * may take as long as that thread likes, and is not waited for.
 */
static void vnpu_queue_retire(struct vnpu_queue *queue)
{
	struct vnpu_ring *ring = queue->ring;

	wait_event(ring->idle, vnpu_queue_is_swept(ring));
	vnpu_queue_put(queue);
}

/* No job is left, or what is left waits for a fence. */
static bool vnpu_queue_is_stuck(struct vnpu_queue *queue)
{
	struct vnpu_ring *ring = queue->ring;
	bool stuck;

	spin_lock_irq(&ring->lock);
	stuck = !ring->armed || (!ring->ran && READ_ONCE(queue->entity.dependency));
	spin_unlock_irq(&ring->lock);

	return stuck;
}

/*
 * The queue after @queue, or the first, with a reference, or NULL. That of @queue is
 * given up.
 */
static struct vnpu_queue *vnpu_queue_next(struct vnpu_stats *stats, struct vnpu_queue *queue)
{
	struct list_head *link = queue ? &queue->link : &stats->queues;
	struct vnpu_queue *next = NULL;

	spin_lock(&stats->lock);
	for (link = link->next; link != &stats->queues && !next; link = link->next) {
		next = list_entry(link, struct vnpu_queue, link);
		/* It may be on its way out. */
		if (!kref_get_unless_zero(&next->ref))
			next = NULL;
	}
	spin_unlock(&stats->lock);

	if (queue)
		vnpu_queue_put(queue);
	return next;
}

/* The scheduler tells nobody when it meets a fence to wait for. */
static void vnpu_queue_wait_stuck(struct vnpu_queue *queue, unsigned long deadline)
{
	while (!vnpu_queue_is_stuck(queue) && time_before(jiffies, deadline))
		wait_event_timeout(queue->ring->idle, vnpu_queue_is_stuck(queue), 1);
}

/*
 * No one can look at the results of a client that is gone, and a process that
 * was killed because its jobs hang wants to be rid of them. Those that the
 * hardware had are waited for, those of queues included that were destroyed. Jobs
 * that wait for others are let go when their waits end, and need no hardware queue
 * for that: it is free when the file is closed.
 */
void vnpu_queue_file_close(struct vnpu_file *vfile)
{
	unsigned long id, deadline = jiffies + VNPU_CLOSE_WAIT;
	struct vnpu_queue *queue = NULL;

	while ((queue = vnpu_queue_next(vfile->stats, queue)))
		vnpu_reset_kill(queue->ring);

	while ((queue = vnpu_queue_next(vfile->stats, queue))) {
		vnpu_queue_wait_stuck(queue, deadline);
		vnpu_ring_detach(queue->ring);
	}

	xa_for_each(&vfile->queues, id, queue)
		vnpu_queue_put(queue);

	xa_destroy(&vfile->queues);
}

static int vnpu_queue_check_create(struct vnpu_device *vdev,
				   const struct drm_vnpu_queue_create *args)
{
	if (args->flags || args->pad)
		return -EINVAL;
	if (args->engine_class == DRM_VNPU_ENGINE_BIND)
		return args->priority == DRM_VNPU_QUEUE_PRIORITY_NORMAL ? 0 : -EINVAL;
	if (args->engine_class >= VNPU_NUM_ENGINE_CLASSES ||
	    !vdev->class_count[args->engine_class])
		return -EINVAL;
	if (args->priority > DRM_VNPU_QUEUE_PRIORITY_HIGH)
		return -EINVAL;
	if (args->priority > DRM_VNPU_QUEUE_PRIORITY_NORMAL && !capable(CAP_SYS_NICE))
		return -EACCES;

	return 0;
}

static int vnpu_queue_init_ring(struct vnpu_queue *queue, struct vnpu_file *vfile)
{
	static const u32 priorities[] = {
		[DRM_VNPU_QUEUE_PRIORITY_LOW] = VNPU_PRIORITY_LOW,
		[DRM_VNPU_QUEUE_PRIORITY_NORMAL] = VNPU_PRIORITY_NORMAL,
		[DRM_VNPU_QUEUE_PRIORITY_HIGH] = VNPU_PRIORITY_HIGH,
	};
	struct vnpu_ring_args args = {
		.name = queue->engine_class == DRM_VNPU_ENGINE_COPY ? "vnpu-copy" : "vnpu-tensor",
		.id = VNPU_ANY_QUEUE,
		.ctx = queue->vm->ctx,
		.priority = priorities[queue->priority],
		.stats = vfile->stats,
		.engine_class = queue->engine_class,
	};
	int ret;

	ret = vnpu_device_pick_engine(queue->vdev, queue->engine_class);
	if (ret < 0)
		return ret;
	args.engine = ret;

	queue->ring = vnpu_ring_create(queue->vdev, &args);
	if (IS_ERR(queue->ring))
		return PTR_ERR(queue->ring);

	ret = vnpu_ring_entity_init(queue->ring, &queue->entity);
	if (ret)
		vnpu_ring_destroy(queue->ring);

	return ret;
}

/* Takes over the reference to @vm and the place in the count if it succeeds. */
static struct vnpu_queue *vnpu_queue_create(struct vnpu_file *vfile, struct vnpu_vm *vm,
					    const struct drm_vnpu_queue_create *args)
{
	struct vnpu_queue *queue = kzalloc_obj(*queue, GFP_KERNEL_ACCOUNT);
	int ret;

	if (!queue)
		return ERR_PTR(-ENOMEM);

	kref_init(&queue->ref);
	INIT_WORK(&queue->free_work, vnpu_queue_free_work);
	queue->vdev = vfile->vdev;
	queue->vm = vm;
	queue->engine_class = args->engine_class;
	queue->priority = args->priority;

	ret = vnpu_queue_init_ring(queue, vfile);
	if (ret) {
		kfree(queue);
		return ERR_PTR(ret);
	}

	queue->stats = vnpu_stats_get(vfile->stats);
	spin_lock(&queue->stats->lock);
	list_add_tail(&queue->link, &queue->stats->queues);
	spin_unlock(&queue->stats->lock);
	drm_dev_get(&queue->vdev->drm);
	return queue;
}

/* Takes over the reference to @vm and the place in the count in any case. */
static int vnpu_queue_add(struct vnpu_file *vfile, struct vnpu_vm *vm,
			  struct drm_vnpu_queue_create *args)
{
	struct vnpu_queue *queue = vnpu_queue_create(vfile, vm, args);
	int ret;

	if (IS_ERR(queue)) {
		atomic_dec(&vfile->stats->num_queues);
		vnpu_vm_put(vm);
		return PTR_ERR(queue);
	}

	/* Last: from here on other threads can find it. */
	ret = xa_alloc(&vfile->queues, &args->id, queue, VNPU_QUEUE_IDS, GFP_KERNEL_ACCOUNT);
	if (ret)
		vnpu_queue_put(queue);

	return ret;
}

int vnpu_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct vnpu_file *vfile = to_vnpu_file(file);
	struct drm_vnpu_queue_create *args = data;
	struct vnpu_vm *vm;
	int ret;

	ret = vnpu_queue_check_create(vfile->vdev, args);
	if (ret)
		return ret;

	vm = vnpu_vm_lookup(vfile, args->vm_id);
	if (!vm)
		return -ENOENT;

	if (!atomic_add_unless(&vfile->stats->num_queues, 1, vnpu_max_file_queues(vfile->vdev))) {
		vnpu_vm_put(vm);
		return -EDQUOT;
	}

	if (args->engine_class == DRM_VNPU_ENGINE_BIND)
		return vnpu_bind_queue_add(vfile, vm, &args->id);
	return vnpu_queue_add(vfile, vm, args);
}

int vnpu_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct vnpu_file *vfile = to_vnpu_file(file);
	struct drm_vnpu_queue_destroy *args = data;
	struct vnpu_queue *queue;

	if (args->pad)
		return -EINVAL;

	queue = xa_erase(&vfile->queues, args->id);
	if (!queue)
		return vnpu_bind_queue_destroy(vfile, args->id);

	vnpu_queue_retire(queue);
	return 0;
}

int vnpu_ioctl_queue_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_vnpu_queue_query *args = data;
	struct vnpu_queue *queue;
	struct vnpu_ring *ring;

	queue = vnpu_queue_lookup(to_vnpu_file(file), args->id);
	if (!queue)
		return -ENOENT;
	ring = queue->ring;

	vnpu_ring_sample_busy(ring);

	spin_lock_irq(&ring->lock);
	args->state = ring->state;
	args->fault_code = 0;
	args->fault_access = 0;
	args->fault_addr = 0;
	args->fault_ip = 0;
	if (ring->state & DRM_VNPU_QUEUE_STATE_FAULT) {
		args->fault_code = ring->fault.code;
		args->fault_access = ring->fault.access;
		args->fault_addr = ring->fault.addr;
		args->fault_ip = ring->fault.ip;
	}
	args->jobs_submitted = ring->submitted;
	args->jobs_completed = ring->completed;
	args->busy_ns = ring->busy_ns;
	spin_unlock_irq(&ring->lock);

	vnpu_queue_put(queue);
	return 0;
}
