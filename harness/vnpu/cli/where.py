# SPDX-License-Identifier: MIT
"""Says which sources a command is about, where that may surprise."""

from __future__ import annotations

from pathlib import Path

from vnpu.base import paths, progress


def tell_root() -> Path:
    """The directory with the sources; told unless it is the obvious one.

    Obvious is the checkout that the user stands in and that this command is of.
    """
    root = paths.repo_root()
    own = paths.home_checkout()
    if paths.is_carried():
        progress.say("using the sources that come with this package")
    elif root not in (Path.cwd(), *Path.cwd().parents):
        progress.say(f"using the checkout {root}")
    elif own != root:
        progress.say(f"using the checkout {root}, with the vnpu command of {own or 'a package'}")
    return root
