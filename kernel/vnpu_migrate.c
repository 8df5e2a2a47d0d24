// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs of the paging ring: clearing and moving buffer objects.
 */

#include <linux/dma-fence-chain.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/iosys-map.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_tt.h>

#include "vnpu_bo.h"
#include "vnpu_device.h"
#include "vnpu_hw.h"
#include "vnpu_job.h"
#include "vnpu_migrate.h"
#include "vnpu_res.h"
#include "vnpu_ring.h"
#include "vnpu_vram.h"

/**
 * DOC: Paging jobs
 *
 * The paging ring runs in the physical context, where an address names VRAM or
 * is a DMA address, so its jobs need no page tables. A job is some command
 * buffers in coherent memory with a COPY or FILL packet for each contiguous
 * segment. They are allocated and written when the job is made; its run_job
 * only names them.
 *
 * Packets are kept short, so that the watchdog of the ring sees progress and a
 * reset does not wait long.
 *
 * A job may need that another one of the ring has done its work: a copy that
 * what it copies is there, and, where a move is too scattered for one job, each
 * the one before, so that the fence of the last speaks for all. Such a job looks
 * at the other's fence when it runs and fails with the same error, so that one
 * failure is seen at the end of the chain. Nobody has to wait for it in between.
 * As a rule the scheduler hands a job over while those before it in the queue
 * still run, so this one is made to wait until the other has finished.
 */

/**
 * DOC: Lanes
 *
 * The jobs of a scheduler entity run in order, so one whose BO is used by a job of
 * a client would hold up all behind it for as long as that takes. So there are
 * several entities. One has only jobs that have nothing to wait for: clears of
 * memory that is vacant, and moves of what is idle, which is what most are. The
 * others share the rest: each job goes to the one that has the fewest. The hardware
 * queue behind them is one, and gets only jobs that can run.
 *
 * Nothing relies on the order of the entities: each job names by fences what it
 * has to come after.
 */

#define VNPU_MIGRATE_PACKET_BYTES	SZ_8M
#define VNPU_MIGRATE_MAX_CMDS		16u

static_assert(VNPU_MIGRATE_PACKET_BYTES <= VNPU_COPY_MAX_BYTES);
static_assert(VNPU_MIGRATE_MAX_CMDS <= VNPU_JOB_MAX_ENTRIES);

/* A command buffer. */
struct vnpu_migrate_cmd {
	void *cpu;
	dma_addr_t dma;
	u32 size;
	u32 used;
};

enum {
	VNPU_MIGRATE_QUEUED,
	VNPU_MIGRATE_STARTED,
	VNPU_MIGRATE_CANCELLED,
};

struct vnpu_migrate_job {
	struct vnpu_job base;
	struct vnpu_migrate *migrate;
	struct device *dev;

	/* Job without whose success this one makes no sense, or NULL. */
	struct dma_fence *after;

	/* Which clear or move it is a part of, and one of VNPU_MIGRATE_*. */
	u64 op;
	atomic_t state;

	/* In vnpu_migrate.jobs; under vnpu_migrate.lock, as is the rest. */
	struct list_head link;
	struct vnpu_migrate_lane *lane;

	/* Finished fence, or NULL. */
	struct dma_fence *fence;
	u32 num_cmds;
	struct vnpu_migrate_cmd cmds[VNPU_MIGRATE_MAX_CMDS];
};

#define to_vnpu_migrate_job(job) \
	container_of(job, struct vnpu_migrate_job, base)

/* What is left to do of a clear (no @src) or a copy. */
struct vnpu_migrate_op {
	u64 id;
	struct vnpu_bo *bo;
	bool copy;
	struct vnpu_res_cursor src;
	struct vnpu_res_cursor dst;
};

static u32 vnpu_migrate_packet_size(const struct vnpu_migrate_op *op)
{
	return op->copy ? sizeof(struct vnpu_pkt_copy) :
			  sizeof(struct vnpu_pkt_fill);
}

static u64 vnpu_migrate_segment(const struct vnpu_migrate_op *op)
{
	u64 n = min_t(u64, op->dst.size, VNPU_MIGRATE_PACKET_BYTES);

	return op->copy ? min(n, op->src.size) : n;
}

