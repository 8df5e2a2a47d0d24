// SPDX-License-Identifier: GPL-2.0-only
/*
 * What moved, and has to be mapped again before a submit.
 */

#include <linux/list.h>
#include <linux/sched/signal.h>

#include <drm/drm_exec.h>
#include <drm/drm_gpuvm.h>

#include "vnpu_bind.h"
#include "vnpu_bind_job.h"
#include "vnpu_bo.h"
#include "vnpu_vm.h"

/*
 * Entries of page tables that one job of a rebind writes, in small pages, if it has
 * more than one mapping: it keeps the ring of all VMs for as long as that takes. How
 * many there are in all is up to the client.
 */
#define REBIND_ENTRIES	BIT_ULL(18)

/* A mapping of a BO of vnpu_vm.rebind, or the end: @va is NULL. */
struct rebind_pos {
	struct vnpu_vm_bo *vbo;
	struct drm_gpuva *va;
};

static struct rebind_pos rebind_first_of(struct vnpu_vm *vm, struct vnpu_vm_bo *vbo)
{
	struct rebind_pos pos = { .vbo = vbo };

	list_for_each_entry_from(pos.vbo, &vm->rebind, rebind) {
		pos.va = list_first_entry_or_null(&pos.vbo->base.list.gpuva,
						  struct drm_gpuva, gem.entry);
		if (pos.va)
			break;
	}
	return pos;
}

static struct rebind_pos rebind_next(struct vnpu_vm *vm, struct rebind_pos pos)
{
	if (list_is_last(&pos.va->gem.entry, &pos.vbo->base.list.gpuva))
		return rebind_first_of(vm, list_next_entry(pos.vbo, rebind));

	pos.va = list_next_entry(pos.va, gem.entry);
	return pos;
}

/* As many mappings from @pos on as fit; @end: the first that does not. */
static int rebind_prepare(struct vnpu_vm *vm, struct vnpu_bind_job *job, struct drm_exec *exec,
			  struct rebind_pos pos, struct rebind_pos *end)
{
	u64 entries = 0;
	int ret;

	do {
		struct drm_gpuva *va = pos.va;

		ret = vnpu_bind_job_prepare_map(job, to_vnpu_bo(va->gem.obj), va->gem.offset,
						va->va.addr, va->va.range);
		if (ret)
			return ret;

		pos = rebind_next(vm, pos);
		entries += va->va.range >> VNPU_PAGE_SHIFT;
	} while (pos.va && entries + (pos.va->va.range >> VNPU_PAGE_SHIFT) <= REBIND_ENTRIES);
	*end = pos;

	ret = vnpu_pt_prepare_done(&job->txn);
	if (!ret)
		ret = vnpu_bind_job_add_deps(job, exec);
	/* A synchronous bind of another line, that nobody waits for any more. */
	if (!ret && vm->needed)
		ret = drm_sched_job_add_dependency(&job->base.base, dma_fence_get(vm->needed));
	return ret;
}

/* No job of the VM runs, so what is replaced need not be shown on the way. */
static void rebind_map(struct vnpu_bind_job *job, struct vnpu_va *va)
{
	u64 addr = va->base.va.addr, size = va->base.va.range;

	job->txn.cut = (struct vnpu_pt_cut) {
		.va = addr,
		.end = addr + size,
		.drop = true,
	};
	vnpu_bind_job_map(job, to_vnpu_bo(va->base.gem.obj), va->base.gem.offset, addr, size,
			  va->readonly);
}

/* The mappings from @pos on that one job takes; moves @pos. */
static int rebind_part(struct vnpu_vm *vm, struct drm_exec *exec, struct rebind_pos *pos)
{
	struct vnpu_bind_job *job;
	struct rebind_pos end;
	int ret;

	/* The number of ranges is not known: the whole context if several. */
	job = vnpu_bind_job_create(vm, &vm->binds, 1, list_count_nodes(&vm->rebind), 0);
	if (IS_ERR(job))
		return PTR_ERR(job);

	ret = rebind_prepare(vm, job, exec, *pos, &end);
	if (ret) {
		vnpu_bind_job_abandon(job);
		return ret;
	}

	while (pos->va != end.va) {
		vnpu_vm_watch_content(vm, &pos->vbo->base);
		rebind_map(job, to_vnpu_va(pos->va));
		*pos = rebind_next(vm, *pos);
	}

	vnpu_vm_set_needed(vm, vnpu_bind_job_queue(job, vm, exec));
	return 0;
}

/* After an error some mappings may have been written anew, which does no harm. */
int vnpu_bind_rebind(struct vnpu_vm *vm, struct drm_exec *exec)
{
	struct rebind_pos pos;
	int ret = 0;

	pos = rebind_first_of(vm, list_first_entry(&vm->rebind, struct vnpu_vm_bo, rebind));
	while (!ret && pos.va) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = rebind_part(vm, exec, &pos);
	}
	return ret;
}
