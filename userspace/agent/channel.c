// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void channel_init(struct channel *channel, int fd)
{
	memset(channel, 0, sizeof(*channel));
	channel->fd = fd;
	channel->last = &channel->first;
}

void channel_reset(struct channel *channel)
{
	struct message *message, *next;

	for (message = channel->first; message; message = next) {
		next = message->next;
		message_free(message);
	}
	message_free(channel->incoming);
	channel_init(channel, channel->fd);
}

struct message *message_new(const struct frame *frame, const void *payload)
{
	struct message *message = malloc(sizeof(*message) + frame->length);

	if (!message)
		abort();
	message->next = NULL;
	message->sent = 0;
	message->passed = -1;
	message->frame = *frame;
	message->frame.magic = AGENT_MAGIC;
	if (payload)
		memcpy(message->payload, payload, frame->length);
	return message;
}

void message_free(struct message *message)
{
	if (!message)
		return;
	if (message->passed >= 0)
		close(message->passed);
	free(message);
}

void channel_queue(struct channel *channel, struct message *message)
{
	message->next = NULL;
	message->sent = 0;
	*channel->last = message;
	channel->last = &message->next;
	channel->queued += sizeof(message->frame) + message->frame.length;
}

static ssize_t send_some(int fd, struct message *message)
{
	const char *from = (const char *)&message->frame + message->sent;
	size_t left = sizeof(message->frame) + message->frame.length - message->sent;
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)from, left };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	/* Only sockets of processes carry descriptors; the port is no socket. */
	if (message->passed < 0 || message->sent)
		return write(fd, from, left);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &message->passed, sizeof(int));
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

enum channel_state channel_flush(struct channel *channel)
{
	while (channel->first) {
		struct message *message = channel->first;
		size_t total = sizeof(message->frame) + message->frame.length;
		ssize_t sent = send_some(channel->fd, message);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? CHANNEL_OK : CHANNEL_CLOSED;
		message->sent += (size_t)sent;
		if (message->sent < total)
			continue;
		channel->first = message->next;
		if (!channel->first)
			channel->last = &channel->first;
		channel->queued -= total;
		message_free(message);
	}
	return CHANNEL_OK;
}

/*
 * Drops bytes before the next magic number: after a reconnection in the middle
 * of a frame the stream finds back by itself. Returns whether the header is whole.
 */
static bool header_is_good(struct channel *channel)
{
	unsigned char *bytes = (unsigned char *)&channel->header;
	size_t skip = 1;

	if (channel->header.magic == AGENT_MAGIC && channel->header.length <= AGENT_MAX_PAYLOAD)
		return true;
	while (skip < sizeof(channel->header) && bytes[skip] != (AGENT_MAGIC & 0xff))
		skip++;
	memmove(bytes, bytes + skip, sizeof(channel->header) - skip);
	channel->received = sizeof(channel->header) - skip;
	return false;
}

static ssize_t receive_some(struct channel *channel)
{
	size_t head = sizeof(channel->header);

	if (channel->received < head)
		return read(channel->fd, (char *)&channel->header + channel->received,
			    head - channel->received);
	return read(channel->fd, channel->incoming->payload + (channel->received - head),
		    head + channel->header.length - channel->received);
}

enum channel_state channel_receive(struct channel *channel,
				   void (*handle)(void *context, struct message *message),
				   void *context)
{
	size_t head = sizeof(channel->header);

	for (;;) {
		ssize_t got = receive_some(channel);
		struct message *message;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? CHANNEL_OK : CHANNEL_CLOSED;
		if (got == 0)
			return CHANNEL_CLOSED;
		channel->received += (size_t)got;
		if (channel->received < head)
			continue;
		if (!channel->incoming) {
			if (!header_is_good(channel))
				continue;
			channel->incoming = message_new(&channel->header, NULL);
		}
		if (channel->received < head + channel->header.length)
			continue;
		message = channel->incoming;
		channel->incoming = NULL;
		channel->received = 0;
		handle(context, message);
	}
}
