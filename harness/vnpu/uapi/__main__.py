# SPDX-License-Identifier: MIT
"""Regenerate the Python modules of the uAPI from the C headers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vnpu.base.errors import VnpuError


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 up to date or written, 1 out of date."""
    parser = argparse.ArgumentParser(prog="python -m vnpu.uapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--golden", type=Path, help="write the ABI as text to this file")
    args = parser.parse_args(argv)
    from vnpu.uapi.gen import generate, headers, promise

    try:
        if args.golden:
            args.golden.write_text(promise.text(generate.vnpu_abi()))
            return 0
        if not args.check:
            for path in generate.write():
                print(f"wrote {path.relative_to(headers.REPO)}")
            return 0
        problems = [text for text in (generate.drift(), *generate.drm_drift()) if text]
    except VnpuError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if problems:
        problems.append("harness/vnpu/uapi is stale: run `make uapi`")
    print("\n".join(problems) or "uapi: up to date")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
