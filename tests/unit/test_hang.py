# SPDX-License-Identifier: MIT
"""What is told of a guest that hangs: those that say something, in few lines."""

from vnpu.testing.hang import digest

WORKER = """\
[    5.673119] task:kworker/0:0     state:R  running task     stack:0     pid:8     tgid:8
[    5.673304] Workqueue: events vmstat_shepherd
[    5.673585] Call Trace:
[    5.673680]  __schedule+0xd29/0x2220 (kernel/sched/core.c:5533)
"""
GUESS = "[    5.698537]  ? mark_held_locks+0x4d/0x80 (kernel/locking/lockdep.c:4369)\n"
IDLE = """\
[    5.883341] task:init            state:S stack:0     pid:33    tgid:33    ppid:32
[    5.883441]  do_wait+0x410/0x630
"""
BLOCKED = """\
[    5.901341] task:init            state:S stack:0     pid:34    tgid:34    ppid:32
[    5.901441]  anon_pipe_read+0x6ce/0xcb0
[    5.901451] RIP: 0033:0x403377
[    5.901461] RAX: ffffffffffffffda RBX: 00007faa17d83010 RCX: 0000000000403377
"""


def test_tasks_that_tell_are_kept():
    told = digest(WORKER + IDLE + BLOCKED)
    assert "vmstat_shepherd" in told and "anon_pipe_read" in told
    assert "do_wait" not in told and "RAX" not in told


def test_guesses_of_a_kernel_with_checkers_push_nothing_out():
    """It prints what only may be on a stack, several times as much as what is."""
    told = digest((WORKER + 60 * GUESS) * 3 + BLOCKED)
    assert "anon_pipe_read" in told and "mark_held_locks" not in told
    assert told.count("vmstat_shepherd") == 3
