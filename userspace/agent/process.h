/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_PROCESS_H
#define VNPU_AGENT_PROCESS_H

/*
 * Sockets to the agent live above the descriptors that tests use, so that
 * descriptor numbers in a remote process look as in any other program. Threads
 * share a table of descriptors: each has its socket in it.
 */
#define SOCKET_BASE	4000
/* What the kernel allows by default: fs.nr_open */
#define OPEN_FILES	(1u << 20)

/*
 * Serves batches from @socket until it closes; never returns. @stack is a
 * thread's, which goes with it; NULL in a process.
 */
void process_loop(int socket, void *stack) __attribute__((noreturn));

/* Makes the calling process, forked by the agent, a remote process. */
void process_main(int socket) __attribute__((noreturn));

#endif
