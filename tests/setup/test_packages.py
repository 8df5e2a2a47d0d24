# SPDX-License-Identifier: MIT
"""Set-up before anything is there: the list of packages, what reads it, what installs it."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from vnpu.base import locks, paths

REPO = Path(__file__).resolve().parents[2]
DATA = REPO / "harness/vnpu/artifacts/data"
#: what the shell scripts call, beside what a test puts in their way
TOOLS = "awk cat cp cut dirname flock grep head id mktemp mkdir rm sed sh tail touch tr".split()


def listed():
    rows = [line.split(None, 2) for line in (DATA / "packages.txt").read_text().splitlines()]
    return [row for row in rows if row and not row[0].startswith("#")]


@pytest.fixture
def machine(tmp_path):
    """A machine with the plainest tools, and what ``add(name, script)`` puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    checkout = tmp_path / "checkout"
    shutil.copytree(
        REPO / "harness",
        checkout / "harness",
        ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"),
    )

    class Machine:
        path = checkout
        home = tmp_path / "home"
        log = tmp_path / "calls"

        def add(self, name, script):
            target = folder / name
            target.unlink(missing_ok=True)
            target.write_text(f"#!/bin/sh\n{script}\n")
            target.chmod(0o755)

        def run(self, script, *arguments, **environment):
            self.home.mkdir(exist_ok=True)
            return subprocess.run(
                [folder / "sh", self.path / script, *arguments],
                env={"PATH": str(folder), "HOME": str(self.home), **environment},
                capture_output=True,
                text=True,
                timeout=60,
            )

    return Machine()


def debian(machine, *installed):
    """Have the machine believe that it is a Debian with these packages."""
    names = "|".join(installed) or "none"
    machine.add(
        "dpkg-query",
        f"for name; do :; done\ncase $name in {names}) printf installed;; *) exit 1;; esac",
    )
    machine.add("apt-get", f'echo "$@" >> {machine.log}')


def test_every_package_has_a_proof_and_a_reason():
    assert len(listed()) > 15
    for name, proof, reason in listed():
        assert proof == "-" or proof.partition(":")[0] in ("cmd", "lib", "inc", "py"), name
        assert reason


def test_no_package_shuts_out_what_developers_have():
    """gcc-multilib removes every cross compiler, busybox-static removes busybox."""
    assert not {row[0] for row in listed()} & {"gcc-multilib", "busybox-static", "build-essential"}


def test_lacking_packages_by_dpkg(machine):
    names = [row[0] for row in listed()]
    debian(machine, *names[1:])
    done = machine.run("harness/vnpu/artifacts/data/packages.sh")
    assert done.stdout == f"{names[0]}\t{listed()[0][2]}\n"
    debian(machine)
    done = machine.run("harness/vnpu/artifacts/data/packages.sh")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == names


def test_lacking_packages_without_dpkg(machine):
    """Other systems are asked for what the packages bring."""
    machine.add("gcc", '[ "$1" = -E ] && exec cat >/dev/null || exit 1')
    machine.add("cat", ":")
    machine.add("patch", ":")
    done = machine.run("harness/vnpu/artifacts/data/packages.sh")
    lacking = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert not {"gcc", "patch", "libc6-dev", "seabios"} & set(lacking)
    assert {"bison", "libglib2.0-dev", "python3-venv"} <= set(lacking)


def test_user_is_told_what_to_install(machine):
    names = [row[0] for row in listed()]
    debian(machine, *names[2:])
    machine.add("id", "echo 1000")
    done = machine.run("harness/setup.sh")
    assert done.returncode == 3
    expected = f"sudo apt-get install --no-install-recommends --no-remove {names[0]} {names[1]}"
    assert expected in [line.strip() for line in done.stderr.splitlines()]
    assert not machine.log.exists()


def test_root_installs_and_removes_nothing(machine):
    names = [row[0] for row in listed()]
    debian(machine, *names[1:])
    machine.add("id", "echo 0")
    script = machine.path / "harness/setup.sh"
    # Else the Python of this machine would be found there, and fetch packages for a minute.
    script.write_text(script.read_text().replace("/usr/bin/python3", "/nowhere/python3"))
    done = machine.run("harness/setup.sh")
    assert done.returncode == 3 and "No Python 3.11" in done.stderr
    (call,) = machine.log.read_text().splitlines()
    assert call.split()[0] == "install" and "--no-remove" in call.split()
    assert call.endswith(names[0])


def test_doctor_with_nothing_but_a_shell(machine):
    debian(machine)
    script = machine.path / "harness/doctor.sh"
    # Python may be there at its usual place, and would rightly be taken.
    script.write_text(script.read_text().replace("/usr/bin/python3", "/nowhere/python3"))
    done = machine.run("harness/doctor.sh")
    assert done.returncode == 3
    assert "no Python 3.11" in done.stdout
    assert "✗ package          gcc (compiler)" in done.stdout


def test_doctor_needs_nothing_installed_and_changes_nothing(machine):
    """Without .venv, with an empty home, with a Python that has nothing but its library."""
    debian(machine)
    plain = machine.path.parent / "plain"
    plain.write_text(f'#!/bin/sh\nexec {sys.executable} -s -S "$@"\n')
    plain.chmod(0o755)
    before = _files(machine)
    done = machine.run("harness/doctor.sh", PYTHON=str(plain))
    assert "✓ machine" in done.stdout or "✗ machine" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    assert "the environment .venv is not made yet" in done.stdout
    assert "✗ package          gcc (compiler)" in done.stdout
    assert done.returncode == 3
    assert _files(machine) == before


