# SPDX-License-Identifier: MIT
"""The kernel's log as a judge: what in it means that the kernel is at fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Classes of complaints; the order is that of how much they tell, least first."""

    WARNING = "warning"
    BUG = "bug"
    LEAK = "objects left behind"
    ALLOCATION = "allocation failure"
    IRQ = "interrupt"
    KOBJECT = "kobject"
    IOMMU = "IOMMU fault"
    HUNG_TASK = "hung task"
    LOCKUP = "lockup"
    RCU_STALL = "RCU stall"
    KMEMLEAK = "kmemleak"
    SLAB = "slab corruption"
    PAGE = "page state"
    LIST = "list corruption"
    REFCOUNT = "reference count"
    ODEBUG = "object life time"
    DMA_API = "DMA-API"
    ATOMIC = "sleep in atomic context"
    LOCKDEP = "lockdep"
    UBSAN = "UBSAN"
    KASAN = "KASAN"
    OOPS = "oops"
    PANIC = "panic"


_RANK = {kind: rank for rank, kind in enumerate(Kind)}

#: The beginnings of complaints, on lines without their time stamp.
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    (Kind.PANIC, r"Kernel panic - not syncing"),
    (Kind.OOPS, r"BUG: (unable to handle|kernel NULL pointer|stack guard page|stack overflow)"),
    (Kind.OOPS, r"(Oops|general protection fault|invalid opcode|divide error)\b.*[:,]"),
    (Kind.OOPS, r"(stack segment|double fault|int3): "),
    (Kind.OOPS, r"kernel BUG at |Unable to handle kernel "),
    (Kind.KASAN, r"BUG: (KASAN|KFENCE|KMSAN|KCSAN): "),
    (Kind.UBSAN, r"UBSAN: "),
    (Kind.LOCKDEP, r"WARNING: (possible|inconsistent|suspicious|bad|nested|held|lock) .*"),
    (Kind.LOCKDEP, r"WARNING: .*(-safe -> |lock order|lock held|unlock balance|wait context)"),
    (Kind.LOCKDEP, r"WARNING: .*(still has locks|locks still held|RCU usage)"),
    (Kind.LOCKDEP, r"(BUG|WARNING): .*(Nested lock|held lock freed|invalid wait context)"),
    (Kind.LOCKDEP, r"\[ BUG: |BUG: MAX_LOCK|BUG: .* lockdep|DEBUG_LOCKS_WARN_ON"),
    (Kind.LOCKDEP, r"INFO: (trying to register non-static key|possible .* dead ?lock)"),
    (Kind.ATOMIC, r"BUG: (scheduling while atomic|sleeping function called)"),
    (Kind.ATOMIC, r"BUG: (using .* in preemptible|atomic scheduling)"),
    (Kind.DMA_API, r"DMA-API: (?!preallocated|debugging (en|dis)abled|.*dump_dma|nr_)"),
    (Kind.ODEBUG, r"ODEBUG: (?!Out of memory|selftest)"),
    (Kind.REFCOUNT, r"refcount_t: "),
    (Kind.LIST, r"list_(add|del).* corruption|(slist|hlist|plist).* corrupt"),
    (Kind.PAGE, r"BUG: Bad (page|rss-counter|pagetable)"),
    (Kind.SLAB, r"BUG [\w.:/-]+( \(.*\))?: |BUG: (freeing|corrupted)"),
    (Kind.KMEMLEAK, r"kmemleak: \d+ new suspected memory leaks"),
    (Kind.RCU_STALL, r"rcu: INFO: .*(stall|starved)|rcu: .*kthread starved"),
    (Kind.LOCKUP, r"watchdog: .*(soft|hard) lockup|.*[Hh]ard LOCKUP|BUG: workqueue lockup"),
    (Kind.HUNG_TASK, r"INFO: task .* blocked (for more than|in I/O wait)"),
    (Kind.IOMMU, r"DMAR: (\[.*\] )?(Request device|.*fault)|AMD-Vi: Event logged|.*IO_PAGE_FAULT"),
    (Kind.KOBJECT, r"kobject: .*tried to|kobject_add_internal failed|sysfs: cannot create dup"),
    (Kind.IRQ, r"irq \d+: nobody cared|remove_proc_entry: .*leaking"),
    (Kind.ALLOCATION, r".*: page allocation failure: |Out of memory: Killed"),
    (Kind.LEAK, r"kmem_cache_destroy .*still has objects|.*Memory manager not clean"),
    (Kind.LEAK, r".*(Objects remaining in|memory leaked|leaked \d+)"),
    (Kind.BUG, r"BUG\b: "),
    (Kind.WARNING, r"WARNING: "),
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)

