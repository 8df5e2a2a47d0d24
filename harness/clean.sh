#!/bin/sh
# SPDX-License-Identifier: MIT
# `vnpu clean`, with its arguments. If its environment is broken, `--all` is done
# here: the cache and the snapshots in memory go, unless a run uses them.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
python=$root/.venv/bin/python
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*" >&2; }

# Whether nobody holds any of these locks.
free() {
	for file; do
		[ ! -f "$file" ] || flock -n "$file" sh -c : || { say "a run uses $file"; return 1; }
	done
}

if "$python" -c 'import vnpu.cli.main, vnpu.cli.clean' 2>/dev/null; then
	exec "$python" -c 'import sys; from vnpu.cli.main import main; sys.exit(main())' clean "$@"
fi
[ ! -e "$root/.venv" ] || say ".venv is broken"
if [ "${1:-}" != --all ]; then
	say "the cache stays as it is; make setup mends .venv, make distclean removes both"
	exit 0
fi
cache=${VNPU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vnpu}
snapshots=${VNPU_TEMPLATES:-/dev/shm}/vnpu-$(id -u)
if grep -q 'cache of vnpu' "$cache/CACHEDIR.TAG" 2>/dev/null; then
	free "$cache"/lock/* || exit 3
	rm -rf "$cache"
	echo "removed $cache"
fi
if [ -d "$snapshots" ] && [ -O "$snapshots" ] && [ ! -L "$snapshots" ] &&
	free "$snapshots"/*.use; then
	rm -rf "$snapshots"
	echo "removed $snapshots"
fi
