#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every benchmark of a build folder, one after the other, and collects their figures in one JSON file.

usage: bench.py BUILD_FOLDER FILE

A benchmark is a program tests/bench/NAME_bench. It prints a table, and with `--json FILE` writes its figures there.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    programs = sorted(path for path in folder.glob("tests/bench/**/*_bench") if os.access(path, os.X_OK))
    if not programs:
        sys.exit(f"godwit: there are no benchmarks in {folder}/tests/bench")
    figures = {"machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "system": platform.platform()}}
    failed = []
    for number, program in enumerate(programs, 1):
        print(f"\n--- {program.name} ({number}/{len(programs)})", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            file = pathlib.Path(scratch) / "figures.json"
            status = subprocess.run([program.absolute(), "--json", file], cwd=scratch, check=False).returncode
            if status == 0 and file.exists():
                figures[program.name] = json.loads(file.read_text())
            else:
                failed.append(program.name)
                print(f"godwit: {program.name} ended with status {status} and "
                      f"{'its' if file.exists() else 'no'} figures", file=sys.stderr)
    out.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nThe figures are in {out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
