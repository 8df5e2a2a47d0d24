# SPDX-License-Identifier: MIT
"""Each class of complaint is found in a log, whole, and nothing else is."""

import pytest

from vnpu.klog.oracle import Finding, Kind, classify, findings
from vnpu.testing.verdict import unexpected

RULE = "=" * 66
CUT = "------------[ cut here ]------------"
END = "---[ end trace 0000000000000000 ]---"
TRACE = """\
Call Trace:
 <TASK>
 vnpu_submit+0x1a2/0x440 [vnpu]
 drm_ioctl_kernel+0xab/0x100 [drm]
 __x64_sys_ioctl+0x94/0xd0
 do_syscall_64+0x82/0x190
 entry_SYSCALL_64_after_hwframe+0x76/0x7e
 </TASK>"""


def stamped(text, start=12.5, caller=""):
    """As the console shows it: every line with its time."""
    return "\n".join(
        f"[{start + i / 1000:12.6f}]{caller} {line}" for i, line in enumerate(text.splitlines())
    )


def around(report):
    """The report between ordinary messages."""
    before = stamped("vnpu 0000:01:00.0: ready\n[drm] Initialized vnpu", 1.0)
    after = stamped("vnpu 0000:01:00.0: later\nanother message", 20.0)
    return f"{before}\n{stamped(report)}\n{after}"


WARN_OLD = f"""\
{CUT}
WARNING: CPU: 1 PID: 131 at drivers/accel/vnpu/vnpu_bo.c:88 vnpu_bo_free+0x24/0x90 [vnpu]
Modules linked in: vnpu(O) drm_gpuvm drm_exec gpu_sched ttm drm
CPU: 1 UID: 0 PID: 131 Comm: init Tainted: G           O       6.12.1 #1
RIP: 0010:vnpu_bo_free+0x24/0x90 [vnpu]
Code: 1f 44 00 00 0f 0b c3
{TRACE}
{END}"""

WARN_NEW = f"""\
{CUT}
WARNING: drivers/accel/vnpu/vnpu_bo.c:88 at vnpu_bo_free+0x24/0x90 [vnpu], CPU#1: init/131
Modules linked in: vnpu
{TRACE}
{END}"""

WARN_TEXT = f"""\
{CUT}
vnpu 0000:01:00.0: drm_WARN_ON(bo->pins)
WARNING: CPU: 0 PID: 99 at drivers/accel/vnpu/vnpu_bo.c:90 vnpu_bo_unpin+0x24/0x90 [vnpu]
{TRACE}
{END}"""

REFCOUNT = f"""\
{CUT}
refcount_t: underflow; use-after-free.
WARNING: CPU: 0 PID: 77 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110
{TRACE}
{END}"""

LIST = f"""\
list_del corruption. prev->next should be ffff8880045a1e40, but was dead000000000100. (prev=0)
{CUT}
kernel BUG at lib/list_debug.c:62!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
{TRACE}
{END}"""

DMA = f"""\
{CUT}
DMA-API: vnpu 0000:01:00.0: device driver frees DMA memory with different size
WARNING: CPU: 0 PID: 90 at kernel/dma/debug.c:1004 check_unmap+0x3a9/0x8d0
{TRACE}
{END}"""

ODEBUG = f"""\
{CUT}
ODEBUG: free active (active state 0) object: 00000000c0ffee00 object type: timer_list
WARNING: CPU: 0 PID: 90 at lib/debugobjects.c:514 debug_print_object+0x7d/0xb0
{TRACE}
{END}"""

