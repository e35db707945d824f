#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway's cores get time, chance and company handed in: no clock, thread or random device there, and nothing
that depends on the order of a hash table or of addresses. That is what lets the simulator run them under one seed. A
lock is allowed (gateway/log's LiveFeed and gateway/store have one each): it says who may touch what, and changes
nothing for one thread.

usage: purity.py [ROOT]
"""

import pathlib
import re
import sys

CORES = ("gateway/domain", "gateway/log", "gateway/store", "gateway/pipeline")
FORBIDDEN = [
    (r"\b(system_clock|steady_clock|high_resolution_clock|clock_gettime|gettimeofday)\b", "reads a clock"),
    (r"\b(?:std::)?(?:time|localtime|gmtime)\s*\(\s*(?:nullptr|NULL|&)", "reads a clock"),
    (r"\bstd::(thread|jthread|async|this_thread|future|promise|call_once)\b", "starts or names a thread"),
    (r"\b(sleep_for|sleep_until|usleep|nanosleep|wait_for|wait_until)\b", "waits in real time"),
    (r"\b(random_device|getrandom|getentropy|arc4random|RAND_bytes)\b|\b(?:s?rand)\s*\(", "draws at random"),
]
# The edge that lives there.
EXCEPT = {"gateway/domain/clock.h"}
UNORDERED = re.compile(r"\bunordered_(?:multi)?(?:map|set)<.*>[\s&]+(\w+)\s*[;={,)]")
# Ways to go through `NAME` in its own order; looking something up, end() and erase_if() are none.
NAME = r"\*?(?:this->)?(?:\w+(?:\.|->))*(\w+)"
WALKS = [
    re.compile(r"\bfor\s*\([^;)]*:\s*" + NAME + r"\s*\)"),
    re.compile(r"\b(\w+)(?:\.|->)c?r?begin\s*\("),
    re.compile(r"\b(?:std|ranges)::c?r?begin\s*\(\s*" + NAME + r"\s*\)"),
    re.compile(r"\branges::\w+\s*\(\s*" + NAME + r"\s*[,)]"),
    re.compile(r"\b(\w+)\s*\|\s*(?:std::)?views::"),
    re.compile(r"\bviews::\w+\s*\(\s*" + NAME + r"\s*[,)]"),
]
# Sorted or hashed by where things happen to lie.
POINTER_KEY = re.compile(r"\b(?:unordered_)?(?:multi)?(?:set|map)<\s*(?:const\s+)?"
                         r"(?:(?:std::)?(?:unique|shared)_ptr<|[\w:]+(?:<[^<>]*>)?(?:\s+const)?\s*\*)")


def code(line):
    """The line without its comment and without what stands in quotes."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', line).split("//", 1)[0]


def unordered_names(text):
    return set(UNORDERED.findall(text))


def problems_of(path, text, unordered):
    """Yields a line for each thing in `text` that does not belong into a core. `unordered`: names of hash tables."""
    for number, line in enumerate(text.splitlines(), 1):
        bare = code(line)
        for pattern, what in FORBIDDEN:
            found = re.search(pattern, bare)
            if found and path not in EXCEPT:
                yield f"{path}:{number}: `{found.group(0)}` {what}: have it handed in, or do it in gateway/app"
        walked = {match.group(1) for walk in WALKS for match in walk.finditer(bare)} & unordered
        for name in sorted(walked):
            yield (f"{path}:{number}: walks the hash table `{name}`, whose order differs between builds: "
                   "walk something sorted")
        keyed = POINTER_KEY.search(bare)
        if keyed:
            yield (f"{path}:{number}: `{keyed.group(0)}` is keyed by addresses, whose order differs between runs: "
                   "key it by an id")


def problems(root):
    files = sorted(path for core in CORES for path in (root / core).glob("**/*") if path.suffix in (".h", ".cc"))
    texts = {path.relative_to(root).as_posix(): path.read_text() for path in files}
    for path, text in texts.items():
        stem = path.rsplit(".", 1)[0]
        names = unordered_names(text) | unordered_names(texts.get(stem + ".h", ""))
        yield from problems_of(path, text, names)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(problems(root))
    print("\n".join(found) or "the cores get time, chance and company handed in")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