static void vnpu_migrate_advance(struct vnpu_migrate_op *op, u64 n)
{
	vnpu_res_next(&op->dst, n);
	if (op->copy)
		vnpu_res_next(&op->src, n);
}

/* Packets that the rest of @op takes, counted up to @max. */
static u32 vnpu_migrate_count(const struct vnpu_migrate_op *op, u32 max)
{
	struct vnpu_migrate_op rest = *op;
	u32 packets = 0;

	while (packets < max && rest.dst.size) {
		vnpu_migrate_advance(&rest, vnpu_migrate_segment(&rest));
		packets++;
	}
	return packets;
}

static __le32 vnpu_migrate_hdr(u32 opcode, size_t bytes)
{
	return cpu_to_le32(opcode << VNPU_PKT_HDR_OPCODE_SHIFT |
			   (u32)(bytes / sizeof(u32)) << VNPU_PKT_HDR_DWORDS_SHIFT);
}

static __le64 vnpu_migrate_addr(const struct vnpu_res_cursor *cur)
{
	return cpu_to_le64(cur->addr |
			   (cur->vram ? BIT_ULL(VNPU_PHYS_VRAM_BIT) : 0));
}

static void vnpu_migrate_write_packet(const struct vnpu_migrate_op *op, u64 n,
				      void *to)
{
	if (op->copy) {
		*(struct vnpu_pkt_copy *)to = (struct vnpu_pkt_copy) {
			.hdr = vnpu_migrate_hdr(VNPU_OP_COPY,
						sizeof(struct vnpu_pkt_copy)),
			.src = vnpu_migrate_addr(&op->src),
			.dst = vnpu_migrate_addr(&op->dst),
			.size = cpu_to_le64(n),
		};
	} else {
		*(struct vnpu_pkt_fill *)to = (struct vnpu_pkt_fill) {
			.hdr = vnpu_migrate_hdr(VNPU_OP_FILL,
						sizeof(struct vnpu_pkt_fill)),
			.dst = vnpu_migrate_addr(&op->dst),
			.size = cpu_to_le64(n),
		};
	}
}

/* Fills @cmd with packets as far as it goes. */
static void vnpu_migrate_write_cmd(struct vnpu_migrate_op *op,
				   struct vnpu_migrate_cmd *cmd)
{
	u32 bytes = vnpu_migrate_packet_size(op);

	while (op->dst.size && cmd->used + bytes <= cmd->size) {
		u64 n = vnpu_migrate_segment(op);

		vnpu_migrate_write_packet(op, n, cmd->cpu + cmd->used);
		cmd->used += bytes;
		vnpu_migrate_advance(op, n);
	}
}

static int vnpu_migrate_check(struct vnpu_job *base)
{
	struct vnpu_migrate_job *job = to_vnpu_migrate_job(base);
	int status = job->after ? dma_fence_get_status(job->after) : 1;

	if (atomic_cmpxchg(&job->state, VNPU_MIGRATE_QUEUED, VNPU_MIGRATE_STARTED) !=
	    VNPU_MIGRATE_QUEUED)
		return -ECANCELED;

	/* It has signalled: see vnpu_migrate_run_after(). */
	return WARN_ON_ONCE(!status) ? -EIO : min(status, 0);
}

static void vnpu_migrate_emit(struct vnpu_job *base, struct vnpu_ring *ring)
{
	struct vnpu_migrate_job *job = to_vnpu_migrate_job(base);
	u32 i;

	for (i = 0; i < job->num_cmds; i++)
		vnpu_ring_emit_indirect(ring, job->cmds[i].dma,
					job->cmds[i].used);
}

static void vnpu_migrate_free_cmds(struct vnpu_migrate_job *job)
{
	while (job->num_cmds) {
		struct vnpu_migrate_cmd *cmd = &job->cmds[--job->num_cmds];

		dma_free_coherent(job->dev, cmd->size, cmd->cpu, cmd->dma);
	}
}

