# SPDX-License-Identifier: MIT
"""The rig itself, in machines without the NPU: nothing here depends on the driver."""

import errno
import os
import re
import signal
import struct

import pytest

from vnpu.base.errors import GuestKernelError, RigError
from vnpu.guest import GuestFault, GuestTimeout, ProcessGone
from vnpu.machine import MachineConfig, findings
from vnpu.testing import verdict

BARE = MachineConfig(tested=False)
PAGE = 4096
O_CREAT_RW = os.O_CREAT | os.O_RDWR

pytestmark = pytest.mark.machine(tested=False)


def pipe(proc):
    ends = bytearray(8)
    proc.syscall("pipe2", ends, 0)
    return struct.unpack("<2i", ends)


# Processes


def test_processes_are_real_and_separate(guest):
    a, b = guest.spawn(), guest.spawn()
    assert a.syscall("getpid") == a.pid != b.pid == b.syscall("getpid")
    fd = a.open("/tmp/file", O_CREAT_RW)
    assert fd == 3, "descriptor numbers look as in any other program"
    with pytest.raises(OSError) as info:
        b.write(fd, b"x")
    assert info.value.errno == errno.EBADF


def test_many_processes(guest):
    procs = [guest.spawn() for _ in range(40)]
    assert len({proc.pid for proc in procs}) == 40
    pending = [proc.syscall_async("getpid") for proc in procs]
    assert [p.result() for p in pending] == [proc.pid for proc in procs]


def test_errno_comes_back(proc):
    with pytest.raises(OSError, match="openat") as info:
        proc.open("/no/such/file", os.O_RDONLY)
    assert info.value.errno == errno.ENOENT


def test_unknown_and_impossible_calls_are_refused_here(proc):
    with pytest.raises(ValueError, match="unknown system call"):
        proc.syscall("no_such_call")
    with pytest.raises(ValueError, match=r"Process\.fork"):
        proc.syscall("fork")


def test_fork_copies_memory_and_shares_files(proc):
    memory = proc.alloc(PAGE)
    memory[:5] = b"first"
    fd = proc.open("/tmp/shared", O_CREAT_RW)
    child = proc.fork()
    assert child.pid != proc.pid
    assert child.read_mem(memory.addr, 5) == b"first"
    child.write_mem(memory.addr, b"child")
    assert memory[:5] == b"first"
    child.write(fd, b"abc")
    assert proc.pread(fd, 10, 0) == b"abc"
    assert child.exit(3) == 3 << 8


def test_fork_of_a_fork_outlives_its_parent(proc):
    child = proc.fork()
    grandchild = child.fork()
    child.kill()
    child.wait()
    assert grandchild.syscall("getpid") == grandchild.pid


def test_thread_shares_memory_and_files(proc):
    thread = proc.thread()
    assert thread.pid == proc.pid and thread.tid != proc.tid
    assert thread.syscall("gettid") == thread.tid
    assert thread.syscall("getpid") == proc.pid
    memory = proc.alloc(PAGE)
    thread.write_mem(memory.addr, b"shared")
    assert memory[:6] == b"shared"
    fd = thread.open("/tmp/of-thread", O_CREAT_RW)
    proc.write(fd, b"x")


def test_thread_blocks_alone_and_ends_alone(proc):
    thread = proc.thread()
    read_end, write_end = pipe(proc)
    data = bytearray(4)
    pending = thread.syscall_async("read", read_end, data, 4)
    pending.wait_blocked()
    assert proc.syscall("getpid") == proc.pid
    proc.write(write_end, b"wake")
    assert pending.result() == 4 and data == b"wake"
    thread.exit()
    assert proc.syscall("getpid") == proc.pid
    with pytest.raises(ProcessGone):
        thread.syscall("getpid")


def test_many_threads(guest, proc):
    """As many as programs of today have, and nothing of them stays."""

    def pages():
        return int(guest.read_file(f"/proc/{proc.pid}/statm").split()[0])

    proc.thread().exit()
    proc.syscall("getpid")  # the first call makes room for answers
    before = pages()
    threads = [proc.thread() for _ in range(512)]
    pending = [thread.syscall_async("gettid") for thread in threads]
    assert [p.result() for p in pending] == [thread.tid for thread in threads]
    for thread in threads:
        thread.exit()
    assert proc.syscall("getpid") == proc.pid
    assert len(guest.listdir(f"/proc/{proc.pid}/fd")) == 4, "0 to 2, and the socket"
    assert pages() - before < 256, "the threads' stacks were left"


