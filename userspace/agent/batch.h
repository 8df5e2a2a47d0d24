/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_BATCH_H
#define VNPU_AGENT_BATCH_H

#include <stddef.h>

#include "proto.h"

/* Memory that grows and keeps nothing over a growth. */
struct buffer {
	unsigned char *memory;
	size_t capacity;
};

/* 0 or a negative errno */
int buffer_reserve(struct buffer *buffer, size_t capacity);
void buffer_free(struct buffer *buffer);

/*
 * Runs the batch in @request, whose buffer holds @length bytes of payload, and
 * builds the reply's payload in @reply. Returns its length or a negative errno
 * for a malformed batch.
 */
long batch_run(struct buffer *request, size_t length, struct buffer *reply);

#endif
