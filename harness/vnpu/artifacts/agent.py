# SPDX-License-Identifier: MIT
"""The guest agent, linked statically because the guest has nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from vnpu.artifacts import compiler
from vnpu.base import cache, paths, progress
from vnpu.base.tool import run

PRODUCT = "vnpu-agent"


def build() -> Path:
    """The agent's executable."""
    source = paths.repo_root() / "userspace/agent"

    def make(work: Path) -> None:
        with progress.step("build the guest agent"):
            objects = work / "objects"
            run(
                ["make", "-C", source, f"O={objects}"],
                "build the guest agent",
                log=paths.log_dir() / "agent.log",
            )
            shutil.move(objects / PRODUCT, work / PRODUCT)
            shutil.rmtree(objects)

    key = cache.digest(source, Path(__file__), *compiler.identity())
    return cache.artifact("agent", key, make) / PRODUCT
