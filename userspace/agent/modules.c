// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

unsigned int modules_failed;
char modules_failures[512];

static void note_failure(const char *path, int error)
{
	size_t used = strlen(modules_failures);

	modules_failed++;
	fprintf(stderr, "vnpu-agent: %s: %s\n", path, strerror(error));
	snprintf(modules_failures + used, sizeof(modules_failures) - used, "%s: %s\n", path,
		 strerror(error));
}

static int load(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return errno;
	if (syscall(SYS_finit_module, fd, parameters, 0) && errno != EEXIST)
		error = errno;
	close(fd);
	return error;
}

void modules_load(const char *list)
{
	FILE *file = fopen(list, "re");
	char line[512];

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		char *parameters;
		int error;

		line[strcspn(line, "\n")] = 0;
		if (!line[0] || line[0] == '#')
			continue;
		parameters = strchr(line, ' ');
		if (parameters)
			*parameters++ = 0;
		error = load(line, parameters ? parameters : "");
		if (error)
			note_failure(line, error);
	}
	fclose(file);
}
