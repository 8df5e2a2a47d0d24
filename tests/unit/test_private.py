# SPDX-License-Identifier: MIT
"""Places that everybody can write to: what others put there is neither used nor harmed."""

import multiprocessing
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from vnpu.base import paths, private, scratch
from vnpu.base.errors import SetupError
from vnpu.cli import clean
from vnpu.machine import MachineConfig, confine, rundir, template
from vnpu.machine.console import Console

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_is_ours_alone(tmp_path):
    made = private.directory(tmp_path / "made")
    assert mode(made) == 0o700
    made.chmod(0o777)
    assert mode(private.directory(made)) == 0o700


def test_link_is_no_directory_of_ours(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(SetupError, match="somebody else"):
        private.directory(tmp_path / "link")


@as_root
def test_directory_of_another_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", NOBODY, NOBODY)
    with pytest.raises(SetupError, match="somebody else"):
        private.directory(tmp_path / "theirs")


@pytest.fixture
def base(tmp_path):
    """Stands for /tmp, with a file outside that must survive."""
    rundir._root.cache_clear()
    place = tmp_path / "base"
    place.mkdir()
    yield place
    rundir._root.cache_clear()


def test_run_directory_is_reached_by_nobody_else(base):
    place = base / f"vnpu-{os.geteuid()}-runs"
    made = rundir.new(base=base)
    assert made.is_relative_to(place)
    assert mode(place) == (0o710 if confine.group() else 0o700)


@as_root
def test_run_directory_in_a_place_of_another_is_refused(base):
    place = base / f"vnpu-{os.geteuid()}-runs"
    place.mkdir()
    precious = base / "precious"
    precious.write_text("content")
    (place / "lock").symlink_to(precious)
    os.chown(place, NOBODY, NOBODY)
    with pytest.raises(SetupError):
        rundir.new(base=base)
    assert precious.read_text() == "content"


def _make_and_die(base):
    rundir.new(base=base)
    os._exit(1)


def _make_and_look(base, lost):
    for _ in range(60):
        rundir._root.cache_clear()
        if not rundir.new(base=base).exists():
            lost.value += 1


def test_what_killed_runs_left_is_removed(base):
    process = multiprocessing.get_context("fork").Process(target=_make_and_die, args=(base,))
    process.start()
    process.join(30)
    (place,) = base.iterdir()
    (left,) = [path for path in place.glob("run-*") if path.is_dir()]
    mine = rundir.new(base=base)
    assert not left.exists() and mine.exists()
    assert {path.name.partition(".")[0] for path in place.glob("run-*")} == {mine.parent.name}


def test_what_is_left_in_memory_goes_with_the_next_run(base, monkeypatch):
    """Few runs make anything there, so no later one might look."""
    memory = base.parent / "memory"
    memory.mkdir()
    monkeypatch.setattr(rundir, "MEMORY", memory)
    process = multiprocessing.get_context("fork").Process(target=_make_and_die, args=(memory,))
    process.start()
    process.join(30)
    assert [*memory.glob("*/run-*")]
    rundir.new(base=base)
    assert not [*memory.glob("*/run-*")]


@as_root
def test_run_that_is_not_confined_shuts_nobody_out(base, monkeypatch):
    """QEMU of another run of ours has to pass where they all meet."""
    rundir.new(base=base)
    rundir._root.cache_clear()
    monkeypatch.setattr(confine, "group", lambda: None)
    alone = rundir.new(base=base).parent
    assert mode(base / f"vnpu-{os.geteuid()}-runs") == (0o710 if confine.passing() else 0o700)
    assert mode(alone) == 0o700


def _enter_and_die(_):
    with scratch.folder("test"):
        os._exit(1)


def _enter_and_look(lost):
    for _ in range(60):
        with scratch.folder("test") as path:
            (path / "file").touch()
            time.sleep(0.001)
            if not (path / "file").exists():
                lost.value += 1


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_scratch_of_a_killed_process_goes_with_the_next(temporary):
    process = multiprocessing.get_context("fork").Process(target=_enter_and_die, args=(0,))
    process.start()
    process.join(30)
    (left,) = temporary.iterdir()
    with scratch.folder("other") as other:
        assert left.exists()
        with scratch.folder("test") as mine:
            assert mine.exists() and other.exists() and not left.exists()
    assert not [*temporary.iterdir()]


def test_scratch_of_others_stays(temporary):
    context = multiprocessing.get_context("fork")
    lost = context.Value("i", 0)
    crowd = [context.Process(target=_enter_and_look, args=(lost,)) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(60)
        assert one.exitcode == 0
    assert lost.value == 0 and not [*temporary.iterdir()]


def test_runs_that_start_together_leave_each_other_alone(base):
    context = multiprocessing.get_context("fork")
    lost = context.Value("i", 0)
    crowd = [context.Process(target=_make_and_look, args=(base, lost)) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(60)
        assert one.exitcode == 0
    assert lost.value == 0


# Templates


@pytest.fixture
def memory(base, monkeypatch):
    """A /dev/shm of one's own, and a cache."""
    monkeypatch.setattr(rundir, "MEMORY", base)
    monkeypatch.setenv("VNPU_CACHE", str(base.parent / "cache"))
    monkeypatch.delenv("VNPU_TEMPLATES", raising=False)
    return base


@as_root
def test_templates_do_not_go_where_another_waits(memory):
    squat = memory / f"vnpu-{os.geteuid()}"
    squat.mkdir()
    os.chown(squat, NOBODY, NOBODY)
    place = template.storage(MachineConfig(memory=2 << 20, vram=2 << 20))
    assert place == paths.cache_dir() / "templates"
    assert squat not in template._roots()


class Named:
    """As much of a description as finding needs."""

    config = MachineConfig()
    slot = "stock-12345678"
    key = "0123456789abcdef01234567"


def test_template_is_found_wherever_it_lies(memory):
    """Memory may have had room when it was made and have none now, or the other way round."""
    for root in template._roots():
        directory = root / template._name(Named)
        directory.mkdir()
        assert template._find(Named) is None, "half made"
        (directory / "complete").touch()
        assert template._find(Named) == directory
        assert list(template.remove_all()) == [directory]
        assert template._find(Named) is None


def test_template_in_use_stays(memory):
    directory = template._roots()[0] / template._name(Named)
    directory.mkdir()
    used = template.Template(Named, directory)
    assert list(template.remove_all()) == []
    template._remove_stale(Named.slot)
    assert directory.exists()
    used.close()
    template._remove_stale(Named.slot)
    assert not directory.exists()


def test_template_that_is_being_made_stays(memory):
    """By another process, where an old one of its name was."""
    directory = template._roots()[0] / template._name(Named)
    directory.mkdir()
    os.utime(directory, (1000, 1000))
    with template._making(Named.slot):
        template._remove_stale("debug-12345678")
        assert directory.exists()
    template._remove_stale("debug-12345678")
    assert not directory.exists()


def test_old_templates_go(memory):
    old, young = (template._roots()[0] / f"debug-12345678-{n:024x}" for n in (1, 2))
    for directory in (old, young):
        directory.mkdir()
    os.utime(old, (1000, 1000))
    template._remove_stale(Named.slot)
    assert not old.exists() and young.exists()


# The cache as a whole


@pytest.fixture
def cache_at(monkeypatch, memory):
    def at(path):
        monkeypatch.setenv("VNPU_CACHE", str(path))
        return path

    return at


def test_cache_is_marked_and_cleaned(cache_at, tmp_path):
    place = cache_at(tmp_path / "new")
    paths.made("kind")
    assert (place / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172")
    assert list(clean.remove(everything=True)) == [f"removed {place}"]
    assert not place.exists()


def _make_kind(start, refused, n):
    start.wait()
    try:
        paths.made(f"kind{n}")
    except SetupError:
        refused.value += 1


def test_runs_that_make_a_cache_together_share_it(cache_at, tmp_path):
    context = multiprocessing.get_context("fork")
    refused = context.Value("i", 0)
    for turn in range(40):
        cache_at(tmp_path / f"shared{turn}")
        start = context.Event()
        crowd = [context.Process(target=_make_kind, args=(start, refused, n)) for n in range(4)]
        for one in crowd:
            one.start()
        start.set()
        for one in crowd:
            one.join(60)
        assert refused.value == 0, turn


def test_cache_of_an_older_version_is_known(cache_at, tmp_path):
    place = cache_at(tmp_path / "old")
    for name in ("qemu-src", "log", "apt"):
        (place / name).mkdir(parents=True)
    list(clean.remove(everything=True))
    assert not place.exists()


@pytest.mark.parametrize("everything", [False, True])
def test_directory_of_something_else_is_no_cache(cache_at, tmp_path, everything):
    """Not even what is called like our folders is touched."""
    place = cache_at(tmp_path / "var")
    for name in ("log", "module/mine", "spool"):
        (place / name).mkdir(parents=True)
    with pytest.raises(SetupError, match="holds other things"):
        list(clean.remove(everything=everything))
    with pytest.raises(SetupError, match="holds other things"):
        paths.made("qemu")
    assert sorted(path.name for path in place.iterdir()) == ["log", "module", "spool"]


def test_tag_of_another_program_is_not_ours(cache_at, tmp_path):
    place = cache_at(tmp_path / "theirs")
    place.mkdir()
    (place / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# by cargo\n")
    with pytest.raises(SetupError, match="holds other things"):
        list(clean.remove(everything=True))
    assert place.exists()


def test_place_of_templates_keeps_what_is_not_ours(cache_at, tmp_path, monkeypatch):
    cache_at(tmp_path / "cache")
    paths.made("lock")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("VNPU_TEMPLATES", str(shared))
    (shared / "thesis").mkdir()
    own = shared / f"vnpu-{os.geteuid()}"
    kept, gone = own / "notes", own / f"stock-{'0' * 8}-{'1' * 24}"
    own.mkdir()
    for path in (kept, gone):
        path.mkdir()
        os.utime(path, (0, 0))
    template._remove_stale("debug-00000000")
    assert kept.exists() and not gone.exists()
    gone.mkdir()
    list(clean.remove(everything=False))
    assert kept.exists() and not gone.exists()
    assert (shared / "thesis").exists() and mode(shared) == 0o1777


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_link_where_a_guest_may_write_leads_nowhere(tmp_path, make):
    """What QEMU could plant in its directory, the harness neither reads nor empties."""
    precious = tmp_path / "precious"
    precious.write_text("content")
    make(tmp_path / "console.log", precious)
    console = Console(tmp_path / "console.log")
    with pytest.raises(SetupError, match="link|file of its own"):
        console.clear()
    with pytest.raises(SetupError, match="link|file of its own"):
        console.text()
    with pytest.raises(SetupError, match="link|file of its own"):
        confine.take_back(tmp_path / "console.log")
    assert precious.read_text() == "content"


USE = """
import sys
from vnpu.base import cache
cache.artifact("module", "key", lambda work: None)
print("ready", flush=True)
sys.stdin.read()
"""


def test_cache_in_use_is_cleaned_of_nothing(cache_at, tmp_path):
    place = cache_at(tmp_path / "used")
    user = subprocess.Popen(
        [sys.executable, "-c", USE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert user.stdout.readline() == b"ready\n"
    (place / "log").mkdir()
    with pytest.raises(SetupError, match="a run uses the cache"):
        list(clean.remove(everything=True))
    assert (place / "log").is_dir()
    list(clean.remove(everything=False))
    assert (place / "module/key").is_dir() and not (place / "log").exists()
    user.communicate()
    list(clean.remove(everything=True))
    assert not place.exists()