KASAN = f"""\
{RULE}
BUG: KASAN: slab-use-after-free in vnpu_job_run+0x1a/0x90 [vnpu]
Read of size 8 at addr ffff88800a5b1c40 by task kworker/0:2/45

CPU: 0 UID: 0 PID: 45 Comm: kworker/0:2 Not tainted 7.3.4 #1
{TRACE}

Allocated by task 120:
 kasan_save_stack+0x33/0x60
 vnpu_job_init+0x50/0x1a0 [vnpu]

Freed by task 45:
 kfree+0xd1/0x2f0
 vnpu_job_free+0x22/0x40 [vnpu]

The buggy address belongs to the object at ffff88800a5b1c00
 which belongs to the cache kmalloc-256 of size 256
Memory state around the buggy address:
>ffff88800a5b1c00: fa fb fb fb fb fb fb fb fb fb fb fb fb fb fb fb
                                           ^
{RULE}"""

KFENCE = f"""\
{RULE}
BUG: KFENCE: out-of-bounds write in vnpu_put+0x1/0x2 [vnpu]

Out-of-bounds write at 0x00000000deadbeef (8B right of kfence-#10):
 vnpu_put+0x1/0x2 [vnpu]
{RULE}"""

UBSAN = f"""\
{CUT}
UBSAN: shift-out-of-bounds in drivers/accel/vnpu/vnpu_vram.c:41:14
shift exponent 64 is too large for 64-bit type 'unsigned long'
CPU: 0 UID: 0 PID: 120 Comm: init Not tainted 7.3.4 #1
{TRACE}
{END}"""

LOCKDEP = f"""\

{"=" * 54}
WARNING: possible circular locking dependency detected
7.3.4 #1 Not tainted
{"-" * 54}
init/120 is trying to acquire lock:
ffff888009a30d58 (&vm->lock){{+.+.}}-{{4:4}}, at: vnpu_vm_bind+0x90/0x400 [vnpu]

but task is already holding lock:
ffffc90000437b50 (reservation_ww_class_acquire){{+.+.}}-{{0:0}}, at: vnpu_submit+0x10/0x20

which lock already depends on the new lock.

the existing dependency chain (in reverse order) is:

-> #1 (reservation_ww_class_acquire){{+.+.}}-{{0:0}}:
       lock_acquire+0xd1/0x2f0

other info that might help us debug this:

 Possible unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  lock(reservation_ww_class_acquire);

 *** DEADLOCK ***

1 lock held by init/120:
 #0: ffffc90000437b50 (reservation_ww_class_acquire){{+.+.}}-{{0:0}}, at: vnpu_submit+0x10/0x20

stack backtrace:
CPU: 1 UID: 0 PID: 120 Comm: init Not tainted 7.3.4 #1
{TRACE}"""

RECURSIVE = LOCKDEP.replace("possible circular locking dependency", "possible recursive locking")
INCONSISTENT = "WARNING: inconsistent lock state\n7.3.4 #1 Not tainted\n" + TRACE
RCU_USAGE = "WARNING: suspicious RCU usage\n7.3.4 #1 Not tainted\n" + TRACE
UNBALANCED = "WARNING: bad unlock balance detected!\n7.3.4 #1 Not tainted\n" + TRACE
HELD = "WARNING: lock held when returning to user space!\n7.3.4 #1 Not tainted\n" + TRACE
IRQ_ORDER = "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected\n" + TRACE
CONTEXT = "[ BUG: Invalid wait context ]\n7.3.4 #1 Not tainted\n" + TRACE
STATIC_KEY = (
    "INFO: trying to register non-static key.\nturning off the locking validator.\n" + TRACE
)

