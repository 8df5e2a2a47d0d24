# SPDX-License-Identifier: MIT
"""Of the reports that kernels print today, nearly all are found, and ordinary messages are not."""

from pathlib import Path

import pytest

from vnpu.klog.oracle import Kind, findings

CORPUS = Path(__file__).parent / "data/klog_corpus.txt"
#: how lines begin on a console and in syslog
PREFIXES = ("[   12.345678] ", "[   12.345678][    T1] ", "<4>[   12.345678] ", "")
FOUND_AT_LEAST = 0.95


def blocks():
    for block in CORPUS.read_text().split("\n### ")[1:]:
        kind, _, text = block.partition("\n")
        yield kind, text.strip("\n").splitlines()


REPORTS = [(Kind[kind], lines) for kind, lines in blocks() if kind != "-"]
ORDINARY = [line for kind, lines in blocks() if kind == "-" for line in lines]


def log(prefix, lines):
    return "\n".join(prefix + line for line in ["foo: before", *lines, "foo: after", "foo: end"])


@pytest.mark.parametrize("prefix", PREFIXES)
def test_reports_are_found(prefix):
    missed = []
    for kind, lines in REPORTS:
        found = findings(log(prefix, lines))
        if kind is not Kind.CHECKER:  # its end may be a part of any other report
            found = [item for item in found if item.kind is not Kind.CHECKER]
        if [item.kind for item in found] != [kind]:
            missed.append(f"{[str(item) for item in found]} for {kind}: {lines[0]}")
    found = 1 - len(missed) / len(REPORTS)
    assert found >= FOUND_AT_LEAST, f"{found:.1%} of {len(REPORTS)}\n" + "\n".join(missed)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_ordinary_messages_are_silent(prefix):
    flagged = [line for line in ORDINARY if findings(log(prefix, [line]))]
    assert not flagged


def test_corpus_has_every_kind_and_enough():
    """A kind that only levels tell has no words of its own."""
    assert {kind for kind, _ in REPORTS} >= set(Kind) - {Kind.LEVEL, Kind.RESOURCE}
    assert len(REPORTS) > 120 and len(ORDINARY) > 50
