#!/bin/sh
# SPDX-License-Identifier: MIT
# What this machine has and lacks, before anything is set up and with whatever is
# there: the environment of the harness, else any Python, else only a shell.
# Changes nothing.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
export PYTHONPATH="$root/harness" PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8

for python in "$root/.venv/bin/python" "${PYTHON:-}" python3 /usr/bin/python3; do
	if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		exec "$python" -m vnpu.artifacts.doctor
	fi
done

lacking=$(sh "$root/harness/vnpu/artifacts/data/packages.sh")
printf '✗ %-16s %s\n' Python "no Python 3.11 or newer was found; the rest is not looked at"
printf '%s\n' "$lacking" | while IFS='	' read -r name reason; do
	[ -z "$name" ] || printf '✗ %-16s %s\n' package "$name ($reason)"
done
[ -z "$lacking" ] || ! command -v apt-get >/dev/null ||
	printf '· %-16s %s %s\n' "" "apt-get install --no-install-recommends --no-remove" \
		"$(printf '%s\n' "$lacking" | cut -f 1 | tr '\n' ' ')"
exit 3
