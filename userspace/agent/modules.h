/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_MODULES_H
#define VNPU_AGENT_MODULES_H

extern unsigned int modules_failed;
extern char modules_failures[512];	/* a line for each */

/* Loads the modules listed in @list, one "PATH [PARAMETERS]" a line. */
void modules_load(const char *list);

#endif
