# SPDX-License-Identifier: MIT
"""How a mutant is put into a copy of the checkout, judged and taken out again."""

import subprocess

import pytest
import rows
from judge import Copy, Stage, judge

from vnpu.base.errors import BuildError, VnpuError


@pytest.fixture
def copy(tmp_path):
    root = tmp_path / "root"
    (root / "kernel").mkdir(parents=True)
    (root / "kernel/a.c").write_text("int one;\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    made = Copy(root, tmp_path / "copy")
    made.refresh()
    return made


MUTANT = rows.Mutant("x", "kernel", "m", "because", "one", "two")


def stage(script):
    return Stage("stage", (("sh", "-c", script),))


def verdict(copy, tmp_path, *scripts):
    return judge(copy, MUTANT, [stage(script) for script in scripts], tmp_path / "log")


def test_the_mutant_is_there_while_tests_run_and_gone_after(copy, tmp_path):
    assert verdict(copy, tmp_path, "grep -q two kernel/a.c && exit 1").killed
    assert (copy.path / "kernel/a.c").read_text() == "int one;\n"
    assert (copy.root / "kernel/a.c").read_text() == "int one;\n"


def test_it_survives_if_all_stages_pass(copy, tmp_path):
    assert not verdict(copy, tmp_path, "exit 0", "exit 0").killed


def test_the_stage_that_noticed_it_is_named_with_the_test(copy, tmp_path):
    report = (
        "<testsuites><testsuite><testcase classname='tests.e2e.test_a' name='test_b'>"
        "<failure/></testcase></testsuite></testsuites>"
    )
    script = f'echo "{report}" > build/report/x.xml; exit 1'
    found = verdict(copy, tmp_path, "exit 0", script)
    assert found.test == "test_a::test_b"


@pytest.mark.parametrize("status, error", [(4, BuildError), (5, VnpuError)])
def test_what_does_not_compile_or_run_is_no_verdict(copy, tmp_path, status, error):
    with pytest.raises(error):
        verdict(copy, tmp_path, f"exit {status}")
    assert (copy.path / "kernel/a.c").read_text() == "int one;\n"


def test_a_file_that_is_gone_from_the_checkout_goes_from_the_copy(copy):
    (copy.root / "kernel/b.c").write_text("int b;\n")
    copy.refresh()
    assert (copy.path / "kernel/b.c").exists()
    (copy.root / "kernel/b.c").unlink()
    copy.refresh()
    assert not (copy.path / "kernel/b.c").exists()
