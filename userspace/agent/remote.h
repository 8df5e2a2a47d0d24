/* SPDX-License-Identifier: MIT */
/* The agent's view of the remote processes. */
#ifndef VNPU_AGENT_REMOTE_H
#define VNPU_AGENT_REMOTE_H

#include <sys/types.h>

#include "channel.h"

struct remote {
	struct remote *next;
	uint32_t handle;
	uint32_t parent;	/* that is asked to make this one, while pid is 0 */
	uint32_t seq;		/* of the request that makes this one */
	pid_t pid;
	pid_t tid;		/* differs from pid in threads */
	bool detached;		/* its socket closed */
	bool exited;		/* it was waited for */
	int status;
	struct channel channel;
};

extern struct remote *remotes;

struct remote *remote_find(uint32_t handle);
/* The one that @parent was asked to make by request @seq. */
struct remote *remote_find_unborn(uint32_t parent, uint32_t seq);

/* Makes an entry and its socket; @child_socket is the process's end. NULL with errno. */
struct remote *remote_new(int *child_socket);
/* Forks a process of the agent's own; 0 or a negative errno. */
int remote_spawn(struct remote **remote);
/* Its process exists now; a status that came before this is found. */
void remote_born(struct remote *remote, pid_t pid, pid_t tid);

void remote_close(struct remote *remote);
/* Frees the entry once nothing can come from it any more. */
void remote_release(struct remote *remote);
/* Collects ended processes, calling @ended for those that are remote. */
void remote_reap(void (*ended)(struct remote *remote));
int remote_signal(const struct remote *remote, int signal);

#endif
