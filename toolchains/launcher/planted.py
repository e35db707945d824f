#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants the bugs of tests/planted, one at a time, and says within how many seeds the engine finds each.

usage: planted.py --check                    do all rules apply to this tree?
       planted.py --build DIR [NAME...]      plant these bugs (default: all) in a copy, and look for them

--build DIR is a build folder of this tree that has built godwit-sim. Only the copies of the files that rules touch (and
what includes them) are compiled, by that folder's own commands, and linked with what it has. The copy and the program are in
DIR/planted. Exit codes: 0 all rules apply and, if looked for, all bugs were found and most of them soon; 1 not.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOON = 200  # seeds; so many ...
SOON_SHARE = 0.9  # ... of the bugs are to be found within them
TARGET = "godwit-sim"
PROGRAM = "sim/cli/godwit-sim"
HEADER = """#pragma once
namespace godwit {
bool is_planted(int bug);
// In a constant nothing can be planted.
constexpr bool planted(int bug) { if consteval { return false; } else { return is_planted(bug); } }
}  // namespace godwit
"""
DEFINITION = """#include "planted.h"
#include <cstdlib>
namespace {
const int chosen = std::getenv("GODWIT_PLANTED") != nullptr ? std::atoi(std::getenv("GODWIT_PLANTED")) : 0;
}  // namespace
bool godwit::is_planted(int bug) { return bug == chosen; }
"""


class Rule:
    def __init__(self, path, number):
        self.name, self.number = path.stem, number
        found = re.fullmatch(r"(?:#.*\n)+file (\S+)\nold\n(.*)\nnew\n(.*)\n", path.read_text(), re.S)
        if not found:
            sys.exit(f"{path}: a rule is comments, 'file PATH', 'old', its text, 'new', its text")
        self.file, self.old, self.new = found.groups()

    def why_not(self):
        """The reason that the rule does not apply to the tree, or None."""
        if pathlib.Path(self.file).suffix not in (".cc", ".h"):
            return f"{self.file} is no .cc or .h"
        path = ROOT / self.file
        if not path.is_file():
            return f"{self.file} is not there"
        count = path.read_text().count(self.old)
        return None if count == 1 else f"its old text stands {count} times in {self.file}, not once"


def all_rules():
    paths = sorted((ROOT / "tests" / "planted").glob("*.rule"))
    return [Rule(path, number) for number, path in enumerate(paths, 1)]


def planted_text(rules):
    """The text of their one file with all of these rules in it; two may share one old text."""
    text = (ROOT / rules[0].file).read_text()
    places = {}
    for rule in rules:
        start = text.index(rule.old)
        places.setdefault((start, start + len(rule.old)), []).append(rule)
    behind = len(text)
    for (start, end), here in sorted(places.items(), reverse=True):
        if end > behind:
            sys.exit(f"tests/planted/{here[0].name}.rule: its old text overlaps that of another rule in {here[0].file}")
        old = text[start:end]
        if old.endswith(";"):
            both = "".join(f"if (::godwit::planted({rule.number})) {{ {rule.new} }} else " for rule in here) + f"{{ {old} }}"
        else:
            both = "(" + "".join(f"::godwit::planted({rule.number}) ? ({rule.new}) : " for rule in here) + f"({old}))"
        text, behind = text[:start] + both + text[end:], start
    return f'#include "planted.h"\n#line 1 "{rules[0].file}"\n{text}'


def check(rules):
    wrong = [(rule, why) for rule in rules if (why := rule.why_not())]
    for rule, why in wrong:
        print(f"tests/planted/{rule.name}.rule: {why}")
    if not wrong:
        for file in {rule.file for rule in rules}:
            planted_text([rule for rule in rules if rule.file == file])
    return not wrong