ATOMIC = f"""\
BUG: sleeping function called from invalid context at kernel/locking/mutex.c:585
in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 120, name: init
preempt_count: 1, expected: 0
CPU: 0 UID: 0 PID: 120 Comm: init Not tainted 7.3.4 #1
{TRACE}"""
SCHEDULING = f"BUG: scheduling while atomic: init/120/0x00000002\n{TRACE}"
SLAB = f"""\
{"=" * 77}
BUG kmalloc-256 (Tainted: G    B             ): Poison overwritten
{"-" * 77}

0xffff88800a5b1c40-0xffff88800a5b1c47 @offset=7232. First byte 0x1 instead of 0x6b
{TRACE}"""
REMAINING = f"""\
{"=" * 77}
BUG vnpu_fence (Tainted: G           O    ): Objects remaining on __kmem_cache_shutdown()
{"-" * 77}

Object 0xffff888003c5d000 @offset=0
{TRACE}"""
PAGE_STATE = f"BUG: Bad page state in process init  pfn:0a5b1\npage: refcount:-1\n{TRACE}"
KMEMLEAK = "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"
HUNG = f"""\
INFO: task init:120 blocked for more than 60 seconds.
      Not tainted 7.3.4 #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
task:init            state:D stack:0     pid:120   tgid:120   ppid:1      flags:0x00004002
{TRACE}"""
STALL = f"""\
rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: 	1-....: (2099 ticks this GP) idle=5a14/1/0x4000000000000000 softirq=310/310 fqs=1050
{TRACE}"""
SOFT_LOCKUP = f"watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [init:120]\n{TRACE}"
WORKQUEUE = "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 34s!"
NULL = f"""\
BUG: kernel NULL pointer dereference, address: 0000000000000018
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 1 UID: 0 PID: 120 Comm: init Tainted: G           O       6.12.1 #1
RIP: 0010:vnpu_queue_get+0x14/0x40 [vnpu]
{TRACE}
{END}
Kernel panic - not syncing: Fatal exception
Rebooting in 0 seconds.."""
FAULT = f"BUG: unable to handle page fault for address: ffffc90000bad000\n{TRACE}\n{END}"
GPF = f"""\
Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP
{TRACE}
{END}"""
BUG_ON = f"""\
{CUT}
kernel BUG at drivers/accel/vnpu/vnpu_ring.c:120!
{TRACE}
{END}"""
PANIC = "Kernel panic - not syncing: sysrq triggered crash"
IOMMU = "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x0 [fault reason 0x05]"
SYSFS = f"sysfs: cannot create duplicate filename '/devices/x/accel/accel0'\n{TRACE}"
IRQ = f'irq 24: nobody cared (try booting with the "irqpoll" option)\n{TRACE}'
OOM = f"init: page allocation failure: order:9, mode:0x40cc0(GFP_KERNEL), nodemask=(null)\n{TRACE}"
TAKEDOWN = "[drm:drm_mm_takedown [drm]] *ERROR* Memory manager not clean during takedown."

SAMPLES = {
    "WARN of 6.12": (WARN_OLD, Kind.WARNING),
    "WARN of 7.x": (WARN_NEW, Kind.WARNING),
    "WARN with a text": (WARN_TEXT, Kind.WARNING),
    "refcount": (REFCOUNT, Kind.REFCOUNT),
    "DMA-API": (DMA, Kind.DMA_API),
    "ODEBUG": (ODEBUG, Kind.ODEBUG),
    "KASAN": (KASAN, Kind.KASAN),
    "KFENCE": (KFENCE, Kind.KASAN),
    "UBSAN": (UBSAN, Kind.UBSAN),
    "lockdep: circular": (LOCKDEP, Kind.LOCKDEP),
    "lockdep: recursive": (RECURSIVE, Kind.LOCKDEP),
    "lockdep: state": (INCONSISTENT, Kind.LOCKDEP),
    "lockdep: RCU": (RCU_USAGE, Kind.LOCKDEP),
    "lockdep: balance": (UNBALANCED, Kind.LOCKDEP),
    "lockdep: held": (HELD, Kind.LOCKDEP),
    "lockdep: irq order": (IRQ_ORDER, Kind.LOCKDEP),
    "lockdep: context": (CONTEXT, Kind.LOCKDEP),
    "lockdep: key": (STATIC_KEY, Kind.LOCKDEP),
    "sleeping in atomic": (ATOMIC, Kind.ATOMIC),
    "scheduling while atomic": (SCHEDULING, Kind.ATOMIC),
    "slab": (SLAB, Kind.SLAB),
    "objects remaining": (REMAINING, Kind.SLAB),
    "page": (PAGE_STATE, Kind.PAGE),
    "kmemleak": (KMEMLEAK, Kind.KMEMLEAK),
    "hung task": (HUNG, Kind.HUNG_TASK),
    "RCU stall": (STALL, Kind.RCU_STALL),
    "soft lockup": (SOFT_LOCKUP, Kind.LOCKUP),
    "workqueue": (WORKQUEUE, Kind.LOCKUP),
    "page fault": (FAULT, Kind.OOPS),
    "GPF": (GPF, Kind.OOPS),
    "BUG()": (BUG_ON, Kind.OOPS),
    "panic": (PANIC, Kind.PANIC),
    "IOMMU": (IOMMU, Kind.IOMMU),
    "sysfs": (SYSFS, Kind.KOBJECT),
    "irq": (IRQ, Kind.IRQ),
    "allocation": (OOM, Kind.ALLOCATION),
    "takedown": (TAKEDOWN, Kind.LEAK),
}