static void vnpu_migrate_free(struct vnpu_job *base)
{
	struct vnpu_migrate_job *job = to_vnpu_migrate_job(base);
	struct vnpu_migrate *migrate = job->migrate;

	dma_fence_put(job->after);
	dma_fence_put(job->fence);

	mutex_lock(&migrate->lock);
	list_del(&job->link);
	job->lane->jobs--;
	vnpu_migrate_free_cmds(job);
	mutex_unlock(&migrate->lock);

	kfree(job);
}

static const struct vnpu_job_ops vnpu_migrate_job_ops = {
	.check = vnpu_migrate_check,
	.emit = vnpu_migrate_emit,
	.free = vnpu_migrate_free,
};

/* Command buffers for as much of @op as one job takes, with their packets. */
static int vnpu_migrate_write_job(struct vnpu_migrate_op *op,
				  struct vnpu_migrate_job *job)
{
	u32 bytes = vnpu_migrate_packet_size(op);
	u32 per_cmd = VNPU_CMD_MAX_BYTES / bytes;
	u32 packets = vnpu_migrate_count(op, per_cmd * VNPU_MIGRATE_MAX_CMDS);

	while (packets) {
		struct vnpu_migrate_cmd *cmd = &job->cmds[job->num_cmds];
		u32 n = min(packets, per_cmd);

		cmd->size = n * bytes;
		cmd->used = 0;
		cmd->cpu = dma_alloc_coherent(job->dev, cmd->size, &cmd->dma,
					      GFP_KERNEL);
		if (!cmd->cpu)
			return -ENOMEM;

		job->num_cmds++;
		vnpu_migrate_write_cmd(op, cmd);
		packets -= n;
	}
	return 0;
}

/* @waits: the job depends on something that has not happened yet. */
static struct vnpu_migrate_lane *vnpu_migrate_take_lane(struct vnpu_migrate *migrate, bool waits)
{
	struct vnpu_migrate_lane *lane = &migrate->lanes[waits];
	u32 i;

	mutex_lock(&migrate->lock);
	for (i = 2; waits && i < VNPU_MIGRATE_LANES; i++)
		if (migrate->lanes[i].jobs < lane->jobs)
			lane = &migrate->lanes[i];
	lane->jobs++;
	mutex_unlock(&migrate->lock);

	return lane;
}

static void vnpu_migrate_put_lane(struct vnpu_migrate *migrate, struct vnpu_migrate_lane *lane)
{
	mutex_lock(&migrate->lock);
	lane->jobs--;
	mutex_unlock(&migrate->lock);
}

static struct vnpu_migrate_job *
vnpu_migrate_job_create(struct vnpu_device *vdev, struct vnpu_migrate_op *op, bool waits)
{
	struct vnpu_migrate_job *job;
	int ret;

	job = kzalloc_obj(*job, GFP_KERNEL_ACCOUNT);
	if (!job)
		return ERR_PTR(-ENOMEM);

	job->migrate = &vdev->migrate;
	job->dev = vdev->drm.dev;
	job->op = op->id;
	job->lane = vnpu_migrate_take_lane(&vdev->migrate, waits);
	ret = vnpu_migrate_write_job(op, job);
	if (ret)
		goto err_free;

	ret = vnpu_job_init(&job->base, &vnpu_migrate_job_ops, vdev->paging_ring,
			    &job->lane->entity, job->num_cmds, NULL, 0);
	if (ret)
		goto err_free;

	mutex_lock(&vdev->migrate.lock);
	list_add_tail(&job->link, &vdev->migrate.jobs);
	mutex_unlock(&vdev->migrate.lock);
	return job;

err_free:
	vnpu_migrate_put_lane(&vdev->migrate, job->lane);
	vnpu_migrate_free_cmds(job);
	kfree(job);
	return ERR_PTR(ret);
}

/* Arms and pushes; consumes the job in any case. */
static struct dma_fence *vnpu_migrate_queue(struct vnpu_device *vdev,
					    struct vnpu_migrate_job *job)
{
	struct vnpu_migrate *migrate = &vdev->migrate;
	struct dma_fence *fence;

	mutex_lock(&migrate->lock);
	if (!migrate->ready) {
		mutex_unlock(&migrate->lock);
		vnpu_job_abandon(&job->base);
		return ERR_PTR(-ENODEV);
	}
	fence = dma_fence_get(vnpu_job_arm(&job->base));
	job->fence = dma_fence_get(fence);
	vnpu_job_push(&job->base);
	mutex_unlock(&migrate->lock);

