// SPDX-License-Identifier: MIT
/* Carries frames between the host's port and the remote processes. */
#define _GNU_SOURCE
#include "mux.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "modules.h"
#include "port.h"
#include "remote.h"

#define MAX_POLLED	4096
/* Above this, who fills a queue is not read from until it drains. */
#define QUEUE_LIMIT	(16u << 20)
/* How often a port without a host is looked at; the kernel gives no event. */
#define RECONNECT_MS	10
#define SPARES		2

static struct channel port;
static bool port_connected = true;
static struct remote *service;
/*
 * Processes forked ahead: after a snapshot is restored nothing is translated
 * yet, and a fork is a long way through the kernel.
 */
static struct remote *spares[SPARES];
static bool stopping;

static void send_to_host(const struct frame *frame, const void *payload)
{
	channel_queue(&port, message_new(frame, payload));
}

static void reply_to_host(const struct frame *request, int error, const void *payload,
			  size_t length)
{
	struct frame frame = {
		.length = (uint32_t)length,
		.target = request->target,
		.seq = request->seq,
		.type = request->type | FRAME_REPLY,
		.error = error,
	};

	send_to_host(&frame, payload);
}

static void tell_exited(struct remote *remote)
{
	struct exit_event event = { .status = remote->status };
	struct frame frame = {
		.length = sizeof(event),
		.target = remote->handle,
		.type = FRAME_EXITED,
	};

	send_to_host(&frame, &event);
}

static void forget_spare(const struct remote *remote)
{
	for (size_t i = 0; i < SPARES; i++) {
		if (spares[i] == remote)
			spares[i] = NULL;
	}
}

static void on_exited(struct remote *remote)
{
	forget_spare(remote);
	/* What it wrote before it died comes first. */
	if (remote->detached) {
		tell_exited(remote);
		remote_release(remote);
	}
}

static void on_detached(struct remote *remote)
{
	struct frame frame = { .target = remote->handle, .type = FRAME_DETACHED };

	remote->detached = true;
	forget_spare(remote);
	remote_close(remote);
	send_to_host(&frame, NULL);
	if (remote->exited)
		tell_exited(remote);
	remote_release(remote);
}

/*
 * Written once: it is the first answer of a restored guest, of which nothing is
 * translated yet, and to ask for the processors is a long way through the kernel.
 */
static struct {
	struct hello_reply reply;
	char text[1024];
} hello;
static size_t hello_length;

static void prepare_hello(void)
{
	struct utsname name;
	int length;

	uname(&name);
	hello.reply = (struct hello_reply){
		.version = AGENT_VERSION,
		.page_size = (uint32_t)sysconf(_SC_PAGESIZE),
		.cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
		.service = service->handle,
		.service_pid = (uint32_t)service->pid,
		.failed = modules_failed,
	};
	length = snprintf(hello.text, sizeof(hello.text), "%s%c%s", name.release, 0,
			  modules_failures);
	if (length >= (int)sizeof(hello.text))
		length = sizeof(hello.text) - 1;
	hello_length = sizeof(hello.reply) + (size_t)length;
}

static void say_hello(const struct frame *request)
{
	struct frame none = { .type = FRAME_HELLO };

	reply_to_host(request ? request : &none, 0, &hello, hello_length);
}

static struct remote *take_spare(void)
{
	struct remote *remote = NULL;

	for (size_t i = 0; i < SPARES && !remote; i++) {
		remote = spares[i];
		spares[i] = NULL;
	}
	return remote;
}

static void spawn(const struct message *message)
{
	struct process_info info;
	struct remote *remote = take_spare();
	int error = remote ? 0 : remote_spawn(&remote);

	if (error) {
		reply_to_host(&message->frame, error, NULL, 0);
		return;
	}
	info = (struct process_info){ remote->handle, (uint32_t)remote->pid,
				      (uint32_t)remote->tid };
	reply_to_host(&message->frame, 0, &info, sizeof(info));
}

static void send_signal(const struct message *message)
{
	struct remote *remote = remote_find(message->frame.target);
	struct signal_request request;
	int error = -EINVAL;

	if (message->frame.length == sizeof(request)) {
		memcpy(&request, message->payload, sizeof(request));
		error = remote ? remote_signal(remote, request.signal) : -ESRCH;
	}
	reply_to_host(&message->frame, error, NULL, 0);
}

/* The parent makes the child; the agent makes the socket, so that it holds the other end. */
static int prepare_child(struct message *message)
{
	struct remote *child;
	int child_socket;

	child = remote_new(&child_socket);
	if (!child)
		return -errno;
	child->parent = message->frame.target;
	child->seq = message->frame.seq;
	message->passed = child_socket;
	return 0;
}

