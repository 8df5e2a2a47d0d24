// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

/*
 * A forked process can end before its parent's answer names it, so statuses of
 * unknown processes are kept for a while.
 */
#define STRANGERS 64

struct stranger {
	pid_t pid;
	int status;
};

struct remote *remotes;
static struct stranger strangers[STRANGERS];
static unsigned int next_stranger;
static uint32_t next_handle = 1;

struct remote *remote_find(uint32_t handle)
{
	struct remote *remote = remotes;

	while (remote && remote->handle != handle)
		remote = remote->next;
	return remote;
}

struct remote *remote_find_unborn(uint32_t parent, uint32_t seq)
{
	struct remote *remote = remotes;

	while (remote && (remote->pid || remote->parent != parent || remote->seq != seq))
		remote = remote->next;
	return remote;
}

struct remote *remote_new(int *child_socket)
{
	struct remote *remote;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return NULL;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	remote = calloc(1, sizeof(*remote));
	if (!remote)
		abort();
	remote->handle = next_handle++;
	channel_init(&remote->channel, ends[0]);
	remote->next = remotes;
	remotes = remote;
	*child_socket = ends[1];
	return remote;
}

int remote_spawn(struct remote **remote)
{
	int child_socket;
	pid_t pid;

	*remote = remote_new(&child_socket);
	if (!*remote)
		return -errno;
	pid = fork();
	if (pid == 0)
		process_main(child_socket);
	close(child_socket);
	if (pid < 0) {
		int error = -errno;

		(*remote)->detached = true;
		(*remote)->exited = true;
		remote_close(*remote);
		remote_release(*remote);
		return error;
	}
	remote_born(*remote, pid, pid);
	return 0;
}

void remote_born(struct remote *remote, pid_t pid, pid_t tid)
{
	remote->pid = pid;
	remote->tid = tid;
	for (int i = 0; pid == tid && i < STRANGERS; i++) {
		if (strangers[i].pid != pid)
			continue;
		remote->exited = true;
		remote->status = strangers[i].status;
		strangers[i].pid = 0;
	}
}

void remote_close(struct remote *remote)
{
	channel_reset(&remote->channel);
	if (remote->channel.fd >= 0)
		close(remote->channel.fd);
	remote->channel.fd = -1;
}

void remote_release(struct remote *remote)
{
	struct remote **link = &remotes;

	/* A thread is not waited for: it ends with its socket. */
	if (!remote->detached || (!remote->exited && remote->pid == remote->tid))
		return;
	while (*link != remote)
		link = &(*link)->next;
	*link = remote->next;
	free(remote);
}

static void remember(pid_t pid, int status)
{
	strangers[next_stranger++ % STRANGERS] = (struct stranger){ pid, status };
}

void remote_reap(void (*ended)(struct remote *remote))
{
	struct remote *remote;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		remote = remotes;
		while (remote && (remote->pid != pid || remote->tid != pid || remote->exited))
			remote = remote->next;
		if (!remote) {
			remember(pid, status);
			continue;
		}
		remote->exited = true;
		remote->status = status;
		ended(remote);
	}
}

int remote_signal(const struct remote *remote, int signal)
{
	long ret;

	if (!remote->pid || remote->exited)
		return -ESRCH;
	if (remote->pid == remote->tid)
		ret = kill(remote->pid, signal);
	else
		ret = syscall(SYS_tgkill, remote->pid, remote->tid, signal);
	return ret ? -errno : 0;
}
