// SPDX-License-Identifier: MIT
#include "sys.h"

/*
 * int $0x80 takes its sixth argument in ebp, which the compiler may need for
 * itself, and the kernel may clobber r8 to r11.
 */
__asm__(".text\n"
	".globl sys32\n"
	".type sys32, @function\n"
	"sys32:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	mov %edi, %eax\n"
	"	mov %rsi, %r8\n"
	"	mov 0(%r8), %ebx\n"
	"	mov 4(%r8), %ecx\n"
	"	mov 8(%r8), %edx\n"
	"	mov 12(%r8), %esi\n"
	"	mov 16(%r8), %edi\n"
	"	mov 20(%r8), %ebp\n"
	"	int $0x80\n"
	"	movslq %eax, %rax\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n"
	".size sys32, . - sys32\n");
