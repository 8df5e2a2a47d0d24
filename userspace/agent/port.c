// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "port.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORTS_DIR	"/sys/class/virtio-ports"
/* The ports come up asynchronously after the driver; this is generous for TCG. */
#define DEADLINE_MS	20000
#define STEP_MS		5

static int read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, line, size - 1);
	close(fd);
	if (got < 0)
		return -1;
	line[got] = 0;
	line[strcspn(line, "\n")] = 0;
	return 0;
}

/* Looks through the ports; a descriptor or -1. */
static int try_open(const char *name)
{
	DIR *dir = opendir(PORTS_DIR);
	struct dirent *entry;
	char path[512], line[64];
	int fd = -1;

	if (!dir)
		return -1;
	while (fd < 0 && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), PORTS_DIR "/%s/name", entry->d_name);
		if (entry->d_name[0] == '.' || read_line(path, line, sizeof(line)) ||
		    strcmp(line, name))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	closedir(dir);
	return fd;
}

int port_open(const char *name)
{
	int fd;

	for (int waited = 0; waited < DEADLINE_MS; waited += STEP_MS) {
		fd = try_open(name);
		if (fd >= 0)
			return fd;
		poll(NULL, 0, STEP_MS);
	}
	fprintf(stderr, "vnpu-agent: no virtio-serial port named %s\n", name);
	abort();
}
