// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device as a whole: bringing it up and giving it up.
 */

#include <linux/bitfield.h>
#include <linux/dma-mapping.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "vnpu_device.h"
#include "vnpu_reset.h"
#include "vnpu_ring.h"
#include "vnpu_ttm.h"
#include "vnpu_vm.h"

/* A PTE holds 52 bits of a DMA address. */
#define VNPU_DMA_BITS	52

static int vnpu_device_map(struct vnpu_device *vdev)
{
	struct pci_dev *pdev = vdev->pdev;
	resource_size_t size = pci_resource_len(pdev, VNPU_BAR_VRAM);
	int ret;

	if (pci_resource_len(pdev, VNPU_BAR_REGS) < VNPU_BAR_REGS_SIZE || !size)
		return -ENODEV;

	vdev->regs = pcim_iomap_region(pdev, VNPU_BAR_REGS, "vnpu");
	if (IS_ERR(vdev->regs))
		return PTR_ERR(vdev->regs);

	ret = pcim_request_region(pdev, VNPU_BAR_VRAM, "vnpu");
	if (ret)
		return ret;

	vdev->aperture_phys = pci_resource_start(pdev, VNPU_BAR_VRAM);

	/* Mappings of user space are write-combined only if all of it may be. */
	return devm_arch_io_reserve_memtype_wc(&pdev->dev, vdev->aperture_phys, size);
}

void __iomem *vnpu_aperture_map(struct vnpu_device *vdev, u64 offset, size_t size)
{
	return ioremap_wc(vdev->aperture_phys + offset, size);
}

static void vnpu_device_wait_online(struct vnpu_device *vdev)
{
	wait_event(vdev->online, !READ_ONCE(vdev->offline));
}

/**
 * vnpu_device_lock_read() - Take reset_lock for reading, with the BARs there
 * @vdev: Device.
 *
 * Waits, uninterruptibly, while the PCI core resets the function. Undone by
 * up_read(). Fit for the signalling path of fences.
 */
void vnpu_device_lock_read(struct vnpu_device *vdev)
{
	for (;;) {
		down_read(&vdev->reset_lock);
		if (!vdev->offline)
			return;
		up_read(&vdev->reset_lock);
		vnpu_device_wait_online(vdev);
	}
}

/**
 * vnpu_device_lock_write() - Take reset_lock for writing, with the BARs there
 * @vdev: Device.
 *
 * As vnpu_device_lock_read(). Undone by up_write().
 */
void vnpu_device_lock_write(struct vnpu_device *vdev)
{
	for (;;) {
		down_write(&vdev->reset_lock);
		if (!vdev->offline)
			return;
		up_write(&vdev->reset_lock);
		vnpu_device_wait_online(vdev);
	}
}

/**
 * vnpu_aperture_lock() - Take aperture_lock for reading, with the BARs there
 * @vdev: Device.
 *
 * As vnpu_device_lock_read(), but memory may be allocated. Undone by up_read().
 */
void vnpu_aperture_lock(struct vnpu_device *vdev)
{
	for (;;) {
		down_read(&vdev->aperture_lock);
		if (!vdev->offline)
			return;
		up_read(&vdev->aperture_lock);
		vnpu_device_wait_online(vdev);
	}
}

bool vnpu_device_answers(struct vnpu_device *vdev)
{
	bool answers;

	vnpu_aperture_lock(vdev);
	answers = vnpu_read32(vdev, VNPU_REG_ID) == VNPU_MAGIC;
	up_read(&vdev->aperture_lock);

	return answers;
}

static u32 vnpu_engine_class_type(u32 engine_class)
{
	return engine_class == DRM_VNPU_ENGINE_COPY ? VNPU_ENGINE_TYPE_COPY :
						      VNPU_ENGINE_TYPE_TENSOR;
}

static void vnpu_device_read_engines(struct vnpu_device *vdev)
{
	u32 i, class;

	for (i = 0; i < vdev->num_engines; i++) {
		u32 type = vnpu_read32(vdev, VNPU_ENGINE(i) + VNPU_ENGINE_REG_TYPE);

		vdev->engines[i].type = FIELD_GET(VNPU_ENGINE_TYPE_TYPE_MASK, type);

		for (class = 0; class < VNPU_NUM_ENGINE_CLASSES; class++)
			if (vdev->engines[i].type == vnpu_engine_class_type(class))
				vdev->class_count[class]++;
	}
}