def test_fork_of_a_thread_ends_as_a_process_does(proc):
    child = proc.thread().fork()
    assert child.syscall("getpid") == child.pid != proc.pid
    assert child.exit(5) == 5 << 8


def test_threads_of_a_killed_process_are_reported(proc):
    thread = proc.thread()
    read_end, _ = pipe(proc)
    pending = thread.syscall_async("read", read_end, bytearray(1), 1)
    pending.wait_blocked()
    proc.kill(signal.SIGKILL)
    with pytest.raises(ProcessGone):
        pending.result()
    assert os.WTERMSIG(proc.wait()) == signal.SIGKILL


def test_death_is_told_to_who_waits(guest, proc):
    read_end, _ = pipe(proc)
    pending = proc.syscall_async("read", read_end, bytearray(1), 1)
    pending.wait_blocked()
    assert not pending.done()
    proc.kill(signal.SIGTERM)
    with pytest.raises(ProcessGone, match="SIGTERM"):
        pending.result()
    with pytest.raises(ProcessGone):
        proc.syscall("getpid")
    assert proc not in guest.processes


def test_exit_status(guest):
    assert guest.spawn().exit(0) == 0
    assert os.waitstatus_to_exitcode(guest.spawn().exit(42)) == 42
    proc = guest.spawn()
    with pytest.raises(ProcessGone, match="exited with 7"):
        proc.syscall("exit_group", 7)
    assert os.waitstatus_to_exitcode(proc.wait()) == 7


def test_privileges_drop_for_good(guest):
    guest.write_file("/tmp/secret", b"x")
    guest.shell("chmod 600 /tmp/secret", check=True)
    proc = guest.spawn(uid=1000, gid=1001)
    assert (proc.syscall("getuid"), proc.syscall("getegid")) == (1000, 1001)
    with pytest.raises(OSError) as info:
        proc.open("/tmp/secret", os.O_RDONLY)
    assert info.value.errno == errno.EACCES
    child = proc.fork()
    with pytest.raises(OSError) as info:
        child.syscall("setresuid", 0, 0, 0)
    assert info.value.errno == errno.EPERM


# Blocking and signals


def test_signal_interrupts_a_blocked_call(proc):
    read_end, _ = pipe(proc)
    pending = proc.syscall_async("read", read_end, bytearray(1), 1)
    pending.wait_blocked()
    proc.kill(signal.SIGUSR1)
    with pytest.raises(OSError) as info:
        pending.result()
    assert info.value.errno == errno.EINTR


def test_signal_with_restart_lets_a_call_go_on(proc):
    read_end, write_end = pipe(proc)
    helper = proc.fork()
    data = bytearray(2)
    pending = proc.syscall_async("read", read_end, data, 2)
    pending.wait_blocked()
    proc.kill(signal.SIGUSR2)
    assert not pending.done()
    helper.write(write_end, b"ok")
    assert pending.result() == 2 and data == b"ok"


def test_signal_goes_to_one_thread(proc):
    threads = [proc.thread() for _ in range(2)]
    read_end, write_end = pipe(proc)
    reads = [t.syscall_async("read", read_end, bytearray(1), 1) for t in threads]
    for pending in reads:
        pending.wait_blocked()
    threads[1].kill(signal.SIGUSR1)
    with pytest.raises(OSError):
        reads[1].result()
    assert not reads[0].done()
    proc.write(write_end, b"x")
    assert reads[0].result() == 1


def test_deadline_tells_where_the_process_is(proc):
    read_end, _ = pipe(proc)
    pending = proc.syscall_async("read", read_end, bytearray(1), 1)
    with pytest.raises(GuestTimeout, match="it is in read") as info:
        pending.result(timeout_s=0.3)
    assert "pipe_read" in str(info.value)
    proc.kill()


# Memory


