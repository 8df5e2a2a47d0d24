// SPDX-License-Identifier: MIT
/*
 * A remote process: reads requests from its socket, does them, answers.
 * Threads run the same loop in shared memory, so only raw system calls here.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "batch.h"
#include "copy.h"
#include "proto.h"
#include "sys.h"

#define THREAD_STACK	(64u << 10)

static void leave(int socket, int status) __attribute__((noreturn));
static void leave(int socket, int status)
{
	sys1(SYS_close, socket);
	for (;;)
		sys1(SYS_exit_group, status);
}

/* From the first of the two calls on there is no stack to return to. */
static void unmap_and_exit(void *stack) __attribute__((noreturn));
static void unmap_and_exit(void *stack)
{
	__asm__ volatile("syscall\n"
			 "	mov %[exit], %%eax\n"
			 "	xor %%edi, %%edi\n"
			 "	syscall\n"
			 :
			 : "a"(SYS_munmap), "D"(stack), "S"((unsigned long)THREAD_STACK),
			   [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	__builtin_unreachable();
}

static void leave_thread(int socket, void *stack) __attribute__((noreturn));
static void leave_thread(int socket, void *stack)
{
	unsigned long all = ~0ul;

	/* A handler would need the stack. */
	sys6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, sizeof(all), 0, 0);
	/*
	 * Threads share the descriptor table: without the close nobody would
	 * see this one go.
	 */
	sys1(SYS_close, socket);
	unmap_and_exit(stack);
}

/* Receives exactly @length bytes, and the descriptor that comes with them. */
static bool receive(int socket, void *to, size_t length, int *passed)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct cmsghdr *cmsg;

	while (length) {
		struct iovec iov = { to, length };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		long got = sys3(SYS_recvmsg, socket, &msg, MSG_CMSG_CLOEXEC);

		if (got == -EINTR)
			continue;
		if (got <= 0)
			return false;
		cmsg = CMSG_FIRSTHDR(&msg);
		if (cmsg && passed && cmsg->cmsg_type == SCM_RIGHTS)
			memcpy(passed, CMSG_DATA(cmsg), sizeof(int));
		to = (char *)to + got;
		length -= (size_t)got;
	}
	return true;
}

