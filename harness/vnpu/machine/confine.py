# SPDX-License-Identifier: MIT
"""What keeps the host from harm: the guest under test, and its device, may take QEMU over.

Where QEMU was built with seccomp it cannot start programs or gain rights. If
the harness runs as root, QEMU runs as nobody. Its files lie where nobody cannot
go, so it gets descriptors for them and knows them by the names that /proc gives
to those.

``VNPU_CONFINE=0`` turns both off, for debuggers and devices of the host.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from vnpu.base import private
from vnpu.base.errors import SetupError

#: "nobody", for whom nothing has to be set up
_UID = _GID = 65534
_SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
_KVM = Path("/dev/kvm")


def _wanted() -> bool:
    return os.environ.get("VNPU_CONFINE") != "0"


@cache
def group() -> int | None:
    """The group that QEMU runs as; None if it runs as we do."""
    return passing() if _wanted() else None


@cache
def passing() -> int | None:
    """Whom to let through where all runs of this user meet, confined ones and others."""
    return _GID if os.geteuid() == 0 and _is_mapped(_UID) else None


def _is_mapped(uid: int) -> bool:
    """Whether there is such a user in this user namespace."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= uid < first + count:
            return True
    return False


def hand_over(path: Path) -> None:
    """Let QEMU write to a file or into a directory of ours."""
    if group() is not None:
        os.chown(path, _UID, _GID)


def take_back(path: Path) -> None:
    """Let QEMU only read it any more. Raises SetupError if it made a link of it."""
    if path.is_dir() and not path.is_symlink():
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        path.chmod(0o755)
        return
    handle = private.opened(path, os.O_RDONLY)
    os.fchown(handle, os.geteuid(), os.getegid())
    os.fchmod(handle, 0o444)
    os.close(handle)


def die_with_parent() -> list[str]:
    """A command prefix: the kernel kills what follows when the thread that started it ends.

    A parent that dies before setpriv has set this up leaves a process behind;
    that gap is the time of one exec.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SetupError(
            "setpriv was not found; it is required to end guests with the harness",
            "install it: apt-get install util-linux",
        )
    return [setpriv, "--pdeathsig", "KILL", "--no-new-privs"]


def unprivileged() -> list[str]:
    """Options of setpriv that make QEMU nobody, who may still use KVM."""
    if group() is None:
        return []
    kvm = _KVM.stat().st_gid if _KVM.exists() else 0
    groups = ["--groups", str(kvm)] if kvm else ["--clear-groups"]
    return ["--reuid", str(_UID), "--regid", str(_GID), *groups, "--bounding-set", "-all"]


@cache
def sandbox(binary: Path) -> tuple[str, ...]:
    """QEMU's arguments for its system call filter, if it was built with one."""
    needed = _libraries(binary)
    # A sanitizer looks into its own process, which the filter forbids.
    sanitized = any(name.startswith("libasan") for name in needed)
    has_seccomp = any(name.startswith("libseccomp") for name in needed)
    return _SANDBOX if has_seccomp and not sanitized and _wanted() else ()


def _libraries(binary: Path) -> list[str]:
    try:
        with binary.open("rb") as file:
            dynamic = ELFFile(file).get_section_by_name(".dynamic")
            if not isinstance(dynamic, DynamicSection):
                return []
            return [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]
    except (OSError, ELFError):
        return []  # a script, perhaps