@pytest.mark.parametrize(("report", "kind"), SAMPLES.values(), ids=SAMPLES)
def test_every_class_is_found_once_and_whole(report, kind):
    found = [item for item in findings(around(report)) if item.kind is not Kind.CHECKER]
    assert [item.kind for item in found] == [kind]
    excerpt = found[0].excerpt
    for line in report.strip().splitlines():
        assert line in excerpt
    assert "01:00.0: ready" not in excerpt


@pytest.mark.parametrize(
    "name", ["WARN of 6.12", "KASAN", "UBSAN", "refcount", "lockdep: circular"]
)
def test_marked_reports_end_where_they_end(name):
    excerpt = findings(around(SAMPLES[name][0]))[0].excerpt
    assert "later" not in excerpt


def test_oops_with_its_panic_is_fatal():
    found = findings(around(NULL))
    assert found[0].kind is Kind.OOPS
    assert found[-1].fatal
    assert "vnpu_queue_get" in found[0].excerpt


def test_list_corruption_that_kills():
    found = findings(around(LIST))
    assert {Kind.LIST, Kind.OOPS} >= {item.kind for item in found}
    assert any(item.fatal for item in found)


def test_reports_are_told_apart():
    found = findings(around(f"{WARN_OLD}\n{KASAN}\n{REFCOUNT}"))
    assert [item.kind for item in found] == [Kind.WARNING, Kind.KASAN, Kind.REFCOUNT]


ENDLESS_CUT = "\n".join(WARN_OLD.splitlines()[:-1])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ATOMIC, LOCKDEP.strip()),
        (ATOMIC, KASAN),
        (ATOMIC, REFCOUNT),
        (OOM, KASAN),
        (OOM, OOM),
        (ENDLESS_CUT, KASAN),
        (ENDLESS_CUT, WARN_NEW),
        (HUNG, SOFT_LOCKUP),
        (UBSAN.rsplit("\n", 1)[0], ATOMIC),
    ],
)
def test_a_report_swallows_no_other(first, second):
    """Neither has an end mark: the other report is what ends it."""
    found = findings(around(f"{first}\n{second}"))
    assert [item.kind for item in found] == [
        findings(around(report))[0].kind for report in (first, second)
    ]
    for item, report in zip(found, (first, second), strict=True):
        assert report.splitlines()[-1] in item.excerpt


def test_a_report_without_a_stack_ends_at_another_kind():
    text = "BUG: sleeping function called from invalid context at x.c:1\nin_atomic(): 1\n"
    found = findings(around(text + "WARNING: possible recursive locking detected"))
    assert [item.kind for item in found] == [Kind.ATOMIC, Kind.LOCKDEP]


