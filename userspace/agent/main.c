// SPDX-License-Identifier: MIT
/* First process of the guest: prepares it, then serves the host or a shell. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modules.h"
#include "mux.h"
#include "process.h"
#include "proto.h"

struct mount_point {
	const char *type;
	const char *path;
};

static const struct mount_point mount_points[] = {
	{ "proc", "/proc" },
	{ "sysfs", "/sys" },
	{ "devtmpfs", "/dev" },
	{ "debugfs", "/sys/kernel/debug" },
	{ "tracefs", "/sys/kernel/tracing" },
	{ "tmpfs", "/tmp" },
	{ "devpts", "/dev/pts" },
};

/* A kernel without one of these still runs; what needs it will say so. */
static void mount_all(void)
{
	for (size_t i = 0; i < sizeof(mount_points) / sizeof(mount_points[0]); i++) {
		mkdir(mount_points[i].path, 0755);
		mount(mount_points[i].type, mount_points[i].path, mount_points[i].type,
		      MS_NOSUID, NULL);
	}
	chmod("/tmp", 01777);
}

/* Without a console in the initramfs, the kernel started us with no open files. */
static void open_console(void)
{
	int console = open("/dev/console", O_RDWR);

	if (console < 0)
		return;
	for (int i = 0; i < 3; i++)
		dup2(console, i);
	if (console > 2)
		close(console);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

static int command_line_has(const char *word)
{
	char line[4096] = "";
	FILE *file = fopen("/proc/cmdline", "re");
	char *rest = line, *token;

	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	while ((token = strsep(&rest, " \n"))) {
		if (!strcmp(token, word))
			return 1;
	}
	return 0;
}

static void allow_many_files(void)
{
	struct rlimit limit = { OPEN_FILES, OPEN_FILES };

	setrlimit(RLIMIT_NOFILE, &limit);
}

static void become_shell(void)
{
	int tty;

	setsid();
	tty = open("/dev/ttyS0", O_RDWR);
	if (tty < 0)
		tty = open("/dev/console", O_RDWR);
	ioctl(tty, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(tty, i);
	setenv("PATH", "/bin:/sbin", 1);
	setenv("HOME", "/tmp", 1);
	setenv("PS1", "vnpu:\\w# ", 1);
	execl("/bin/busybox", "sh", NULL);
	perror("/bin/busybox");
	_exit(127);
}

/* For people: a shell on the serial console, until it ends. */
static void run_shell(void)
{
	pid_t shell = fork();
	pid_t ended;

	if (shell == 0)
		become_shell();
	do {
		ended = wait(NULL);
	} while (ended > 0 && ended != shell);
}

/*
 * The first process outlives the agent: if the agent ended as the first
 * process, the kernel would panic, and that is for faults of the kernel.
 */
static void run_agent(void)
{
	char line[128];
	int status = 0;
	pid_t agent = fork();
	pid_t ended;

	if (agent == 0) {
		/* Forked processes whose parents end stay with the agent, who waits for them. */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		mux_run();
		_exit(0);
	}
	do {
		ended = wait(&status);
	} while ((ended > 0 && ended != agent) || (ended < 0 && errno == EINTR));
	if (!status)
		return;
	snprintf(line, sizeof(line), "<6>" AGENT_ENDED "%d\n", status);
	write_file("/dev/kmsg", line);
}

int main(void)
{
	mount_all();
	open_console();
	allow_many_files();
	setenv("PATH", "/bin:/sbin", 1);
	/* From here on, everything that the kernel says belongs in the log. */
	write_file("/proc/sys/kernel/printk", "8");
	/*
	 * Newer kernels have a timer for the end of each task's slice. To program it
	 * at each switch is a tenth of an emulated guest's time, and ticks do as well.
	 */
	write_file("/sys/kernel/debug/sched/features", "NO_HRTICK");
	modules_load("/etc/vnpu/modules");
	if (command_line_has("vnpu.shell"))
		run_shell();
	else
		run_agent();
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
