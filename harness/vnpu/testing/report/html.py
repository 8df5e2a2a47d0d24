# SPDX-License-Identifier: MIT
"""The page, from its template."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader

from vnpu.testing.report.model import Run


def render(run: Run) -> str:
    """The whole page; everything that tests produced is escaped."""
    environment = Environment(
        loader=PackageLoader("vnpu.testing.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = seconds
    return environment.get_template("report.html.j2").render(run=run)


def write(run: Run, path: Path) -> None:
    """Write the page, replacing an older one only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(render(run))
    part.replace(path)


def seconds(value: float) -> str:
    """A duration for people."""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"
