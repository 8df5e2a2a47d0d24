/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_DEBUGFS_H
#define VNPU_DEBUGFS_H

struct vnpu_device;

#ifdef CONFIG_DEBUG_FS
void vnpu_debugfs_init(struct vnpu_device *vdev);
#else
static inline void vnpu_debugfs_init(struct vnpu_device *vdev)
{
}
#endif

#endif