	return fence;
}

/*
 * Makes the job wait until @after has finished, and look at it. The scheduler
 * takes no notice of a fence of the entity that the job is for, so it is given
 * one around it.
 */
static int vnpu_migrate_run_after(struct vnpu_migrate_job *job, struct dma_fence *after)
{
	struct dma_fence_chain *chain;

	if (!after)
		return 0;

	chain = dma_fence_chain_alloc();
	if (!chain)
		return -ENOMEM;

	job->after = dma_fence_get(after);
	dma_fence_chain_init(chain, NULL, dma_fence_get(after), 1);
	return drm_sched_job_add_dependency(&job->base.base, &chain->base);
}

/* One job: as much of @op as fits. */
static struct dma_fence *vnpu_migrate_step(struct vnpu_migrate_op *op, struct dma_fence *after)
{
	/* Who has no content yet has no users, though others share its resv. */
	enum dma_resv_usage usage = op->copy ? DMA_RESV_USAGE_BOOKKEEP : DMA_RESV_USAGE_KERNEL;
	struct vnpu_device *vdev = to_vnpu_device(op->bo->ttm.base.dev);
	struct dma_resv *resv = op->bo->ttm.base.resv;
	bool waits = after || !dma_resv_test_signaled(resv, usage);
	struct vnpu_migrate_job *job;
	int idx, ret;

	if (READ_ONCE(vdev->paging_ring->error))
		return ERR_PTR(-ENODEV);

	/* Coherent memory comes from the PCI device. */
	if (!drm_dev_enter(&vdev->drm, &idx))
		return ERR_PTR(-ENODEV);
	job = vnpu_migrate_job_create(vdev, op, waits);
	drm_dev_exit(idx);
	if (IS_ERR(job))
		return ERR_CAST(job);

	ret = drm_sched_job_add_resv_dependencies(&job->base.base, resv, usage);
	if (!ret)
		ret = vnpu_migrate_run_after(job, after);
	if (ret) {
		vnpu_job_abandon(&job->base);
		return ERR_PTR(ret);
	}

	return vnpu_migrate_queue(vdev, job);
}

/* The last job of the operation that has been started, or NULL; cancels the others. */
static struct dma_fence *vnpu_migrate_cancel_op(struct vnpu_migrate *migrate, u64 op)
{
	struct vnpu_migrate_job *job;
	struct dma_fence *last = NULL;

	lockdep_assert_held(&migrate->lock);

	list_for_each_entry(job, &migrate->jobs, link) {
		if (job->op != op || !job->fence)
			continue;
		if (atomic_cmpxchg(&job->state, VNPU_MIGRATE_QUEUED, VNPU_MIGRATE_CANCELLED) ==
		    VNPU_MIGRATE_STARTED)
			last = job->fence;
	}
	return dma_fence_get(last);
}

static struct vnpu_migrate_job *vnpu_migrate_find(struct vnpu_migrate *migrate,
						  struct dma_fence *fence)
{
	struct vnpu_migrate_job *job;

	list_for_each_entry(job, &migrate->jobs, link)
		if (job->fence == fence)
			return job;

	return NULL;
}

/**
 * vnpu_migrate_cancel() - Make sure that a clear or a move touches nothing any more
 * @vdev: Device.
 * @fence: As vnpu_migrate_clear() or vnpu_migrate_copy() returned it.
 *
 * What has not been started fails. What has is waited for, uninterruptibly: no job
 * of a client has to end for it, just packets that are on the engine before it.
 */
void vnpu_migrate_cancel(struct vnpu_device *vdev, struct dma_fence *fence)
{
	struct vnpu_migrate *migrate = &vdev->migrate;
	struct dma_fence *started = NULL;
	struct vnpu_migrate_job *job;

	mutex_lock(&migrate->lock);
	job = vnpu_migrate_find(migrate, fence);
	if (job)
		started = vnpu_migrate_cancel_op(migrate, job->op);
	mutex_unlock(&migrate->lock);

	if (started)
		dma_fence_wait(started, false);
	dma_fence_put(started);
}

