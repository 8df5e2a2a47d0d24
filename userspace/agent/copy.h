/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_COPY_H
#define VNPU_AGENT_COPY_H

#include <stddef.h>
#include <stdint.h>

struct copy_result {
	long signal;		/* 0: done; else SIGSEGV or SIGBUS */
	uint64_t address;	/* what could not be touched */
};

/*
 * Copies memory that may not be there. 1, 2, 4 and 8 bytes are moved by a
 * single access, so that device registers see the width that was asked for.
 */
struct copy_result guarded_copy(void *to, const void *from, size_t length);

/* Installs the handlers that guarded_copy() needs; inherited by children. */
void guarded_copy_init(void);

#endif