class Build:
    """The program with bugs in it, made in the folder `planted` of a build folder."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.copy = self.folder / "planted"
        self.program = self.copy / "godwit-sim"

    def ninja(self, *arguments):
        command = ["ninja", "-C", self.folder, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}: has it built {TARGET}?")
        return done.stdout

    def run(self, command):
        done = subprocess.run(command, shell=True, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"the copy with the planted bugs does not build:\n{command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")

    def make(self, rules, jobs):
        files = sorted({rule.file for rule in rules})
        self.copy.mkdir(exist_ok=True)
        (self.copy / "planted.h").write_text(HEADER)
        (self.copy / "planted.cc").write_text(DEFINITION)
        for file in files:
            target = self.copy / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(planted_text([rule for rule in rules if rule.file == file]))

        compiled = {}  # object: (command, source)
        for command in self.ninja("-t", "commands", TARGET).splitlines():
            found = re.search(r" -o (\S+\.o) -c (\S+\.cc)$", command)
            if found:
                compiled[found[1]] = (command, found[2])
        link = command  # the last one
        touched = self.touched(compiled, files)
        objects, commands = {}, []
        for object_file, (command, source) in touched.items():
            copied = self.copy / os.path.relpath(source, ROOT)
            objects[object_file] = self.copy / object_file.replace("/", "_")
            commands.append(self.command(command, copied if copied.is_file() else source, objects[object_file]))
        any_command = next(iter(touched.values()))[0]
        own = self.copy / "planted.o"
        commands.append(self.command(any_command, self.copy / "planted.cc", own))
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(self.run, commands))
        # An object is taken before the library that has another of the same symbols.
        for object_file, replacement in objects.items():
            link = link.replace(f" {object_file} ", " ")
        link = link.replace(f" -o {PROGRAM} ", f" {own} {shlex.join(map(str, objects.values()))} -o {self.program} ")
        self.run(link)

    def touched(self, compiled, files):
        """The objects that are made of these files."""
        paths = {str(ROOT / file) for file in files}
        of_header = {path for path in paths if path.endswith(".h")}
        touched = {name: entry for name, entry in compiled.items() if entry[1] in paths}
        if of_header:
            for entry in self.ninja("-t", "deps").split("\n\n"):
                name, _, included = entry.strip().partition(":")
                if name in compiled and any(os.path.normpath(self.folder / line.strip()) in of_header
                                            for line in included.splitlines()[1:]):
                    touched[name] = compiled[name]
        if not touched:
            sys.exit(f"{TARGET} is not made of {', '.join(files)}")
        return touched

    def command(self, command, source, target):
        command = re.sub(r" -MD -MT \S+ -MF \S+", "", command)
        command = re.sub(r" -o \S+ -c \S+$", f" -w -o {target} -c {source}", command)
        return command.replace(" -I", f" -I{self.copy} -I", 1)


class Search:
    def __init__(self, build, seeds):
        self.build, self.seeds = build, seeds
        self.lock = threading.Lock()
        self.healthy = {}  # seed: does it hold without a bug?

    def explore(self, bug, first, last):
        """(seed, kind) of the first that breaks the promise, or None."""
        report = self.build.copy / f"found-{bug}-{first}.json"
        command = [self.build.program, "explore", "--seeds", f"{first}..{last}", "--jobs", "1", "--to-failure", "--report", report]
        done = subprocess.run(command, env={**os.environ, "GODWIT_PLANTED": str(bug)}, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            sys.exit(f"{done.stdout}{done.stderr}")
        failures = json.loads(report.read_text())["failures"]
        report.unlink()
        for kind, failure in failures.items():
            return failure["first_seed"], kind
        return None

    def holds(self, seed):
        with self.lock:
            if seed not in self.healthy:
                self.healthy[seed] = self.explore(0, seed, seed) is None
            return self.healthy[seed]

    def find(self, rule):
        """The first seed that shows the bug, and how; a seed that fails without it does not count."""
        first = 1
        while first <= self.seeds and (found := self.explore(rule.number, first, self.seeds)):
            if self.holds(found[0]):
                return found
            first = found[0] + 1
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    rules = all_rules()
    if not check(rules):
        return 1
    if options.check:
        print(f"{len(rules)} rules apply")
        return 0
    if unknown := set(options.names) - {rule.name for rule in rules}:
        sys.exit(f"tests/planted has no rule {', '.join(sorted(unknown))}")
    if options.build is None:
        sys.exit("--build DIR is missing: a build folder in which godwit-sim was built")
    rules = [rule for rule in rules if not options.names or rule.name in options.names]
    build = Build(options.build)
    build.make(rules, options.jobs)
    search = Search(build, options.seeds)
    print(f"{'bug':<36} {'seed':>6}  seen as")
    found = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for rule, result in zip(rules, pool.map(search.find, rules)):
            found[rule.name] = result
            print(f"{rule.name:<36} {result[0] if result else '-':>6}  {result[1] if result else 'not found'}", flush=True)
    seen = [result[0] for result in found.values() if result]
    soon = sum(seed <= SOON for seed in seen)
    print(f"{len(seen)} of {len(rules)} found within {options.seeds} seeds, {soon} within {SOON}")
    if options.report:
        table = {name: {"seed": result[0], "seen_as": result[1]} if result else None for name, result in found.items()}
        options.report.write_text(json.dumps({"seeds": options.seeds, "bugs": len(rules), "found": len(seen),
                                              f"within_{SOON}": soon, "table": table}) + "\n")
    return 0 if len(seen) == len(rules) and soon >= SOON_SHARE * len(rules) else 1


if __name__ == "__main__":
    sys.exit(main())
