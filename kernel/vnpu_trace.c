// SPDX-License-Identifier: GPL-2.0-only
/*
 * Definitions of the tracepoints.
 */

#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "vnpu_trace.h"
#endif