/*
 * All of @op. When a later step cannot be queued, those before it are called off:
 * the caller takes the memory back, or hands it to the CPU.
 */
static struct dma_fence *vnpu_migrate_run(struct vnpu_migrate_op *op, struct dma_fence *after)
{
	struct vnpu_device *vdev = to_vnpu_device(op->bo->ttm.base.dev);
	struct dma_fence *fence, *last = NULL;

	op->id = atomic64_inc_return(&vdev->migrate.ops);
	do {
		fence = vnpu_migrate_step(op, last ?: after);
		if (IS_ERR(fence) && last)
			vnpu_migrate_cancel(vdev, last);
		dma_fence_put(last);
		last = fence;
	} while (!IS_ERR(fence) && op->dst.size);

	return fence;
}

bool vnpu_migrate_usable(struct vnpu_device *vdev)
{
	return READ_ONCE(vdev->migrate.ready) && !READ_ONCE(vdev->paging_ring->error) &&
	       !drm_dev_is_unplugged(&vdev->drm);
}

static int vnpu_migrate_op_init(struct vnpu_migrate_op *op, struct vnpu_bo *bo,
				struct ttm_resource *src,
				struct ttm_resource *dst)
{
	u64 size = vnpu_bo_size(bo);

	*op = (struct vnpu_migrate_op) { .bo = bo, .copy = src };
	vnpu_res_first_in(bo, dst, 0, size, &op->dst);
	if (src)
		vnpu_res_first_in(bo, src, 0, size, &op->src);

	/* Pages are not mapped for a device that is gone. */
	if (!op->dst.size || (src && !op->src.size))
		return -ENODEV;

	return 0;
}

struct dma_fence *vnpu_migrate_clear(struct vnpu_bo *bo,
				     struct ttm_resource *dst)
{
	struct vnpu_migrate_op op;
	int ret;

	ret = vnpu_migrate_op_init(&op, bo, NULL, dst);
	return ret ? ERR_PTR(ret) : vnpu_migrate_run(&op, NULL);
}

struct dma_fence *vnpu_migrate_copy(struct vnpu_bo *bo,
				    struct ttm_resource *src,
				    struct ttm_resource *dst)
{
	struct vnpu_migrate_op op;
	int ret;

	ret = vnpu_migrate_op_init(&op, bo, src, dst);
	return ret ? ERR_PTR(ret) : vnpu_migrate_run(&op, bo->content);
}

int vnpu_migrate_clear_cpu(struct vnpu_bo *bo, struct ttm_resource *dst)
{
	struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);
	struct vnpu_res_cursor cur;
	void __iomem *io;
	int idx, ret = 0;

	if (!vnpu_vram_res_visible(dst))
		return -EIO;
	if (!drm_dev_enter(&vdev->drm, &idx))
		return -ENODEV;

	vnpu_res_first_in(bo, dst, 0, vnpu_bo_size(bo), &cur);
	while (cur.size) {
		io = vnpu_aperture_map(vdev, cur.addr, cur.size);
		if (!io) {
			ret = -ENOMEM;
			break;
		}
		vnpu_aperture_lock(vdev);
		memset_io(io, 0, cur.size);
		up_read(&vdev->aperture_lock);
		iounmap(io);
		vnpu_res_next(&cur, cur.size);
	}
	if (!ret && !vnpu_device_answers(vdev))
		ret = -ENODEV;
	drm_dev_exit(idx);
	return ret;
}

/* A page of @res, mapped: VRAM or system memory. */
static int vnpu_migrate_map_page(struct vnpu_bo *bo, struct ttm_resource *res,
				 unsigned long page, struct iosys_map *map)
{
	struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);

	if (res->mem_type == TTM_PL_VRAM) {
		u64 offset = vnpu_vram_res_offset(&vdev->vram, res,
						  (u64)page << PAGE_SHIFT);
		void __iomem *io = vnpu_aperture_map(vdev, offset, PAGE_SIZE);

		if (!io)
			return -ENOMEM;
		iosys_map_set_vaddr_iomem(map, io);
	} else {
		iosys_map_set_vaddr(map, kmap_local_page(bo->ttm.ttm->pages[page]));
	}
	return 0;
}