def test_expressions_match_the_heading_only():
    """What a stack or a register dump says forgives nothing."""
    (found,) = findings(around(WARN_TEXT))
    assert found.matches(r"drm_WARN_ON\(bo->pins\)") and found.matches("vnpu_bo_unpin")
    assert not found.matches("vnpu_submit")
    (found,) = findings(around(REFCOUNT))
    assert found.matches("underflow") and found.matches("lib/refcount.c")
    assert not found.matches("drm_ioctl")
    (found,) = findings(around(ATOMIC))
    assert found.matches("sleeping function") and not found.matches("drm_ioctl")


@pytest.mark.parametrize(
    "prefix", ["login: ", "half a line of a program", "** 12 printk messages dropped ** "]
)
def test_found_behind_what_a_program_wrote(prefix):
    (found,) = findings(prefix + stamped("BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"))
    assert found.kind is Kind.KASAN and found.title.startswith("BUG: KASAN")


def test_found_behind_a_blank():
    (found,) = findings(stamped(" BUG: KCSAN: data-race in f / g"))
    assert found.kind is Kind.KASAN


#: what a driver can make other parts of the kernel say
BY_DRIVERS = {
    "__common_interrupt: 1.34 No irq handler for vector": Kind.IRQ,
    "genirq: Flags mismatch irq 24. 00000000 (vnpu) vs. 00000000 (vnpu)": Kind.IRQ,
    "softirq: huh, entered softirq 6 TASKLET 00000000abcd with preempt_count 101": Kind.IRQ,
    "x86/PAT: init:120 map pfn expected mapping type uncached-minus for [mem 0x1-0x2]":
        Kind.RESOURCE,
    "x86/PAT: init:120 freeing invalid memtype [mem 0xfe000000-0xfe000fff]": Kind.RESOURCE,
    "Trying to free nonexistent resource <00000000fe000000-00000000fe07ffff>": Kind.RESOURCE,
    "vnpu 0000:01:00.0: swiotlb buffer is full (sz: 262144 bytes)": Kind.RESOURCE,
    "debugfs: Directory 'vnpu' with parent 'dri' already present!": Kind.KOBJECT,
    "debugfs: File 'queues' in directory '0' already present!": Kind.KOBJECT,
    "kmem_cache of name 'vnpu_fence' already exists": Kind.KOBJECT,
    "proc_dir_entry 'driver/vnpu' already registered": Kind.KOBJECT,
    "sysfs group 'power' not found for kobject 'accel0'": Kind.KOBJECT,
    "pcieport 0000:00:02.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=TL": Kind.PCI,
    "pcieport 0000:00:02.0: AER: Multiple Uncorrectable (Fatal) error received": Kind.PCI,
    "vnpu 0000:01:00.0: BAR 2 [mem size 0x10000000 64bit pref]: failed to assign": Kind.PCI,
    "ref_tracker: device@00000000 has 1/2 users at": Kind.LEAK,
    "[drm:drm_gem_huge] *ERROR* 2 GEM objects leaked": Kind.LEAK,
    "vnpu: Found 3 leaked objects": Kind.LEAK,
    "kmemleak: Cannot insert 0xffff888003c5d000 into the object search tree": Kind.KMEMLEAK,
    "kmemleak: Freeing unknown object at 0xffff888003c5d000": Kind.KMEMLEAK,
    "workqueue: vnpu_work [vnpu] hogged CPU for >10000us 4 times": Kind.WORKQUEUE,
    "vnpu 0000:01:00.0: [TTM] Buffer eviction failed": Kind.DRM,
    "INFO: rcu_tasks detected stalls on tasks:": Kind.RCU_STALL,
    "INFO: task init:120 can't die for more than 143 seconds.": Kind.HUNG_TASK,
    "Memory cgroup out of memory: Killed process 120 (init)": Kind.ALLOCATION,
    "init invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0": Kind.ALLOCATION,
    "BUG my cache (Tainted: G  B): Redzone overwritten": Kind.SLAB,
    "PANIC: double fault, error_code: 0x0": Kind.OOPS,
    "segment-related general protection fault: 0018 [#1] PREEMPT SMP": Kind.OOPS,
    "unregister_netdevice: waiting for lo to become free. Usage count = 2": Kind.LEAK,
}  # fmt: skip


