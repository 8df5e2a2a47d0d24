# SPDX-License-Identifier: MIT
"""Jobs of the driver that fail: what they should have written or cleared is seen by nobody."""

import contextlib
import errno
import time

import pytest
from support import (
    MIB,
    PAGE,
    RESET,
    Copier,
    PciConfig,
    check_words,
    raises_errno,
    reload_impatient,
)

from vnpu.accel import COPY, VRAM, Device
from vnpu.base.deadline import scaled
from vnpu.hw.packets import Fill

SECRET = 0x5EC4E7
SIZE = 32 * MIB

pytestmark = [
    pytest.mark.machine(vram=64 * MIB, aperture=64 * MIB),
    pytest.mark.expect_kernel_log(r"\[drm\] \*ERROR\* vnpu-paging: job failed: -5"),
    RESET,
]


@pytest.fixture
def path(guest):
    return reload_impatient(guest)


@pytest.fixture
def spy(guest, path):
    """A client that comes when another has filled VRAM and gone."""
    victim = Device.open(guest.spawn(), path=path)
    c = Copier(victim)
    for _ in range(2):
        bo = victim.bo_create(24 * MIB, placement=VRAM)
        c.queue.submit([Fill(pattern=SECRET, dst=c.vm.bind(bo), size=bo.size)]).wait()
    victim.proc.kill()
    victim.proc.wait()
    return Device.open(guest.spawn(), path=path)


class Reader:
    """Copies new memory to where the CPU can look at it."""

    def __init__(self, spy):
        self.spy = spy
        self.copier = Copier(spy)
        self.vm = self.copier.vm
        self.out, self.to = self.copier.buffer(SIZE)
        # A bad job bans its queue. Each has its command memory by now: binding that
        # later would wait for the binds before.
        self.queues = [spy.queue_create(self.vm, engine=COPY) for _ in range(4)]
        for queue in self.queues:
            self.copy(self.to, queue).wait()

    def copy(self, va, queue=None, waits=()):
        self.copier.queue = queue or self.queues.pop()
        return self.copier.copy(va, self.to, SIZE, waits=waits)


class Lost:
    """Memory whose clear fails, which a client has mapped."""

    def __init__(self, guest, spy):
        self.guest, self.spy = guest, spy
        self.config = PciConfig(guest)

    @contextlib.contextmanager
    def clear(self):
        """The clear that is queued inside fails: the first time, and when it is run again."""
        before = self._failed_jobs()
        self.config.set_master(False)
        yield
        end = time.monotonic() + scaled(60)
        while self._failed_jobs() == before:
            assert time.monotonic() < end, "the driver goes on trying"
            time.sleep(0.02)
        self.config.set_master(True)

    def _failed_jobs(self):
        return self.guest.shell("dmesg").stdout.count(b"vnpu-paging: job failed")

    @contextlib.contextmanager
    def mapped(self, reader):
        """New memory that ``reader`` maps, and is to look at in the block; where, and when."""
        va, done = reader.vm.reserve(SIZE), self.spy.syncobj_create()
        with self.clear():
            self.bo = self.spy.bo_create(SIZE, placement=VRAM, vm=reader.vm)
            reader.vm.bind(self.bo, va=va, signals=[done], asynchronous=True)
            yield va, done


@pytest.fixture
def lost(guest, spy):
    return Lost(guest, spy)


@pytest.fixture
def reader(spy):
    return Reader(spy)


def test_failed_clear_shows_nothing(lost, reader):
    """A job that was there before the clear failed, and the next one, which gets it cleared."""
    with lost.mapped(reader) as (va, done):
        job = reader.copy(va, waits=[done])
    job.wait(check=False)
    check_words(reader.out, 0)
    assert job.error() == errno.EIO
    again = reader.copy(va)
    again.wait()
    check_words(reader.out, 0)


def test_failed_clear_and_huge_pages_that_are_split(lost, reader):
    """A mapping of memory that must not be seen is cut, by a bind that knows nothing of it."""
    with lost.mapped(reader) as (va, done):
        for at in range(0, SIZE, 2 * MIB):
            reader.vm.unbind(va + at + MIB, PAGE, signals=[done], asynchronous=True)
    reader.copier.copy(va, reader.to, MIB, waits=[done]).wait(check=False)
    check_words(reader.out, 0)


def test_mapping_waits_for_the_second_clear(lost, spy):
    """The CPU sees zeros, too."""
    with lost.clear():
        bo = spy.bo_create(SIZE, placement=VRAM)
    check_words(bo, 0)


def test_clear_that_fails_twice(lost, reader):
    """Then the BO is lost: nothing runs in an address space that has it, until it is unmapped."""
    with lost.mapped(reader) as (va, done):
        job = reader.copy(va, waits=[done])
    job.wait(check=False)
    # it may get to run before the device reaches its queue again
    with lost.clear():
        second = reader.queues.pop().submit([])
    second.wait(check=False)
    queue = reader.queues.pop()
    check_words(reader.out, 0)
    for _ in range(2):
        with raises_errno(errno.EIO):
            queue.submit([])
    with raises_errno(errno.EIO):
        reader.vm.bind(lost.bo)
    reader.vm.unbind(va, SIZE)
    fill = queue.submit([Fill(pattern=1, dst=reader.to, size=PAGE)])
    fill.wait()
