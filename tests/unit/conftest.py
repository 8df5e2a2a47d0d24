# SPDX-License-Identifier: MIT
"""What unit tests share: they look at what is told to users, also in a worker, which is quiet."""

from __future__ import annotations

import pytest

from vnpu.base import progress

#: tests that take as long as hundreds of others
LONG = ("test_sanitized", "test_an_access_that_comes_back")


@pytest.fixture(autouse=True)
def audible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_quiet", False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, each on a worker of its own: a worker is given two tests at a time."""
    by_name = {item.name: item for item in items}
    first = [by_name[name] for name in LONG if name in by_name]
    others = [item for item in items if item not in first]
    items[:] = [item for pair in zip(first, others, strict=False) for item in pair]
    items += others[len(first) :]
