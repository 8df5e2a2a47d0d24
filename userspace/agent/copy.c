// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "copy.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

/*
 * The function keeps nothing on its stack, so the signal handler can end it
 * from any of its instructions by moving the instruction pointer to the fixup.
 * This needs no state per thread.
 */
__asm__(".text\n"
	".globl guarded_copy\n"
	".type guarded_copy, @function\n"
	"guarded_copy:\n"
	"	cmp $8, %rdx\n"
	"	je 8f\n"
	"	cmp $4, %rdx\n"
	"	je 4f\n"
	"	cmp $2, %rdx\n"
	"	je 2f\n"
	"	mov %rdx, %rcx\n"
	"	shr $3, %rcx\n"
	"	rep movsq\n"
	"	mov %rdx, %rcx\n"
	"	and $7, %rcx\n"
	"	rep movsb\n"
	"	jmp 1f\n"
	"8:	mov (%rsi), %rax\n"
	"	mov %rax, (%rdi)\n"
	"	jmp 1f\n"
	"4:	mov (%rsi), %eax\n"
	"	mov %eax, (%rdi)\n"
	"	jmp 1f\n"
	"2:	mov (%rsi), %ax\n"
	"	mov %ax, (%rdi)\n"
	"1:	xor %eax, %eax\n"
	"	xor %edx, %edx\n"
	"guarded_copy_fixup:\n"
	"	ret\n"
	".size guarded_copy, . - guarded_copy\n");

extern char guarded_copy_fixup[];

static void on_fault(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	uintptr_t ip = (uintptr_t)regs[REG_RIP];

	if (ip < (uintptr_t)guarded_copy || ip >= (uintptr_t)guarded_copy_fixup) {
		/* A fault of the agent's own: die from it when it repeats. */
		struct sigaction fatal = { .sa_handler = SIG_DFL };

		sigaction(signal, &fatal, NULL);
		return;
	}
	regs[REG_RAX] = signal;
	regs[REG_RDX] = (greg_t)info->si_addr;
	regs[REG_RIP] = (greg_t)guarded_copy_fixup;
}

void guarded_copy_init(void)
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}