@pytest.mark.parametrize(("line", "kind"), BY_DRIVERS.items())
def test_what_drivers_make_others_say(line, kind):
    assert [item.kind for item in findings(stamped(line))] == [kind]


CHECKERS = [
    "turning off the locking correctness validator.",
    "INFO: lockdep is turned off.",
    "Disabling lock debugging due to kernel taint",
    "kmemleak: Kernel memory leak detector disabled",
    "ODEBUG: Out of memory. ODEBUG disabled",
]


@pytest.mark.parametrize("line", CHECKERS)
def test_end_of_a_checker_is_a_finding_wherever_it_is(line):
    """Alone, and in a report, which keeps its name and its stack; forgiving that is not enough."""
    (alone,) = findings(around(line))
    assert (alone.kind, alone.title) == (Kind.CHECKER, line)
    (head, *rest) = ATOMIC.splitlines()
    report, end = findings(around("\n".join([head, rest[0], line, *rest[1:]])))
    assert report.kind is Kind.ATOMIC and "Call Trace" in report.excerpt
    assert end.kind is Kind.CHECKER and end.title == line
    assert unexpected([report, end], ["sleeping function"]) == [end]


def test_the_most_telling_line_is_the_title():
    assert findings(around(REFCOUNT))[0].title == "refcount_t: underflow; use-after-free."


@pytest.mark.parametrize("caller", ["[    T1]", "[   C0]", ""])
def test_callers_in_the_time_stamp(caller):
    assert findings(stamped(WARN_OLD, caller=caller))[0].kind is Kind.WARNING


ORDINARY = [
    "DMA-API: preallocated 65536 debug entries",
    "DMA-API: debugging enabled by kernel config",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 35000)",
    "kmemleak: Automatic memory scanning thread started",
    "vnpu 0000:01:00.0: queue 2 was reset",
    "vnpu 0000:01:00.0: [drm] *ERROR* queue 2: job timed out",
    "Warning: unable to open an initial console.",
    "UBSAN is enabled",
    "kasan: KernelAddressSanitizer initialized",
    "rcu: Hierarchical RCU implementation.",
    "pcieport 0000:00:02.0: AER: enabled with IRQ 25",
    "pcieport 0000:00:02.0: PCIe Bus Error: severity=Corrected, type=Physical Layer",
    "pci 0000:01:00.0: BAR 2 [mem 0x380000000000-0x38000fffffff 64bit pref]: assigned",
    "workqueue: round-robin CPU selection forced, expect performance impact",
    "x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT",
    "[TTM] Initializing",
    "debug: unmapping init [mem 0xffffffff82e00000-0xffffffff82ffffff]",
    "BUGs that were fixed: 3",
    "Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
    "ACPI: Added _OSI(Module Device)",
    "watchdog: Disabling watchdog on nohz_full cores by default",
    "random: crng init done",
    "panic=-1 oops=panic",
    "Running RCU synchronous self tests",
    "DMAR: Intel(R) Virtualization Technology for Directed I/O",
    "DMAR: IOMMU enabled",
    "",
]


@pytest.mark.parametrize("line", ORDINARY)
def test_ordinary_lines_are_no_complaints(line):
    assert classify(line) is None
    assert findings(stamped(line)) == []


def test_words_of_users_are_no_complaints():
    """A complaint begins a message; a quotation inside of one is none."""
    assert findings(stamped("vnpu: user said: BUG: KASAN: x")) == []


def test_reading_aloud():
    assert str(Finding(Kind.UBSAN, "UBSAN: x", "")) == "UBSAN: UBSAN: x"
