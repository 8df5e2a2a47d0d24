# SPDX-License-Identifier: MIT
"""The kernel's log as a judge: what in it means that the kernel is at fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Classes of complaints; the order is that of how much they tell, least first."""

    LEVEL = "a message of level warning or worse"
    CHECKER = "a checker that turned itself off"
    WARNING = "warning"
    BUG = "bug"
    LEAK = "objects left behind"
    ALLOCATION = "allocation failure"
    WORKQUEUE = "workqueue"
    DRM = "DRM helper"
    RESOURCE = "resource"
    PCI = "PCI error"
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
    # Whatever made them give up, from here on they are silent about everything else.
    (Kind.CHECKER, r"turning off the locking|INFO: lockdep is turned off"),
    (Kind.CHECKER, r"Disabling lock debugging due to "),
    (Kind.CHECKER, r"(kasan: |kfence: )?KernelAddressSanitizer.*disabled|k(asan|fence): disabled"),
    (Kind.CHECKER, r"kmemleak: (Kernel memory leak detector|Kmemleak) disabled"),
    (Kind.CHECKER, r"DMA-API: .*(disabling|(error - |dma-debug )disabled)"),
    (Kind.CHECKER, r"ODEBUG: Out of memory|stackdepot: .*disabl(ing|ed)"),
    (Kind.PANIC, r"Kernel panic - not syncing"),
    (Kind.OOPS, r"BUG: (unable to handle|kernel NULL pointer|.*stack (guard page|overflow))"),
    (Kind.OOPS, r"(Oops|general protection fault|invalid opcode|divide error)\b.*[:,]"),
    (Kind.OOPS, r"(segment-related general protection fault|stack segment|int3): "),
    (Kind.OOPS, r"(traps: )?(PANIC: )?double fault\b.*[:,]|Internal error: "),
    (Kind.OOPS, r"kernel BUG at |Unable to handle kernel "),
    (Kind.KASAN, r"BUG: (KASAN|KFENCE|KMSAN|KCSAN): "),
    (Kind.UBSAN, r"UBSAN: "),
    (Kind.LOCKDEP, r"WARNING: (possible|inconsistent|suspicious|bad|nested|held|lock) .*"),
    (Kind.LOCKDEP, r"WARNING: .*(-safe -> |lock order|lock held|unlock balance|wait context)"),
    (Kind.LOCKDEP, r"WARNING: .*(still has locks|locks still held|RCU usage)"),
    (Kind.LOCKDEP, r"(BUG|WARNING): .*(Nested lock|held lock freed|invalid wait context)"),
    (Kind.LOCKDEP, r"\[ BUG: |BUG: MAX_(LOCK|STACK)|BUG: .* lockdep|DEBUG_LOCKS_WARN_ON"),
    (Kind.LOCKDEP, r"WARNING: chain_key|BUG: key .* has not been registered"),
    (Kind.LOCKDEP, r"INFO: (trying to register non-static key|possible .* dead ?lock)"),
    (Kind.ATOMIC, r"BUG: (scheduling (while|in a)|sleeping function called|assuming )"),
    (Kind.ATOMIC, r"BUG: (using .* in preemptible|atomic scheduling)"),
    (Kind.DMA_API, r"DMA-API: (?!preallocated|debugging (en|dis)abled|.*dump_dma|nr_)"),
    (Kind.ODEBUG, r"ODEBUG: (?!Out of memory|selftest)"),
    (Kind.REFCOUNT, r"refcount_t: "),
    (Kind.LIST, r"list_(add|del).* (corruption|double add)|(slist|hlist|plist).* corrupt"),
    (Kind.PAGE, r"BUG: Bad (page|rss-counter|pagetable)|page_owner: .*corruption"),
    (Kind.PAGE, r"pagealloc: (memory corruption|single bit)"),
    (Kind.SLAB, r"BUG [\w.:/ -]+( \(.*\))?: |BUG: (freeing|corrupted)"),
    (Kind.KMEMLEAK, r"kmemleak: \d+ new suspected memory leaks"),
    (Kind.KMEMLEAK, r"kmemleak: (Cannot (insert|allocate)|Freeing unknown|Found object by alias)"),
    (Kind.RCU_STALL, r"(rcu: )?INFO: rcu.*(stall|starved)|rcu: .*kthread starved"),
    (Kind.LOCKUP, r"watchdog: .*(soft|hard) lockup|.*[Hh]ard LOCKUP|BUG: workqueue lockup"),
    (Kind.HUNG_TASK, r"INFO: task .* (blocked (for more than|in I/O wait)|can't die for more)"),
    (Kind.IOMMU, r"DMAR: (\[.*\] )?(Request device|.*fault)|AMD-Vi: Event logged|.*IO_PAGE_FAULT"),
    (Kind.KOBJECT, r"kobject: .*tried to|kobject_add_internal failed|sysfs: cannot create dup"),
    (Kind.KOBJECT, r"debugfs: .*already (present|exists)|proc_dir_entry '.*' already registered"),
    (Kind.KOBJECT, r"kmem_cache of name '.*' already exists|sysfs group '.*' not found"),
    (Kind.IRQ, r"irq \d+: nobody cared|remove_proc_entry: .*leaking"),
    (Kind.IRQ, r".*No irq handler for vector|genirq: Flags mismatch|softirq: huh, entered"),
    (Kind.PCI, r".*PCIe Bus Error: severity=(?!Corrected)|.*AER: .*[Uu]ncorrect"),
    (Kind.PCI, r".*BAR \d+.*: (failed to assign|can't (assign|reserve))"),
    (Kind.RESOURCE, r"Trying to free nonexistent resource|resource: .* conflict"),
    (Kind.RESOURCE, r"x86/PAT: .*(expected mapping type|freeing invalid|conflicting)"),
    (Kind.RESOURCE, r".*swiotlb buffer is full"),
    (Kind.WORKQUEUE, r"workqueue: .*(hogged CPU|is flushing|cannot be flushed)"),
    (Kind.DRM, r".*\[TTM\] Buffer eviction failed"),
    (Kind.ALLOCATION, r".*: (page allocation failure|vmalloc error): |Out of memory: Killed"),
    (Kind.ALLOCATION, r"Memory cgroup out of memory|.* invoked oom-killer: |oom-kill:"),
    (Kind.LEAK, r"kmem_cache_destroy .*still has objects|.*drm_mm_takedown|.*Memory manager not"),
    (Kind.LEAK, r".*(Objects remaining in|memory leaked|leaked \d+|\d+ leaked objects)"),
    (Kind.LEAK, r".*GEM objects? leaked|ref_tracker: .*(has \d+/\d+ users|leaked)"),
    (Kind.LEAK, r"unregister_netdevice: waiting for"),
    (Kind.BUG, r"BUG\b: "),
    (Kind.WARNING, r"WARNING: "),
)
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)

