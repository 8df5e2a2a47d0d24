// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver of the virtual NPU.
 */

#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include <drm/drm_accel.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "vnpu_bo.h"
#include "vnpu_bind.h"
#include "vnpu_bind_queue.h"
#include "vnpu_debugfs.h"
#include "vnpu_drv.h"
#include "vnpu_fdinfo.h"
#include "vnpu_prime.h"
#include "vnpu_queue.h"
#include "vnpu_reset.h"
#include "vnpu_vm.h"

/**
 * DOC: Locks
 *
 * Outermost first. What is in one item is not taken together, but where it says so.
 *
 * - The mmap lock of a process, in page faults and by debuggers.
 * - vnpu_room.lock: held by who makes BOs resident, see "Room in VRAM". No fence of a
 *   user is waited for under it.
 * - Reservations (dma_resv), of VMs and of BOs that are not private to one, by
 *   drm_exec or by TTM, several with one ticket. That of a VM guards its address
 *   space, its page tables, its lists of BOs and the order of the jobs of its queues;
 *   that of a BO its place, its content and its part in VMs. No fence of a user is
 *   waited for under them, but at the end of the device.
 * - vnpu_ptpool.grow_lock: who adds page-table chunks. Reservations are only tried
 *   inside.
 * - ttm_global_mutex of TTM: when it swaps out; reservations are only tried inside.
 * - vnpu_migrate.lock: jobs of the paging ring, and their order.
 *   vnpu_vram_mgr.lock: the allocator of VRAM, and what is being vacated.
 *   vnpu_tt_mgr.lock: pages that are mapped for the device, and imports.
 * - vnpu_ptpool.lock: the bitmaps of page-table pages. vnpu_room.users_lock: who makes
 *   BOs resident, and the memory that they found busy. vnpu_bind_pending.lock: binds of
 *   a VM that are not over, for the scheduler as well. Spinlocks, as is the lru_lock of
 *   TTM, which guards the order of eviction.
 * - vnpu_device.aperture_lock: for reading while the CPU touches or maps VRAM,
 *   for writing when the PCI core is about to reset the function.
 * - vnpu_device.reset_lock: for reading while a job is handed to the hardware,
 *   for writing during recovery. From here on inwards everything is in the
 *   signalling path of fences: no memory is allocated that has to be waited for,
 *   no fence waited for, no reservation taken.
 * - vnpu_device.rings_lock: which rings there are.
 *   The lock of vnpu_device.vms: which contexts there are.
 * - vnpu_events.lock, vnpu_irq_vector.lock, vnpu_ring.lock, in this order, with
 *   interrupts off. Fences are signalled under the last.
 *
 * The locks of vnpu_file.vms, vnpu_file.queues and vnpu_file.bind_queues guard the IDs
 * of an open file and nothing is taken inside.
 *
 * The hardware is touched between drm_dev_enter() and drm_dev_exit() only, or,
 * to give back what belongs to it, under reset_lock after a look at
 * vnpu_device.gone. In both cases reset_lock is held, or aperture_lock for VRAM,
 * and vnpu_device.offline has been looked at: see vnpu_device_lock_read(). What
 * drm_dev_enter() takes is one for all devices of DRM, so nothing waits inside for
 * what others do.
 */

unsigned int vnpu_job_timeout_ms = 10000;
module_param_named(job_timeout_ms, vnpu_job_timeout_ms, uint, 0644);
MODULE_PARM_DESC(job_timeout_ms,
		 "Time without progress after which a job is given up, in ms, for queues made from then on; it may take half as long again until that is noticed; 0 for never, for debugging (default: 10000)");

struct workqueue_struct *vnpu_cleanup_wq;

/* Devices that are not freed yet: the code of the module is needed until then. */
static atomic_t vnpu_num_devices = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(vnpu_no_devices);

