# SPDX-License-Identifier: MIT
"""Test the patches of upstream/ on a kernel that has them.

The debug kernel's built tree is copied and patched, and what changed is built;
the tests beside the patches run on the result.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vnpu.artifacts.kernel import debug
from vnpu.artifacts.kernel.artifact import KernelArtifact
from vnpu.base import cache, paths, progress
from vnpu.base.errors import VnpuError
from vnpu.base.tool import run

UPSTREAM = paths.repo_root() / "upstream"
#: built into the copy; modules of the original fit it, because no patch changes an interface
TARGET = "vmlinux"


def patches() -> list[Path]:
    """The patches for the kernel, in the order in which they apply."""
    return sorted(UPSTREAM.glob("*/*.patch"))


def patched_tree(kernel: KernelArtifact) -> Path:
    """A copy of the kernel's built tree with all patches, built."""

    def make(tree: Path) -> None:
        with progress.step("copy the debug kernel's tree"):
            run(["cp", "-a", "--reflink=auto", f"{kernel.build_dir}/.", tree], "copy the tree")
            for stamp in tree.glob(".complete"):
                stamp.unlink()
        for patch in patches():
            run(["patch", "-d", tree, "-p1", "-i", patch], f"apply {patch.name}")
        with progress.step("build what the patches change"):
            jobs = f"-j{os.cpu_count() or 1}"
            run(
                ["make", "-C", tree, jobs, TARGET],
                "build the patched kernel",
                env=debug.REPRODUCIBLE,
                log=paths.log_dir() / "kernel-upstream.log",
            )

    return cache.tree("kernel-upstream", cache.digest(kernel.key, *patches()), make, keep=1)


def main() -> int:
    """The exit status of the tests."""
    try:
        tree = patched_tree(debug.ensure())
    except VnpuError as error:
        print(f"upstream: {error}", file=sys.stderr)
        return error.exit_code
    environment = os.environ | {"KDIR": str(tree), "KERNEL": str(tree / TARGET)}
    tests = [str(path) for path in sorted(UPSTREAM.iterdir()) if path.is_dir()]
    vnpu = Path(sys.executable).with_name("vnpu")
    command = [str(vnpu), "test", "--lane=custom", "--jobs=1", *tests]
    return subprocess.run(command, env=environment, cwd=paths.repo_root(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