#: behind what a program wrote without an end of line, if the line has that
_STAMP = re.compile(r"^(?:.*?(?=\[ *\d+\.\d{6}\]))?(<\d+>)?\[ *\d+\.\d+\](\[ *[CT]\d+\])? ?")
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
#: complaints that nothing belongs to but more of their kind
_ONE_LINE = re.compile(
    r"kmemleak: \d+ new |.*No irq handler for vector|.*\[TTM\] Buffer eviction failed|DMAR: |"
    r"AMD-Vi: |workqueue: .* hogged CPU|x86/PAT: |Trying to free |.*swiotlb buffer is full|"
    r"debugfs: |.*GEM objects? leaked|unregister_netdevice: |softirq: huh|genirq: Flags mismatch"
)
_END_STACK = "</TASK>"
_LONGEST = 160
_MARKER = "vnpu-harness: marker"


@dataclass(frozen=True)
class Finding:
    """A complaint of the kernel: its class, its first telling line, all of its lines.

    ``heading`` are the lines that name it, from the first one to the title and
    what the kernel adds below; ``start`` and ``end`` number its lines in the log.
    """

    kind: Kind
    title: str
    excerpt: str
    heading: str = ""
    start: int = 0
    end: int = 0

    @property
    def fatal(self) -> bool:
        """Whether the kernel does not go on after this."""
        return self.kind in (Kind.OOPS, Kind.PANIC)

    def matches(self, expression: str) -> bool:
        """Whether a regular expression is found in a line of the heading.

        The lines below do not count: a stack or a register dump has many words.
        """
        return any(re.search(expression, line) for line in [self.title, *self.heading.split("\n")])

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.title}"


def findings(log: str) -> list[Finding]:
    """The complaints in a log, in order. A report with several classes counts once."""
    return list(_scan(log.splitlines()))


def classify(line: str) -> Kind | None:
    """The class of a line that starts a complaint, else None."""
    return _classify_bare(bare(line))


def bare(line: str) -> str:
    """A line without its level and time stamp."""
    return _STAMP.sub("", line.rstrip())


def _classify_bare(text: str) -> Kind | None:
    # The hex time stamps of an oops' own words come first: "Oops: 0000 [#1]".
    text = text.lstrip(" ")
    return next((kind for kind, pattern in _COMPILED if pattern.match(text)), None)


