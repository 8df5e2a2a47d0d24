/* SPDX-License-Identifier: MIT */
/*
 * Wire format between the host and the guest agent.
 *
 * Everything is little endian and naturally aligned; the agent only runs on
 * x86-64, so the structures are used as they lie in memory. The host's side of
 * this file is harness/vnpu/guest/protocol.py.
 */
#ifndef VNPU_AGENT_PROTO_H
#define VNPU_AGENT_PROTO_H

#include <stdint.h>

#define AGENT_PORT_NAME		"vnpu.agent"
/* In the kernel's log when the agent is gone; what waitpid() says follows. */
#define AGENT_ENDED		"vnpu-agent: the agent ended with wait status "
#define AGENT_VERSION		1
#define AGENT_MAGIC		0x41504e56u	/* "VNPA" */
#define AGENT_MAX_PAYLOAD	(4u << 20)

/* Target 0 is the agent itself; every remote process has its own number. */
#define AGENT_TARGET		0u

enum frame_type {
	/* To the agent */
	FRAME_HELLO = 1,
	FRAME_SPAWN = 2,	/* -> struct process_info */
	FRAME_SIGNAL = 3,	/* target process, struct signal_request */
	FRAME_POWEROFF = 4,
	/* To the agent, which passes them on with a socket for the child */
	FRAME_FORK = 5,		/* -> struct process_info */
	FRAME_THREAD = 6,	/* -> struct process_info */
	/* To a remote process */
	FRAME_RUN = 16,		/* struct run_request -> struct run_reply */
	FRAME_EXIT = 17,	/* struct exit_request, no reply */
	/* From the agent, unasked */
	FRAME_DETACHED = 64,	/* no more replies can come from the target */
	FRAME_EXITED = 65,	/* struct exit_event */

	FRAME_REPLY = 0x8000,	/* or'ed to the type of the request */
};

struct frame {
	uint32_t magic;
	uint32_t length;	/* bytes of payload after this header */
	uint32_t target;
	uint32_t seq;		/* chosen by the host, echoed in the reply */
	uint16_t type;
	uint16_t reserved;
	int32_t error;		/* replies: 0 or a negative errno */
};

struct hello_reply {
	uint32_t version;
	uint32_t page_size;
	uint32_t cpus;
	uint32_t service;	/* a root process that always exists */
	uint32_t service_pid;
	uint32_t failed;	/* number of modules that did not load */
	/* then the kernel release, NUL, and one line for each failed module */
};

struct process_info {
	uint32_t handle;
	uint32_t pid;
	uint32_t tid;
};

struct signal_request {
	int32_t signal;
};

struct exit_request {
	int32_t status;
};

struct exit_event {
	int32_t status;		/* as from waitpid() */
};

/*
 * A batch: steps run one after another, with arguments that may be results of
 * earlier steps or addresses inside the batch's scratch memory. The scratch
 * memory starts as a copy of the data sent along and is zero after that.
 */
enum step_op {
	STEP_SYSCALL = 1,	/* number: system call */
	STEP_SYSCALL32 = 2,	/* the same by the 32-bit entry */
	STEP_READ = 3,		/* arg 0: address, arg 1: length; data goes to the reply */
	STEP_WRITE = 4,		/* arg 0: to, arg 1: from, arg 2: length */
	STEP_ADD64 = 5,		/* arg 0: address, arg 1: what to add to the u64 there */
	STEP_COMPARE = 6,	/* arg 0, 1: addresses, arg 2: length -> where they differ */
};

enum arg_kind {
	ARG_VALUE = 0,		/* value */
	ARG_RESULT = 1,		/* result of step @step, plus value */
	ARG_SCRATCH = 2,	/* address of the scratch memory, plus value */
};

enum step_flags {
	STEP_STOP_ON_ERROR = 1,	/* a negative result ends the batch */
};

enum run_flags {
	RUN_TIMED = 1,		/* duration of each repetition goes to the reply */
};

#define STEP_MAX_ARGS	6
#define RUN_MAX_STEPS	4096u

struct step_arg {
	uint64_t value;
	uint32_t kind;
	uint32_t step;
};

struct step {
	uint16_t op;
	uint16_t flags;
	uint32_t number;
	struct step_arg args[STEP_MAX_ARGS];
};

struct run_request {
	uint32_t steps;
	uint32_t flags;
	uint32_t repeat;	/* times the whole batch runs, at least 1 */
	uint32_t data_length;	/* bytes of data after the steps */
	uint32_t scratch_length;	/* at least data_length */
	uint32_t reserved;
	/* then struct step[steps], then the data */
};

enum step_status {
	STATUS_NOT_RUN = 0,
	STATUS_DONE = 1,
	STATUS_FAULT = 2,	/* signal and fault_address tell which */
};

struct step_result {
	int64_t value;
	uint64_t fault_address;
	uint16_t status;
	uint16_t signal;
	uint32_t data_length;	/* bytes that this step added to the data */
};

struct run_reply {
	uint32_t steps;
	uint32_t repetitions;	/* complete ones */
	uint32_t durations;	/* 0, or the same as repetitions */
	uint32_t data_length;
	/*
	 * then struct step_result[steps] of the last repetition, then
	 * uint64_t[durations] in nanoseconds, then the data
	 */
};

#endif