def test_memory_faults_are_reported(proc):
    with pytest.raises(GuestFault) as info:
        proc.read_mem(0x1000, 8)
    assert (info.value.addr, info.value.signal) == (0x1000, signal.SIGSEGV)
    memory = proc.alloc(2 * PAGE)
    proc.syscall("mprotect", memory.addr, PAGE, 1)
    assert memory.read(4) == bytes(4)
    with pytest.raises(GuestFault) as info:
        memory.write(b"x")
    assert info.value.addr == memory.addr
    memory.write(b"x", PAGE)
    assert proc.syscall("getpid") == proc.pid


def test_fault_in_the_middle_gives_the_exact_address(proc):
    memory = proc.alloc(2 * PAGE)
    proc.syscall("munmap", memory.addr + PAGE, PAGE)
    with pytest.raises(GuestFault) as info:
        memory.read(64, PAGE - 32)
    assert info.value.addr == memory.addr + PAGE


def test_truncated_file_gives_sigbus(proc):
    fd = proc.open("/tmp/map", O_CREAT_RW)
    proc.syscall("ftruncate", fd, 2 * PAGE)
    mapping = proc.mmap(2 * PAGE, fd=fd)
    mapping[PAGE : PAGE + 2] = b"hi"
    proc.syscall("ftruncate", fd, PAGE)
    with pytest.raises(GuestFault) as info:
        mapping.read(1, PAGE)
    assert info.value.signal == signal.SIGBUS
    mapping.unmap()


def test_large_transfers(proc):
    data = os.urandom((5 << 20) + 123)
    memory = proc.alloc(len(data))
    memory.write(data)
    assert memory.read() == data


def test_buffer_stays_inside_itself(proc):
    memory = proc.alloc(PAGE)
    memory[10] = 7
    assert memory[10] == 7 and memory[-1] == 0
    with pytest.raises(IndexError):
        memory.read(1, PAGE)
    with pytest.raises(ValueError, match="3 bytes for a slice of 2"):
        memory[0:2] = b"abc"


# Batches


def test_batch_uses_earlier_results(proc):
    batch = proc.batch()
    fd = batch.syscall("openat", -100, "/proc/sys/kernel/ostype", os.O_RDONLY, 0)
    place = batch.scratch(64)
    size = batch.syscall("read", fd, place, 64)
    data = batch.read(place, size)
    batch.syscall("close", fd)
    batch.run()
    assert data.data == b"Linux\n"


def test_batch_stops_at_an_error(proc):
    batch = proc.batch()
    batch.syscall("close", 77)
    late = batch.syscall("getpid")
    with pytest.raises(OSError, match="close"):
        batch.run()
    assert not late.ran


def test_batch_repeats_and_takes_the_time(proc):
    memory = proc.alloc(PAGE)
    batch = proc.batch()
    batch.add64(memory.addr, 2)
    timing = batch.run(repeat=50, timed=True)
    assert memory.read_u64() == 100
    assert len(timing.durations) == 50
    assert 0 < timing.best <= timing.median


@pytest.mark.parametrize("at", [0, 1, 31, 32, 4096, 5000, 5006, None])
def test_compare_inside_the_process(proc, at):
    """To the byte, whatever the length; a difference beyond it does not count."""
    size = 5007
    memory = proc.alloc(4 * PAGE)
    data = os.urandom(size)
    memory.write(data + b"a")
    proc.copy_mem(memory.addr + 2 * PAGE, memory.addr, size)
    assert memory.read(size, 2 * PAGE) == data
    if at is not None:
        memory[2 * PAGE + at] = data[at] ^ 0x80
    assert proc.compare_mem(memory.addr, memory.addr + 2 * PAGE, size) == at