static void vnpu_migrate_unmap_page(struct iosys_map *map)
{
	if (map->is_iomem)
		iounmap(map->vaddr_iomem);
	else
		kunmap_local(map->vaddr);
}

static int vnpu_migrate_copy_page(struct vnpu_bo *bo,
				  struct ttm_resource *src,
				  struct ttm_resource *dst,
				  unsigned long page, void *bounce)
{
	struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);
	struct iosys_map map;
	int ret;

	ret = vnpu_migrate_map_page(bo, src, page, &map);
	if (ret)
		return ret;
	vnpu_aperture_lock(vdev);
	iosys_map_memcpy_from(bounce, &map, 0, PAGE_SIZE);
	up_read(&vdev->aperture_lock);
	vnpu_migrate_unmap_page(&map);

	ret = vnpu_migrate_map_page(bo, dst, page, &map);
	if (ret)
		return ret;
	vnpu_aperture_lock(vdev);
	iosys_map_memcpy_to(&map, 0, bounce, PAGE_SIZE);
	up_read(&vdev->aperture_lock);
	vnpu_migrate_unmap_page(&map);
	return 0;
}

static bool vnpu_migrate_cpu_reaches(const struct ttm_resource *res)
{
	return res->mem_type != TTM_PL_VRAM || vnpu_vram_res_visible(res);
}

int vnpu_migrate_copy_cpu(struct vnpu_bo *bo, struct ttm_resource *src,
			  struct ttm_resource *dst)
{
	struct vnpu_device *vdev = to_vnpu_device(bo->ttm.base.dev);
	unsigned long page, pages = vnpu_bo_size(bo) >> PAGE_SHIFT;
	void *bounce;
	int idx, ret = 0;

	if (!vnpu_migrate_cpu_reaches(src) || !vnpu_migrate_cpu_reaches(dst))
		return -EIO;

	bounce = (void *)__get_free_page(GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;

	if (drm_dev_enter(&vdev->drm, &idx)) {
		for (page = 0; page < pages && !ret; page++)
			ret = vnpu_migrate_copy_page(bo, src, dst, page, bounce);
		if (!ret && !vnpu_device_answers(vdev))
			ret = -EIO;
		drm_dev_exit(idx);
	} else {
		ret = -ENODEV;
	}

	free_page((unsigned long)bounce);
	return ret;
}

static void vnpu_migrate_fini_lanes(struct vnpu_migrate *migrate, u32 count)
{
	while (count)
		drm_sched_entity_destroy(&migrate->lanes[--count].entity);
}

static void vnpu_migrate_fini(struct drm_device *drm, void *data)
{
	struct vnpu_device *vdev = to_vnpu_device(drm);
	struct vnpu_migrate *migrate = data;

	vnpu_migrate_fini_lanes(migrate, VNPU_MIGRATE_LANES);
	vnpu_ring_wait_idle(vdev->paging_ring);
	mutex_destroy(&migrate->lock);
}

int vnpu_migrate_init(struct vnpu_device *vdev)
{
	struct vnpu_migrate *migrate = &vdev->migrate;
	int ret;
	u32 i;

	for (i = 0; i < VNPU_MIGRATE_LANES; i++) {
		ret = vnpu_ring_entity_init(vdev->paging_ring, &migrate->lanes[i].entity);
		if (ret) {
			vnpu_migrate_fini_lanes(migrate, i);
			return ret;
		}
	}

	mutex_init(&migrate->lock);
	INIT_LIST_HEAD(&migrate->jobs);
	migrate->ready = true;
	return drmm_add_action_or_reset(&vdev->drm, vnpu_migrate_fini, migrate);
}

void vnpu_migrate_unplug(struct vnpu_device *vdev)
{
	struct vnpu_migrate *migrate = &vdev->migrate;
	struct vnpu_migrate_job *job;

	/* A job may wait for another driver. It will not run, so it needs no buffers. */
	mutex_lock(&migrate->lock);
	migrate->ready = false;
	list_for_each_entry(job, &migrate->jobs, link)
		vnpu_migrate_free_cmds(job);
	mutex_unlock(&migrate->lock);
}
