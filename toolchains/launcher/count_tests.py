#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums the results of ctest runs: prints "N passed, N failed" as its last line and fails if a test failed.

usage: count_tests.py BUILD_FOLDER...

Each folder has ctest's results.xml and, in results/, what its GoogleTest programs wrote. A GoogleTest program counts
with each of its test cases, any other test as one; a program that crashed, and so wrote nothing, as one failure.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count_gtest(file):
    suites = ElementTree.parse(file).getroot()
    total, failed, skipped = (int(suites.get(name) or 0) for name in ("tests", "failures", "disabled"))
    failed += int(suites.get("errors") or 0)
    skipped += sum(case.get("result") == "skipped" for case in suites.iter("testcase"))
    return total - failed - skipped, failed, skipped


def count(folder):
    """(passed, failed, skipped) of one build folder."""
    try:
        tests = ElementTree.parse(folder / "results.xml").getroot().iter("testcase")
    except (OSError, ElementTree.ParseError) as error:
        print(f"  {folder}: ctest left no results ({error})")
        return 0, 1, 0
    sums = [0, 0, 0]
    for test in tests:
        name, status = test.get("name"), test.get("status")
        try:
            cases = count_gtest(folder / "results" / f"{name}.xml")
        except (OSError, ElementTree.ParseError):
            cases = (0, 0, 0)
        if status == "run" and not any(cases):
            cases = (1, 0, 0)
        elif status == "fail":
            cases = (cases[0], max(cases[1], 1), cases[2])
            print(f"  failed: {name} ({folder})")
        elif status in ("notrun", "disabled"):
            cases = (0, 0, 1)
            said = [line for line in (test.findtext("system-out") or "").splitlines() if line.startswith("skipped: ")]
            print(f"  {said[0] if said else 'skipped'}: {name} ({folder})")
        sums = [total + more for total, more in zip(sums, cases)]
    return tuple(sums)


def main():
    passed, failed, skipped = (sum(part) for part in zip(*(count(pathlib.Path(name)) for name in sys.argv[1:])))
    if skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