def _scan(lines: list[str]) -> Iterator[Finding]:
    texts = [bare(line) for line in lines]
    at = 0
    while at < len(lines):
        if texts[at] != _CUT and _classify_bare(texts[at]) is None:
            at += 1
            continue
        start = at - 1 if at and _RULE.match(texts[at - 1]) else at
        end = _end(texts, at, ruled=start < at)
        finding = _finding(lines, texts, start, end)
        if finding is not None:
            yield finding
            if finding.kind is not Kind.CHECKER:
                yield from _ends_of_checkers(lines, texts, start, end)
        at = end


def _ends_of_checkers(
    lines: list[str], texts: list[str], start: int, end: int
) -> Iterator[Finding]:
    """Each one by itself: whoever forgives the report that it stands in does not forgive it."""
    for i in range(start, end):
        if _classify_bare(texts[i]) is Kind.CHECKER:
            title = texts[i].strip()
            yield Finding(Kind.CHECKER, title, lines[i], title, i, i + 1)


def _finding(lines: list[str], texts: list[str], start: int, end: int) -> Finding | None:
    """The report between two lines; None if it is none (a cut mark and nothing else)."""
    found = [(_classify_bare(texts[i]), i) for i in range(start, end)]
    known = [(kind, i) for kind, i in found if kind is not None]
    if not known:
        return None
    kind, at = max(known, key=lambda item: (_RANK[item[0]], -item[1]))
    # What a driver says in its WARN() stands above the line that is classified.
    first = start + 1 if texts[start] == _CUT or _RULE.match(texts[start]) else start
    last = at + 1
    while last < end and _classify_bare(texts[last]) not in (None, Kind.CHECKER):
        last += 1
    heading = "\n".join(texts[min(first, at) : last])
    return Finding(kind, texts[at].strip(), "\n".join(lines[start:end]), heading, start, end)


def _end(texts: list[str], start: int, ruled: bool) -> int:
    """The line behind the report that starts here."""
    last = min(start + _LONGEST, len(texts))
    kind = _classify_bare(texts[start])
    if not ruled and (kind is Kind.CHECKER or _ONE_LINE.match(texts[start])):
        others = (i for i in range(start + 1, last) if _classify_bare(texts[i]) is not kind)
        return next(others, last)
    report = _Report(texts[start] == _CUT)
    report.takes(texts[start])
    # Has a rule above but none below; its own stack is the last thing in it.
    lockdep = ruled and kind is Kind.LOCKDEP
    for i in range(start + 1, last):
        if _MARKER in texts[i] or texts[i] == _CUT:
            return i
        if _END_TRACE.search(texts[i]):
            return i + 1
        if _is_rule(texts[i]):
            return i + 1 if ruled else i
        if not report.takes(texts[i]):
            return i - 1 if _RULE.match(texts[i - 1]) and i - 1 > start else i
        if lockdep and texts[i].strip() == _END_STACK:
            return i + 1
        # One that was cut here ends with its end mark only.
        if not report.cut and not ruled and _is_over(texts, i):
            return i
    return last


class _Report:
    """Which lines that are complaints by themselves still belong to the report above them."""

    #: what the kernel goes on to say below the message of a WARN() or BUG()
    _BELOW_A_MESSAGE = frozenset({Kind.WARNING, Kind.OOPS})
    #: reports that repeat themselves, with a stack for each processor or task
    _IN_PARTS = frozenset({Kind.RCU_STALL, Kind.LOCKUP})

    def __init__(self, cut: bool) -> None:
        self.cut = cut
        self._kind: Kind | None = None
        self._traced = False

    def takes(self, text: str) -> bool:
        """Whether this line is one of the report; another report starts at it otherwise."""
        kind = _classify_bare(text)
        if kind is None:
            self._traced = self._traced or text.startswith("Call Trace:")
            return True
        if self._kind is None:
            self._kind = kind
            return True
        if kind is Kind.CHECKER:
            return True
        if kind is self._kind and (kind in self._IN_PARTS or not self._traced):
            return True
        return self.cut and not self._traced and kind in self._BELOW_A_MESSAGE


def _is_rule(text: str) -> bool:
    return text.startswith("=") and _RULE.match(text) is not None


def _is_over(texts: list[str], i: int) -> bool:
    """Whether a report without marks stops before this line: two lines on are of another kind."""
    window = texts[i : i + 2]
    return all(
        text and not _CONTINUES.match(text) and _classify_bare(text) is None for text in window
    )
