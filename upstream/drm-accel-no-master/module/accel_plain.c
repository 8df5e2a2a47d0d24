// SPDX-License-Identifier: GPL-2.0-only
/*
 * An accel device that does nothing: what DRM core makes of its ioctls alone.
 */

#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include <drm/drm_accel.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>

DEFINE_DRM_ACCEL_FOPS(accel_plain_fops);

static const struct drm_driver accel_plain_driver = {
	.driver_features = DRIVER_COMPUTE_ACCEL | DRIVER_GEM | DRIVER_SYNCOBJ |
			   DRIVER_SYNCOBJ_TIMELINE,
	.fops = &accel_plain_fops,
	.name = "accel_plain",
	.desc = "accel device without a driver of its own",
	.major = 1,
};

static struct platform_device *accel_plain_parent;
static struct drm_device *accel_plain_drm;

static int __init accel_plain_init(void)
{
	int ret;

	accel_plain_parent = platform_device_register_simple("accel_plain", -1, NULL, 0);
	if (IS_ERR(accel_plain_parent))
		return PTR_ERR(accel_plain_parent);

	accel_plain_drm = drm_dev_alloc(&accel_plain_driver, &accel_plain_parent->dev);
	if (IS_ERR(accel_plain_drm)) {
		ret = PTR_ERR(accel_plain_drm);
		goto err_parent;
	}

	ret = drm_dev_register(accel_plain_drm, 0);
	if (ret)
		goto err_drm;

	return 0;

err_drm:
	drm_dev_put(accel_plain_drm);
err_parent:
	platform_device_unregister(accel_plain_parent);
	return ret;
}

static void __exit accel_plain_exit(void)
{
	drm_dev_unregister(accel_plain_drm);
	drm_dev_put(accel_plain_drm);
	platform_device_unregister(accel_plain_parent);
}

module_init(accel_plain_init);
module_exit(accel_plain_exit);

MODULE_DESCRIPTION("accel device without a driver of its own");
MODULE_LICENSE("GPL");