/* What the hardware says of itself is checked once, here. */
static int vnpu_device_identify(struct vnpu_device *vdev)
{
	struct drm_device *drm = &vdev->drm;
	u32 major;

	if (vnpu_read32(vdev, VNPU_REG_ID) != VNPU_MAGIC) {
		drm_err(drm, "not a vnpu\n");
		return -ENODEV;
	}

	vdev->hw_version = vnpu_read32(vdev, VNPU_REG_VERSION);
	major = FIELD_GET(VNPU_VERSION_MAJOR_MASK, vdev->hw_version);
	if (major != VNPU_VERSION_MAJOR) {
		drm_err(drm, "hardware version %u is not supported\n", major);
		return -ENODEV;
	}

	vdev->hw_caps = vnpu_read32(vdev, VNPU_REG_CAPS);
	vdev->num_queues = min_t(u32, vnpu_read32(vdev, VNPU_REG_QUEUES), VNPU_MAX_QUEUES);
	vdev->num_contexts = min_t(u32, vnpu_read32(vdev, VNPU_REG_CONTEXTS), VNPU_MAX_CONTEXTS);
	vdev->num_engines = min_t(u32, vnpu_read32(vdev, VNPU_REG_ENGINES), VNPU_MAX_ENGINES);
	vdev->vram_size = vnpu_read64(vdev, VNPU_REG_VRAM_SIZE_LO);
	vdev->aperture_size = min3(vnpu_read64(vdev, VNPU_REG_APERTURE_SIZE_LO),
				   (u64)pci_resource_len(vdev->pdev, VNPU_BAR_VRAM),
				   vdev->vram_size);
	vnpu_device_read_engines(vdev);

	if (vdev->num_queues <= VNPU_FIRST_USER_QUEUE || vdev->num_contexts < 2 ||
	    !vdev->class_count[DRM_VNPU_ENGINE_COPY] || !vdev->aperture_size) {
		drm_err(drm, "device lacks queues, contexts, a copy engine or VRAM\n");
		return -ENODEV;
	}

	return 0;
}

static void vnpu_device_free_wq(struct drm_device *drm, void *wq)
{
	destroy_workqueue(wq);
}

