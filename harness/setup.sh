#!/bin/sh
# SPDX-License-Identifier: MIT
# Prepare this machine: system packages (as root on Debian) and the Python
# environment in .venv. Does nothing that is done already; `make` calls it.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
packages=$root/harness/vnpu/artifacts/data/packages.txt
venv=$root/.venv
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

say() { printf '%s\n' "$*" >&2; }

listed() { sed -e '/^#/d' -e '/^$/d' "$packages"; }

# Names of the packages that are not installed.
missing() {
	for name in $(listed | awk '{ print $1 }'); do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)
		[ "$status" = installed ] || printf '%s ' "$name"
	done
}

system_packages() {
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "This is no Debian system. Please see that it has what these packages are:"
		listed >&2
		return
	fi
	wanted=$(missing)
	[ -n "$wanted" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		say "Packages are missing; install them and run make again:"
		say "  sudo apt-get install --no-install-recommends $wanted"
		exit 3
	fi
	say "installing $wanted"
	# shellcheck disable=SC2086 # a list of words
	install="apt-get install -y -qq --no-install-recommends $wanted"
	log=$(mktemp)
	# Lists may be absent (a container) or too old to name packages that still exist.
	if ! $install </dev/null >"$log" 2>&1; then
		if ! apt-get update -qq </dev/null >"$log" 2>&1 || ! $install </dev/null >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			rm -f "$log"
			say "The packages could not be installed: check the network and apt's sources."
			exit 3
		fi
	fi
	rm -f "$log"
}

# The first Python that is new enough and can make environments.
find_python() {
	for candidate in ${PYTHON:-} python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
		if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
			2>/dev/null; then
			printf '%s' "$candidate"
			return
		fi
	done
	say "No Python 3.11 or newer with its venv module was found (Debian: python3-venv)."
	exit 3
}

python_environment() {
	python=$(find_python)
	if ! "$venv/bin/python" -c '' 2>/dev/null; then
		say "making the Python environment .venv"
		rm -rf "$venv"
		"$python" -m venv "$venv"
	fi
	say "installing Python packages"
	if ! "$venv/bin/python" -m pip install -q --disable-pip-version-check \
		-e "$root[dev]" </dev/null >"$venv/pip.log" 2>&1; then
		tail -n 20 "$venv/pip.log" >&2
		say "The Python packages could not be installed: check the network and pip's configuration."
		exit 3
	fi
}

system_packages
python_environment
touch "$venv/.ready"