static int vnpu_open(struct drm_device *drm, struct drm_file *file)
{
	struct vnpu_file *vfile = kzalloc_obj(*vfile, GFP_KERNEL_ACCOUNT);

	if (!vfile)
		return -ENOMEM;

	vfile->stats = kzalloc_obj(*vfile->stats, GFP_KERNEL_ACCOUNT);
	if (!vfile->stats) {
		kfree(vfile);
		return -ENOMEM;
	}

	kref_init(&vfile->stats->ref);
	spin_lock_init(&vfile->stats->lock);
	INIT_LIST_HEAD(&vfile->stats->queues);
	vfile->vdev = to_vnpu_device(drm);
	xa_init_flags(&vfile->vms, XA_FLAGS_ALLOC1);
	xa_init_flags(&vfile->queues, XA_FLAGS_ALLOC1);
	xa_init_flags(&vfile->bind_queues, XA_FLAGS_ALLOC1);
	file->driver_priv = vfile;
	return 0;
}

static void vnpu_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct vnpu_file *vfile = to_vnpu_file(file);

	vnpu_queue_file_close(vfile);
	vnpu_bind_queue_file_close(vfile);
	vnpu_vm_file_close(vfile);
	xa_destroy(&vfile->vms);
	vnpu_stats_put(vfile->stats);
	kfree(vfile);
}

#define VNPU_IOCTL(name, func) DRM_IOCTL_DEF_DRV(VNPU_##name, vnpu_ioctl_##func, 0)

static const struct drm_ioctl_desc vnpu_ioctls[] = {
	VNPU_IOCTL(DEV_QUERY, dev_query),
	VNPU_IOCTL(BO_CREATE, bo_create),
	VNPU_IOCTL(BO_MMAP_OFFSET, bo_mmap_offset),
	VNPU_IOCTL(VM_CREATE, vm_create),
	VNPU_IOCTL(VM_DESTROY, vm_destroy),
	VNPU_IOCTL(VM_BIND, vm_bind),
	VNPU_IOCTL(QUEUE_CREATE, queue_create),
	VNPU_IOCTL(QUEUE_DESTROY, queue_destroy),
	VNPU_IOCTL(QUEUE_QUERY, queue_query),
	VNPU_IOCTL(SUBMIT, submit),
};

/*
 * DRM core extends an argument that is shorter than the driver's and drops the
 * tail of one that is longer. A tail that is not zero asks for something that
 * this driver does not know, so it must not be dropped.
 */
static int vnpu_check_ioctl_tail(unsigned int cmd, unsigned long arg)
{
	unsigned int nr = _IOC_NR(cmd) - DRM_COMMAND_BASE;
	size_t user = _IOC_SIZE(cmd), known;
	int ret;

	if (_IOC_TYPE(cmd) != DRM_IOCTL_BASE || nr >= ARRAY_SIZE(vnpu_ioctls))
		return 0;

	known = _IOC_SIZE(vnpu_ioctls[nr].cmd);
	if (user <= known)
		return 0;

	ret = check_zeroed_user((void __user *)arg + known, user - known);
	if (ret < 0)
		return ret;
	return ret ? 0 : -E2BIG;
}

/*
 * An accel file has no DRM master, but DRM core follows the pointer to it when
 * it is asked for the master's bus ID or for a magic number. With nobody to
 * authenticate to there is nothing to answer.
 */
static int vnpu_check_master(unsigned int cmd)
{
	if (_IOC_TYPE(cmd) != DRM_IOCTL_BASE)
		return 0;

	switch (_IOC_NR(cmd)) {
	case _IOC_NR(DRM_IOCTL_GET_UNIQUE):
	case _IOC_NR(DRM_IOCTL_GET_MAGIC):
		return -EINVAL;
	default:
		return 0;
	}
}

static int vnpu_check_ioctl(unsigned int cmd, unsigned long arg)
{
	return vnpu_check_master(cmd) ?: vnpu_check_ioctl_tail(cmd, arg);
}

static long vnpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	int ret = vnpu_check_ioctl(cmd, arg);

	return ret ?: drm_ioctl(file, cmd, arg);
}

#ifdef CONFIG_COMPAT
static long vnpu_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	int ret = vnpu_check_ioctl(cmd, (unsigned long)compat_ptr(arg));

	return ret ?: drm_compat_ioctl(file, cmd, arg);
}
#endif

static const struct file_operations vnpu_fops = {
	.owner = THIS_MODULE,
	.open = accel_open,
	.release = drm_release,
	.unlocked_ioctl = vnpu_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = vnpu_compat_ioctl,
#endif
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.mmap = drm_gem_mmap,
	.show_fdinfo = drm_show_fdinfo,
	.fop_flags = FOP_UNSIGNED_OFFSET,
};

