/* SPDX-License-Identifier: MIT */
#ifndef VNPU_AGENT_MUX_H
#define VNPU_AGENT_MUX_H

/* Opens the port, says hello and serves the host; returns when asked to power off. */
void mux_run(void);

#endif
