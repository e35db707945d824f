#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A seed has one hash: alone, after other seeds in one process, and in another build.

usage: hash_test.py [--seeds N] GODWIT_SIM [GODWIT_SIM OF ANOTHER BUILD]
"""

import argparse
import os
import re
import subprocess
import sys


def output_of(*command):
    """What it prints; seeds that break the promise (exit code 1) have hashes as well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def in_a_row(program, seeds):
    text = output_of(program, "explore", "--seeds", f"1..{seeds}", "--jobs", "1", "--hashes")
    return {int(seed): value for seed, value in re.findall(r"^(\d+) ([0-9a-f]{16})$", text, re.M)}


def alone(program, seed):
    return re.search(r"^hash ([0-9a-f]{16})", output_of(program, "replay", str(seed)), re.M).group(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("program")
    parser.add_argument("other", nargs="?")
    args = parser.parse_args()
    hashes = in_a_row(args.program, args.seeds)
    assert sorted(hashes) == list(range(1, args.seeds + 1)), hashes
    assert len(set(hashes.values())) == args.seeds, "seeds share a hash: it does not see what they do"
    for seed in (args.seeds, args.seeds // 2, 1):
        assert alone(args.program, seed) == hashes[seed], f"seed {seed} alone is another run than in a row"
    compared = args.other and os.path.exists(args.other) and not os.path.samefile(args.program, args.other)
    if compared:
        assert in_a_row(args.other, args.seeds) == hashes, f"{args.other} plays other runs: build both, then try again"
    print(f"{args.seeds} seeds have the same hash alone and in a row{' and in the other build' if compared else ''}")


if __name__ == "__main__":
    main()
