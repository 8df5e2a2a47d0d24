// SPDX-License-Identifier: GPL-2.0-only
/* A workqueue for each processor has to be asked for. */
#include <linux/workqueue.h>

int vnpu_probe(void);
int vnpu_probe(void)
{
	return WQ_PERCPU;
}
