/* SPDX-License-Identifier: MIT */
/*
 * System calls without the C library: remote threads share one TLS block, so
 * nothing that they run may touch errno or the allocator.
 */
#ifndef VNPU_AGENT_SYS_H
#define VNPU_AGENT_SYS_H

#include <stdint.h>
#include <sys/syscall.h>

static inline long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define sys3(nr, a, b, c)	sys6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys2(nr, a, b)		sys3(nr, a, b, 0)
#define sys1(nr, a)		sys3(nr, a, 0, 0)

/* A system call through the 32-bit entry, as a 32-bit program makes it. */
long sys32(uint32_t nr, const uint32_t args[6]);

#endif