_STAMP = re.compile(r"^(<\d+>)?\[ *\d+\.\d+\](\[ *[CT]\d+\])? ?")
_CUT = "------------[ cut here ]------------"
_END_TRACE = re.compile(r"---\[ end (trace|Kernel panic)")
_RULE = re.compile(r"^(={20,}|-{20,}|\*{20,})$")
#: what belongs to a report without an end mark
_CONTINUES = re.compile(
    r"^(\s|Call Trace|<|RIP|Code|RAX|RDX|RBP|R\d\d|RSP|FS|CS|CR2|PKRU|Modules|Hardware|CPU|"
    r"Tainted|EFLAGS|Workqueue|task:|stack|Comm|Mem-Info|#|\[<|\? |NMI|Sending|Preemption|"
    r"backtrace|hex dump|preempt_count|in_atomic|\d+ locks? held|no locks|stack backtrace|"
    r"Showing|irq event|hardirqs|softirqs|INFO:|turning off|ret_from|entry_|other info|\"echo 0)"
)
_END_STACK = "</TASK>"
_LONGEST = 160
_MARKER = "vnpu-harness: marker"


@dataclass(frozen=True)
class Finding:
    """A complaint of the kernel: its class, its first telling line, all of its lines."""

    kind: Kind
    title: str
    excerpt: str

    @property
    def fatal(self) -> bool:
        """Whether the kernel does not go on after this."""
        return self.kind in (Kind.OOPS, Kind.PANIC)

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.title}"


def findings(log: str) -> list[Finding]:
    """The complaints in a log, in order. A report with several classes counts once."""
    return list(_scan(log.splitlines()))


def classify(line: str) -> Kind | None:
    """The class of a line that starts a complaint, else None."""
    return _classify_bare(_bare(line))


def _bare(line: str) -> str:
    return _STAMP.sub("", line.rstrip())


def _classify_bare(text: str) -> Kind | None:
    # The hex time stamps of an oops' own words come first: "Oops: 0000 [#1]".
    return next((kind for kind, pattern in _COMPILED if pattern.match(text)), None)


def _scan(lines: list[str]) -> Iterator[Finding]:
    bare = [_bare(line) for line in lines]
    at = 0
    while at < len(lines):
        if bare[at] != _CUT and _classify_bare(bare[at]) is None:
            at += 1
            continue
        start = at - 1 if at and _RULE.match(bare[at - 1]) else at
        end = _end(bare, at, ruled=start < at)
        finding = _finding(lines, bare, start, end)
        if finding is not None:
            yield finding
        at = end


def _finding(lines: list[str], bare: list[str], start: int, end: int) -> Finding | None:
    """The report between two lines; None if it is none (a cut mark and nothing else)."""
    found = [(_classify_bare(bare[i]), i) for i in range(start, end)]
    known = [(kind, i) for kind, i in found if kind is not None]
    if not known:
        return None
    kind, at = max(known, key=lambda item: (_RANK[item[0]], -item[1]))
    return Finding(kind, bare[at], "\n".join(lines[start:end]))


def _end(bare: list[str], start: int, ruled: bool) -> int:
    """The line behind the report that starts here."""
    last = min(start + _LONGEST, len(bare))
    cut = bare[start] == _CUT
    # Has a rule above but none below; its own stack is the last thing in it.
    lockdep = ruled and _classify_bare(bare[start]) is Kind.LOCKDEP
    for i in range(start + 1, last):
        if _MARKER in bare[i]:
            return i
        if _END_TRACE.search(bare[i]):
            return i + 1
        if cut:
            continue  # it ends with its end mark only
        if ruled and _RULE.match(bare[i]) and bare[i][0] == "=":
            return i + 1
        if lockdep and bare[i].strip() == _END_STACK:
            return i + 1
        if bare[i] == _CUT:
            return i
        if not ruled and _is_over(bare, i):
            return i
    return last


def _is_over(bare: list[str], i: int) -> bool:
    """Whether a report without marks stops before this line: two lines on are of another kind."""
    window = bare[i : i + 2]
    return all(
        text and not _CONTINUES.match(text) and _classify_bare(text) is None for text in window
    )
