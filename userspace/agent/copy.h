/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_COPY_H
#define VNPU_AGENT_COPY_H

#include <stddef.h>
#include <stdint.h>

struct copy_result {
	long signal;		/* 0: done; else SIGSEGV or SIGBUS */
	uint64_t address;	/* what could not be touched; guarded_compare(): see there */
};

/*
 * Copies memory that may not be there. 1, 2, 4 and 8 bytes are moved by a
 * single access, so that device registers see the width that was asked for.
 */
struct copy_result guarded_copy(void *to, const void *from, size_t length);

/*
 * Compares memory that may not be there. If all could be touched, address is the
 * offset of the first byte that differs, or length.
 */
struct copy_result guarded_compare(const void *a, const void *b, size_t length);

/* Installs the handlers that the others need; inherited by children. */
void guarded_init(void);

#endif
