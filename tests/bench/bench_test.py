#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A benchmark runs in its short form and writes the figures that it promises; whether they are good is not asked.

usage: bench_test.py PROGRAM KEY...

KEY: a key that the JSON must have somewhere, with a number.
"""

import json
import pathlib
import subprocess
import sys
import tempfile


def numbers(value, key=None):
    """The keys in `value` that have a number."""
    if isinstance(value, dict):
        return {found for name, inner in value.items() for found in numbers(inner, name)}
    if isinstance(value, list):
        return {found for inner in value for found in numbers(inner, key)}
    return {key} if isinstance(value, (int, float)) else set()


def main():
    program, keys = sys.argv[1], set(sys.argv[2:])
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "figures.json"
        subprocess.run([program, "--quick", "--json", file], check=True, timeout=100)
        missing = keys - numbers(json.loads(file.read_text()))
    if missing:
        sys.exit(f"{program}: no figure for {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