/*
 * Version history:
 * 1.0: first version
 */
static const struct drm_driver vnpu_driver = {
	.driver_features = DRIVER_COMPUTE_ACCEL | DRIVER_GEM | DRIVER_SYNCOBJ |
			   DRIVER_SYNCOBJ_TIMELINE,
	.open = vnpu_open,
	.postclose = vnpu_postclose,
	.ioctls = vnpu_ioctls,
	.num_ioctls = ARRAY_SIZE(vnpu_ioctls),
	.fops = &vnpu_fops,
	.show_fdinfo = vnpu_show_fdinfo,
	.gem_prime_import = vnpu_prime_import,
	.gem_prime_import_sg_table = vnpu_prime_import_sg_table,
	.name = "vnpu",
	.desc = "Virtual NPU",
	.major = 1,
	.minor = 0,
};

static void vnpu_count_out(struct drm_device *drm, void *data)
{
	if (atomic_dec_and_test(&vnpu_num_devices))
		wake_up_all(&vnpu_no_devices);
}

static int vnpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vnpu_device *vdev;
	int ret;

	vdev = devm_drm_dev_alloc(&pdev->dev, &vnpu_driver, struct vnpu_device, drm);
	if (IS_ERR(vdev))
		return PTR_ERR(vdev);

	atomic_inc(&vnpu_num_devices);
	ret = drmm_add_action_or_reset(&vdev->drm, vnpu_count_out, NULL);
	if (ret)
		return ret;

	vdev->pdev = pdev;
	pci_set_drvdata(pdev, vdev);

	ret = vnpu_device_init(vdev);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "device does not come up\n");

	/* Last: from here on there are clients. */
	ret = drm_dev_register(&vdev->drm, 0);
	if (ret)
		return ret;

	vnpu_debugfs_init(vdev);
	return 0;
}

static const struct pci_device_id vnpu_ids[] = {
	{ PCI_DEVICE(VNPU_PCI_VENDOR, VNPU_PCI_DEVICE) },
	{}
};
MODULE_DEVICE_TABLE(pci, vnpu_ids);

/* From pci_reset_function() and resets of the bus, with the driver bound. */
static void vnpu_pci_reset_prepare(struct pci_dev *pdev)
{
	vnpu_reset_prepare(pci_get_drvdata(pdev));
}

static void vnpu_pci_reset_done(struct pci_dev *pdev)
{
	vnpu_reset_done(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers vnpu_pci_err_handler = {
	.reset_prepare = vnpu_pci_reset_prepare,
	.reset_done = vnpu_pci_reset_done,
};

/* Unbinding undoes what probe did, all of which is managed. */
static struct pci_driver vnpu_pci_driver = {
	.name = "vnpu",
	.id_table = vnpu_ids,
	.probe = vnpu_probe,
	.err_handler = &vnpu_pci_err_handler,
};

static int __init vnpu_init(void)
{
	int ret;

	vnpu_cleanup_wq = alloc_workqueue("vnpu-cleanup", WQ_UNBOUND, 0);
	if (!vnpu_cleanup_wq)
		return -ENOMEM;

	ret = vnpu_vm_module_init();
	if (ret)
		goto out_wq;

	ret = pci_register_driver(&vnpu_pci_driver);
	if (ret)
		goto out_vm;

	return 0;

out_vm:
	vnpu_vm_module_exit();
out_wq:
	destroy_workqueue(vnpu_cleanup_wq);
	return ret;
}

/*
 * There is no open file any more, but a queue or VM may be on its way out, and
 * with it a device: jobs that wait for fences of other drivers are let go when
 * these signal. Until the last device is freed they queue work here, and the
 * work item that frees it is still running when the wait ends.
 */
static void __exit vnpu_exit(void)
{
	pci_unregister_driver(&vnpu_pci_driver);
	wait_event(vnpu_no_devices, !atomic_read(&vnpu_num_devices));
	vnpu_vm_module_exit();
	destroy_workqueue(vnpu_cleanup_wq);
}

module_init(vnpu_init);
module_exit(vnpu_exit);

MODULE_DESCRIPTION("Virtual NPU");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
