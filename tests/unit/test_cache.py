# SPDX-License-Identifier: MIT
"""The cache: what is half-made is never trusted, what is there is not made again."""

import multiprocessing
import os
import random
import signal
import threading
import time

import pytest

from vnpu.base import cache, locks, paths


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VNPU_CACHE", str(tmp_path / "cache"))
    yield
    cache.release_all()


def test_digest_tells_names_and_contents_apart(tmp_path):
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = cache.digest(folder)
    (folder / "a").rename(folder / "b")
    renamed = cache.digest(folder)
    (folder / "b").write_text("2")
    assert len({before, renamed, cache.digest(folder)}) == 3
    assert cache.digest("ab", "c") != cache.digest("a", "bc")


def test_digest_ignores_editor_leftovers(tmp_path):
    (tmp_path / "a.c").write_text("1")
    before = cache.digest(tmp_path)
    (tmp_path / "a.c~").write_text("old")
    (tmp_path / ".a.c.swp").write_text("swap")
    assert cache.digest(tmp_path) == before


def test_artifact_is_made_once():
    made = []

    def make(work):
        made.append(work)
        (work / "product").write_text("x")

    first = cache.artifact("kind", "key", make)
    assert cache.artifact("kind", "key", make) == first
    assert len(made) == 1
    assert (first / "product").read_text() == "x"


def test_failed_artifact_leaves_nothing():
    def make(work):
        (work / "product").write_text("half")
        raise RuntimeError("compiler fell over")

    with pytest.raises(RuntimeError):
        cache.artifact("kind", "key", make)
    assert list((paths.cache_dir() / "kind").iterdir()) == []


def test_tree_without_its_stamp_is_made_anew():
    def broken(tree):
        (tree / "leftover").write_text("half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        cache.tree("kind", "key", broken)
    tree = cache.tree("kind", "key", lambda tree: (tree / "source").write_text("whole"))
    assert not (tree / "leftover").exists()
    assert (tree / "source").read_text() == "whole"


@pytest.fixture
def at_once(monkeypatch):
    """No entry is too young to be pruned."""
    monkeypatch.setattr(cache, "_YOUNG_S", -60)


def entries(kind="kind"):
    return {entry.name for entry in (paths.cache_dir() / kind).iterdir()}


def fill(count, keep=99):
    for number in range(count):
        entry = cache.artifact("kind", f"k{number}", lambda work: None, keep=keep)
        os.utime(entry, (1000 + number, 1000 + number))
    cache.release_all()


def test_only_the_most_recently_used_survive():
    fill(4)
    cache.artifact("kind", "k0", lambda work: None)  # used again, so the youngest
    cache.release_all()
    cache.prune("kind", keep=2)
    assert entries() == {"k0", "k3"}


def test_young_entries_stay_unless_they_are_very_many(monkeypatch):
    monkeypatch.setattr(cache, "_MANY", 2)
    fill(3)
    for name in entries():
        os.utime(paths.cache_dir() / "kind" / name)
    cache.prune("kind", keep=2)
    assert len(entries()) == 3
    cache.prune("kind", keep=1)
    assert len(entries()) == 2


def _use_until_told(key, ready, done):
    cache.artifact("kind", key, lambda work: None)
    ready.set()
    done.wait(30)


def test_entry_in_use_stays(at_once):
    """Also if it is another process that uses it."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    fill(3)
    user = context.Process(target=_use_until_told, args=("k0", ready, done))
    user.start()
    assert ready.wait(30)
    os.utime(paths.cache_dir() / "kind/k0", (1, 1))
    cache.prune("kind", keep=1)
    assert entries() == {"k0", "k2"}
    done.set()
    user.join(30)
    cache.prune("kind", keep=1)
    assert entries() == {"k2"}


def _make_and_look(seed, problems):
    generator = random.Random(seed)
    cache._YOUNG_S = -60
    for _ in range(150):
        cache.release_all()
        key = f"k{generator.randrange(12)}"
        try:
            entry = cache.artifact("kind", key, lambda work: (work / "file").touch(), keep=1)
            if not (entry / "file").exists():
                problems.put(f"{key} was removed while it was used")
        except Exception as error:
            problems.put(repr(error))


def test_makers_and_pruners_do_not_disturb_each_other():
    context = multiprocessing.get_context("fork")
    problems = context.Queue()
    crowd = [context.Process(target=_make_and_look, args=(n, problems)) for n in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(120)
        assert one.exitcode == 0
    assert problems.empty(), problems.get()
    assert not [name for name in entries() if name.startswith(".")]


def _die_making():
    def make(work):
        (work / "half").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    cache.artifact("kind", "killed", make)


def test_leftovers_of_killed_processes_are_swept():
    process = multiprocessing.get_context("fork").Process(target=_die_making)
    process.start()
    process.join(30)
    (paths.cache_dir() / "kind/.doomed-abc/old").mkdir(parents=True)
    assert len(entries()) == 2
    cache.artifact("kind", "another", lambda work: None)
    assert entries() == {"another"}


def test_what_another_process_makes_is_not_swept():
    def make(work):
        (work / "file").touch()
        held = locks.take(locks.named("prune-kind"))
        cache._sweep("kind", work.parent)
        held.close()

    assert (cache.artifact("kind", "key", make) / "file").exists()


def test_locks_neither_truncate_nor_follow_links(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("content")
    locks.take(precious).close()
    assert precious.read_text() == "content"
    (tmp_path / "link").symlink_to(precious)
    with pytest.raises(OSError):
        locks.take(tmp_path / "link")


def test_shared_lock_excludes_only_the_exclusive_one(tmp_path):
    path = tmp_path / "lock"
    with locks.take(path, shared=True), locks.take(path, shared=True, wait=False):
        assert locks.take(path, wait=False) is None
    with locks.take(path, wait=False):
        assert locks.take(path, shared=True, wait=False) is None


def test_lock_file_that_its_holder_removes_is_not_believed(tmp_path):
    path = tmp_path / "lock"
    first = locks.take(path)
    waiting = threading.Thread(target=lambda: got.append(locks.take(path)))
    got = []
    waiting.start()
    time.sleep(0.05)
    path.unlink()
    first.close()
    waiting.join(30)
    assert locks.take(path, wait=False) is None, "the new file is what is locked"
    got[0].close()


def _make_slowly(log):
    def make(work):
        with open(log, "a") as handle:
            handle.write("made\n")
        time.sleep(0.2)

    cache.artifact("kind", "key", make)


def test_parallel_runs_share_one_build(tmp_path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    runs = [context.Process(target=_make_slowly, args=(log,)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(timeout=30)
        assert run.exitcode == 0
    assert log.read_text() == "made\n"


def test_sync_touches_only_what_differs(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    (source / "same.c").write_text("same")
    (source / "sub/edited.c").write_text("old")
    (source / "gone.c").write_text("gone")
    assert cache.sync(source, target)
    os.utime(target / "same.c", (1000, 1000))
    (target / "product.o").write_text("object")
    (source / "sub/edited.c").write_text("new")
    (source / "gone.c").unlink()

    assert cache.sync(source, target)

    assert (target / "same.c").stat().st_mtime == 1000
    assert (target / "sub/edited.c").read_text() == "new"
    assert not (target / "gone.c").exists()
    assert (target / "product.o").exists(), "build products are not ours to remove"
    assert not cache.sync(source, target)
