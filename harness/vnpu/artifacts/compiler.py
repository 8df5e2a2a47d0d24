# SPDX-License-Identifier: MIT
"""What has a part in everything that is compiled, and therefore in its key."""

from __future__ import annotations

import os
import shlex
from functools import cache

from vnpu.base.tool import run

#: of the environment, as make's implicit variables
_VARIABLES = ("CC", "CFLAGS", "LDFLAGS")


def identity() -> list[str]:
    """The compiler that make uses, by its version, and the flags of the environment.

    Raises SetupError if there is no such compiler.
    """
    flags = [f"{name}={os.environ.get(name, '')}" for name in _VARIABLES]
    return [version(os.environ.get("CC") or "gcc"), *flags]


@cache
def version(command: str = "gcc") -> str:
    """The first line that the compiler says about itself."""
    result = run([*shlex.split(command), "--version"], "build the guest agent and the driver")
    return result.lines[0] if result.lines else ""
