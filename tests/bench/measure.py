# SPDX-License-Identifier: MIT
"""What a measurement is, and how measurements are shown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """A number with its unit. ``goal`` is the least or most it should be, if there is one."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    more_is_better: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"met": self.met}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def side_by_side(
    first: Callable[[], float], second: Callable[[], float], rounds: int = 7
) -> tuple[float, float]:
    """Medians of two measurements that take turns, so that noise meets both."""
    pairs = [(first(), second()) for _ in range(rounds)]
    return tuple(statistics.median(column) for column in zip(*pairs, strict=True))  # type: ignore[return-value]


def show(results: Sequence[Result]) -> None:
    """Print the table."""
    table = Table(title="vnpu benchmarks", title_justify="left")
    for column, justify in (
        ("what", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("goal", "right"),
        ("", "left"),
        ("note", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    marks = {True: "ok", False: "missed", None: ""}
    for result in results:
        goal = (
            ""
            if result.goal is None
            else f"{'≥' if result.more_is_better else '≤'} {result.goal:g}"
        )
        table.add_row(
            result.name, f"{result.value:,.4g}", result.unit, goal, marks[result.met], result.note
        )
    Console(width=140).print(table)
