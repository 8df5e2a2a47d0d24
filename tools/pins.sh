#!/bin/sh
# SPDX-License-Identifier: MIT
# Write harness/requirements.txt: the newest releases that pyproject.toml allows, for every
# Python that it does, with the hashes of their files. uv comes into a directory that is gone
# at the end.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q --disable-pip-version-check uv
# what builds the package itself
printf 'setuptools>=65\nwheel\n' >"$work/build.in"
{
	printf '# SPDX-License-Identifier: MIT\n'
	printf '# The releases that set-up installs. Written by `make pins`, not by hand.\n'
	cd "$work" && venv/bin/uv pip compile -q --universal --python-version 3.11 \
		--only-binary :all: --generate-hashes --no-annotate --no-header \
		"$root/pyproject.toml" build.in --extra dev
} >"$work/requirements.txt"
mv "$work/requirements.txt" "$root/harness/requirements.txt"
