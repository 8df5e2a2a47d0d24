/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_CHANNEL_H
#define VNPU_AGENT_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "proto.h"

/* A frame on its way, header and payload in one piece. */
struct message {
	struct message *next;
	size_t sent;
	int passed;		/* descriptor that goes along, or -1 */
	struct frame frame;
	unsigned char payload[];
};

/* A byte stream of frames that never blocks the agent. */
struct channel {
	int fd;
	/* Being received: the header first, then into @incoming. */
	struct frame header;
	size_t received;
	struct message *incoming;
	/* Waiting to be sent */
	struct message *first, **last;
	size_t queued;		/* bytes */
};

enum channel_state {
	CHANNEL_OK,
	CHANNEL_CLOSED,		/* the other side is gone */
};

void channel_init(struct channel *channel, int fd);
/* Forgets half a frame and everything queued. */
void channel_reset(struct channel *channel);

struct message *message_new(const struct frame *frame, const void *payload);
void message_free(struct message *message);

/* Takes over @message. */
void channel_queue(struct channel *channel, struct message *message);
enum channel_state channel_flush(struct channel *channel);

/*
 * Reads what is there and calls @handle for each complete frame; @handle takes
 * over the message.
 */
enum channel_state channel_receive(struct channel *channel,
				   void (*handle)(void *context, struct message *message),
				   void *context);

#endif
