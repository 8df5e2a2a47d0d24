# SPDX-License-Identifier: MIT
"""The cache: what is half-made is never trusted, what is there is not made again."""

import multiprocessing
import os
import time

import pytest

from vnpu.base import cache, paths


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VNPU_CACHE", str(tmp_path / "cache"))


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


def test_only_the_most_recently_used_survive():
    for number in range(4):
        entry = cache.artifact("kind", f"k{number}", lambda work: None, keep=9)
        os.utime(entry, (1000 + number, 1000 + number))
    cache.artifact("kind", "k0", lambda work: None, keep=9)  # used again, so the youngest
    cache.prune("kind", keep=2)
    assert {entry.name for entry in (paths.cache_dir() / "kind").iterdir()} == {"k0", "k3"}


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