static void to_remote(struct message *message)
{
	struct remote *remote = remote_find(message->frame.target);
	int error = 0;

	if (!remote || remote->detached)
		error = -ESRCH;
	else if (message->frame.type == FRAME_FORK || message->frame.type == FRAME_THREAD)
		error = prepare_child(message);
	if (error) {
		reply_to_host(&message->frame, error, NULL, 0);
		message_free(message);
		return;
	}
	channel_queue(&remote->channel, message);
	/* A dead process shows by its socket's end, which poll() reports. */
	channel_flush(&remote->channel);
}

static void on_host_frame(void *context, struct message *message)
{
	(void)context;
	switch (message->frame.type) {
	case FRAME_HELLO:
		say_hello(&message->frame);
		break;
	case FRAME_SPAWN:
		spawn(message);
		break;
	case FRAME_SIGNAL:
		send_signal(message);
		break;
	case FRAME_POWEROFF:
		stopping = true;
		break;
	default:
		to_remote(message);
		return;
	}
	message_free(message);
}

static void finish_child(struct remote *parent, struct message *message)
{
	struct remote *child = remote_find_unborn(parent->handle, message->frame.seq);
	struct process_info info;

	if (!child || message->frame.error || message->frame.length != sizeof(info))
		return;	/* its socket closes, which releases it */
	memcpy(&info, message->payload, sizeof(info));
	remote_born(child, (pid_t)info.pid, (pid_t)info.tid);
	info.handle = child->handle;
	memcpy(message->payload, &info, sizeof(info));
}

static void on_remote_frame(void *context, struct message *message)
{
	uint16_t type = message->frame.type & ~FRAME_REPLY;

	if (type == FRAME_FORK || type == FRAME_THREAD)
		finish_child(context, message);
	channel_queue(&port, message);
}

static void on_port_closed(void)
{
	port_connected = false;
	channel_reset(&port);
}

static void handle_remote(struct remote *remote, short events)
{
	enum channel_state state = CHANNEL_OK;

	if (events & POLLOUT)
		channel_flush(&remote->channel);
	if (events & (POLLIN | POLLHUP | POLLERR))
		state = channel_receive(&remote->channel, on_remote_frame, remote);
	if (state == CHANNEL_CLOSED)
		on_detached(remote);
}

static short wanted_events(const struct channel *channel, const struct channel *to)
{
	short events = 0;

	if (!to || to->queued < QUEUE_LIMIT)
		events |= POLLIN;
	if (channel->first)
		events |= POLLOUT;
	return events;
}

static bool remotes_are_flooded(void)
{
	for (struct remote *remote = remotes; remote; remote = remote->next) {
		if (remote->channel.queued >= QUEUE_LIMIT)
			return true;
	}
	return false;
}

static void handle_port(short events)
{
	/* A port that hung up reports so for ever: wait before looking again. */
	if (events & POLLHUP && !(events & POLLIN)) {
		on_port_closed();
		poll(NULL, 0, RECONNECT_MS);
		return;
	}
	port_connected = true;
	if (events & POLLIN && channel_receive(&port, on_host_frame, NULL) == CHANNEL_CLOSED)
		on_port_closed();
}

static void serve_once(int signals)
{
	struct pollfd polled[MAX_POLLED];
	uint32_t handles[MAX_POLLED];
	struct signalfd_siginfo info;
	int count = 2;

	polled[0] = (struct pollfd){ port.fd, wanted_events(&port, NULL), 0 };
	if (remotes_are_flooded())
		polled[0].events &= ~POLLIN;
	polled[1] = (struct pollfd){ signals, POLLIN, 0 };
	for (struct remote *remote = remotes; remote && count < MAX_POLLED; remote = remote->next) {
		if (remote->detached)
			continue;
		polled[count].fd = remote->channel.fd;
		polled[count].events = wanted_events(&remote->channel, &port);
		handles[count++] = remote->handle;
	}
	if (poll(polled, (nfds_t)count, -1) < 0)
		return;
	for (int i = 2; i < count; i++) {
		struct remote *remote = remote_find(handles[i]);

		if (remote && !remote->detached && polled[i].revents)
			handle_remote(remote, polled[i].revents);
	}
	if (polled[1].revents && read(signals, &info, sizeof(info)) == sizeof(info))
		remote_reap(on_exited);
	if (polled[0].revents)
		handle_port(polled[0].revents);
	if (port_connected)
		channel_flush(&port);
}

void mux_run(void)
{
	sigset_t set;
	int signals;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);

	channel_init(&port, port_open(AGENT_PORT_NAME));
	if (remote_spawn(&service))
		abort();
	for (size_t i = 0; i < SPARES; i++) {
		if (remote_spawn(&spares[i]))
			spares[i] = NULL;
	}
	prepare_hello();
	say_hello(NULL);
	while (!stopping)
		serve_once(signals);
}
