/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_FDINFO_H
#define VNPU_FDINFO_H

struct drm_file;
struct drm_printer;

void vnpu_show_fdinfo(struct drm_printer *p, struct drm_file *file);

#endif
