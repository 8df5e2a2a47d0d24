#!/bin/sh
# SPDX-License-Identifier: MIT
# What this machine lacks of packages.txt: a line each, "NAME<tab>why". Changes nothing.
# Debian's own records decide where there are any; elsewhere the proofs of the list do.

set -eu
list=$(dirname -- "$0")/packages.txt

is_debian() { command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; }

installed() {
	# a line for each architecture that it is there for
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

has_header() {
	printf '#include <%s>\n' "$1" | ${CC:-gcc} -E -o /dev/null -x c - 2>/dev/null
}

# Whether a proof holds.
proven() {
	case $1 in
	-) true ;;
	cmd:*) command -v "${1#*:}" >/dev/null ;;
	lib:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#*:}" ;;
	inc:*) has_header "${1#*:}" ;;
	py:*) "${PYTHON:-python3}" -c "import ${1#*:}" 2>/dev/null ;;
	*) echo "packages.txt: no such proof: $1" >&2; exit 2 ;;
	esac
}

grep -v -e '^#' -e '^$' "$list" | while read -r name proof reason; do
	if is_debian; then installed "$name"; else proven "$proof"; fi ||
		printf '%s\t%s\n' "$name" "$reason"
done
