// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "copy.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

/*
 * The functions keep nothing on their stacks, so the signal handler can end them
 * from any of their instructions by moving the instruction pointer to the fixup.
 * This needs no state per thread.
 */
__asm__(".text\n"
	".globl guarded_compare\n"
	".type guarded_compare, @function\n"
	"guarded_compare:\n"
	"	xor %ecx, %ecx\n"
	"	mov %rdx, %r8\n"
	"	and $-32, %r8\n"
	"5:	cmp %r8, %rcx\n"
	"	jae 6f\n"
	"	mov (%rdi, %rcx), %rax\n"
	"	xor (%rsi, %rcx), %rax\n"
	"	mov 8(%rdi, %rcx), %r9\n"
	"	xor 8(%rsi, %rcx), %r9\n"
	"	or %r9, %rax\n"
	"	mov 16(%rdi, %rcx), %r9\n"
	"	xor 16(%rsi, %rcx), %r9\n"
	"	or %r9, %rax\n"
	"	mov 24(%rdi, %rcx), %r9\n"
	"	xor 24(%rsi, %rcx), %r9\n"
	"	or %r9, %rax\n"
	"	jnz 6f\n"
	"	add $32, %rcx\n"
	"	jmp 5b\n"
	/* What is left is short, or the difference is near. */
	"6:	cmp %rdx, %rcx\n"
	"	jae 7f\n"
	"	mov (%rdi, %rcx), %al\n"
	"	cmp (%rsi, %rcx), %al\n"
	"	jne 7f\n"
	"	inc %rcx\n"
	"	jmp 6b\n"
	"7:	mov %rcx, %rdx\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	".size guarded_compare, . - guarded_compare\n"
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
	"guarded_fixup:\n"
	"	ret\n"
	".size guarded_copy, . - guarded_copy\n");

extern char guarded_fixup[];

static void on_fault(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	uintptr_t ip = (uintptr_t)regs[REG_RIP];

	if (ip < (uintptr_t)guarded_compare || ip >= (uintptr_t)guarded_fixup) {
		/* A fault of the agent's own: die from it when it repeats. */
		struct sigaction fatal = { .sa_handler = SIG_DFL };

		sigaction(signal, &fatal, NULL);
		return;
	}
	regs[REG_RAX] = signal;
	regs[REG_RDX] = (greg_t)info->si_addr;
	regs[REG_RIP] = (greg_t)guarded_fixup;
}

void guarded_init(void)
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}
