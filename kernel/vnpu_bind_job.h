/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bind jobs: changes of page tables, on their way to the hardware.
 */

#ifndef VNPU_BIND_JOB_H
#define VNPU_BIND_JOB_H

#include <linux/list.h>
#include <linux/types.h>

#include "vnpu_job.h"
#include "vnpu_pt.h"

struct dma_fence;
struct drm_exec;
struct vnpu_bind_line;
struct vnpu_bind_pending;
struct vnpu_bo;
struct vnpu_stats;
struct vnpu_vm;

/* A change of page tables, on its way to the hardware. */
struct vnpu_bind_job {
	struct vnpu_job base;

	/* Context of the VM. */
	u32 ctx;

	/* What to write and to invalidate, and what is free after. */
	struct vnpu_pt_txn txn;

	/* The line that it is in, which may be gone when it has finished. */
	struct vnpu_bind_line *line;

	/* Its own finished fence, and that of the one before in the line, or NULL. */
	struct dma_fence *finished;
	struct dma_fence *before;

	/* Where it is in when it has been queued, else NULL; under the lock of it. */
	struct vnpu_bind_pending *pending;
	struct list_head link;

	/* Of the file that it counts for, or NULL: it may outlive the VM. */
	struct vnpu_stats *stats;

	/*
	 * Fences of contents that were not there when their BOs were mapped, and
	 * whether they failed, which is found out when the job runs. Indices are
	 * sources of @txn less one.
	 */
	struct dma_fence **contents;
	bool *bad;
	u32 num_contents;
	u32 max_contents;
};

/**
 * vnpu_bind_job_create() - Make a job
 * @vm: Its VM.
 * @line: That of the VM, or of a bind queue of it.
 * @num_ops: Operations that it carries out.
 * @max_contents: Number of BOs whose memory it may write entries for.
 * @client_id: Of the file that it is for.
 *
 * Return: The job, or an ERR_PTR. vnpu_bind_job_queue() or
 * vnpu_bind_job_abandon() is due.
 */
struct vnpu_bind_job *vnpu_bind_job_create(struct vnpu_vm *vm, struct vnpu_bind_line *line,
					   u32 num_ops, u32 max_contents, u64 client_id);

/* Has it count for a file. EDQUOT: that has as many as it may. */
int vnpu_bind_job_count(struct vnpu_bind_job *job, struct vnpu_stats *stats);

/* Have it wait for moves of all that is locked: see "Eviction". */
int vnpu_bind_job_add_deps(struct vnpu_bind_job *job, struct drm_exec *exec);

/* A range of a BO is going to be mapped. */
int vnpu_bind_job_prepare_map(struct vnpu_bind_job *job, struct vnpu_bo *bo,
			      u64 offset, u64 va, u64 size);

/* The source of a BO's memory, for the page tables. */
u32 vnpu_bind_job_source(struct vnpu_bind_job *job, struct vnpu_bo *bo);

/* Maps what was prepared; cannot fail. */
void vnpu_bind_job_map(struct vnpu_bind_job *job, struct vnpu_bo *bo,
		       u64 offset, u64 va, u64 size, bool readonly);

/**
 * vnpu_bind_job_queue() - Queue a job whose change is carried out
 * @job: Job.
 * @vm: Its VM, whose reservation is held.
 * @exec: Reservations that get its fence, with room for it.
 *
 * Return: Its finished fence, a borrowed reference.
 */
struct dma_fence *vnpu_bind_job_queue(struct vnpu_bind_job *job,
				      struct vnpu_vm *vm, struct drm_exec *exec);

/* Instead, where it is not queued: takes the prepared change back. */
void vnpu_bind_job_abandon(struct vnpu_bind_job *job);

#endif
