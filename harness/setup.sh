#!/bin/sh
# SPDX-License-Identifier: MIT
# Prepare this machine: system packages (as root on Debian) and the Python
# environment in .venv. Does nothing that is done already; `make` calls it.
# Packages are only ever added: one that could come only in place of another is refused.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
packages=$root/harness/vnpu/artifacts/data/packages.sh
venv=$root/.venv
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

say() { printf '%s\n' "$*" >&2; }

system_packages() {
	lacking=$(sh "$packages")
	[ -n "$lacking" ] || return 0
	wanted=$(printf '%s\n' "$lacking" | cut -f 1 | tr '\n' ' ')
	wanted=${wanted% }
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "This is no Debian system; it seems to lack what these packages of Debian bring:"
		say "$lacking"
		return 0 # a build that really needs one will say so
	fi
	if [ "$(id -u)" != 0 ]; then
		say "Packages are missing; install them and run make again:"
		say "  sudo apt-get install --no-install-recommends --no-remove $wanted"
		exit 3
	fi
	say "installing $wanted"
	install_packages
}

# Install $wanted.
install_packages() {
	# shellcheck disable=SC2086 # a list of words
	install="apt-get install -y -qq --no-install-recommends --no-remove $wanted"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	# Lists may be absent (a container) or too old to name packages that still exist.
	if ! $install </dev/null >"$log" 2>&1; then
		if ! apt-get update -qq </dev/null >"$log" 2>&1 || ! $install </dev/null >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			say "The packages could not be installed: see above; check the network and apt's sources."
			exit 3
		fi
	fi
}

# The first Python that is new enough and can make environments.
find_python() {
	for candidate in "${PYTHON:-}" python3 /usr/bin/python3 \
		python3.14 python3.13 python3.12 python3.11; do
		if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null; then
			printf '%s' "$candidate"
			return
		fi
	done
	say "No Python 3.11 or newer with its venv module was found (Debian: python3-venv)."
	exit 3
}

# pip, of what is built already: nothing else has a build of its own fetch things.
pip_install() {
	"$venv/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: "$@" \
		</dev/null >>"$venv/pip.log" 2>&1
}

# The releases that are known to work, by their hashes; what is newest if VNPU_PINS=0.
install_dependencies() {
	if [ "${VNPU_PINS:-1}" = 0 ]; then
		pip_install 'setuptools>=65' wheel && pip_install --no-build-isolation -e "$root[dev]"
	else
		pip_install --require-hashes -r "$root/harness/requirements.txt"
	fi
}

# The checkout that an environment was made for; its programs and packages name it. An older
# set-up did not write that down, so the package is asked where it is.
made_for() {
	if [ -s "$venv/.ready" ]; then
		cat "$venv/.ready"
	else
		"$venv/bin/python" -c '
import pathlib, vnpu
print(pathlib.Path(vnpu.__file__).resolve().parents[2])' 2>/dev/null || true
	fi
}

python_environment() {
	python=$(find_python)
	# Before anything is changed: what stops half way is begun anew.
	if [ "$(made_for)" != "$root" ]; then
		rm -rf "$venv"
	fi
	rm -f "$venv/.ready"
	if ! "$venv/bin/python" -c '' 2>/dev/null; then
		say "making the Python environment .venv"
		rm -rf "$venv"
		"$python" -m venv "$venv"
	fi
	say "installing Python packages"
	: >"$venv/pip.log"
	# The package's build backend is installed like any other package and then used from here.
	if ! install_dependencies || ! pip_install --no-deps --no-build-isolation -e "$root"; then
		tail -n 20 "$venv/pip.log" >&2
		say "The Python packages could not be installed: check the network and pip's configuration;"
		say "VNPU_PINS=0 takes the newest releases instead of those in harness/requirements.txt."
		exit 3
	fi
}

system_packages
python_environment
printf '%s\n' "$root" >"$venv/.ready"
