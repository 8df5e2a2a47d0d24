// SPDX-License-Identifier: GPL-2.0-only
/*
 * DEV_QUERY.
 */

#include <linux/capability.h>
#include <linux/nospec.h>
#include <linux/time64.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "vnpu_bind.h"
#include "vnpu_bo.h"
#include "vnpu_drv.h"
#include "vnpu_queue.h"
#include "vnpu_sync.h"
#include "vnpu_vm.h"

/* The array of the caller, as it is filled. */
struct vnpu_query {
	struct vnpu_device *vdev;

	void __user *to;
	u32 stride;
	u32 room;

	/* Elements so far, those included that there was no room for. */
	u32 count;

	/* Of an element. */
	u32 size;
};

/* The next element. */
static int vnpu_query_put(struct vnpu_query *query, const void *info, u32 size)
{
	u32 known = min(query->stride, size);
	void __user *to = query->to;

	query->size = size;
	if (query->count++ >= query->room)
		return 0;

	query->to += query->stride;
	if (copy_to_user(to, info, known) || clear_user(to + known, query->stride - known))
		return -EFAULT;
	return 0;
}

static u64 vnpu_query_features(struct vnpu_device *vdev)
{
	u64 features = 0;

	if (vdev->hw_caps & VNPU_CAPS_SYNC_MASK)
		features |= DRM_VNPU_FEATURE_INLINE_JOBS;
	if (vdev->hw_caps & VNPU_CAPS_BLAS_MASK)
		features |= DRM_VNPU_FEATURE_BLAS;

	return features;
}

static int vnpu_query_device(struct vnpu_query *query)
{
	struct vnpu_device *vdev = query->vdev;
	struct drm_vnpu_device_info info = {
		.features = vnpu_query_features(vdev),
		.va_start = VNPU_VM_VA_START,
		.va_end = VNPU_VM_VA_END,
		.page_size = 1u << VNPU_PAGE_SHIFT,
		.max_queues = vnpu_max_file_queues(vdev),
		.max_vms = vnpu_max_file_vms(vdev),
		.max_submit_jobs = VNPU_MAX_JOBS,
		.max_submit_cmds = VNPU_MAX_CMDS,
		.max_cmd_bytes = VNPU_CMD_MAX_BYTES,
		.max_bind_ops = VNPU_BIND_MAX_OPS,
		.max_syncs = VNPU_MAX_SYNCS,
		.reset_count = READ_ONCE(vdev->reset_count),
		.max_jobs = VNPU_MAX_FILE_JOBS,
		.max_table_bytes = (u64)vnpu_max_file_tables(vdev) << VNPU_PAGE_SHIFT,
	};

	return vnpu_query_put(query, &info, sizeof(info));
}

/* No record for the audit log: it is no attempt at anything. */
static bool vnpu_query_may_see_others(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_PERFMON) ||
	       ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

static int vnpu_query_regions(struct vnpu_query *query)
{
	struct vnpu_device *vdev = query->vdev;
	struct drm_vnpu_region_info vram = {
		.instance = VNPU_INSTANCE_VRAM,
		.kind = DRM_VNPU_REGION_VRAM,
		.size = vdev->vram.size,
		.cpu_visible_size = vdev->vram.visible_size,
		.page_size = PAGE_SIZE,
	};
	struct drm_vnpu_region_info system = {
		.instance = VNPU_INSTANCE_SYSTEM,
		.kind = DRM_VNPU_REGION_SYSTEM,
		.size = vdev->tt.base.size,
		.cpu_visible_size = vdev->tt.base.size,
		.page_size = PAGE_SIZE,
	};
	int ret;

	if (vnpu_query_may_see_others()) {
		vram.used = vnpu_vram_used(&vdev->vram);
		vram.cpu_visible_used = vnpu_vram_visible_used(&vdev->vram);
		system.used = ttm_resource_manager_usage(&vdev->tt.base);
		system.cpu_visible_used = system.used;
	}

	ret = vnpu_query_put(query, &vram, sizeof(vram));
	return ret ?: vnpu_query_put(query, &system, sizeof(system));
}

static int vnpu_query_engines(struct vnpu_query *query)
{
	static const u64 capabilities[VNPU_NUM_ENGINE_CLASSES] = {
		[DRM_VNPU_ENGINE_COPY] = DRM_VNPU_ENGINE_CAP_COPY | DRM_VNPU_ENGINE_CAP_COPY_2D |
					 DRM_VNPU_ENGINE_CAP_FILL,
		[DRM_VNPU_ENGINE_TENSOR] = DRM_VNPU_ENGINE_CAP_GEMM |
					   DRM_VNPU_ENGINE_CAP_ELTWISE |
					   DRM_VNPU_ENGINE_CAP_REDUCE,
	};
	int ret = 0;
	u32 class, i;

	for (class = 0; class < VNPU_NUM_ENGINE_CLASSES; class++) {
		for (i = 0; !ret && i < query->vdev->class_count[class]; i++) {
			struct drm_vnpu_engine_info info = {
				.engine_class = class,
				.instance = i,
				.capabilities = capabilities[class],
			};

			ret = vnpu_query_put(query, &info, sizeof(info));
		}
	}

	return ret;
}

static int vnpu_query_clocks(struct vnpu_query *query)
{
	struct drm_vnpu_clock_info info = {
		.id = DRM_VNPU_CLOCK_DEVICE,
		.frequency = NSEC_PER_SEC,
	};
	struct vnpu_device *vdev = query->vdev;
	int idx;

	if (!drm_dev_enter(&vdev->drm, &idx))
		return -ENODEV;
	vnpu_device_timestamp(vdev, &info.ticks, &info.cpu_ns);
	drm_dev_exit(idx);

	return vnpu_query_put(query, &info, sizeof(info));
}

static int vnpu_query_init(struct vnpu_query *query, const struct drm_vnpu_array *array)
{
	if (!array->count)
		return 0;
	if (!array->stride || array->stride > VNPU_MAX_STRIDE)
		return -EINVAL;

	query->to = u64_to_user_ptr(array->array);
	if (array->array != (u64)(uintptr_t)query->to)
		return -EFAULT;

	query->stride = array->stride;
	query->room = array->count;
	return 0;
}

int vnpu_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	static int (* const queries[])(struct vnpu_query *query) = {
		[DRM_VNPU_DEV_QUERY_DEVICE] = vnpu_query_device,
		[DRM_VNPU_DEV_QUERY_REGIONS] = vnpu_query_regions,
		[DRM_VNPU_DEV_QUERY_ENGINES] = vnpu_query_engines,
		[DRM_VNPU_DEV_QUERY_CLOCKS] = vnpu_query_clocks,
	};
	struct vnpu_query query = { .vdev = to_vnpu_device(drm) };
	struct drm_vnpu_dev_query *args = data;
	int ret;

	if (args->type >= ARRAY_SIZE(queries) || args->flags)
		return -EINVAL;

	ret = vnpu_query_init(&query, &args->infos);
	if (ret)
		return ret;

	ret = queries[array_index_nospec(args->type, ARRAY_SIZE(queries))](&query);
	if (ret)
		return ret;

	args->infos.count = query.count;
	args->infos.stride = query.size;
	return 0;
}
