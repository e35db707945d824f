#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A seed has one hash: alone, after other seeds in one process, and in another build.

usage: hash_test.py GODWIT_SIM [GODWIT_SIM OF ANOTHER BUILD]
"""

import os
import re
import subprocess
import sys

SEEDS = range(1, 13)


def output_of(*command):
    """What it prints; seeds that break the promise (exit code 1) have hashes as well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def in_a_row(program):
    text = output_of(program, "explore", "--seeds", f"{SEEDS[0]}..{SEEDS[-1]}", "--jobs", "1", "--hashes")
    return {int(seed): value for seed, value in re.findall(r"^(\d+) ([0-9a-f]{16})$", text, re.M)}


def alone(program, seed):
    return re.search(r"^hash ([0-9a-f]{16})", output_of(program, "replay", str(seed)), re.M).group(1)


def main():
    program, others = sys.argv[1], [other for other in sys.argv[2:] if os.path.exists(other)]
    hashes = in_a_row(program)
    assert sorted(hashes) == list(SEEDS), hashes
    assert len(set(hashes.values())) == len(SEEDS), "seeds share a hash: it does not see what they do"
    for seed in (SEEDS[-1], SEEDS[5], SEEDS[0]):
        assert alone(program, seed) == hashes[seed], f"seed {seed} alone is another run than in a row"
    for other in others:
        assert in_a_row(other) == hashes, f"{other} plays other runs than {program}: build both, then try again"
    print(f"{len(hashes)} hashes, compared with {len(others)} other build")


if __name__ == "__main__":
    main()
