# SPDX-License-Identifier: MIT
"""The rows of tests/mutants fit the sources, and the tool judges as it says."""

import pytest
import rows

from vnpu.base import paths
from vnpu.base.errors import SetupError

ROOT = paths.repo_root()
MUTANTS = rows.load(ROOT)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.group}/{mutant.name}")
def test_each_mutant_has_its_place(mutant):
    file = mutant.file(ROOT)
    assert mutant.changed(ROOT) != file.read_text()
    assert mutant.why
    assert mutant.lane in ("stock", "debug")


def test_patterns_choose_by_name_and_by_group():
    assert {m.group for m in rows.choose(MUTANTS, ["device"])} == {"device"}
    assert [m.name for m in rows.choose(MUTANTS, ["flr-ign*"])] == ["flr-ignored"]
    with pytest.raises(SetupError, match="no mutant matches nothing-like-it"):
        rows.choose(MUTANTS, ["nothing-like-it"])


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "tests/mutants").mkdir(parents=True)
    (tmp_path / "kernel/a.c").write_text("int one;\nint two;\n")
    return tmp_path


def write_rows(checkout, *changes):
    text = "".join(
        f"- {{name: m{i}, why: because, old: '{old}', new: '{new}'}}\n"
        for i, (old, new) in enumerate(changes)
    )
    (checkout / "tests/mutants/x.yaml").write_text(f"room: kernel\nmutants:\n{text}")


def test_a_row_whose_code_has_changed_is_named(checkout):
    write_rows(checkout, ("int three;", ""))
    (mutant,) = rows.load(checkout)
    with pytest.raises(SetupError, match="mutant m0: .* once, it is in no file"):
        mutant.file(checkout)


def test_a_row_that_fits_twice_is_named(checkout):
    (checkout / "kernel/b.c").write_text("int one;\n")
    write_rows(checkout, ("int one;", ""))
    (mutant,) = rows.load(checkout)
    with pytest.raises(SetupError, match=r"it is in a\.c, b\.c"):
        mutant.file(checkout)


def test_names_are_unique(checkout):
    write_rows(checkout, ("int one;", ""))
    (checkout / "tests/mutants/y.yaml").write_text((checkout / "tests/mutants/x.yaml").read_text())
    with pytest.raises(SetupError, match="same name: m0"):
        rows.load(checkout)
