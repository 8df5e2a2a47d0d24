/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vnpu

#if !defined(VNPU_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VNPU_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

#include "vnpu_hw.h"

TRACE_EVENT(vnpu_submit,
	    TP_PROTO(u32 queue, u64 context, u64 seqno, u32 cmds),
	    TP_ARGS(queue, context, seqno, cmds),
	    TP_STRUCT__entry(__field(u32, queue)
			     __field(u32, cmds)
			     __field(u64, context)
			     __field(u64, seqno)),
	    TP_fast_assign(__entry->queue = queue;
			   __entry->cmds = cmds;
			   __entry->context = context;
			   __entry->seqno = seqno;),
	    TP_printk("queue=%u fence=%llu:%llu cmds=%u", __entry->queue,
		      __entry->context, __entry->seqno, __entry->cmds)
);

TRACE_EVENT(vnpu_run,
	    TP_PROTO(u32 queue, u64 seqno, u32 start, u32 end),
	    TP_ARGS(queue, seqno, start, end),
	    TP_STRUCT__entry(__field(u32, queue)
			     __field(u32, start)
			     __field(u32, end)
			     __field(u64, seqno)),
	    TP_fast_assign(__entry->queue = queue;
			   __entry->start = start;
			   __entry->end = end;
			   __entry->seqno = seqno;),
	    TP_printk("queue=%u value=%llu entries=%u..%u", __entry->queue,
		      __entry->seqno, __entry->start, __entry->end)
);

TRACE_EVENT(vnpu_complete,
	    TP_PROTO(u32 queue, u64 seqno, int error),
	    TP_ARGS(queue, seqno, error),
	    TP_STRUCT__entry(__field(u32, queue)
			     __field(int, error)
			     __field(u64, seqno)),
	    TP_fast_assign(__entry->queue = queue;
			   __entry->error = error;
			   __entry->seqno = seqno;),
	    TP_printk("queue=%u value=%llu error=%d", __entry->queue,
		      __entry->seqno, __entry->error)
);

/* One range of a bind, when it is written to the page table. */
TRACE_EVENT(vnpu_bind,
	    TP_PROTO(u32 context, bool map, u64 va, u64 size),
	    TP_ARGS(context, map, va, size),
	    TP_STRUCT__entry(__field(u32, context)
			     __field(bool, map)
			     __field(u64, va)
			     __field(u64, size)),
	    TP_fast_assign(__entry->context = context;
			   __entry->map = map;
			   __entry->va = va;
			   __entry->size = size;),
	    TP_printk("context=%u %s va=%#llx size=%#llx", __entry->context,
		      __entry->map ? "map" : "unmap", __entry->va, __entry->size)
);

TRACE_EVENT(vnpu_fault,
	    TP_PROTO(u32 queue, u32 context, u32 code, u32 access, u64 addr, u64 ip),
	    TP_ARGS(queue, context, code, access, addr, ip),
	    TP_STRUCT__entry(__field(u32, queue)
			     __field(u32, context)
			     __field(u32, code)
			     __field(u32, access)
			     __field(u64, addr)
			     __field(u64, ip)),
	    TP_fast_assign(__entry->queue = queue;
			   __entry->context = context;
			   __entry->code = code;
			   __entry->access = access;
			   __entry->addr = addr;
			   __entry->ip = ip;),
	    TP_printk("queue=%u context=%u code=%u access=%u addr=%#llx ip=%#llx",
		      __entry->queue, __entry->context, __entry->code,
		      __entry->access, __entry->addr, __entry->ip)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE vnpu_trace
#include <trace/define_trace.h>