def test_compare_faults_where_nothing_is(proc):
    memory = proc.alloc(2 * PAGE)
    proc.syscall("munmap", memory.addr + PAGE, PAGE)
    for a, b in ((0, PAGE // 2), (PAGE // 2, 0)):
        with pytest.raises(GuestFault) as info:
            proc.compare_mem(memory.addr + a, memory.addr + b, PAGE)
        assert info.value.addr >= memory.addr + PAGE
    assert proc.compare_mem(memory.addr, memory.addr, 0) is None


def test_32_bit_entry(proc):
    assert proc.syscall32("getpid") == proc.pid
    memory = proc.alloc(PAGE, low=True)
    assert memory.addr < 1 << 32
    fd = proc.open("/tmp/file32", O_CREAT_RW)
    memory[:3] = b"abc"
    assert proc.syscall32("write", fd, memory, 3) == 3
    assert proc.pread(fd, 3, 0) == b"abc"


# The guest


def test_files_and_shell(guest):
    guest.write_file("/tmp/a", "text")
    assert guest.read_file("/tmp/a") == b"text"
    assert guest.exists("/tmp/a") and not guest.exists("/tmp/b")
    assert "a" in guest.listdir("/tmp")
    done = guest.shell("echo out; echo err >&2; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"out\n", b"err\n")


def test_release_is_that_of_the_artifact(machine):
    assert machine.guest.release == machine.images.release
    assert machine.guest.release in machine.guest.read_file("/proc/version").decode()


def test_entropy_can_be_stirred(guest, lab):
    with lab.machine(BARE) as twin:
        for one, seed in ((guest, b"a" * 32), (twin.guest, b"b" * 32)):
            one.add_entropy(seed)
        draws = [one.spawn() for one in (guest, twin.guest)]
        values = []
        for proc in draws:
            data = bytearray(16)
            proc.syscall("getrandom", data, 16, 0)
            values.append(bytes(data))
        assert values[0] != values[1]


# Snapshots


def test_clones_do_not_see_each_other(lab):
    with lab.machine(BARE) as first, lab.machine(BARE) as second:
        first.guest.write_file("/tmp/mine", b"first")
        assert not second.guest.exists("/tmp/mine")
        second.guest.write_file("/tmp/mine", b"second")
        assert first.guest.read_file("/tmp/mine") == b"first"
    with lab.machine(BARE) as third:
        assert not third.guest.exists("/tmp/mine")


def test_every_restore_has_the_same_state(lab):
    def state(machine):
        guest = machine.guest
        return (
            guest.hello,
            guest.read_file("/proc/modules"),
            guest.spawn().pid,
        )

    states = []
    for _ in range(2):
        with lab.machine(BARE) as machine:
            states.append(state(machine))
    assert states[0] == states[1]


def test_machine_moves_while_a_call_is_blocked(machine, proc):
    read_end, write_end = pipe(proc)
    memory = proc.alloc(PAGE)
    memory[:4] = b"kept"
    helper = proc.fork()
    pending = proc.syscall_async("read", read_end, bytearray(1), 1)
    pending.wait_blocked()
    old = machine.process.pid
    machine.move_to_new_process()
    assert machine.process.pid != old
    assert not pending.done()
    assert helper.read_mem(memory.addr, 4) == b"kept"
    helper.write(write_end, b"x")
    assert pending.result() == 1
    machine.sync_console()


def test_closed_machine_leaves_nothing(lab):
    machine = lab.fresh(BARE)
    pid, directory = machine.process.pid, machine.directory
    assert directory.exists()
    machine.close()
    assert not directory.exists()
    assert not os.path.exists(f"/proc/{pid}")


def test_poweroff_is_orderly(lab):
    machine = lab.fresh(BARE)
    machine.poweroff()
    assert not machine.process.running


# The kernel's log as a judge


def complain(guest, text):
    guest.write_file("/dev/kmsg", f"<4>{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "WARNING: CPU: 0 PID: 1 at drivers/accel/vnpu/vnpu_bo.c:12 vnpu_bo_free+0x1/0x2 [vnpu]",
        "BUG: KASAN: slab-use-after-free in vnpu_bo_free+0x1/0x2 [vnpu]",
        "refcount_t: underflow; use-after-free.",
    ],
)
def test_log_convicts(lab, text):
    with lab.fresh(BARE) as machine:
        verdict.check_log(machine)
        complain(machine.guest, text)
        with pytest.raises(GuestKernelError) as info:
            verdict.check_log(machine)
        assert text in str(info.value)
        verdict.check_log(machine, expected=[text.partition("+")[0][-20:]])


@pytest.mark.lane("stock", "debug")
def test_boot_is_judged_by_level(lab):
    """No pattern knows these words; the machine is not given out."""
    with pytest.raises(GuestKernelError, match="while it booted: .*Malformed early option"):
        lab.fresh(MachineConfig(tested=False, append="loglevel=odd"))


def test_expected_complaint_must_come(lab):
    with lab.fresh(BARE) as machine, pytest.raises(GuestKernelError, match="does not have"):
        verdict.check_log(machine, expected=["never said"])


@pytest.mark.expect_kernel_log("WARNING: .*on purpose")
def test_expected_complaint_is_forgiven(guest):
    complain(guest, "WARNING: this is on purpose")


def test_ordinary_messages_are_fine(machine):
    machine.guest.write_file("/dev/kmsg", "<6>foo: this is no news\n")
    machine.sync_console()
    assert findings(machine.console.text()) == []


@pytest.fixture
def noisy(lab):
    """A machine whose log nobody judges."""
    with lab.fresh(BARE) as machine:
        yield machine


def test_log_has_levels_and_begins_at_the_snapshot(noisy):
    guest = noisy.guest
    for level in (6, 4, 3):
        guest.write_file("/dev/kmsg", f"<{level}>foo: said at {level}\n")
    first = guest.log.update()
    said = re.findall(r"^<(\d+)>\[ *\d+\.\d+\].* foo: said at (\d)$", first, re.M)
    assert [(int(prefix) & 7, int(level)) for prefix, level in said] == [(6, 6), (4, 4), (3, 3)]
    assert "Linux version" not in first, "the boot is no business of a test"
    guest.write_file("/dev/kmsg", "<6>foo: said later\n")
    second = guest.log.update()
    assert second.startswith(first) and second.count("foo: said") == 4
    assert not guest.log.overrun


def test_line_without_an_end_is_taken(noisy):
    """The kernel keeps it to itself until another line is logged."""
    noisy.guest.write_file("/dev/kmsg", "<4>foo: half a line")
    assert "foo: half a line" in noisy.guest.log.update()


def test_long_log_is_taken_whole(noisy):
    """In parts, and with a doubt where the kernel may have dropped some; the console has all."""
    guest = noisy.guest
    guest.shell("for i in $(seq 300); do echo '<6>foo: '$(seq 30) > /dev/kmsg; done", check=True)
    assert guest.log.update().count("foo: 1 2 3") == 300
    complain(guest, "BUG: KASAN: slab-use-after-free in early+0x1/0x2")
    size = guest.service.syscall("syslog", 10, 0, 0)
    words = "$(seq 240)"
    loops = size // 700
    guest.shell(f"for i in $(seq {loops}); do echo '<6>foo: '{words} > /dev/kmsg; done", check=True)
    with pytest.raises(GuestKernelError, match="early"):
        verdict.check_log(noisy)
    assert guest.log.overrun


def test_panic_is_told_as_the_kernels_fault(lab):
    with lab.fresh(BARE) as machine:
        machine.guest.timeout_s = 3600  # no deadline has to pass
        with pytest.raises(GuestKernelError, match="died") as info:
            machine.guest.write_file("/proc/sysrq-trigger", b"c")
        assert "sysrq" in str(info.value)


def test_reset_is_told_as_the_kernels_fault(lab):
    """As by a triple fault: the log does not say a word of it."""
    with (
        lab.fresh(BARE) as machine,
        pytest.raises(GuestKernelError, match="without a word: it reset the machine"),
    ):
        machine.guest.write_file("/proc/sysrq-trigger", b"b")


def test_restart_that_a_process_asks_for_is_no_fault_of_the_kernel(lab):
    magic, again, restart = 0xFEE1DEAD, 672274793, 0x1234567
    with lab.fresh(BARE) as machine, pytest.raises(RigError, match="agent is gone and QEMU ended"):
        machine.guest.spawn().syscall("reboot", magic, again, restart, 0)


def test_hung_guest_is_a_timeout(lab):
    with lab.fresh(BARE) as machine:
        machine.qmp.cmd("stop")
        with pytest.raises(GuestTimeout):
            machine.guest.service.syscall_async("getpid").result(timeout_s=0.5)
