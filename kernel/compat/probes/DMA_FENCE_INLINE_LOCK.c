// SPDX-License-Identifier: GPL-2.0-only
/* A fence may have a lock of its own, and detaches from its ops when signalled. */
#include <linux/dma-fence.h>

spinlock_t *vnpu_probe(struct dma_fence *fence);
spinlock_t *vnpu_probe(struct dma_fence *fence)
{
	return &fence->inline_lock;
}