/* Sends both parts in one go, so that the reader wakes up once. */
static bool send_all(int socket, struct iovec *iov, int parts)
{
	while (parts) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)parts };
		long sent = sys3(SYS_sendmsg, socket, &msg, MSG_NOSIGNAL);

		if (sent == -EINTR)
			continue;
		if (sent <= 0)
			return false;
		while (parts && (size_t)sent >= iov->iov_len) {
			sent -= (long)iov->iov_len;
			iov++;
			parts--;
		}
		if (parts) {
			iov->iov_base = (char *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
	return true;
}

static bool answer(int socket, const struct frame *request, int error, const void *payload,
		   size_t length)
{
	struct frame reply = {
		.magic = AGENT_MAGIC,
		.length = (uint32_t)length,
		.target = request->target,
		.seq = request->seq,
		.type = request->type | FRAME_REPLY,
		.error = error,
	};

	struct iovec iov[] = {
		{ &reply, sizeof(reply) },
		{ (void *)payload, length },
	};

	return send_all(socket, iov, length ? 2 : 1);
}

/* Moves a received socket out of the way; returns the new number or an error. */
static int move_up(int socket)
{
	long moved = sys3(SYS_fcntl, socket, F_DUPFD_CLOEXEC, SOCKET_BASE);

	sys1(SYS_close, socket);
	return (int)moved;
}

/* The other sockets belong to the parent and its threads. */
static void close_sockets_but(int socket)
{
	if (socket > SOCKET_BASE)
		sys3(SYS_close_range, SOCKET_BASE, socket - 1, 0);
	sys3(SYS_close_range, socket + 1, ~0u, 0);
}

static void start_thread(long socket, void *stack) __attribute__((noreturn, used));
static void start_thread(long socket, void *stack)
{
	process_loop((int)socket, stack);
}

/*
 * clone() for a child that begins on its own stack. The C library's wrapper is
 * out of the question because its thread functions expect their own TLS.
 */
long clone_thread(unsigned long flags, void *stack_top, long socket, void *stack);
__asm__(".text\n"
	".globl clone_thread\n"
	".type clone_thread, @function\n"
	"clone_thread:\n"
	"	mov %rdx, %r9\n"
	"	mov %rcx, %r8\n"	/* a TLS that the flags do not ask for */
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	mov $56, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xor %ebp, %ebp\n"
	"	mov %r9, %rdi\n"
	"	mov %r8, %rsi\n"
	"	call start_thread\n"
	"	ud2\n"
	".size clone_thread, . - clone_thread\n");

static long make_thread(int socket)
{
	long stack = sys6(SYS_mmap, 0, THREAD_STACK, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			      CLONE_SYSVSEM;
	long tid;

	if (stack < 0)
		return stack;
	tid = clone_thread(flags, (void *)(stack + THREAD_STACK), socket, (void *)stack);
	if (tid < 0)
		sys2(SYS_munmap, stack, THREAD_STACK);
	return tid;
}

/* Makes a sibling, so that the agent can wait for it; 0 in the child. */
static long make_fork(void)
{
	return sys6(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0);
}

/* Returns the socket that the caller, which may be the child now, goes on with. */
static int clone_child(int socket, const struct frame *request, int passed)
{
	struct process_info info = { 0 };
	int child = passed < 0 ? -EMFILE : move_up(passed);
	long tid;

	if (child < 0) {
		answer(socket, request, child, NULL, 0);
		return socket;
	}
	tid = request->type == FRAME_FORK ? make_fork() : make_thread(child);
	if (tid == 0) {
		close_sockets_but(child);
		return child;
	}
	/* A thread owns its socket in the table that both use. */
	if (tid < 0 || request->type == FRAME_FORK)
		sys1(SYS_close, child);
	if (tid > 0) {
		info.tid = (uint32_t)tid;
		info.pid = request->type == FRAME_FORK ? info.tid : (uint32_t)sys1(SYS_getpid, 0);
	}
	answer(socket, request, tid < 0 ? (int)tid : 0, &info, tid < 0 ? 0 : sizeof(info));
	return socket;
}

static bool run(int socket, const struct frame *request, struct buffer *in, struct buffer *out)
{
	long length = batch_run(in, request->length, out);

	if (length < 0)
		return answer(socket, request, (int)length, NULL, 0);
	return answer(socket, request, 0, out->memory, (size_t)length);
}

void process_loop(int socket, void *stack)
{
	struct buffer in = { 0 }, out = { 0 };
	struct frame request;
	int status = 0;

	for (;;) {
		int passed = -1;

		if (!receive(socket, &request, sizeof(request), &passed))
			break;
		if (buffer_reserve(&in, request.length ? request.length : 1))
			break;
		if (!receive(socket, in.memory, request.length, NULL))
			break;
		if (request.type == FRAME_EXIT) {
			memcpy(&status, in.memory, sizeof(status));
			break;
		}
		if (request.type == FRAME_FORK || request.type == FRAME_THREAD)
			socket = clone_child(socket, &request, passed);
		else if (request.type == FRAME_RUN)
			run(socket, &request, &in, &out);
		else
			answer(socket, &request, -ENOSYS, NULL, 0);
	}
	buffer_free(&in);
	buffer_free(&out);
	/* What a thread has forked runs on that stack too, but is a process. */
	if (stack && sys1(SYS_getpid, 0) != sys1(SYS_gettid, 0))
		leave_thread(socket, stack);
	leave(socket, status);
}

static void on_nothing(int signal)
{
	(void)signal;
}

/* SIGUSR1 makes a blocked system call return EINTR, SIGUSR2 restarts it. */
static void install_interrupts(void)
{
	struct sigaction interrupt = { .sa_handler = on_nothing };
	struct sigaction restart = { .sa_handler = on_nothing, .sa_flags = SA_RESTART };
	sigset_t none;

	sigaction(SIGUSR1, &interrupt, NULL);
	sigaction(SIGUSR2, &restart, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void process_main(int socket)
{
	static const char null[] = "/dev/null";

	socket = move_up(socket);
	if (socket < 0)
		leave(-1, 127);
	sys3(SYS_close_range, 0, SOCKET_BASE - 1, 0);
	close_sockets_but(socket);
	for (int i = 0; i < 3; i++)
		sys3(SYS_open, null, O_RDWR, 0);
	sys1(SYS_setsid, 0);
	guarded_init();
	install_interrupts();
	process_loop(socket, NULL);
}
