// SPDX-License-Identifier: GPL-2.0-only
/*
 * DEV_QUERY.
 */

#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "vnpu_drv.h"
#include "vnpu_queue.h"
#include "vnpu_vm.h"

static void vnpu_query_device(struct vnpu_device *vdev, struct drm_vnpu_device_info *info)
{
	*info = (struct drm_vnpu_device_info) {
		.hw_version = vdev->hw_version,
		.hw_caps = vdev->hw_caps,
		.max_queues = vdev->num_queues - VNPU_FIRST_USER_QUEUE,
		/* All contexts but the physical one. */
		.max_vms = vdev->num_contexts - 1,
		.va_start = VNPU_VM_VA_START,
		.va_end = VNPU_VM_VA_END,
		.page_size = 1u << VNPU_PAGE_SHIFT,
		.max_cmd_bytes = VNPU_CMD_MAX_BYTES,
		.max_submit_cmds = VNPU_MAX_CMDS,
		.max_queue_priority = vnpu_queue_max_priority(),
		.reset_count = READ_ONCE(vdev->reset_count),
	};
}

static void vnpu_query_memory(struct vnpu_device *vdev, struct drm_vnpu_memory_info *info)
{
	*info = (struct drm_vnpu_memory_info) {
		.vram_total = vdev->vram_size,
		.vram_used = vnpu_vram_used(&vdev->vram),
		.visible_total = vdev->aperture_size,
		.visible_used = vnpu_vram_visible_used(&vdev->vram),
	};
}

static void vnpu_query_engines(struct vnpu_device *vdev, struct drm_vnpu_engines_info *info)
{
	u32 i;

	*info = (struct drm_vnpu_engines_info) {};

	for (i = 0; i < VNPU_NUM_ENGINE_CLASSES; i++) {
		if (!vdev->class_count[i])
			continue;
		info->engines[info->count].engine_class = i;
		info->engines[info->count].count = vdev->class_count[i];
		info->count++;
	}
}

static int vnpu_query_timestamp(struct vnpu_device *vdev, struct drm_vnpu_timestamp_info *info)
{
	int idx;

	if (!drm_dev_enter(&vdev->drm, &idx))
		return -ENODEV;
	vnpu_device_timestamp(vdev, &info->device_ns, &info->cpu_ns);
	drm_dev_exit(idx);

	return 0;
}

static int vnpu_query_copy(struct drm_vnpu_dev_query *args, const void *info, u32 size)
{
	void __user *to = u64_to_user_ptr(args->pointer);
	u32 known = min(args->size, size);

	if (copy_to_user(to, info, known) || clear_user(to + known, args->size - known))
		return -EFAULT;

	args->size = known;
	return 0;
}

int vnpu_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct vnpu_device *vdev = to_vnpu_device(drm);
	struct drm_vnpu_dev_query *args = data;
	union {
		struct drm_vnpu_device_info device;
		struct drm_vnpu_memory_info memory;
		struct drm_vnpu_engines_info engines;
		struct drm_vnpu_timestamp_info timestamp;
	} info;
	int ret = 0;
	u32 size;

	switch (args->type) {
	case DRM_VNPU_DEV_QUERY_DEVICE:
		vnpu_query_device(vdev, &info.device);
		size = sizeof(info.device);
		break;
	case DRM_VNPU_DEV_QUERY_MEMORY:
		vnpu_query_memory(vdev, &info.memory);
		size = sizeof(info.memory);
		break;
	case DRM_VNPU_DEV_QUERY_ENGINES:
		vnpu_query_engines(vdev, &info.engines);
		size = sizeof(info.engines);
		break;
	case DRM_VNPU_DEV_QUERY_TIMESTAMP:
		ret = vnpu_query_timestamp(vdev, &info.timestamp);
		size = sizeof(info.timestamp);
		break;
	default:
		return -EINVAL;
	}
	if (ret)
		return ret;

	if (!args->pointer) {
		args->size = size;
		return 0;
	}

	return vnpu_query_copy(args, &info, size);
}
