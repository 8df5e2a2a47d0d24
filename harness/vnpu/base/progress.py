# SPDX-License-Identifier: MIT
"""What the user sees while something long runs.

On a terminal the running step is a live line; elsewhere (CI, a pipe) each
step is one plain line with its duration, written when it ends. Steps may
nest: only the outermost one is drawn live.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status

_console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
_live: Status | None = None
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Say nothing from now on (or speak again): for workers of a parallel run."""
    global _quiet
    _quiet = quiet


class Step:
    """One thing under way. ``update`` says how far it is; ``skip`` says that it was no work."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = time.monotonic()
        self.note = ""

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    def update(self, detail: str) -> None:
        """Show ``detail`` beside the title, on a terminal only."""
        if _live is not None:
            _live.update(f"{escape(self.title)} [dim]{escape(detail)} {self.seconds:.0f} s[/dim]")


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show that ``title`` is being done, then how long it took or that it failed."""
    global _live
    current = Step(title)
    outermost = _live is None and _console.is_terminal and not _quiet
    if outermost:
        _live = Status(escape(title), console=_console)
        _live.start()
    outcome = "failed"
    try:
        yield current
        outcome = "done"
    finally:
        if outermost and _live is not None:
            _live.stop()
            _live = None
        _finish(current, outcome)


def _finish(current: Step, outcome: str) -> None:
    if _quiet:
        return
    mark = "[green]✓[/green]" if outcome == "done" else "[red]✗[/red]"
    note = f" ({escape(current.note)})" if current.note else ""
    _console.print(f"{mark} {escape(current.title)}{note} [dim]{current.seconds:.1f} s[/dim]")


def say(text: str) -> None:
    """One line for the user."""
    if not _quiet:
        _console.print(escape(text))
