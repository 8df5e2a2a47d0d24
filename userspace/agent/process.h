/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_PROCESS_H
#define VNPU_AGENT_PROCESS_H

/*
 * Sockets to the agent live above the descriptors that tests use, so that
 * descriptor numbers in a remote process look as in any other program.
 */
#define SOCKET_BASE	4000
#define OPEN_FILES	4096

/* Serves batches from @socket until it closes; never returns. */
void process_loop(int socket) __attribute__((noreturn));

/* Makes the calling process, forked by the agent, a remote process. */
void process_main(int socket) __attribute__((noreturn));

#endif
