/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_DEVICE_H
#define VNPU_DEVICE_H

#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/time64.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/ttm/ttm_device.h>

#include <drm/vnpu_accel.h>

#include "vnpu_event.h"
#include "vnpu_hw.h"
#include "vnpu_irq.h"
#include "vnpu_migrate.h"
#include "vnpu_ptpool.h"
#include "vnpu_tt.h"
#include "vnpu_validate.h"
#include "vnpu_vram.h"

struct vnpu_ring;

/* Hardware queues that the driver keeps for itself. */
#define VNPU_PAGING_QUEUE	0
#define VNPU_MMU_QUEUE		1
#define VNPU_FIRST_USER_QUEUE	2

/* Longest that the device takes for what it is asked: much longer than it should. */
#define VNPU_HW_WAIT_US		USEC_PER_SEC
/* How often to look meanwhile. */
#define VNPU_HW_POLL_US		10

/* Engine classes of the uAPI, used as array indices. */
#define VNPU_NUM_ENGINE_CLASSES	(DRM_VNPU_ENGINE_TENSOR + 1)

struct vnpu_engine {
	/* One of enum vnpu_engine_type; constant. */
	u32 type;

	/* Rings that run on it; under vnpu_device.rings_lock. */
	unsigned int load;
};

struct vnpu_device {
	struct drm_device drm;
	struct pci_dev *pdev;

	/*
	 * BAR0. It goes with the PCI device: only to be touched between
	 * drm_dev_enter() and drm_dev_exit().
	 */
	void __iomem *regs;

	/* CPU physical address of BAR2. */
	phys_addr_t aperture_phys;

	/* Bytes of VRAM, and bytes of it that BAR2 shows. */
	u64 vram_size;
	u64 aperture_size;

	/* What the hardware says of itself; constant after probe. */
	u32 hw_version;
	u32 hw_caps;
	u32 num_queues;
	u32 num_contexts;
	u32 num_engines;

	struct vnpu_engine engines[VNPU_MAX_ENGINES];

	/* Engines of each class of the uAPI; constant after probe. */
	u32 class_count[VNPU_NUM_ENGINE_CLASSES];

	struct ttm_device ttm;
	struct vnpu_vram_mgr vram;
	struct vnpu_tt_mgr tt;
	struct vnpu_ptpool ptpool;
	struct vnpu_migrate migrate;

	/* The five above are there; constant after probe. */
	bool mem_ready;

	/* Moves and clears of BOs; page table updates. */
	struct vnpu_ring *paging_ring;
	struct vnpu_ring *mmu_ring;

	/*
	 * Hardware contexts in use, to struct vnpu_vm; under its own lock. See
	 * vnpu_vm_dev_init().
	 */
	struct xarray vms;

	/* See "Room in VRAM". */
	struct vnpu_room room;

	/*
	 * Guards @rings, the loads of @engines and the latch of TIMESTAMP. Nests
	 * inside @reset_lock, so nothing is allocated under it.
	 */
	struct mutex rings_lock;

	/*
	 * All rings by hardware queue, kernel ones included. Changed under
	 * @rings_lock with @reset_lock held for reading, so either of them held
	 * (the latter for writing) is enough to look.
	 */
	struct vnpu_ring *rings[VNPU_MAX_QUEUES];

	/*
	 * Fence records, one a hardware queue, in coherent memory. Gone with
	 * the PCI device.
	 */
	struct vnpu_rec_fence *fences;
	dma_addr_t fences_dma;

	struct vnpu_irq irq;
	struct vnpu_events events;

	/*
	 * Held for reading while ring entries are written and handed over, for
	 * writing while a queue or the device is reset. Nests outside
	 * vnpu_ring.lock. Part of the fence signalling path: nothing may
	 * allocate memory or wait for a fence under it.
	 */
	struct rw_semaphore reset_lock;

	/*
	 * The PCI core resets the function, and its BARs may not answer; under
	 * @reset_lock, and @aperture_lock. Who needs the hardware waits on
	 * @online, with neither of them held. Neither lock is held for as long
	 * as the reset lasts, because the PCI core allocates memory meanwhile.
	 */
	bool offline;
	wait_queue_head_t online;

