# SPDX-License-Identifier: MIT
"""The specification, loaded once. ``vnpu.yaml`` beside this file is a link to spec/vnpu.yaml
in the repository, and a copy of it in an installed package."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vnpu.base.errors import SetupError

PATH = Path(__file__).with_name("vnpu.yaml")


@cache
def load() -> dict[str, Any]:
    """The parsed specification. Treat as read-only."""
    try:
        text = PATH.read_text(encoding="utf-8")
    except OSError as error:
        raise SetupError(f"the hardware specification cannot be read: {error}") from error
    # libyaml is there with every wheel of PyYAML, and parses ten times as fast.
    spec: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return spec


def camel(name: str) -> str:
    """``engine_type`` or ``RING_NOP`` as a class name."""
    return "".join(part.capitalize() for part in name.split("_"))
