# SPDX-License-Identifier: MIT
"""What pyproject.toml cannot say: a built package carries the sources that it builds and tests.

In a checkout, and for an editable install of it, they are used where they are.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
#: what a package carries below ``vnpu/_sources``, as ``vnpu.base.paths`` finds it
CARRIED = """
    pyproject.toml Kconfig kernel qemu-device spec userspace/agent
    tests/e2e tests/kunit tests/bench
""".split()
IGNORED = shutil.ignore_patterns("__pycache__", "*.o", "*.ko", "*.orig", "*.rej", "*~", ".*")


class BuildWithSources(build_py):
    """Adds the sources to what is built."""

    def run(self):
        if self.editable_mode:
            super().run()
            return
        # What an earlier build left there may have been removed from the sources since.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        carried = Path(self.build_lib) / "vnpu/_sources"
        for name in CARRIED:
            source, target = HERE / name, carried / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=IGNORED)
            else:
                shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildWithSources})