static int vnpu_device_init_wqs(struct vnpu_device *vdev)
{
	struct drm_device *drm = &vdev->drm;
	int ret;

	/*
	 * Memory reclaim may wait for jobs and for recovery from bad ones. A job
	 * is handed over ahead of what else wants to run, and on the processor that
	 * submitted it: an unbound queue would wake another worker for each of the
	 * three or four work items that a job takes.
	 */
	vdev->sched_wq = alloc_workqueue("vnpu-sched",
					 WQ_PERCPU | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	if (!vdev->sched_wq)
		return -ENOMEM;
	ret = drmm_add_action_or_reset(drm, vnpu_device_free_wq, vdev->sched_wq);
	if (ret)
		return ret;

	vdev->reset_wq = alloc_ordered_workqueue("vnpu-reset", WQ_MEM_RECLAIM);
	if (!vdev->reset_wq)
		return -ENOMEM;
	return drmm_add_action_or_reset(drm, vnpu_device_free_wq, vdev->reset_wq);
}

static void vnpu_device_ring_fini(struct drm_device *drm, void *ring)
{
	vnpu_ring_destroy(ring);
}

static struct vnpu_ring *vnpu_device_kernel_ring(struct vnpu_device *vdev, u32 id,
						 const char *name)
{
	struct vnpu_ring_args args = {
		.name = name,
		.id = id,
		.ctx = VNPU_PHYS_CONTEXT,
		.priority = VNPU_PRIORITY_KERNEL,
	};
	struct vnpu_ring *ring;
	int ret;

	args.engine = vnpu_device_pick_engine(vdev, DRM_VNPU_ENGINE_COPY);
	ring = vnpu_ring_create(vdev, &args);
	if (IS_ERR(ring))
		return ring;

	ret = drmm_add_action_or_reset(&vdev->drm, vnpu_device_ring_fini, ring);
	return ret ? ERR_PTR(ret) : ring;
}

/* Memory that rings share: there before the device may write to it. */
static int vnpu_device_init_memory(struct vnpu_device *vdev)
{
	vdev->replay_buf = drmm_kmalloc(&vdev->drm, VNPU_RING_BYTES, GFP_KERNEL);
	if (!vdev->replay_buf)
		return -ENOMEM;

	vdev->fences = dmam_alloc_coherent(&vdev->pdev->dev,
					   VNPU_MAX_QUEUES * sizeof(*vdev->fences),
					   &vdev->fences_dma, GFP_KERNEL);
	return vdev->fences ? 0 : -ENOMEM;
}

static int vnpu_device_init_rings(struct vnpu_device *vdev)
{
	vdev->paging_ring = vnpu_device_kernel_ring(vdev, VNPU_PAGING_QUEUE, "vnpu-paging");
	if (IS_ERR(vdev->paging_ring))
		return PTR_ERR(vdev->paging_ring);

	vdev->mmu_ring = vnpu_device_kernel_ring(vdev, VNPU_MMU_QUEUE, "vnpu-mmu");
	return PTR_ERR_OR_ZERO(vdev->mmu_ring);
}

/*
 * Reclaim may wait for fences, so whatever a fence waits for may not reclaim:
 * lockdep is told now, not when it happens for the first time under load.
 */
static void vnpu_device_teach_lockdep(struct vnpu_device *vdev)
{
	if (!IS_ENABLED(CONFIG_LOCKDEP))
		return;

	fs_reclaim_acquire(GFP_KERNEL);
	might_lock(&vdev->reset_lock);
	fs_reclaim_release(GFP_KERNEL);
}

/*
 * The least loaded engine of a class of the uAPI, or an error if there is none.
 */
int vnpu_device_pick_engine(struct vnpu_device *vdev, u32 engine_class)
{
	u32 type = vnpu_engine_class_type(engine_class);
	int best = -ENODEV;
	u32 i;

	mutex_lock(&vdev->rings_lock);
	for (i = 0; i < vdev->num_engines; i++) {
		if (vdev->engines[i].type != type)
			continue;
		if (best < 0 || vdev->engines[i].load < vdev->engines[best].load)
			best = i;
	}
	mutex_unlock(&vdev->rings_lock);

	return best;
}

/*
 * Both clocks, the CPU's from the middle of the time that it took to read the
 * other. Reading the low half latches the high one: two readers must not mix.
 */
void vnpu_device_timestamp(struct vnpu_device *vdev, u64 *device_ns, u64 *cpu_ns)
{
	u64 before, after;

	vnpu_device_lock_read(vdev);
	mutex_lock(&vdev->rings_lock);
	before = ktime_get_ns();
	*device_ns = vnpu_read64(vdev, VNPU_REG_TIMESTAMP_LO);
	after = ktime_get_ns();
	mutex_unlock(&vdev->rings_lock);
	up_read(&vdev->reset_lock);

	*cpu_ns = before + (after - before) / 2;
}

/*
 * Give up the PCI device: at unbind, or because probe failed later on. Files may
 * still be open. After drm_dev_unplug() nobody is between drm_dev_enter() and
 * drm_dev_exit(), and nobody will be. Each job that the hardware had not finished
 * gets its fence signalled with ENODEV here, each later one by its run_job, and memory
 * that the device could write is given back while the device can still be told.
 */
static void vnpu_device_unplug(void *data)
{
	struct vnpu_device *vdev = data;
	u32 i;

	drm_dev_unplug(&vdev->drm);

	down_write(&vdev->reset_lock);

	/* No fence, no event: the device goes quiet, if it is there still. */
	vnpu_reset_hw(vdev);
	vdev->gone = true;

	for (i = 0; i < vdev->num_queues; i++) {
		if (!vdev->rings[i])
			continue;
		vnpu_ring_process(vdev->rings[i]);
		vnpu_ring_fail(vdev->rings[i], -ENODEV, -ENODEV);
		vnpu_ring_hw_fini(vdev->rings[i]);
	}

	up_write(&vdev->reset_lock);

	if (vdev->mem_ready)
		vnpu_ttm_unplug(vdev);
}

int vnpu_device_init(struct vnpu_device *vdev)
{
	struct pci_dev *pdev = vdev->pdev;
	int ret;

	init_rwsem(&vdev->reset_lock);
	init_rwsem(&vdev->aperture_lock);
	init_waitqueue_head(&vdev->online);
	ret = drmm_mutex_init(&vdev->drm, &vdev->rings_lock);
	if (ret)
		return ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;

	ret = vnpu_device_map(vdev);
	if (ret)
		return ret;

	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(VNPU_DMA_BITS));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);

	ret = vnpu_device_identify(vdev);
	if (ret)
		return ret;

	/* Whatever ran before must not write to memory that is ours now. */
	ret = vnpu_reset_hw(vdev);
	if (ret)
		return ret;
	pci_set_master(pdev);

	ret = vnpu_device_init_wqs(vdev);
	if (ret)
		return ret;

	ret = vnpu_device_init_memory(vdev);
	if (ret)
		return ret;

	ret = vnpu_events_init(vdev);
	if (ret)
		return ret;

	ret = vnpu_irq_init(vdev);
	if (ret)
		return ret;

	/* Undone ahead of all above, which the device uses from here on. */
	ret = devm_add_action_or_reset(&pdev->dev, vnpu_device_unplug, vdev);
	if (ret)
		return ret;
	vnpu_events_start(vdev);

	ret = vnpu_device_init_rings(vdev);
	if (ret)
		return ret;

	ret = vnpu_ttm_init(vdev);
	if (ret)
		return ret;
	vdev->mem_ready = true;

	ret = vnpu_vm_dev_init(vdev);
	if (ret)
		return ret;

	vnpu_device_teach_lockdep(vdev);
	return 0;
}