	/*
	 * Held for reading while the CPU touches VRAM, or maps it for a process.
	 * Nests inside reservations and outside @reset_lock; memory may be
	 * allocated under it.
	 */
	struct rw_semaphore aperture_lock;

	/* The device did not come back from a reset; under @reset_lock. */
	bool wedged;

	/*
	 * The PCI device is no longer the driver's; under @reset_lock. Until
	 * then, but after drm_dev_enter() has begun to fail, rings can still
	 * give back what they have.
	 */
	bool gone;

	/* Resets of the device so far; written under @reset_lock. */
	u32 reset_count;

	/* Where entries of a ring wait while they are moved; under @reset_lock. */
	void *replay_buf;

	/* run_job and free_job of all rings. */
	struct workqueue_struct *sched_wq;

	/* Timeouts and recovery of all rings: ordered, so one at a time. */
	struct workqueue_struct *reset_wq;
};

static inline struct vnpu_device *to_vnpu_device(struct drm_device *drm)
{
	return container_of(drm, struct vnpu_device, drm);
}

/*
 * How many hardware queues and contexts one open file may have: half of those
 * that are there for clients, so that nobody can take all.
 */
static inline u32 vnpu_max_file_queues(struct vnpu_device *vdev)
{
	return DIV_ROUND_UP(vdev->num_queues - VNPU_FIRST_USER_QUEUE, 2);
}

static inline u32 vnpu_max_file_vms(struct vnpu_device *vdev)
{
	/* All contexts but the physical one are there. */
	return DIV_ROUND_UP(vdev->num_contexts - 1, 2);
}

/*
 * How many page tables one open file may have: a quarter of the memory that they
 * have to be in, which cannot be taken from them.
 */
static inline u32 vnpu_max_file_tables(struct vnpu_device *vdev)
{
	return vdev->vram.visible_size >> (VNPU_PAGE_SHIFT + 2);
}

static inline u32 vnpu_read32(struct vnpu_device *vdev, u32 reg)
{
	return readl(vdev->regs + reg);
}

static inline void vnpu_write32(struct vnpu_device *vdev, u32 reg, u32 value)
{
	writel(value, vdev->regs + reg);
}

/* @reg is the offset of the low half. */
static inline u64 vnpu_read64(struct vnpu_device *vdev, u32 reg)
{
	return lo_hi_readq(vdev->regs + reg);
}

static inline void vnpu_write64(struct vnpu_device *vdev, u32 reg, u64 value)
{
	lo_hi_writeq(value, vdev->regs + reg);
}

int vnpu_device_init(struct vnpu_device *vdev);
void vnpu_device_lock_read(struct vnpu_device *vdev);
void vnpu_device_lock_write(struct vnpu_device *vdev);
void vnpu_aperture_lock(struct vnpu_device *vdev);

/**
 * vnpu_device_answers() - Whether what was read from VRAM before can be believed
 * @vdev: Device; between drm_dev_enter() and drm_dev_exit().
 *
 * A device that has fallen off the bus reads as all ones, and takes no writes.
 * Takes vnpu_device.aperture_lock.
 *
 * Return: true if the device was there when it was called.
 */
bool vnpu_device_answers(struct vnpu_device *vdev);

/**
 * vnpu_aperture_map() - Map a part of VRAM for the CPU
 * @vdev: Device.
 * @offset: VRAM offset; the CPU has to be able to see all of the part.
 * @size: Bytes.
 *
 * A mapping of all of it would take page tables, and shadow memory under
 * KASAN, for what the driver itself hardly touches. The caller undoes it with
 * iounmap(), and touches it only between drm_dev_enter() and drm_dev_exit().
 * May sleep.
 *
 * Return: Address, or NULL if there is no memory.
 */
void __iomem *vnpu_aperture_map(struct vnpu_device *vdev, u64 offset, size_t size);
int vnpu_device_pick_engine(struct vnpu_device *vdev, u32 engine_class);
void vnpu_device_timestamp(struct vnpu_device *vdev, u64 *device_ns, u64 *cpu_ns);

#endif
