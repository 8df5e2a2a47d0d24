// SPDX-License-Identifier: MIT
/* Batches of system calls and memory accesses, see proto.h. */
#include "batch.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "copy.h"
#include "sys.h"

struct batch {
	const struct run_request *run;
	const struct step *steps;
	unsigned char *scratch;
	struct step_result *results;
	uint64_t *durations;
	unsigned char *data;
	size_t data_used;
	size_t data_room;
};

int buffer_reserve(struct buffer *buffer, size_t capacity)
{
	long mapped;

	if (capacity <= buffer->capacity)
		return 0;
	capacity = (capacity + 0xffff) & ~(size_t)0xffff;
	mapped = sys6(SYS_mmap, 0, (long)capacity, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapped < 0)
		return (int)mapped;
	buffer_free(buffer);
	buffer->memory = (unsigned char *)mapped;
	buffer->capacity = capacity;
	return 0;
}

void buffer_free(struct buffer *buffer)
{
	if (buffer->memory)
		sys2(SYS_munmap, buffer->memory, buffer->capacity);
	buffer->memory = NULL;
	buffer->capacity = 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t argument(const struct batch *batch, const struct step *step, int i)
{
	const struct step_arg *arg = &step->args[i];

	switch (arg->kind) {
	case ARG_RESULT:
		return (uint64_t)batch->results[arg->step].value + arg->value;
	case ARG_SCRATCH:
		return (uintptr_t)batch->scratch + arg->value;
	default:
		return arg->value;
	}
}

static int64_t run_syscall(const struct batch *batch, const struct step *step)
{
	long args[STEP_MAX_ARGS];

	for (int i = 0; i < STEP_MAX_ARGS; i++)
		args[i] = (long)argument(batch, step, i);
	return sys6((long)step->number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

static int64_t run_syscall32(const struct batch *batch, const struct step *step)
{
	uint32_t args[STEP_MAX_ARGS];

	for (int i = 0; i < STEP_MAX_ARGS; i++)
		args[i] = (uint32_t)argument(batch, step, i);
	return sys32(step->number, args);
}

static void set_copied(struct step_result *result, struct copy_result copy, int64_t value)
{
	result->status = copy.signal ? STATUS_FAULT : STATUS_DONE;
	result->signal = (uint16_t)copy.signal;
	result->fault_address = copy.address;
	result->value = copy.signal ? -EFAULT : value;
}

static void run_read(struct batch *batch, const struct step *step, struct step_result *result)
{
	const void *from = (const void *)argument(batch, step, 0);
	size_t length = argument(batch, step, 1);

	/* A length that is an earlier result may be an error or be too large. */
	if ((int64_t)length < 0)
		length = 0;
	if (length > batch->data_room - batch->data_used) {
		result->status = STATUS_DONE;
		result->value = -ENOBUFS;
		return;
	}
	set_copied(result, guarded_copy(batch->data + batch->data_used, from, length),
		   (int64_t)length);
	if (result->status != STATUS_DONE)
		return;
	result->data_length = (uint32_t)length;
	batch->data_used += length;
}

static void run_write(struct batch *batch, const struct step *step, struct step_result *result)
{
	void *to = (void *)argument(batch, step, 0);
	const void *from = (const void *)argument(batch, step, 1);
	size_t length = argument(batch, step, 2);

	set_copied(result, guarded_copy(to, from, length), (int64_t)length);
}

static void run_add64(struct batch *batch, const struct step *step, struct step_result *result)
{
	void *address = (void *)argument(batch, step, 0);
	struct copy_result copy;
	uint64_t value;

	copy = guarded_copy(&value, address, sizeof(value));
	if (!copy.signal) {
		value += argument(batch, step, 1);
		copy = guarded_copy(address, &value, sizeof(value));
	}
	set_copied(result, copy, (int64_t)value);
}

static void run_compare(struct batch *batch, const struct step *step, struct step_result *result)
{
	const void *a = (const void *)argument(batch, step, 0);
	const void *b = (const void *)argument(batch, step, 1);
	struct copy_result compared = guarded_compare(a, b, argument(batch, step, 2));

	set_copied(result, compared, (int64_t)compared.address);
}

/* Returns whether the batch goes on. */
static bool run_step(struct batch *batch, uint32_t i)
{
	const struct step *step = &batch->steps[i];
	struct step_result *result = &batch->results[i];

	*result = (struct step_result){ .status = STATUS_DONE };
	switch (step->op) {
	case STEP_SYSCALL:
		result->value = run_syscall(batch, step);
		break;
	case STEP_SYSCALL32:
		result->value = run_syscall32(batch, step);
		break;
	case STEP_READ:
		run_read(batch, step, result);
		break;
	case STEP_WRITE:
		run_write(batch, step, result);
		break;
	case STEP_ADD64:
		run_add64(batch, step, result);
		break;
	case STEP_COMPARE:
		run_compare(batch, step, result);
		break;
	}
	if (!(step->flags & STEP_STOP_ON_ERROR))
		return true;
	/* Addresses in the upper half are not errors; only errno values are. */
	return result->status == STATUS_DONE && !(result->value < 0 && result->value >= -4095);
}

static bool run_once(struct batch *batch)
{
	memset(batch->results, 0, batch->run->steps * sizeof(*batch->results));
	batch->data_used = 0;
	for (uint32_t i = 0; i < batch->run->steps; i++) {
		if (!run_step(batch, i))
			return false;
	}
	return true;
}

static bool step_is_valid(const struct step *step, uint32_t index)
{
	if (step->op < STEP_SYSCALL || step->op > STEP_COMPARE)
		return false;
	for (int i = 0; i < STEP_MAX_ARGS; i++) {
		if (step->args[i].kind > ARG_SCRATCH)
			return false;
		if (step->args[i].kind == ARG_RESULT && step->args[i].step >= index)
			return false;
	}
	return true;
}

static bool run_is_valid(const struct run_request *run, size_t length)
{
	const struct step *steps = (const struct step *)(run + 1);

	if (length < sizeof(*run) || run->steps > RUN_MAX_STEPS || !run->repeat)
		return false;
	if (run->data_length > run->scratch_length || run->scratch_length > AGENT_MAX_PAYLOAD)
		return false;
	if (length != sizeof(*run) + run->steps * sizeof(*steps) + run->data_length)
		return false;
	for (uint32_t i = 0; i < run->steps; i++) {
		if (!step_is_valid(&steps[i], i))
			return false;
	}
	return true;
}

/* The request is moved when it must grow by the zeroed part of the scratch memory. */
static int reserve_scratch(struct buffer *request, size_t length)
{
	const struct run_request *run = (const struct run_request *)request->memory;
	size_t extra = run->scratch_length - run->data_length;
	struct buffer larger = { 0 };
	int ret;

	if (length + extra > request->capacity) {
		ret = buffer_reserve(&larger, length + extra);
		if (ret)
			return ret;
		memcpy(larger.memory, request->memory, length);
		buffer_free(request);
		*request = larger;
	}
	memset(request->memory + length, 0, extra);
	return 0;
}

long batch_run(struct buffer *request, size_t length, struct buffer *reply)
{
	struct run_request *run = (struct run_request *)request->memory;
	struct run_reply *out;
	struct batch batch;
	bool more = true;
	size_t head;
	int ret;

	if (!run_is_valid(run, length))
		return -EINVAL;
	ret = reserve_scratch(request, length);
	if (ret)
		return ret;
	run = (struct run_request *)request->memory;

	head = sizeof(*out) + run->steps * sizeof(struct step_result);
	if (run->flags & RUN_TIMED)
		head += (size_t)run->repeat * sizeof(uint64_t);
	if (head > AGENT_MAX_PAYLOAD)
		return -EINVAL;
	ret = buffer_reserve(reply, AGENT_MAX_PAYLOAD);
	if (ret)
		return ret;

	out = (struct run_reply *)reply->memory;
	*out = (struct run_reply){ .steps = run->steps };
	batch = (struct batch){
		.run = run,
		.steps = (const struct step *)(run + 1),
		.results = (struct step_result *)(out + 1),
		.data = reply->memory + head,
		.data_room = AGENT_MAX_PAYLOAD - head,
	};
	batch.scratch = (unsigned char *)(batch.steps + run->steps);
	batch.durations = (uint64_t *)(batch.results + run->steps);

	while (more && out->repetitions < run->repeat) {
		uint64_t start = now_ns();

		more = run_once(&batch);
		if (run->flags & RUN_TIMED)
			batch.durations[out->repetitions] = now_ns() - start;
		out->repetitions += more;
	}

	/* When the last repetition was cut short, its data follow the others' times. */
	if (run->flags & RUN_TIMED) {
		size_t used = sizeof(*out) + run->steps * sizeof(struct step_result) +
			      out->repetitions * sizeof(uint64_t);

		out->durations = out->repetitions;
		memmove(reply->memory + used, batch.data, batch.data_used);
		head = used;
	}
	out->data_length = (uint32_t)batch.data_used;
	return (long)(head + batch.data_used);
}
