/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VNPU_LATENCY_H
#define VNPU_LATENCY_H

struct seq_file;

int vnpu_latency_show(struct seq_file *m, void *data);

#endif
