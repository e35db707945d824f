#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts what a prover found under a key of build/prove.json, beside what others found.

usage: merge_json.py FILE KEY FOUND
"""

import datetime
import json
import pathlib
import subprocess
import sys


def main():
    path, key, found = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    everything = json.loads(path.read_text()) if path.exists() else {}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    everything[key] = json.loads(found.read_text()) | {
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
    }
    path.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