def _files(machine):
    machine.home.mkdir(exist_ok=True)
    folders = (machine.home, machine.path)
    return sorted(str(file) for folder in folders for file in folder.rglob("*"))


PYTHON = """
echo "$@" >> {log}
case $2 in *vnpu.__file__*) echo "$VNPU_IS_AT"; exit 0 ;; esac
[ "$1 $2" = "-m venv" ] || exit 0
mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
"""


@pytest.fixture
def ready(machine):
    """A machine with all packages and a Python; ``made()`` tells what that was asked for."""
    debian(machine, *(row[0] for row in listed()))
    machine.add("python3", PYTHON.format(log=machine.log))

    def made(**variables):
        machine.log.unlink(missing_ok=True)
        done = machine.run("harness/setup.sh", **variables)
        assert done.returncode == 0, done.stderr
        return machine.log.read_text()

    machine.made = made
    return machine


def test_environment_belongs_to_its_checkout(ready):
    """A copy, or one that was moved, would run the code of the other."""
    assert "-m venv" in ready.made()
    assert (ready.path / ".venv/.ready").read_text() == f"{ready.path}\n"
    assert "-m venv" not in ready.made()
    (ready.path / ".venv/old").touch()
    ready.path = ready.path.rename(ready.path.parent / "moved to here")
    assert "-m venv" in ready.made()
    assert not (ready.path / ".venv/old").exists()


def test_environment_of_an_older_setup_is_kept_where_it_is_ours(ready):
    """Something may run from it."""
    ready.made()
    (ready.path / ".venv/.ready").write_text("")
    assert "-m venv" not in ready.made(VNPU_IS_AT=str(ready.path))
    (ready.path / ".venv/.ready").write_text("")
    assert "-m venv" in ready.made(VNPU_IS_AT="/elsewhere")


def test_make_sets_up_again_where_the_environment_is_of_another_checkout(tmp_path):
    place = tmp_path / "check out"
    for name in ("Makefile", "pyproject.toml", "harness"):
        source = REPO / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        place.mkdir(exist_ok=True)
        copy(source, place / name)
    ready = place / ".venv/.ready"
    ready.parent.mkdir()

    def up_to_date():
        return subprocess.run(["make", "-q", ".venv/.ready"], cwd=place).returncode == 0

    ready.write_text(f"{place}\n")
    assert up_to_date()
    for other in ("/elsewhere\n", ""):
        ready.write_text(other)
        assert not up_to_date()


def test_only_releases_that_are_known_are_installed(ready):
    """By hash, so that what appears on the index tomorrow changes nothing."""
    installs = [line for line in ready.made().splitlines() if " pip install " in f" {line} "]
    first, second = installs
    assert "--require-hashes" in first and first.endswith("harness/requirements.txt")
    assert "--no-deps" in second and second.endswith(f"-e {ready.path}")


def test_every_requirement_has_a_release_and_hashes():
    pinned = {}
    for entry in (REPO / "harness/requirements.txt").read_text().split("\n"):
        if entry[:1] not in ("#", " ", ""):
            name, _, rest = entry.partition("==")
            pinned.setdefault(name, []).append(rest.split()[0])
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    for text in [*wanted, "setuptools", "wheel"]:
        requirement = Requirement(text)
        if requirement.name != "vnpu":
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert name in pinned, f"make pins: {text}"
            for version in pinned[name]:
                assert requirement.specifier.contains(version), f"make pins: {text}, not {version}"
    text = (REPO / "harness/requirements.txt").read_text()
    assert text.count("--hash=sha256:") > len(pinned)


def cache_of(machine, *locks):
    place = machine.path.parent / "the cache"
    (place / "lock").mkdir(parents=True)
    (place / "CACHEDIR.TAG").write_text(paths.TAG_TEXT)
    for name in locks:
        (place / "lock" / name).touch()
    return place


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "none"])
def test_distclean_without_an_environment(machine, broken):
    place = cache_of(machine, "qemu-1")
    if broken:
        (machine.path / ".venv/bin").mkdir(parents=True)
        (machine.path / ".venv/bin/python").symlink_to("/no/longer/there")
    where = {"VNPU_CACHE": str(place), "VNPU_TEMPLATES": str(machine.home)}
    done = machine.run("harness/clean.sh", **where)
    assert done.returncode == 0 and place.exists()
    done = machine.run("harness/clean.sh", "--all", **where)
    assert (done.returncode, done.stdout) == (0, f"removed {place}\n"), done.stderr
    assert (".venv is broken" in done.stderr) == broken
    assert not place.exists()


def test_distclean_without_an_environment_minds_who_works(machine):
    place = cache_of(machine, "qemu-1")
    where = {"VNPU_CACHE": str(place), "VNPU_TEMPLATES": str(machine.home)}
    with locks.take(place / "lock/qemu-1"):
        done = machine.run("harness/clean.sh", "--all", **where)
    assert done.returncode == 3 and "a run uses" in done.stderr
    assert place.exists()
    (place / "CACHEDIR.TAG").write_text("of somebody else")
    assert machine.run("harness/clean.sh", "--all", **where).returncode == 0
    assert place.exists()
