# SPDX-License-Identifier: MIT
"""The style checkers of Linux and of QEMU, out of the sources that are built here."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vnpu.artifacts.kernel import debug as kernel_debug
from vnpu.artifacts.qemu import source as qemu_source
from vnpu.base import cache, paths
from vnpu.base.errors import BuildError
from vnpu.base.tool import run

_FINDING = re.compile(r"^(?P<place>\S+:\d+): (?P<what>(ERROR|WARNING|CHECK):.*)$")


def kernel_script() -> Path:
    """checkpatch.pl of the debug lane's kernel, which is the newest one."""
    return kernel_debug.source_tree() / "scripts/checkpatch.pl"


def qemu_script() -> Path:
    """checkpatch.pl of the QEMU that is built."""
    source = qemu_source.find()
    name = "scripts/checkpatch.pl"
    if source.path.is_dir():
        return source.path / name

    def make(work: Path) -> None:
        run(
            ["tar", "-x", "-f", source.path, "-C", work, "--strip-components=1", "--wildcards",
             f"*/{name}"],
            "unpack QEMU's checkpatch.pl",
        )  # fmt: skip

    return cache.artifact("qemu-scripts", source.key, make, keep=2) / name


def findings(script: Path, sources: list[Path], *options: str) -> list[str]:
    """What the script has to say, a line a finding: ``file:line: LEVEL: text``."""
    workers = os.cpu_count() or 1
    shares = [share for share in (sources[start::workers] for start in range(workers)) if share]
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda share: _findings(script, share, options), shares)
        return sorted(line for lines in results for line in lines)


def _findings(script: Path, sources: list[Path], options: tuple[str, ...]) -> list[str]:
    root = paths.repo_root()
    names = [source.relative_to(root) for source in sources]
    log = paths.log_dir() / f"checkpatch-{names[0].name}.log"
    argv: list[str | Path] = [
        "perl",
        script,
        "--no-tree",
        "--terse",
        "--no-summary",
        *options,
        "-f",
        *names,
    ]
    try:
        lines = run(argv, "check the style", cwd=root, log=log).lines
    except BuildError:
        lines = log.read_text().splitlines()[1:]
        if not any(map(_FINDING.match, lines)):
            raise
    return [line for line in lines if _FINDING.match(line)]
