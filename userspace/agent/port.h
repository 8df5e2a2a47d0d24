/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_PORT_H
#define VNPU_AGENT_PORT_H

/* Opens the virtio-serial port of this name, waiting for it to appear; aborts without one. */
int port_open(const char *name);

#endif
